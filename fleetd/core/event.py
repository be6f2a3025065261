"""What happened: one record for every state change (spec T8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any


class EventType(IntEnum):
    """Kinds of events; numbers equal fleet.v1.EventType."""

    TASK_CREATED = 1
    TASK_UPDATED = 2
    TASK_ROUTED = 3
    TASK_ROUTE_VERIFIED = 4
    TASK_REROUTED = 5
    TASK_ROUTE_OVERRIDDEN = 6
    TASK_ROUTE_BLOCKED = 7
    TASK_UNBLOCKED = 8
    TASK_ASSIGNED = 9
    TASK_ACCEPTED = 10
    TASK_STARTED = 11
    TASK_PROGRESS = 12
    TASK_CHECKPOINTED = 13
    TASK_LEASE_EXPIRED = 14
    TASK_RELEASED = 15
    TASK_COMPLETED = 16
    TASK_FAILED = 17
    TASK_RETRY_SCHEDULED = 18
    TASK_TIMEOUT = 19
    TASK_CANCEL_REQUESTED = 20
    TASK_CANCELLED = 21
    TASK_DEAD_LETTERED = 22
    TASK_REPLAYED = 23
    TASK_DISCARDED = 24
    EXECUTION_MODE_DECIDED = 25
    AGENT_REGISTERED = 26
    AGENT_UNREGISTERED = 27
    AGENT_LOST = 28
    AGENT_STATUS = 29
    HOST_STATE = 30
    INSTANCE_STATE = 31
    BREAKER_OPENED = 32
    BREAKER_HALF_OPEN = 33
    BREAKER_CLOSED = 34
    ROLLOUT_FALLBACK_ON = 35
    ROLLOUT_TRIAL = 36
    ROLLOUT_FALLBACK_OFF = 37


@dataclass(slots=True)
class Event:
    """
    One thing that happened. `seq` is given by the store in commit order; `task_seq` counts within the task.

    Times in epoch milliseconds; `payload` holds JSON values.
    """

    type: EventType
    time: int
    task_ref: int = 0
    task_id: str = ""
    task_seq: int = 0
    agent_id: str = ""
    org_id: str = ""
    payload: Mapping[str, Any] | None = None
    seq: int = 0


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events are wanted: all parts that are set must hold. `before` is exclusive, 0 = unset."""

    task_id: str = ""
    agent_id: str = ""
    org_id: str = ""
    types: frozenset[EventType] = frozenset()
    after: int = 0
    before: int = 0

    def matches(self, event: Event) -> bool:
        """Tell whether the event is wanted."""
        return (
            (not self.task_id or event.task_id == self.task_id)
            and (not self.agent_id or event.agent_id == self.agent_id)
            and (not self.org_id or event.org_id == self.org_id)
            and (not self.types or event.type in self.types)
            and (not self.after or event.time >= self.after)
            and (not self.before or event.time < self.before)
        )
