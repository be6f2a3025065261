"""The task: its fields, its states, and the one table of legal moves (spec T1 to T3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from fleetd.core.rollout import TaskRollout
from fleetd.core.route import TaskRoute


class Status(IntEnum):
    """Where a task stands; numbers equal fleet.v1.TaskStatus."""

    PENDING = 1
    ASSIGNED = 2
    RUNNING = 3
    COMPLETED = 4
    FAILED = 5
    CANCELLED = 6
    BLOCKED = 7
    DEAD_LETTER = 8
    DISCARDED = 9


class Priority(IntEnum):
    """Order among waiting tasks; numbers equal fleet.v1.Priority."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    URGENT = 4


class Mode(IntEnum):
    """How a task reaches whoever runs it; numbers equal fleet.v1.ExecutionMode."""

    UNDECIDED = 1
    SSH_CLI = 2
    PULL = 3


class ModeSource(IntEnum):
    """Who decided the mode; 0 while nobody did. Numbers equal fleet.v1.ModeSource."""

    NONE = 0
    EXPLICIT = 1
    CLAIM = 2
    AUTO = 3


class Order(IntEnum):
    """What an agent was told to do with a run; numbers equal fleet.v1.OrderKind."""

    NONE = 0
    CANCEL = 1
    TIMEOUT = 2
    RELEASE = 3
    DROP = 4


class Ending(IntEnum):
    """How a lease ended: by which word of the agent, or without one; NONE while it has not."""

    NONE = 0
    COMPLETED = 1
    FAILED = 2
    RELEASED = 3
    STOPPED = 4
    LEASE_EXPIRED = 5
    OFFER_EXPIRED = 6
    GRACE_EXPIRED = 7
    REPLACED = 8


LIVE = frozenset({Status.ASSIGNED, Status.RUNNING})
WAITING = frozenset({Status.PENDING, Status.BLOCKED})
TERMINAL = frozenset(
    {Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.DEAD_LETTER, Status.DISCARDED}
)

MOVES: Mapping[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.ASSIGNED, Status.BLOCKED, Status.CANCELLED, Status.DEAD_LETTER}),
    Status.BLOCKED: frozenset({Status.PENDING, Status.CANCELLED, Status.DEAD_LETTER}),
    Status.ASSIGNED: frozenset(
        {Status.RUNNING, Status.PENDING, Status.FAILED, Status.CANCELLED, Status.DEAD_LETTER}
    ),
    Status.RUNNING: frozenset(
        {Status.COMPLETED, Status.PENDING, Status.FAILED, Status.CANCELLED, Status.DEAD_LETTER}
    ),
    Status.FAILED: frozenset({Status.PENDING}),
    Status.DEAD_LETTER: frozenset({Status.PENDING, Status.DISCARDED}),
    Status.COMPLETED: frozenset(),
    Status.CANCELLED: frozenset(),
    Status.DISCARDED: frozenset(),
}
"""Every legal move (T2). The way PENDING → ASSIGNED → RUNNING → COMPLETED is never shortened: missing words are implied."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Waits between attempts: initial × multiplier^(n−1), at most `max_backoff`, each ± jitter. Milliseconds."""

    initial_backoff: int = 1_000
    multiplier: float = 2.0
    max_backoff: int = 60_000
    jitter: float = 0.2


# Payload and Spec are values like the frozen classes beside them, but every task makes some: frozen ones take three times as long to build.
@dataclass(slots=True)
class Payload:
    """Bytes with their MIME type."""

    data: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a run saved to go on from; `completed_steps` holds every step_id saved so far, in order."""

    data: bytes
    step_id: str
    saved_at: int
    completed_steps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file or object a run left somewhere; `size` in bytes, 0 when unknown."""

    name: str
    uri: str
    size: int = 0
    sha256: str = ""


