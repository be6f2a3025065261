"""
The ledger of one transaction: the rows it works on and everything that changes.

Commands run one after the other on the same ledger, so that each sees what the ones before did. A command checks first and changes afterwards:
when it raises, it has changed nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fleetd.core.agent import Agent
from fleetd.core.breaker import Breaker, BreakerKey
from fleetd.core.comparison import Comparison, Side, SideDone
from fleetd.core.effect import Effect, Finished
from fleetd.core.event import Event, EventType
from fleetd.core.fallback import Fallback
from fleetd.core.hostbook import HostBook, HostRow
from fleetd.core.instance import Condition, Instance
from fleetd.core.lanes import LaneKey
from fleetd.core.limits import GateKey, GateRule, Gates
from fleetd.core.rollout import Rollout, Sample
from fleetd.core.rolloutbook import RolloutBook, Salt, Scope
from fleetd.core.route import RoutePlan
from fleetd.core.routebook import RouteBook
from fleetd.core.settings import Rules
from fleetd.core.task import (
    MOVES,
    TERMINAL,
    WAITING,
    Checkpoint,
    Mode,
    ModeSource,
    Payload,
    Run,
    Spec,
    Status,
    Task,
)
from fleetd.core.task_event import TaskEvent, Told
from fleetd.errors import WrongState


class Due(NamedTuple):
    """An entry of the table of things to do later: `kind` of DueKind at `at` (epoch ms)."""

    at: int
    kind: int
    task_seq: int


class DueKind:
    """Kinds of due entries; powers of two, so that a task's `due` says which ones it has."""

    START = 1
    START_BY = 2
    DEADLINE = 4
    RESERVATION = 8
    REPLAY = 16


class Edge(NamedTuple):
    """One line of lineage: `task` came from `from_task_id`."""

    task_seq: int
    kind: str
    from_task_id: str
    at: int
    detail: str


class Audit(NamedTuple):
    """One line of the audit log: who did what to what, and why; written before the act, in its transaction."""

    at: int
    actor: str
    action: str
    target: str
    reason: str


class Delivered(NamedTuple):
    """A delivery of a webhook that was taken: the task it was about, and why it changed nothing ("" when it did)."""

    source: str
    id: str
    task_id: str
    ignored: str
    at: int


class TaskPlan(NamedTuple):
    """A version of a task's plan, without its trace."""

    task_seq: int
    plan: RoutePlan


class Registered(NamedTuple):
    """An instance with its condition, as both are stored."""

    instance: Instance
    condition: Condition


@dataclass(slots=True)
class NewTask:
    """A task to insert, with the parts kept beside the hot row."""

    task: Task
    spec: Spec
    input: Payload | None


@dataclass(slots=True)
class Minute:
    """What happened within one minute (and, summed, since the store was made). Times in milliseconds."""

    submitted: int = 0
    started: int = 0
    wait_ms: int = 0
    completed: int = 0
    run_ms: int = 0
    failed: int = 0
    cancelled: int = 0
    dead_letter: int = 0

    def add(self, other: Minute) -> None:
        self.submitted += other.submitted
        self.started += other.started
        self.wait_ms += other.wait_ms
        self.completed += other.completed
        self.run_ms += other.run_ms
        self.failed += other.failed
        self.cancelled += other.cancelled
        self.dead_letter += other.dead_letter


@dataclass(slots=True)
class Changes:
    """
    Everything one write puts into the store. The store gives every event its `seq`, and every task event its `position`; a task that has new ones need not
    be among `tasks`. None among `instances`, `hosts` and what belongs to rollouts removes one. `sides` holds how sides of stored comparisons ended, by
    comparison and whether it is the shadow's.
    """

    new_tasks: list[NewTask] = field(default_factory=list)
    tasks: dict[int, Task] = field(default_factory=dict)
    specs: dict[int, Spec] = field(default_factory=dict)
    checkpoints: dict[int, Checkpoint] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    due: list[Due] = field(default_factory=list)
    due_done: list[tuple[int, int]] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    agents: dict[str, Agent] = field(default_factory=dict)
    agents_removed: list[str] = field(default_factory=list)
    rules: dict[GateKey, GateRule] = field(default_factory=dict)
    audits: list[Audit] = field(default_factory=list)
    plans: list[TaskPlan] = field(default_factory=list)
    instances: dict[str, Registered | None] = field(default_factory=dict)
    breakers: dict[BreakerKey, Breaker] = field(default_factory=dict)
    hosts: dict[str, HostRow | None] = field(default_factory=dict)
    deliveries: list[Delivered] = field(default_factory=list)
    rollouts: dict[str, Rollout | None] = field(default_factory=dict)
    rollout_states: dict[Scope, Fallback | None] = field(default_factory=dict)
    rollout_salts: dict[str, Salt | None] = field(default_factory=dict)
    comparisons: list[Comparison] = field(default_factory=list)
    sides: dict[tuple[str, bool], SideDone] = field(default_factory=dict)
    task_events: list[TaskEvent] = field(default_factory=list)


