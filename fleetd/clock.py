"""Time: the one place that reads a clock. Tests inject `ManualClock`."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two readings of time, both in integer milliseconds."""

    def now(self) -> int:
        """Return monotonic milliseconds: for leases, timers and everything that must survive a wall-clock jump."""
        ...

    def wall(self) -> int:
        """Return UTC epoch milliseconds: for tables, events and what people read."""
        ...


class SystemClock:
    """The clock of this machine."""

    def now(self) -> int:
        return time.monotonic_ns() // 1_000_000

    def wall(self) -> int:
        return time.time_ns() // 1_000_000


class ManualClock:
    """A clock that moves when told to; `jump_wall` moves only what people read."""

    def __init__(self, wall: int = 1_700_000_000_000, now: int = 1_000_000) -> None:
        self._wall = wall
        self._now = now

    def now(self) -> int:
        return self._now

    def wall(self) -> int:
        return self._wall

    def advance(self, milliseconds: int) -> None:
        self._now += milliseconds
        self._wall += milliseconds

    def jump_wall(self, milliseconds: int) -> None:
        self._wall += milliseconds
