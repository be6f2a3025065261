"""The dead letters: replay and discard (spec F5, T2). The entry of a task is the task itself: replaying it five times leaves one."""

from __future__ import annotations

from dataclasses import dataclass

from fleetd.core.event import EventType
from fleetd.core.interventions import find, fresh_start
from fleetd.core.ledger import Edge, Keys, Ledger
from fleetd.core.task import Status, Task
from fleetd.errors import FleetError, WrongState


@dataclass(frozen=True, slots=True)
class Replay:
    """Put dead letters back at the end of the queue with fresh attempts. Answer: for each, in order, the Task or the error that refused it."""

    task_ids: tuple[str, ...]
    reason: str

    def keys(self) -> Keys:
        return Keys(task_ids=self.task_ids)

    def more(self, ledger: Ledger) -> Keys | None:
        tasks = [ledger.task(task_id) for task_id in self.task_ids]
        refs = tuple(
            (task.org_id, task.external_ref) for task in tasks if task is not None and task.external_ref
        )
        return Keys(external_refs=refs) if refs else None

    def apply(self, ledger: Ledger) -> list[Task | FleetError]:
        answers: list[Task | FleetError] = []
        for task_id in self.task_ids:
            try:
                task = find(ledger, task_id)
                replay(ledger, task, self.reason)
                answers.append(task)
            except FleetError as error:
                answers.append(error)
        return answers


def replay(ledger: Ledger, task: Task, reason: str) -> None:
    """Replay one dead letter; it counts, and after `replay_limit` of them the task stays where it is."""
    _must_be_dead(task, "TASK_NOT_REPLAYABLE")
    limit = ledger.rules.replay_limit
    if task.replays >= limit:
        raise WrongState(
            "REPLAY_LIMIT",
            f"task {task.id} was replayed {task.replays} times, the limit is {limit}; RetryTask has none",
            {"replays": str(task.replays), "limit": str(limit)},
        )
    fresh_start(ledger, task)
    task.replays += 1
    task.place = ledger.next_seq
    ledger.next_seq += 1
    ledger.enter_lane(task)
    ledger.event(
        task, EventType.TASK_REPLAYED, {"from": "DEAD_LETTER", "reason": reason, "replays": task.replays}
    )
    edge = Edge(task.seq, "replay_of", task.id, ledger.now, f"lease {task.lease_epoch}")
    ledger.changes.edges.append(edge)


@dataclass(frozen=True, slots=True)
class Discard:
    """Throw dead letters away; they stay readable until retention takes them. Answer as for Replay."""

    task_ids: tuple[str, ...]
    reason: str

    def keys(self) -> Keys:
        return Keys(task_ids=self.task_ids)

    def more(self, ledger: Ledger) -> Keys | None:
        return None

    def apply(self, ledger: Ledger) -> list[Task | FleetError]:
        answers: list[Task | FleetError] = []
        for task_id in self.task_ids:
            try:
                task = find(ledger, task_id)
                _must_be_dead(task, "TASK_NOT_DISCARDABLE")
                ledger.move(task, Status.DISCARDED)
                ledger.event(task, EventType.TASK_DISCARDED, {"reason": self.reason})
                answers.append(task)
            except FleetError as error:
                answers.append(error)
        return answers


def _must_be_dead(task: Task, reason: str) -> None:
    if task.status is not Status.DEAD_LETTER:
        raise WrongState(
            reason, f"task {task.id} is {task.status.name}, not a dead letter", {"status": task.status.name}
        )
