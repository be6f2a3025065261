"""What must hold after every transaction, whatever happened."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from fleetd.core.event import Event, EventType
from fleetd.core.hostbook import PREFIX
from fleetd.core.limits import GateKey, GateRule
from fleetd.core.submission import Taken
from fleetd.core.task import ModeSource
from fleetd.core.words import Ack, Result, Word, WordKind
from fleetd.errors import FleetError
from tests.simulation.model import HELD, OVER, PENDING, Lease, TaskModel, Wrong
from tests.simulation.record import Record, Row, Written
from tests.simulation.rollout_checker import RolloutChecker
from tests.simulation.route_checker import RouteChecker
from tests.simulation.told_checker import Stood, ToldChecker

if TYPE_CHECKING:
    from tests.simulation.world import World

ENDINGS = {
    WordKind.COMPLETE: "COMPLETED",
    WordKind.FAIL: "FAILED",
    WordKind.RELEASE: "RELEASED",
    WordKind.STOPPED: "STOPPED",
}

MOST_TURNS = 20_000
"""Turns of the engine in one simulation: the longest needs a third of it, so that more means that it turns without end."""


class Violation(Exception):
    """The daemon broke a promise."""


class Said(NamedTuple):
    """A word that some agent process said."""

    agent_id: str
    word: Word


def prefixes(capabilities: Iterable[str]) -> list[str]:
    """Return every limit's name that a lease with these capabilities counts for."""
    names: dict[str, None] = {}
    for capability in capabilities:
        parts = capability.split(":")
        for end in range(1, len(parts) + 1):
            names[":".join(parts[:end])] = None
    return list(names)


