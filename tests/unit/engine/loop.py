"""An event loop in virtual time: when nothing is ready, the clock moves to the next timer at once."""

from __future__ import annotations

import asyncio
import math
import selectors
from typing import Any

from fleetd.clock import ManualClock


class _Impatient(selectors.DefaultSelector):
    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout is None:
            raise AssertionError("everybody waits, and nothing will ever happen")
        if not ready and timeout:
            self._clock.advance(math.ceil(timeout * 1_000))
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its `time` is that of a clock; a test that advances the clock itself takes time from everybody, as a suspension does."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(_Impatient(clock))
        self._manual = clock

    def time(self) -> float:
        return self._manual.now() / 1_000