@dataclass(slots=True)
class Spec:
    """The part of a task that describes the work; kept beside the hot row. Durations in milliseconds, 0 = unset."""

    title: str
    description: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    required_capabilities: tuple[str, ...] = ()
    estimated_duration: int = 0
    schedule_to_start: int = 0
    traceparent: str = ""


@dataclass(slots=True, kw_only=True)
class Task:
    """
    The hot row of a task. Times in UTC epoch milliseconds, durations in milliseconds; 0 and "" mean unset.

    `queued` tells whether the task holds its place (`lane`, `place`) in the queue; a delayed or running task does not. `place` is the seq until a
    replay gives a new one.
    `session_epoch` names, together with `agent_id`, the session that holds the lease `lease_epoch`; `ending` says how
    that lease ended once it has.
    `route` is None for a task without route requirements; `blocked` names what a BLOCKED task waits for (core.blocking), 0 otherwise. `rollout` is None for a
    task whose mode no rollout decided.
    `task_event_seq` is the seq of the newest TaskEvent, `task_event_base` that of the newest one when the present lease began.
    """

    seq: int
    id: str
    org_id: str = "default"
    task_type: str = ""
    status: Status = Status.PENDING
    priority: Priority = Priority.MEDIUM
    lane: int = 0
    place: int = 0
    queued: bool = False
    mode: Mode = Mode.UNDECIDED
    mode_source: ModeSource = ModeSource.NONE
    lease_epoch: int = 0
    agent_id: str = ""
    session_epoch: int = 0
    accepted: bool = False
    order: Order = Order.NONE
    order_at: int = 0
    ending: Ending = Ending.NONE
    attempt: int = 0
    max_attempts: int = 3
    losses: int = 0
    replays: int = 0
    dead_reason: str = ""
    progress: int = 0
    progress_message: str = ""
    progress_at: int = 0
    version: int = 1
    events: int = 0
    created_at: int = 0
    updated_at: int = 0
    queued_at: int = 0
    run_at: int = 0
    assigned_at: int = 0
    started_at: int = 0
    finished_at: int = 0
    cancel_requested_at: int = 0
    deadline: int = 0
    start_by: int = 0
    timeout: int = 0
    due: int = 0
    error_code: str = ""
    error_message: str = ""
    retry: RetryPolicy | None = None
    reserved_agent: str = ""
    exclusive: bool = False
    parent_id: str = ""
    external_ref: str = ""
    idempotency_key: str = ""
    body_hash: bytes = b""
    route: TaskRoute | None = None
    blocked: int = 0
    rollout: TaskRollout | None = None
    task_event_base: int = 0
    task_event_seq: int = 0

    @property
    def live(self) -> bool:
        """True while some agent holds the lease."""
        return self.status in LIVE

    @property
    def terminal(self) -> bool:
        """True when nothing moves it but an operator."""
        return self.status in TERMINAL

    @property
    def shadow(self) -> bool:
        """True for work on the side: nothing but its comparison may tell that it was done (G2)."""
        return self.rollout is not None and self.rollout.shadow


@dataclass(slots=True, kw_only=True)
class Run:
    """How one lease ended; the run with the highest lease_epoch is the task's result. Times in epoch milliseconds."""

    task_seq: int
    lease_epoch: int
    agent_id: str
    attempt: int
    ending: Ending
    status: Status
    error_code: str = ""
    error_message: str = ""
    output: Payload | None = None
    artifacts: tuple[Artifact, ...] = ()
    started_at: int = 0
    finished_at: int = 0


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks: all parts that are set must hold. Times in epoch ms, `created_before` and `finished_before` exclusive."""

    statuses: frozenset[Status] = frozenset()
    org_id: str = ""
    agent_id: str = ""
    task_type: str = ""
    tag: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    created_after: int = 0
    created_before: int = 0
    parent_id: str = ""
    external_ref: str = ""
    error_code: str = ""
    dead_reason: str = ""
    finished_after: int = 0
    finished_before: int = 0