class Keys(NamedTuple):
    """What a command reads: the engine loads the union of a batch at once. `blocked`: of a group of BLOCKED tasks so many of the first ones; `heads`: of
    a lane, beyond a place, so many.
    """

    task_ids: tuple[str, ...] = ()
    task_seqs: tuple[int, ...] = ()
    idempotency: tuple[tuple[str, str], ...] = ()
    external_refs: tuple[tuple[str, str], ...] = ()
    held_by: tuple[str, ...] = ()
    runs: tuple[tuple[str, int], ...] = ()
    specs: tuple[str, ...] = ()
    checkpoints: tuple[str, ...] = ()
    blocked: tuple[tuple[int, int], ...] = ()
    heads: tuple[tuple[int, int, int], ...] = ()
    deliveries: tuple[tuple[str, str], ...] = ()


class Rowless:
    """What a command has that reads no rows."""

    __slots__ = ()

    def keys(self) -> Keys:
        return Keys()

    def more(self, ledger: Ledger) -> Keys | None:
        return None


class Ledger:
    """Rows and changes of one transaction. `now` in epoch milliseconds; `draw` returns uniform numbers in [0, 1)."""

    def __init__(
        self,
        now: int,
        rules: Rules,
        agents: Mapping[str, Agent],
        gates: Gates,
        routes: RouteBook,
        hosts: HostBook,
        rollouts: RolloutBook,
        draw: Callable[[], float],
    ) -> None:
        self.now = now
        self.rules = rules
        self.draw = draw
        self.gates = gates
        self.routes = routes
        self.hosts = hosts
        self.rollouts = rollouts
        self.samples: list[Sample] = []
        self.turned: dict[BreakerKey, Breaker] = {}
        self.waiting: dict[str, int] = {}
        self.changes = Changes()
        self.effects: list[Effect] = []
        self.figures = Minute()
        self.counts: dict[Status, int] = {}
        self.entered: dict[int, Task] = {}
        self.left: list[int] = []
        self.homeless: dict[int, tuple[Task, LaneKey]] = {}
        self.specs: dict[int, Spec] = {}
        self.checkpoints: dict[int, Checkpoint] = {}
        self.runs: dict[tuple[str, int], Run] = {}
        self.deliveries: dict[tuple[str, str], Delivered] = {}
        self.blocked_beyond: set[int] = set()
        self.queued_beyond: dict[int, int] = {}
        self.next_seq = 1
        self.greeted: dict[str, None] = {}
        self.changed_agents: dict[str, Agent] = {}
        self.removed_agents: set[str] = set()
        self._agents = agents
        self._tasks: dict[str, Task] = {}
        self._by_seq: dict[int, Task] = {}
        self._by_key: dict[tuple[str, str], Task] = {}
        self._by_ref: dict[tuple[str, str], Task] = {}

    # rows

    def adopt(self, task: Task) -> Task:
        """Take in a loaded row; return the one the ledger works on when it has it already."""
        known = self._by_seq.get(task.seq)
        if known is not None:
            return known
        self._tasks[task.id] = task
        self._by_seq[task.seq] = task
        if task.idempotency_key:
            self._by_key[task.org_id, task.idempotency_key] = task
        if not task.terminal:
            self.take_ref(task)
        return task

    def take_ref(self, task: Task) -> None:
        """Note that the task, which is not terminal, has its external reference."""
        if task.external_ref:
            self._by_ref[task.org_id, task.external_ref] = task

    def task(self, task_id: str) -> Task | None:
        return self._tasks.get(task_id)

    def task_by_seq(self, seq: int) -> Task | None:
        return self._by_seq.get(seq)

    def task_by_key(self, org_id: str, key: str) -> Task | None:
        return self._by_key.get((org_id, key))

    def task_by_ref(self, org_id: str, ref: str) -> Task | None:
        task = self._by_ref.get((org_id, ref))
        return None if task is None or task.terminal else task

    def held_by(self, agent_id: str) -> list[Task]:
        """Return the loaded tasks whose lease the agent holds, oldest first."""
        held = [t for t in self._tasks.values() if t.agent_id == agent_id and t.live]
        return sorted(held, key=lambda task: task.seq)

    def blocked_in(self, group: int) -> list[Task]:
        """Return the loaded tasks that wait in a group of BLOCKED ones, in order of their places."""
        waiting = [t for t in self._tasks.values() if t.blocked == group and t.status is Status.BLOCKED]
        return sorted(waiting, key=lambda task: task.place)

    def queued(self) -> dict[int, list[Task]]:
        """Return the loaded tasks that hold a place, by lane, in order. Up to `queued_beyond` a lane was read without a gap."""
        waiting: dict[int, list[Task]] = {}
        for task in self._tasks.values():
            if task.queued:
                waiting.setdefault(task.lane, []).append(task)
        return {lane: sorted(tasks, key=lambda task: task.place) for lane, tasks in waiting.items()}

    def agent(self, agent_id: str) -> Agent | None:
        """Return the agent's row to read; use `change_agent` to write."""
        if agent_id in self.removed_agents and agent_id not in self.changed_agents:
            return None
        return self.changed_agents.get(agent_id) or self._agents.get(agent_id)

    def change_agent(self, agent_id: str) -> Agent:
        """Return the agent's row to work on; KeyError when unknown."""
        agent = self.changed_agents.get(agent_id)
        if agent is None:
            agent = self.changed_agents[agent_id] = self._agents[agent_id].copy()
        self.changes.agents[agent_id] = agent
        return agent

    def remove_agent(self, agent_id: str) -> None:
        self.changed_agents.pop(agent_id, None)
        self.changes.agents.pop(agent_id, None)
        self.changes.agents_removed.append(agent_id)
        self.removed_agents.add(agent_id)

    def add_agent(self, agent: Agent) -> None:
        self.changed_agents[agent.spec.agent_id] = agent
        self.changes.agents[agent.spec.agent_id] = agent

    # changes

    def insert(self, new: NewTask, lane: LaneKey) -> None:
        """Add a task in PENDING; it takes its place in the lane unless it is delayed."""
        task = new.task
        self.adopt(task)
        self.changes.new_tasks.append(new)
        self.specs[task.seq] = new.spec
        self.counts[task.status] = self.counts.get(task.status, 0) + 1
        self.figures.submitted += 1
        self.waiting[task.org_id] = self.waiting.get(task.org_id, 0) + 1
        self.homeless[task.seq] = task, lane

    def move(self, task: Task, status: Status) -> None:
        """Change the status, which must be a legal move (T2)."""
        if status not in MOVES[task.status]:
            raise WrongState(
                "ILLEGAL_MOVE", f"task {task.id} cannot go from {task.status.name} to {status.name}"
            )
        counts = self.counts
        counts[task.status] = counts.get(task.status, 0) - 1
        counts[status] = counts.get(status, 0) + 1
        if task.queued:
            self.leave_lane(task)
        change = (status in WAITING) - (task.status in WAITING)
        if change:
            self.waiting[task.org_id] = self.waiting.get(task.org_id, 0) + change
        task.status = status
        task.blocked = 0
        if status in TERMINAL:
            task.finished_at = self.now
            if task.due:
                self.clear_due(task, task.due)
            self.effects.append(Finished(task))
            # That a dead letter is thrown away changes nothing of how the work ended.
            if task.rollout is not None and status is not Status.DISCARDED:
                self.compare(task)
        self.touch(task)

    def compare(self, task: Task, *, size: int = 0, digest: str = "") -> None:
        """Note how a task that has a shadow, or is one, has ended; a shadow gives its place back."""
        rollout = task.rollout
        if rollout is None or not rollout.other:
            return
        comparison = task.id if rollout.shadow else rollout.other
        latency = max(0, self.now - task.started_at) if task.started_at else 0
        code = "" if task.status is Status.COMPLETED else task.error_code or task.status.name
        side = Side(task.id, rollout.mode, True, code, latency, size, digest)
        key = (comparison, rollout.shadow)
        if rollout.shadow and key not in self.changes.sides:
            self.rollouts.give_place(rollout.name)
        self.changes.sides[key] = SideDone(comparison, rollout.shadow, side, self.now)

    def touch(self, task: Task) -> None:
        """Note that the row changed."""
        task.version += 1
        task.updated_at = self.now
        if task.seq not in self.changes.tasks:
            self.changes.tasks[task.seq] = task

    def enter_lane(self, task: Task) -> None:
        """Put a waiting task in its place. One that changes its lane takes its place there when the commands are done."""
        if task.seq in self.homeless:
            return
        task.queued = True
        self.entered[task.seq] = task

    def await_agent(self, task: Task) -> None:
        """Put a task that is PENDING again back in its place, and let its reservation begin anew; a delayed one comes when its time does."""
        if task.reserved_agent:
            self.add_due(task, DueKind.RESERVATION, max(task.run_at, self.now) + self.rules.reservation)
        if task.run_at <= self.now:
            task.run_at = 0
            self.clear_due(task, DueKind.START)
            self.enter_lane(task)

    def leave_lane(self, task: Task) -> None:
        """Take a waiting task out of its place by other means than a claim."""
        task.queued = False
        if self.entered.pop(task.seq, None) is None:
            self.left.append(task.lane)

    def deliver(self, delivered: Delivered) -> None:
        """Note that a delivery was taken."""
        self.deliveries[delivered.source, delivered.id] = delivered
        self.changes.deliveries.append(delivered)

    def event(self, task: Task, kind: EventType, payload: Mapping[str, Any] | None = None) -> None:
        """Write an event of the task."""
        task.events += 1
        self.changes.events.append(
            Event(kind, self.now, task.seq, task.id, task.events, task.agent_id, task.org_id, payload)
        )

    def tell(self, task: Task, told: Sequence[Told]) -> None:
        """Add what the task's run tells. The row counts it and does not become another version."""
        seq = task.task_event_seq
        self.changes.task_events += [
            TaskEvent(task.seq, task.id, number, task.lease_epoch, self.now, *one)
            for number, one in enumerate(told, seq + 1)
        ]
        task.task_event_seq = seq + len(told)

    def agent_event(self, agent_id: str, kind: EventType, payload: Mapping[str, Any] | None = None) -> None:
        """Write an event of an agent."""
        self.changes.events.append(Event(kind, self.now, agent_id=agent_id, payload=payload))

    def fleet_event(self, kind: EventType, payload: Mapping[str, Any]) -> None:
        """Write an event that concerns no task and no agent."""
        self.changes.events.append(Event(kind, self.now, payload=payload))

    def add_due(self, task: Task, kind: int, at: int) -> None:
        """Remember to look at the task at `at`; an older entry of the kind is replaced."""
        if task.due & kind:
            self.changes.due_done.append((task.seq, kind))
        task.due |= kind
        self.changes.due.append(Due(at, kind, task.seq))

    def clear_due(self, task: Task, kinds: int) -> None:
        """Forget what was to be done later."""
        present = task.due & kinds
        if present:
            self.changes.due_done.append((task.seq, present))
            task.due &= ~present

    def take_changes(self) -> Changes:
        """Return what changed since the last call, to be written."""
        changes, self.changes = self.changes, Changes()
        return changes


def lane_key(task: Task, capabilities: Iterable[str]) -> LaneKey:
    """Return the lane a waiting task belongs to: apart from the others are those whose submitter named the mode (M7)."""
    mode = task.mode if task.mode_source is ModeSource.EXPLICIT else Mode.UNDECIDED
    return LaneKey(
        task.org_id, tuple(sorted(set(capabilities))), int(mode), int(task.priority), task.reserved_agent
    )
