"""What a commit makes true beyond rows: told to sessions, timers and those who wait, in the order in which it arose."""

from __future__ import annotations

from typing import NamedTuple

from fleetd.core.limits import GateKey, GateRule
from fleetd.core.task import Task


class LeaseEnded(NamedTuple):
    """Effect: the agent no longer holds the lease; `tell` when it does not know yet."""

    task_id: str
    lane: int
    agent_id: str
    session_epoch: int
    lease_epoch: int
    tell: bool


class Ordered(NamedTuple):
    """Effect: the agent must stop this run."""

    task: Task


class Started(NamedTuple):
    """Effect: the run began (its run timeout starts)."""

    task: Task


class Accepted(NamedTuple):
    """Effect: the offer was accepted (its offer timer ends)."""

    task: Task


class Finished(NamedTuple):
    """Effect: the task became terminal; whoever waits for it wants to know."""

    task: Task


class AgentChanged(NamedTuple):
    """Effect: the agent's row changed in a way its session must learn of (orders, capabilities, status)."""

    agent_id: str


class SessionEnded(NamedTuple):
    """Effect: the session is over; its stream, if any, is told why."""

    agent_id: str
    session_epoch: int
    reason: str


class RuleChanged(NamedTuple):
    """Effect: a limit, weight or pause was changed."""

    key: GateKey
    rule: GateRule


Effect = RuleChanged | LeaseEnded | Ordered | Started | Accepted | Finished | AgentChanged | SessionEnded
