"""What the session has for the runs: begin, stop, and the daemon's answers to what they said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from fleetd_client.stubs import Lease, Report, ReportAck, TaskEvent

Key: TypeAlias = tuple[str, int]
Why = Literal["cancel", "timeout", "release", "lost", "uncertain"]


@dataclass(frozen=True, slots=True)
class Begin:
    """Run this."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop this run."""

    key: Key
    why: Why


@dataclass(frozen=True, slots=True)
class Told:
    """The daemon's answer to a run's instance_failed."""

    key: Key
    report: Report
    ack: ReportAck


@dataclass(frozen=True, slots=True)
class Heard:
    """So many of a run's events, the oldest first, are on their way no longer: stored, or, when there is a message, refused."""

    key: Key
    count: int
    refused: tuple[TaskEvent, ...] = ()
    message: str = ""


Effect: TypeAlias = Begin | Stop | Told | Heard
