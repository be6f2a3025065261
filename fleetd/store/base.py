"""
What a store offers: one way to write (a script run as one transaction) and plain reads.

A script is a generator that yields operations and receives their results; the store runs all of it in one transaction and returns what the script
returns. Scripts are synchronous and know no SQL, so that the same script runs on a thread, inline in the simulation, or over a network.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeVar

from fleetd.core.agent import Agent
from fleetd.core.audit import AuditLine
from fleetd.core.breaker import Breaker
from fleetd.core.comparison import Comparison
from fleetd.core.event import Event, EventFilter
from fleetd.core.fallback import Fallback
from fleetd.core.hostbook import HostRow
from fleetd.core.lanes import LaneKey
from fleetd.core.ledger import Changes, Delivered, Due, Edge, Keys, Minute, Registered
from fleetd.core.limits import GateKey, GateRule
from fleetd.core.rollout import Rollout
from fleetd.core.rolloutbook import Salt, Scope
from fleetd.core.route import RoutePlan, TaskRoute
from fleetd.core.task import Checkpoint, Payload, Run, Spec, Status, Task, TaskFilter
from fleetd.core.task_event import TaskEventPage

T = TypeVar("T")


class Load(NamedTuple):
    """Read the rows that commands name. Result: Loaded. Unknown keys are simply absent."""

    keys: Keys


@dataclass(slots=True)
class Loaded:
    """Rows found; on a shared store they stay locked until the transaction ends. `next_task_seq` is the next free number for a task's seq or place."""

    tasks: list[Task] = field(default_factory=list)
    runs: dict[tuple[str, int], Run] = field(default_factory=dict)
    specs: dict[int, Spec] = field(default_factory=dict)
    checkpoints: dict[int, Checkpoint] = field(default_factory=dict)
    next_task_seq: int = 1
    deliveries: list[Delivered] = field(default_factory=list)


PLANS_KEPT = 100
"""Versions of a task's plan that are kept, the newest: a task that waits for a crowded instance may get a new one with every look."""


class Heads(NamedTuple):
    """Read the first `limit` queued tasks of a lane with a place beyond `after`, in order of place. Result: list[Task]."""

    lane: int
    limit: int
    after: int = 0


class Parts(NamedTuple):
    """Read what is delivered with a lease. Result: dict[seq, TaskParts]."""

    seqs: Sequence[int]


class TaskParts(NamedTuple):
    """The parts of a task beside its hot row."""

    spec: Spec
    input: Payload | None
    checkpoint: Checkpoint | None


class Intern(NamedTuple):
    """Find or add lanes. Result: list[int], the lane ids in order."""

    keys: Sequence[LaneKey]


class Write(NamedTuple):
    """Write changes; gives every event its `seq`, every task event its `position` (in place). Result: None."""

    changes: Changes


class Mark(NamedTuple):
    """
    Close the books of the transaction: the daemon's marker row gets `batch`, `minute` (epoch minutes) gets `figures` added, the
    counts of tasks by status get `counts` added. Result: None.
    """

    batch: int
    minute: int
    figures: Minute
    counts: Mapping[Status, int]


Operation = Load | Heads | Parts | Intern | Write | Mark
Script = Generator[Operation, Any, T]


class StoreFull(Exception):
    """No room on the disk: the transaction was rolled back, nothing changed."""


class CommitUnclear(Exception):
    """The commit may or may not have happened: compare `last_batch`."""


class StoreBroken(Exception):
    """The store cannot be used (corrupt, newer schema, gone); the message is fit for an operator."""


@dataclass(frozen=True, slots=True)
class LaneRow:
    """A lane with what waits in it."""

    id: int
    key: LaneKey
    count: int
    head_seq: int
    head_at: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """
    Everything the engine keeps in memory, as it stands after a start. `minutes` maps epoch minutes to figures, `delayed` orgs to the number of
    their PENDING tasks that hold no place in a lane. `counts` of terminal statuses are of all that ever came there (less what was replayed or
    discarded): retention takes nothing back. `blocked` maps each group of BLOCKED tasks to the route of one; `delayed` counts those tasks, too. `shadows`
    counts the shadows that hold a place, by rollout; `last_task_event` is the highest position given.
    """

    daemon_id: str
    generation: int
    last_batch: int
    last_event_seq: int
    agents: list[Agent]
    lanes: list[LaneRow]
    live: list[Task]
    delayed: Mapping[str, int]
    rules: Mapping[GateKey, GateRule]
    counts: Mapping[Status, int]
    totals: Minute
    minutes: Mapping[int, Minute]
    instances: list[Registered] = field(default_factory=list)
    breakers: list[Breaker] = field(default_factory=list)
    blocked: Mapping[int, TaskRoute] = field(default_factory=dict)
    hosts: list[HostRow] = field(default_factory=list)
    rollouts: list[Rollout] = field(default_factory=list)
    rollout_states: Mapping[Scope, Fallback] = field(default_factory=dict)
    rollout_salts: Mapping[str, Salt] = field(default_factory=dict)
    shadows: Mapping[str, int] = field(default_factory=dict)
    last_task_event: int = 0


