"""The daemon's own pulse: whether this process ran, or was suspended while the clock went on (design rule 1)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fleetd.engine.engine import Engine
    from fleetd.engine.log import Log

BEATS = 5
"""Beats within the longest gap that means nothing: one or two that are late on a busy machine are no suspension."""


SHORTEST = 100
"""Milliseconds that a busy machine may keep any process waiting, however short the heartbeats are."""


class Pulse:
    """
    Beats on the event loop as long as the engine runs, so that a beat that is missing means that nothing ran.

    A process that was stopped, or whose machine slept, finds timers that are due and heartbeats that wait in sockets, in an order that nobody
    chose. After a gap of more than half a heartbeat every session and every timer of a lease therefore gets a full fresh TTL, as after a restart.
    """

    def __init__(self, engine: Engine, log: Log) -> None:
        self._engine = engine
        self._log = log
        self._longest = max(SHORTEST, engine.rules.heartbeat_min // 2)
        self._seen: int | None = None
        self._next: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to beat. Before that no gap is noticed: an engine that is stepped runs when its owner wants."""
        self._seen = self._engine.clock.now()
        self._tick()

    def stop(self) -> None:
        """Beat no more; safe to call twice, or without `start`."""
        self._seen = None
        if self._next is not None:
            self._next.cancel()

    def beat(self) -> int:
        """Note that the process runs, and return monotonic ms; after a gap, first spare what would be due now."""
        now = self._engine.clock.now()
        if self._seen is not None:
            gap, self._seen = now - self._seen, now
            if gap > self._longest:
                self._log.warning("suspended", milliseconds=gap, agents=len(self._engine.sessions.by_agent))
                self._engine.sessions.spare(now)
        return now

    def _tick(self) -> None:
        self.beat()
        interval = self._longest / BEATS / 1_000
        self._next = asyncio.get_running_loop().call_later(interval, self._tick)
