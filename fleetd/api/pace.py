"""The pace of an act on many: groups of items spread over time, and never past the deadline of the call (spec F5)."""

from __future__ import annotations

import asyncio

from fleetd.api.calls import Call
from fleetd.engine.engine import Engine

GROUP = 500
"""Items of one command at most: half a batch, so that others are not kept waiting."""
STEPS = 10
"""Groups a second when there is a limit: smooth enough for whoever reads a rate, few enough commits."""
MARGIN = 50
"""Milliseconds before the call's deadline at which the answer is sent, so that the caller gets it instead of DEADLINE_EXCEEDED."""


class Pace:
    """Lets groups of at most `size` items pass, together no more than `rate` items a second (0 = no limit)."""

    def __init__(self, engine: Engine, call: Call, rate: float) -> None:
        self._engine = engine
        self._rate = rate
        self._next = float(engine.clock.now())
        self._end = None if call.deadline is None else call.deadline - MARGIN
        self._first = True
        self.size = max(1, min(GROUP, int(rate / STEPS))) if rate else GROUP

    async def turn(self, items: int) -> bool:
        """Wait until so many items may pass; False when the call is over by then. The first group always passes."""
        now = self._engine.clock.now()
        wait = 0 if self._first else max(0, round(self._next - now))
        if not self._first and self._end is not None and now + wait >= self._end:
            return False
        if wait:
            await self._engine.wait(asyncio.Event(), wait)
        self._first = False
        if self._rate:
            self._next = max(self._next, now) + items * 1_000 / self._rate
        return True