@dataclass(frozen=True, slots=True)
class ComparisonPage:
    """Comparisons newest first; `next_before` is the number to go on below, 0 at the end."""

    comparisons: list[Comparison]
    next_before: int


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task with its spec; `parts` only when asked for."""

    task: Task
    spec: Spec
    parts: TaskParts | None = None


@dataclass(frozen=True, slots=True)
class TaskPage:
    """Tasks newest first; `next_before` is the seq to go on below, 0 at the end."""

    rows: list[TaskRow]
    next_before: int


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events in order; `position` is the seq up to which the log was examined; `end` when nothing is known beyond it."""

    events: list[Event]
    position: int
    end: bool


@dataclass(frozen=True, slots=True)
class Retention:
    """
    Epoch ms before which rows leave: terminal tasks with runs and blobs, dead letters and discarded ones, events and task events (and with them deliveries
    and comparisons), lines of the audit log.
    0 = keep for ever.
    """

    tasks_before: int = 0
    dead_before: int = 0
    events_before: int = 0
    audits_before: int = 0


@dataclass(frozen=True, slots=True)
class Trimmed:
    """Rows that left; `more` when the limit was reached."""

    tasks: int = 0
    events: int = 0
    audits: int = 0
    more: bool = False
    deliveries: int = 0
    task_events: int = 0
    comparisons: int = 0


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """Facts for operators; `bytes` of all files together, the write-ahead log included."""

    engine: str
    bytes: int


class Store(Protocol):
    """A place where the fleet's state lives. Every method but `open` and `close` may raise StoreBroken."""

    async def open(self) -> None:
        """Open, migrate, and take the next generation. Raises StoreBroken."""
        ...

    async def close(self) -> None:
        """Close every connection; safe to call twice, or without `open`."""
        ...

    async def transact(self, script: Callable[[], Script[T]]) -> T:
        """Run a script as one durable transaction. Raises StoreFull, CommitUnclear, or what the script raised (rolled back)."""
        ...

    async def last_batch(self) -> int:
        """Return the batch number in the marker row, read on a new connection."""
        ...

    async def snapshot(self, minutes_since: int) -> Snapshot:
        """Return what memory holds, with the minutes from `minutes_since` (epoch minutes) on."""
        ...

    async def due(self, limit: int) -> list[Due]:
        """Return the first `limit` entries of things to do later, in order of time."""
        ...

    async def get_tasks(self, task_ids: Sequence[str], *, with_parts: bool = False) -> dict[str, TaskRow]:
        """Return the tasks that exist, by id."""
        ...

    async def list_tasks(self, wanted: TaskFilter, before_seq: int, limit: int, examine: int) -> TaskPage:
        """Return up to `limit` matching tasks with seq < before_seq (0 = newest), looking at no more than `examine` rows."""
        ...

    async def get_plans(self, task_id: str) -> list[RoutePlan]:
        """Return the newest PLANS_KEPT versions of a task's route plan, oldest first; none for a task without one, or without such a task."""
        ...

    async def get_runs(self, task_id: str) -> list[Run]:
        """Return how the leases of a task ended, oldest first."""
        ...

    async def list_events(self, wanted: EventFilter, after_seq: int, limit: int, examine: int) -> EventPage:
        """Return up to `limit` matching events with seq > after_seq, looking at no more than `examine` rows unless an index serves it."""
        ...

    async def oldest_event(self) -> int:
        """Return the seq of the oldest event kept; of the next one to come when there is none."""
        ...

    async def list_task_events(self, task_id: str, first: int, limit: int, most: int) -> TaskEventPage | None:
        """
        Return up to `limit` events of a task with seq >= first, or, without a task id, of all tasks with position >= first, together of at most `most` bytes
        unless one has more; None when there is no such task.
        """
        ...

    async def lineage(self, task_id: str) -> list[tuple[str, Edge]]:
        """Return edges (task id, edge) that start or end at the task, oldest first."""
        ...

    async def count_ahead(self, lane: int, place: int, limit: int) -> int:
        """Return how many queued tasks of a lane have a smaller place, at most `limit`."""
        ...

    async def count_dead_letters(self, limit: int) -> int:
        """Return how many tasks are dead letters now, at most `limit`. What retention took is none any more, other than in the counts of the snapshot."""
        ...

    async def list_audits(self, before_id: int, limit: int, action: str, target: str) -> list[AuditLine]:
        """Return up to `limit` lines of the audit log with id < before_id (0 = newest), newest first; "" means any."""
        ...

    async def list_comparisons(
        self, rollout: str, found: str, before: int, limit: int, examine: int, *, different: bool
    ) -> ComparisonPage:
        """
        Return up to `limit` comparisons with number < before (0 = newest), looking at no more than `examine` rows.

        `found` is the id of either side, "" = any; `different` wants those whose results differ: one ended well and the other badly, or the digests differ.
        """
        ...

    async def trim(self, retention: Retention, limit: int) -> Trimmed:
        """
        Delete up to `limit` each of tasks, events, task events, deliveries and lines of the audit log whose time has passed, in one short transaction of
        its own.

        Events, task events and lines go oldest first and without gaps: the first one that must stay keeps all after it. A line's number is not given again:
        the newest line may stay for that. A task leaves when its own task events, however young, are gone: up to `limit` more go for that. Raises StoreFull, CommitUnclear (trim again).
        """
        ...

    async def status(self) -> StoreStatus:
        """Return facts for operators."""
        ...
