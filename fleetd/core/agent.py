"""Agents: the registry row, its health, and the orders an agent is under (spec D1, D2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum


class AgentStatus(IntEnum):
    """How an agent is; numbers equal fleet.v1.AgentStatus. IDLE and RUNNING are told apart by the leases it holds."""

    IDLE = 1
    RUNNING = 2
    ERROR = 3
    STOPPED = 4


class SessionKind(IntEnum):
    """How an agent talks to the daemon, or HOST: the daemon runs its tasks itself. Numbers equal fleet.v1.SessionKind."""

    STREAM = 1
    UNARY = 2
    HOST = 3


class AgentOrder(IntEnum):
    """What an agent as a whole was told; 0 means nothing. Numbers equal fleet.v1.OrderKind."""

    NONE = 0
    DRAIN = 5
    UNDRAIN = 6
    STOP = 7
    START = 8
    RESTART = 9


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """What an agent says of itself."""

    agent_id: str
    agent_type: str = ""
    hostname: str = ""
    endpoint: str = ""
    capabilities: tuple[str, ...] = ()
    max_concurrency: int = 1
    labels: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    software_version: str = ""


RETIRED_KEPT = 16
"""Incarnations remembered after they were replaced, so that a replaced process cannot fight back; more restarts than this while one
old process is cut off do not happen in practice."""


@dataclass(slots=True, kw_only=True)
class Agent:
    """
    The registry row of an agent and of its session. Times in epoch milliseconds, 0 = unset.

    A session stands while `session_open`; `session_epoch` grows by one with every new session. `order_id` is "" when no order is pending.
    """

    spec: AgentSpec
    registered_at: int = 0
    last_heartbeat_at: int = 0
    stopped: bool = False
    draining: bool = False
    error_since: int = 0
    status_reason: str = ""
    consecutive_failures: int = 0
    completed: int = 0
    failed: int = 0
    run_ms: int = 0
    order: AgentOrder = AgentOrder.NONE
    order_id: str = ""
    order_deadline: int = 0
    session_open: bool = False
    session_epoch: int = 0
    session_kind: SessionKind = SessionKind.STREAM
    incarnation: str = ""
    retired: tuple[str, ...] = ()
    lease_duration: int = 0

    def copy(self) -> Agent:
        """Return a copy to work on until the transaction commits."""
        return replace(self)

    def status(self, held: int) -> AgentStatus:
        """Return the status of the agent while it holds `held` leases."""
        if self.stopped and not held:
            return AgentStatus.STOPPED
        if self.error_since:
            return AgentStatus.ERROR
        return AgentStatus.RUNNING if held else AgentStatus.IDLE

    def ceiling(self, wanted: int, *, trial: bool) -> int:
        """
        Return how many leases the agent may hold when it asks for `wanted` (D2).

        An agent in ERROR gets one task on `trial`, once it has waited for it; one that is stopped, draining or restarting gets none.
        """
        if self.stopped or self.draining or self.order in (AgentOrder.STOP, AgentOrder.RESTART):
            return 0
        if self.error_since:
            return min(1, wanted) if trial else 0
        return wanted

    def retire_incarnation(self) -> None:
        """Remember the present incarnation as replaced for good."""
        self.retired = (*self.retired, self.incarnation)[-RETIRED_KEPT:]

    def ran_well(self, run_ms: int) -> bool:
        """Count a finished run; return True when it ended an ERROR."""
        self.completed += 1
        self.run_ms += run_ms
        self.consecutive_failures = 0
        recovered = self.error_since > 0
        if recovered:
            self.error_since = 0
            self.status_reason = ""
        return recovered

    def ran_badly(self, now: int, error_after: int, code: str) -> bool:
        """Count a failure of the agent's own; return True when it put the agent in ERROR (or kept it there after a trial)."""
        self.failed += 1
        self.consecutive_failures += 1
        if self.consecutive_failures < error_after:
            return False
        self.error_since = now
        self.status_reason = f"{self.consecutive_failures} failures in a row, last {code}"
        return True
