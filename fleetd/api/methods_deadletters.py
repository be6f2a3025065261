"""Dispatcher: the dead letters (spec F5)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TypeAlias

from fleet.v1 import dispatcher_pb2 as pb
from fleetd.api import convert_deadletters as convert
from fleetd.api.calls import Call
from fleetd.api.convert_audits import matching, named
from fleetd.api.convert_times import duration, milliseconds, spoken
from fleetd.api.limits import DAY, SECOND, Limits
from fleetd.api.methods_tasks import EXAMINED, REASON
from fleetd.api.pace import GROUP, Pace
from fleetd.api.pages import fitting, make_token, page_size, read_number
from fleetd.api.validate import Fields
from fleetd.core.audit import Audited, Nothing
from fleetd.core.deadletters import Discard, Replay
from fleetd.core.task import Status, Task, TaskFilter
from fleetd.engine.engine import Engine
from fleetd.engine.retention import RetentionOptions, sweep
from fleetd.errors import FleetError, NotFound

SLOWEST, FASTEST = 0.01, 100_000.0
"""Bounds of max_per_second: one in 100 s still is work going on; no daemon replays faster than the upper one."""
REFUSED = 100
"""Refused items that are listed: enough to see what is wrong."""
OLDEST = 3_650 * DAY
NO_DEAD_LETTER = frozenset({"TASK_NOT_FOUND", "TASK_NOT_REPLAYABLE", "TASK_NOT_DISCARDABLE"})
"""Refusals that say that the item is no dead letter, or no longer."""

BulkRequest: TypeAlias = pb.ReplayDeadLettersRequest | pb.DiscardDeadLettersRequest


class DeadLetterMethods:
    """What failed for good, and what becomes of it."""

    def __init__(self, engine: Engine, limits: Limits) -> None:
        self._engine = engine
        self._limits = limits

    async def list_dead_letters(
        self, request: pb.ListDeadLettersRequest, call: Call
    ) -> pb.ListDeadLettersResponse:
        fields = Fields()
        wanted = convert.dead_letter_filter_in(request.filter, fields)
        limit = page_size(request.page_size, 50, self._limits.page, fields)
        mark = b"dead" + request.filter.SerializeToString(deterministic=True)
        before = read_number(request.page_token, mark, fields)
        fields.check()
        page = await self._engine.store.list_tasks(wanted, before, limit, EXAMINED)
        rules = self._engine.rules
        shown = fitting(
            (convert.dead_letter_out(row.task, row.spec, rules) for row in page.rows), self._limits.delivery
        )
        following = page.rows[len(shown) - 1].task.seq if len(shown) < len(page.rows) else page.next_before
        token = make_token(str(following), mark) if following else ""
        return pb.ListDeadLettersResponse(dead_letters=shown, next_page_token=token)

    async def get_dead_letter(self, request: pb.GetDeadLetterRequest, call: Call) -> pb.DeadLetter:
        fields = Fields()
        task_id = fields.task_id("id", request.id)
        fields.check()
        row = (await self._engine.store.get_tasks([task_id])).get(task_id)
        if row is None or row.task.status is not Status.DEAD_LETTER:
            raise NotFound(
                "DEAD_LETTER_NOT_FOUND", f"task {task_id!r} is not among the dead letters", {"id": task_id}
            )
        message = convert.dead_letter_out(row.task, row.spec, self._engine.rules)
        runs = await self._engine.store.get_runs(task_id)
        message.attempts.extend(convert.attempts_out(task_id, runs, self._limits.delivery))
        return message

    async def replay_dead_letters(
        self, request: pb.ReplayDeadLettersRequest, call: Call
    ) -> pb.ReplayDeadLettersResponse:
        done = await self._act(Replay, "ReplayDeadLetters", request, call)
        return pb.ReplayDeadLettersResponse(
            matched=done.matched, replayed=done.moved, refused=done.refused, more=done.more
        )

    async def discard_dead_letters(
        self, request: pb.DiscardDeadLettersRequest, call: Call
    ) -> pb.DiscardDeadLettersResponse:
        done = await self._act(Discard, "DiscardDeadLetters", request, call)
        return pb.DiscardDeadLettersResponse(
            matched=done.matched, discarded=done.moved, refused=done.refused, more=done.more
        )

    async def purge_dead_letters(
        self, request: pb.PurgeDeadLettersRequest, call: Call
    ) -> pb.PurgeDeadLettersResponse:
        fields = Fields()
        reason = fields.text("reason", request.reason, REASON)
        age = 0
        if not request.HasField("older_than"):
            fields.refuse("older_than", f"is required: a duration of {spoken(SECOND)} to {spoken(OLDEST)}")
        else:
            age = milliseconds(request.older_than, "older_than", fields, SECOND, OLDEST)
        if not request.confirm:
            fields.refuse("confirm", "must be true: what is purged is gone for good")
        fields.check()
        target = f"older than {duration(age).ToJsonString()}"
        await self._engine.execute(Audited(Nothing(), call.actor, "PurgeDeadLetters", target, reason))
        only = RetentionOptions(tasks=0, dead_letters=age, events=0, audits=0)
        return pb.PurgeDeadLettersResponse(purged=(await sweep(self._engine, only)).tasks)

    async def _act(
        self, act: type[Replay | Discard], action: str, request: BulkRequest, call: Call
    ) -> _Tally:
        """Replay or discard what the request names or selects, group by group."""
        ids, wanted = self._selection(request)
        tally = _Tally()
        if not request.dry_run:
            target = named(ids) if ids else matching(request.filter)
            await self._engine.execute(Audited(Nothing(), call.actor, action, target, request.reason))
        pace = Pace(self._engine, call, 0.0 if request.dry_run else request.max_per_second)
        async for group in self._groups(ids, wanted, pace.size):
            if not await pace.turn(len(group)):
                tally.more = True
                return tally
            if request.dry_run:
                tally.matched += await self._dead(group) if ids else len(group)
                continue
            answers: list[Task | FleetError] = await self._engine.execute(act(group, request.reason))
            if len(ids) == 1 and isinstance(answers[0], FleetError):
                raise answers[0]
            for task_id, answer in zip(group, answers, strict=True):
                tally.count(task_id, answer, named=bool(ids))
        return tally

    async def _dead(self, ids: tuple[str, ...]) -> int:
        """Return how many of the ids are dead letters."""
        rows = await self._engine.store.get_tasks(ids)
        return sum(row.task.status is Status.DEAD_LETTER for row in rows.values())

    def _selection(self, request: BulkRequest) -> tuple[tuple[str, ...], TaskFilter]:
        """Return the ids, or none and a filter. Raises InvalidArgument naming every bad field."""
        fields = Fields()
        wanted = convert.dead_letter_filter_in(request.filter, fields)
        fields.text("reason", request.reason, REASON)
        if request.max_per_second:
            fields.ratio("max_per_second", request.max_per_second, SLOWEST, FASTEST)
        ids = tuple(dict.fromkeys(request.ids))
        if fields.count("ids", len(ids), self._limits.batch):
            for place, task_id in enumerate(ids):
                fields.task_id(f"ids[{place}]", task_id)
        filtered = wanted != convert.EVERY
        if ids and filtered:
            fields.refuse("ids", "must not be given together with filter")
        if not ids and not filtered and not request.allow_all:
            fields.refuse(
                "allow_all", "must be true to mean every dead letter: there are no ids and no filter"
            )
        fields.check()
        return ids, wanted

    async def _groups(
        self, ids: tuple[str, ...], wanted: TaskFilter, size: int
    ) -> AsyncIterator[tuple[str, ...]]:
        """Yield the ids in groups. A replayed task keeps its seq, so that pages stay where they are and each task comes once."""
        if ids:
            for start in range(0, len(ids), size):
                yield ids[start : start + size]
            return
        before = 0
        while True:
            page = await self._engine.store.list_tasks(wanted, before, GROUP, EXAMINED)
            for start in range(0, len(page.rows), size):
                yield tuple(row.task.id for row in page.rows[start : start + size])
            before = page.next_before
            if not before:
                return


class _Tally:
    """What became of the items of an act on many."""

    def __init__(self) -> None:
        self.matched = 0
        self.moved = 0
        self.more = False
        self.refused: list[pb.RefusedItem] = []

    def count(self, task_id: str, answer: Task | FleetError, *, named: bool) -> None:
        """Count one answer; an item that a filter found and that was dealt with since is nobody's concern."""
        gone = isinstance(answer, FleetError) and answer.reason in NO_DEAD_LETTER
        self.matched += not gone
        if not isinstance(answer, FleetError):
            self.moved += 1
        elif (named or not gone) and len(self.refused) < REFUSED:
            self.refused.append(convert.refused_out(task_id, answer))