class Checker:
    """The model of the whole fleet, and every promise that is compared with it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.violations: list[str] = []
        self.cause: BaseException | None = None
        self.tasks: dict[str, TaskModel] = {}
        self.routes = RouteChecker(world, self)
        self.rollouts = RolloutChecker(world, self)
        self.told = ToldChecker(world, self)
        # The session that each submission named, by its key: percentages may go by it.
        self.sessions: dict[str, str] = {}
        self.acknowledged: dict[str, None] = {}
        self.said: dict[int, Said] = {}
        self.running: dict[GateKey, int] = {}
        self.rules: dict[GateKey, GateRule] = {}
        self.started: list[tuple[str, str]] = []
        self.commits = 0
        self.leases = 0
        # What each agent asked for: a ceiling (streams), or the sizes of its open claims (unary).
        self.asked: dict[str, int] = {}
        self.claims: dict[str, dict[int, int]] = {}
        # Monotonic ms until which the daemon must not give up an agent.
        self.vouched: dict[str, int] = {}
        self.events = 0
        # What submitters named: it is kept to (M7).
        self.modes: dict[str, str] = {}
        self._seqs: dict[int, str] = {}
        self._held: dict[str, int] = {}
        # The gates each live lease passed: what the task needs may be changed once it waits again.
        self._gates: dict[str, list[GateKey]] = {}
        self._accepted: dict[tuple[str, int], int] = {}
        self._asked_before: dict[str, int] = {}
        self._claimed_before: dict[str, int] = {}
        self._vouched_before: dict[str, int] = {}
        self._began = 0
        self._turns = 0
        self._overdue: dict[str, None] = {}
        self._registered: dict[str, None] = {}

    def violated(self, what: str, cause: BaseException | None = None) -> None:
        """Note a broken promise; the simulation stops at its next turn."""
        self.violations.append(what)
        self.cause = self.cause or cause
        self._world.history.note("VIOLATION", what)

    def check(self) -> None:
        if self.violations:
            raise Violation("; ".join(self.violations)) from self.cause

    # what the world tells

    def say(self, agent_id: str, word: Word) -> None:
        self.said[word.report_id] = Said(agent_id, word)

    def taken(self, answers: list[Any]) -> None:
        """The daemon answered a submitter: what it took must never be lost."""
        for answer in answers:
            if isinstance(answer, Taken):
                task_id = answer.task.id
                self.acknowledged[task_id] = None
                if task_id not in self.tasks:
                    self.violated(f"{task_id} was acknowledged and is not in the store")

    def claiming(self, agent_id: str, call: int, most: int) -> None:
        self.claims.setdefault(agent_id, {})[call] = most

    def claimed(self, agent_id: str, call: int) -> None:
        self.claims[agent_id].pop(call, None)

    # transactions

    def begin(self) -> None:
        """A turn of the engine begins: what agents ask for from now on does not concern it."""
        self._turns += 1
        if self._turns > MOST_TURNS:
            self.violated(f"the engine turns and turns: {MOST_TURNS} times")
        self._began = self._world.clock.now()
        for agent_id in self._registered:
            # What was heard until the engine knew of its new session was heard of the old one.
            self.vouched.pop(agent_id, None)
        self._registered.clear()
        self._asked_before = dict(self.asked)
        self._claimed_before = {agent_id: sum(claims.values()) for agent_id, claims in self.claims.items()}
        # What was due when the transaction began may be carried out in it; a word that came before it began calls an end back.
        self._overdue = {agent_id: None for agent_id, until in self.vouched.items() if until <= self._began}
        self._vouched_before = dict(self.vouched)
        self.routes.begin(self._began)

    def committed(self, record: Record, outcome: Any) -> None:
        """A transaction is durable, whatever the engine comes to know of it."""
        self.commits += 1
        acks = [
            ack
            for answer in outcome.answers
            if isinstance(answer, list)
            for ack in answer
            if isinstance(ack, Ack)
        ]
        before = {ack.task_id: self._stood(ack.task_id) for ack in acks}
        given: dict[str, int] = {}
        if any(isinstance(each, FleetError) for a in outcome.answers if isinstance(a, list) for each in a):
            # A submission may be refused after its mode was decided.
            self.rollouts.unsure()
        for written in record.writes:
            self._write(written, given)
            self.routes.settle(written)
            if self._world.rollouts is not None:
                self.rollouts.settle(written)
        self.routes.answered(outcome.answers)
        for sample in outcome.ledger.samples:
            self.rollouts.reported(sample)
        for ack in acks:
            # The daemon itself hands back, under no report id, what nobody will read.
            if not ack.report_id:
                continue
            self._heard(ack, before[ack.task_id])
        if self._world.telling is not None:
            self.told.settle(record)
        for task_id, epoch in given.items():
            self._given(task_id, epoch)
        self._count_claims(given)

    def _write(self, written: Written, given: dict[str, int]) -> None:
        for agent in written.agents:
            self._held.setdefault(agent.spec.agent_id, 0)
        self.rules.update(written.rules)
        self.routes.prepare(written)
        for new in written.new:
            task = new.task
            if task.id in self.tasks:
                self.violated(f"{task.id} was inserted twice")
            self.tasks[task.id] = TaskModel(
                task.id, task.org_id, new.spec.required_capabilities, task.max_attempts
            )
            self._seqs[task.seq] = task.id
            if task.mode_source is ModeSource.EXPLICIT:
                self.modes[task.id] = task.mode.name
            self.tasks[task.id].shadow = task.shadow
            if task.route is not None:
                self.tasks[task.id].routed = True
                self.routes.taken(task.id, task.seq, task.route.requirements)
        for seq, spec in written.specs.items():
            self.tasks[self._seqs[seq]].capabilities = spec.required_capabilities
        for event in written.events:
            self._event(event, given)
        for run in written.runs:
            task_id = self._seqs[run.task_seq]
            try:
                self.tasks[task_id].finish_run(run)
            except Wrong as wrong:
                self.violated(f"{task_id}: {wrong}")
        for row in written.rows:
            self._compare(row)

    def _event(self, event: Event, given: dict[str, int]) -> None:
        if event.seq != self.events + 1:
            self.violated(f"event {event.seq} follows event {self.events}")
        self.events = event.seq
        who = event.task_id or event.agent_id
        self._world.history.note("event", f"{event.seq} {event.type.name} {who} {event.payload or ''}")
        early = self._vouched_before.get(event.agent_id, 0) - self._began
        if event.type is EventType.AGENT_LOST and early > 0 and event.agent_id not in self._overdue:
            self.violated(f"{event.agent_id} was given up {early} ms too early")
        if event.type is EventType.AGENT_REGISTERED:
            self._registered[event.agent_id] = None
        if not event.task_id:
            if not event.agent_id:
                self.routes.fleet(event)
            return
        task = self.tasks.get(event.task_id)
        if task is None:
            self.violated(f"{event.type.name} of {event.task_id}, which is not in the store")
            return
        was = task.lease
        try:
            task.happen(event)
        except Wrong as wrong:
            self.violated(f"{task.id}: {wrong}")
        if was != task.lease:
            self._move_lease(task, was, task.lease, given)
        if task.shadow:
            self.rollouts.happened(task.id, event.type)
        if task.routed:
            self.routes.happened(task, event, ended=was is not None and task.lease is None)
        if event.type is EventType.TASK_ASSIGNED:
            self._placed(event)
        if event.type is EventType.TASK_STARTED:
            self.started.append((task.org_id, task.id))

    def _placed(self, event: Event) -> None:
        """A task that was meant for a host is given to no agent, and the other way round (M7)."""
        served = "SSH_CLI" if event.agent_id.startswith(PREFIX) else "PULL"
        named = self.modes.get(event.task_id, served)
        mode = (event.payload or {})["execution_mode"]
        if (named, mode) != (served, served):
            self.violated(f"{event.task_id}, submitted as {named}, is given to {event.agent_id} as {mode}")

    def _move_lease(
        self, task: TaskModel, was: Lease | None, now: Lease | None, given: dict[str, int]
    ) -> None:
        if was is not None:
            self._held[was.agent_id] -= 1
            for key in self._gates.pop(task.id):
                self.running[key] -= 1
        if now is not None:
            self._held[now.agent_id] = self._held.get(now.agent_id, 0) + 1
            keys = [GateKey("org", task.org_id)]
            keys += [GateKey("capability", name) for name in prefixes(task.capabilities)]
            self._gates[task.id] = keys
            for key in keys:
                self.running[key] = self.running.get(key, 0) + 1
            given[task.id] = now.epoch
            self.leases += 1

    def _compare(self, row: Row) -> None:
        task = self.tasks.get(row.id)
        if task is None:
            self.violated(f"{row.id} was written and never inserted")
            return
        lease = task.lease or Lease(task.highest, row.agent_id)
        expected = Row(
            task.id,
            task.status,
            task.highest,
            lease.agent_id,
            row.session_epoch,
            task.accepted,
            task.attempt,
            task.losses,
            task.replays,
            task.events,
            row.queued,
        )
        if row != expected:
            self.violated(f"the row of {row.id} is {row}, its events say {expected}")
        if row.queued and task.status != PENDING:
            self.violated(f"{row.id} stands in the queue in state {task.status}")

    # what agents were told

    def _stood(self, task_id: str) -> Stood:
        task = self.tasks.get(task_id)
        return Stood(task.lease, task.highest) if task is not None else Stood(None, 0)

    def _heard(self, ack: Ack, stood: Stood) -> None:
        agent_id, word = self.said[ack.report_id]
        named = Lease(word.lease_epoch, agent_id)
        what = f"{word.kind.name} of {agent_id} for lease {word.lease_epoch} of {word.task_id}"
        key = (word.task_id, word.lease_epoch)
        task = self.tasks.get(word.task_id)
        run = task.runs.get(word.lease_epoch) if task is not None else None
        self._world.history.note("ack", f"{what}: {ack.result.name}")
        before = stood.lease
        if word.kind is WordKind.EVENTS:
            self.told.heard(ack, word, agent_id, task, stood)
            if ack.result is Result.REJECTED:
                return
        if ack.result is Result.REJECTED and ack.reason == "INSTANCE_NOT_FOUND":
            return  # the instance that it names was removed
        if ack.result is Result.REJECTED:
            self.violated(f"{what} was rejected: {ack.message}")
        elif ack.result is Result.LEASE_LOST:
            if task is not None and task.lease == named:
                self.violated(f"{what} was answered LEASE_LOST while the lease stands")
        elif ack.result is Result.ACCEPTED and before != named:
            self.violated(f"{what} was accepted, the lease was {before}")
        elif word.kind in ENDINGS:
            if run is None or run.ending.name != ENDINGS[word.kind] or run.agent_id != agent_id:
                self.violated(f"{what} was answered {ack.result.name}, the run is {run}")
            elif ack.result is Result.ACCEPTED:
                if key in self._accepted:
                    self.violated(f"{what} was accepted after report {self._accepted[key]}")
                self._accepted[key] = ack.report_id
                self.told.ended(ack)
                if run.status.name == "COMPLETED" and run.output != word.output:
                    self.violated(f"{what} was accepted, and another result was stored")

    # limits

    def _given(self, task_id: str, epoch: int) -> None:
        for key in self._gates.get(task_id, []):
            rule = self.rules.get(key)
            if rule is None:
                continue
            if rule.paused:
                self.violated(f"lease {epoch} of {task_id} while {key.kind} {key.name} is paused")
            if rule.max_running and self.running[key] > rule.max_running:
                self.violated(
                    f"{key.kind} {key.name} runs {self.running[key]} tasks, its limit is {rule.max_running}"
                )

    def _count_claims(self, given: dict[str, int]) -> None:
        counts: dict[str, int] = {}
        for task_id in given:
            lease = self.tasks[task_id].lease
            if lease is not None:
                counts[lease.agent_id] = counts.get(lease.agent_id, 0) + 1
        for agent_id, count in counts.items():
            if agent_id in self._asked_before:
                if self._held[agent_id] > self._asked_before[agent_id]:
                    self.violated(
                        f"{agent_id} holds {self._held[agent_id]} leases and asked for {self._asked_before[agent_id]}"
                    )
            elif count > self._claimed_before.get(agent_id, 0):
                self.violated(
                    f"{agent_id} was given {count} leases, its calls ask for {self._claimed_before.get(agent_id, 0)}"
                )

    # the end

    def open(self) -> list[TaskModel]:
        """Return the tasks that are not over."""
        return [task for task in self.tasks.values() if task.status not in OVER]

    async def compare_store(self) -> None:
        """Compare every row and result with the model: nothing is missing, nothing is there too much."""
        store = self._world.store
        ids = list(dict.fromkeys([*self.tasks, *self.acknowledged]))
        rows = await store.get_tasks(ids)
        for task_id in ids:
            if task_id not in rows:
                self.violated(f"{task_id} is lost")
                continue
            task, row = self.tasks[task_id], rows[task_id].task
            if (int(row.status), row.lease_epoch) != (task.status, task.highest):
                self.violated(
                    f"{task_id} is stored as {row.status.name}/{row.lease_epoch}, its events say {task}"
                )
            runs = {run.lease_epoch: run for run in await store.get_runs(task_id)}
            if runs != task.runs:
                self.violated(f"{task_id} has the results {runs}, its transactions wrote {task.runs}")
            ended = task.highest - len(task.runs)
            if ended != (1 if task.status in HELD else 0):
                self.violated(f"{task_id} was given {task.highest} leases, {len(task.runs)} have an end")
        await self.rollouts.compare_store()
        if self._world.telling is not None:
            await self.told.compare_tasks()
