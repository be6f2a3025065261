"""What one transaction wrote, as it was when it was written: the engine goes on changing the rows it holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from fleetd.core.agent import Agent
from fleetd.core.breaker import Breaker, BreakerKey, BreakerState
from fleetd.core.comparison import Comparison, SideDone
from fleetd.core.event import Event
from fleetd.core.fallback import Fallback
from fleetd.core.ledger import Changes, NewTask, Registered
from fleetd.core.limits import GateKey, GateRule
from fleetd.core.rollout import Rollout
from fleetd.core.rolloutbook import Scope
from fleetd.core.task import Run, Spec, Task
from fleetd.core.task_event import TaskEvent


class Row(NamedTuple):
    """The columns of a task that the checker compares."""

    id: str
    status: int
    lease_epoch: int
    agent_id: str
    session_epoch: int
    accepted: bool
    attempt: int
    losses: int
    replays: int
    events: int
    queued: bool


def row_of(task: Task) -> Row:
    return Row(
        task.id,
        int(task.status),
        task.lease_epoch,
        task.agent_id,
        task.session_epoch,
        task.accepted,
        task.attempt,
        task.losses,
        task.replays,
        task.events,
        task.queued,
    )


class RouteRow(NamedTuple):
    """What a task's row says of its route. `pin` is "" unless it was forced."""

    version: int
    selected: str
    instance: str
    tried: tuple[str, ...]
    above: int
    pin: str
    pinned_until: int


class BreakerRow(NamedTuple):
    """What is stored of a breaker."""

    state: BreakerState
    epoch: int
    retry_at: int
    failures: int
    forced: bool


class PlanRow(NamedTuple):
    """One version of a plan."""

    version: int
    selected: str


def route_row(task: Task) -> RouteRow:
    route = task.route
    assert route is not None
    return RouteRow(
        route.version,
        route.selected,
        route.instance,
        route.tried,
        route.above,
        route.pin if route.forced else "",
        route.pinned_until,
    )


def breaker_row(breaker: Breaker) -> BreakerRow:
    return BreakerRow(breaker.state, breaker.epoch, breaker.retry_at, breaker.failures, breaker.forced)


@dataclass(slots=True)
class Written:
    """One write."""

    new: list[NewTask]
    rows: list[Row]
    events: list[Event]
    runs: list[Run]
    agents: list[Agent]
    removed: list[str]
    rules: dict[GateKey, GateRule]
    specs: dict[int, Spec]
    routes: dict[str, RouteRow]
    plans: list[tuple[int, PlanRow]]
    instances: dict[str, Registered | None]
    breakers: dict[BreakerKey, BreakerRow]
    rollouts: dict[str, Rollout | None]
    rollout_states: dict[Scope, Fallback | None]
    comparisons: list[Comparison]
    sides: list[SideDone]
    told: list[TaskEvent]
    told_counts: dict[str, int]


@dataclass(slots=True)
class Record:
    """All writes of one transaction, in order."""

    writes: list[Written] = field(default_factory=list)

    def note(self, changes: Changes) -> None:
        tasks = {task.id: task for task in changes.tasks.values()}
        for new in changes.new_tasks:
            tasks.setdefault(new.task.id, new.task)
        rows = [row_of(task) for task in tasks.values()]
        self.writes.append(
            Written(
                list(changes.new_tasks),
                rows,
                list(changes.events),
                list(changes.runs),
                [agent.copy() for agent in changes.agents.values()],
                list(changes.agents_removed),
                dict(changes.rules),
                dict(changes.specs),
                {task.id: route_row(task) for task in tasks.values() if task.route is not None},
                [(each.task_seq, PlanRow(each.plan.version, each.plan.selected)) for each in changes.plans],
                dict(changes.instances),
                {key: breaker_row(breaker) for key, breaker in changes.breakers.items()},
                dict(changes.rollouts),
                dict(changes.rollout_states),
                list(changes.comparisons),
                list(changes.sides.values()),
                list(changes.task_events),
                {task.id: task.task_event_seq for task in tasks.values()},
            )
        )
