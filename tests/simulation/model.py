"""
What a task may do, told a second time: the specification's moves as a machine that is driven by events alone.

It shares no rule with fleetd.core: its table is written from the specification (T2, T5, T7, T9, D4), so that a mistake there is not repeated here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fleetd.core.event import Event, EventType
from fleetd.core.task import Run

PENDING, ASSIGNED, RUNNING, COMPLETED, FAILED, CANCELLED, BLOCKED, DEAD, DISCARDED = range(1, 10)
HELD = (ASSIGNED, RUNNING)
OVER = (COMPLETED, FAILED, CANCELLED, DEAD, DISCARDED)
POISON_LOSSES = 3
LIMITS = ("PROVIDERS_EXHAUSTED", "TASK_TIMEOUT")
"""Codes of failures that end in the dead letters, whatever attempts remain."""


class Wrong(Exception):
    """An event that must not have happened."""


class Lease(NamedTuple):
    """Who holds a task."""

    epoch: int
    agent_id: str


@dataclass(slots=True)
class TaskModel:
    """One task as its events tell it. `highest` is the greatest lease epoch ever given."""

    id: str
    org_id: str
    capabilities: tuple[str, ...]
    max_attempts: int
    status: int = 0
    lease: Lease | None = None
    highest: int = 0
    accepted: bool = False
    cancelling: bool = False
    attempt: int = 0
    losses: int = 0
    replays: int = 0
    events: int = 0
    completions: int = 0
    routed: bool = False
    shadow: bool = False
    runs: dict[int, Run] = field(default_factory=dict)

    def happen(self, event: Event) -> None:
        """Take an event in. Raises Wrong."""
        if event.task_seq != self.events + 1:
            raise Wrong(f"event {event.task_seq} follows event {self.events}")
        self.events = event.task_seq
        move = _MOVES.get(event.type)
        if move is None:
            raise Wrong(f"{event.type.name} is no event of a task here")
        if event.type in OF_ROUTES and not self.routed:
            raise Wrong(f"{event.type.name} of a task without requirements")
        sources, change = move
        if self.shadow and event.type is E.TASK_FAILED:
            # Whatever kept it from its end: lost, out of time or not even begun. It is over.
            sources, change = (PENDING, *HELD), _shadow_failed
        if self.status not in sources:
            raise Wrong(f"{event.type.name} while the task is in state {self.status}")
        change(self, event, event.payload or {})

    def finish_run(self, run: Run) -> None:
        """Take in how a lease ended. Raises Wrong."""
        if run.lease_epoch in self.runs:
            raise Wrong(f"lease {run.lease_epoch} ended twice")
        if run.lease_epoch > self.highest:
            raise Wrong(f"lease {run.lease_epoch} ended and was never given")
        if self.lease is not None and self.lease.epoch == run.lease_epoch:
            raise Wrong(f"lease {run.lease_epoch} ended and stands")
        self.runs[run.lease_epoch] = run


Payload = Mapping[str, Any]
Change = Callable[[TaskModel, Event, Payload], None]


def _nothing(task: TaskModel, event: Event, payload: Payload) -> None:
    return None


def _created(task: TaskModel, event: Event, payload: Payload) -> None:
    task.status = PENDING


def _assigned(task: TaskModel, event: Event, payload: Payload) -> None:
    epoch = payload["lease_epoch"]
    if epoch <= task.highest:
        raise Wrong(f"lease_epoch {epoch} after {task.highest}: it must grow")
    if not event.agent_id:
        raise Wrong("a lease for nobody")
    task.status, task.lease, task.highest, task.accepted = (
        ASSIGNED,
        Lease(epoch, event.agent_id),
        epoch,
        False,
    )


def _accepted(task: TaskModel, event: Event, payload: Payload) -> None:
    if task.accepted:
        raise Wrong("accepted twice")
    task.accepted = True


def _started(task: TaskModel, event: Event, payload: Payload) -> None:
    if not task.accepted:
        raise Wrong("started without being accepted")
    task.status = RUNNING
    task.attempt += 1
    if payload["attempt"] != task.attempt:
        raise Wrong(f"attempt {payload['attempt']} where {task.attempt} was due")
    if task.attempt > task.max_attempts:
        raise Wrong(f"attempt {task.attempt} of {task.max_attempts}")


def _ends_for(status: int) -> Change:
    def end(task: TaskModel, event: Event, payload: Payload) -> None:
        if task.cancelling and status != CANCELLED:
            raise Wrong(f"{event.type.name} after its cancellation was taken")
        if task.lease is not None and event.agent_id != task.lease.agent_id:
            raise Wrong(f"{event.agent_id} ends the lease of {task.lease.agent_id}")
        task.status, task.lease, task.accepted = status, None, False

    return end


def _completed(task: TaskModel, event: Event, payload: Payload) -> None:
    _ends_for(COMPLETED)(task, event, payload)
    task.completions += 1
    if task.completions > 1:
        raise Wrong("completed twice")


def _failed(task: TaskModel, event: Event, payload: Payload) -> None:
    if payload["final"] and payload["code"] not in LIMITS:
        _ends_for(FAILED)(task, event, payload)


def _shadow_failed(task: TaskModel, event: Event, payload: Payload) -> None:
    if not payload["final"]:
        raise Wrong("a shadow is to be tried again")
    task.attempt = payload["attempt"]
    _ends_for(FAILED)(task, event, payload)


def _released(task: TaskModel, event: Event, payload: Payload) -> None:
    if task.status == RUNNING:
        task.attempt -= 1
    _ends_for(PENDING)(task, event, payload)


def _lost(task: TaskModel, event: Event, payload: Payload) -> None:
    task.losses += 1
    if payload["losses"] != task.losses:
        raise Wrong(f"loss {payload['losses']} where {task.losses} was due")
    _ends_for(PENDING)(task, event, payload)


def _timed_out(task: TaskModel, event: Event, payload: Payload) -> None:
    if task.cancelling:
        raise Wrong("a timeout replaces a cancellation")


def _retry(task: TaskModel, event: Event, payload: Payload) -> None:
    # An attempt that timed out before it began is burnt all the same.
    task.attempt = payload["attempt"]
    if task.attempt >= task.max_attempts:
        raise Wrong(f"another attempt after {task.attempt} of {task.max_attempts}")
    _ends_for(PENDING)(task, event, payload)


def _dead(task: TaskModel, event: Event, payload: Payload) -> None:
    task.attempt = payload["attempts"]
    lost = task.status == PENDING and payload["code"] in ("AGENT_LOST", "LEASE_EXPIRED")
    if lost and task.losses >= POISON_LOSSES and payload["reason"] != "POISON":
        raise Wrong(f"{task.losses} losses end as {payload['reason']}, not as POISON")
    _ends_for(DEAD)(task, event, payload)


def _cancel_requested(task: TaskModel, event: Event, payload: Payload) -> None:
    task.cancelling = True


def _replayed(task: TaskModel, event: Event, payload: Payload) -> None:
    task.status, task.attempt, task.losses, task.cancelling = PENDING, 0, 0, False
    # Also after a RetryTask: only replays of dead letters are counted.
    task.replays = payload.get("replays", task.replays)


def _blocked(task: TaskModel, event: Event, payload: Payload) -> None:
    task.status = BLOCKED


def _unblocked(task: TaskModel, event: Event, payload: Payload) -> None:
    task.status = PENDING


E = EventType
OF_ROUTES = (
    E.TASK_ROUTED,
    E.TASK_ROUTE_VERIFIED,
    E.TASK_REROUTED,
    E.TASK_ROUTE_OVERRIDDEN,
    E.TASK_ROUTE_BLOCKED,
    E.TASK_UNBLOCKED,
)
"""Events that a task without requirements never has (R13)."""
_MOVES: Mapping[EventType, tuple[tuple[int, ...], Change]] = {
    E.TASK_CREATED: ((0,), _created),
    E.TASK_UPDATED: ((PENDING, BLOCKED, ASSIGNED, RUNNING, *OVER), _nothing),
    E.EXECUTION_MODE_DECIDED: ((PENDING,), _nothing),
    E.TASK_ASSIGNED: ((PENDING,), _assigned),
    E.TASK_ACCEPTED: ((ASSIGNED,), _accepted),
    E.TASK_STARTED: ((ASSIGNED,), _started),
    E.TASK_PROGRESS: ((RUNNING,), _nothing),
    E.TASK_CHECKPOINTED: ((RUNNING,), _nothing),
    E.TASK_LEASE_EXPIRED: ((RUNNING,), _lost),
    E.TASK_RELEASED: (HELD, _released),
    E.TASK_COMPLETED: ((RUNNING,), _completed),
    E.TASK_FAILED: ((RUNNING,), _failed),
    E.TASK_RETRY_SCHEDULED: (HELD, _retry),
    E.TASK_TIMEOUT: (HELD, _timed_out),
    E.TASK_CANCEL_REQUESTED: ((PENDING, BLOCKED, *HELD), _cancel_requested),
    E.TASK_CANCELLED: ((PENDING, BLOCKED, *HELD), _ends_for(CANCELLED)),
    E.TASK_DEAD_LETTERED: ((PENDING, BLOCKED, *HELD), _dead),
    E.TASK_REPLAYED: ((FAILED, DEAD), _replayed),
    E.TASK_ROUTED: ((PENDING, BLOCKED), _nothing),
    E.TASK_ROUTE_VERIFIED: ((PENDING, BLOCKED, *HELD), _nothing),
    E.TASK_REROUTED: ((PENDING, BLOCKED, *HELD), _nothing),
    E.TASK_ROUTE_OVERRIDDEN: ((PENDING, BLOCKED, *HELD), _nothing),
    E.TASK_ROUTE_BLOCKED: ((PENDING,), _blocked),
    E.TASK_UNBLOCKED: ((BLOCKED,), _unblocked),
    E.TASK_DISCARDED: ((DEAD,), _ends_for(DISCARDED)),
}
"""For each event: in which states it may happen (0 = before the task was there), and what it changes."""
