"""What came of recent work in one mode: a ring of slices that slides with time, in constant memory (spec G3, G5)."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from fleetd.core.fallback import Sums

SLICES = 60
"""Slices of a window: an outcome counts for its length to within two per cent."""
CLASS = math.log(1.05)
"""Latencies are counted in classes that are 5 % wide: some 250 of them hold everything from 1 ms to a day."""


@dataclass(slots=True)
class _Slice:
    number: int
    total: int = 0
    errors: int = 0
    timeouts: int = 0
    latency: int = 0
    classes: dict[int, int] = field(default_factory=dict)


class Window:
    """Outcomes of the last `span` ms; times in monotonic ms, never going back."""

    def __init__(self, span: int) -> None:
        self._span = span
        self._length = max(1, -(-span // SLICES))  # rounded up: no span needs more slices
        self._slices: deque[_Slice] = deque()
        self._total = self._errors = self._timeouts = self._latency = 0
        self._classes: dict[int, int] = {}

    def add(self, now: int, latency: int, *, error: bool, timeout: bool) -> None:
        """Count an outcome; `latency` in ms."""
        self._slide(now)
        number = now // self._length
        if not self._slices or self._slices[-1].number != number:
            self._slices.append(_Slice(number))
        piece, kind = self._slices[-1], class_of(latency)
        piece.total += 1
        piece.errors += error
        piece.timeouts += timeout
        piece.latency += latency
        piece.classes[kind] = piece.classes.get(kind, 0) + 1
        self._total += 1
        self._errors += error
        self._timeouts += timeout
        self._latency += latency
        self._classes[kind] = self._classes.get(kind, 0) + 1

    def sums(self, now: int) -> Sums:
        """Return what the outcomes of the window add up to."""
        self._slide(now)
        return Sums(self._total, self._errors, self._timeouts, self._latency)

    def percentile(self, now: int, share: float) -> int:
        """Return the latency in ms that `share` of the outcomes do not exceed, as the upper bound of its class; 0 without outcomes."""
        self._slide(now)
        wanted = math.ceil(share * self._total)
        for kind in sorted(self._classes):
            wanted -= self._classes[kind]
            if wanted <= 0:
                return upper_bound(kind)
        return 0

    def clear(self) -> None:
        """Forget everything."""
        self._slices.clear()
        self._classes.clear()
        self._total = self._errors = self._timeouts = self._latency = 0

    def _slide(self, now: int) -> None:
        """Drop the slices that began a whole window ago or earlier."""
        while self._slices and self._slices[0].number * self._length <= now - self._span:
            gone = self._slices.popleft()
            self._total -= gone.total
            self._errors -= gone.errors
            self._timeouts -= gone.timeouts
            self._latency -= gone.latency
            for kind, count in gone.classes.items():
                left = self._classes[kind] - count
                if left:
                    self._classes[kind] = left
                else:
                    del self._classes[kind]


def class_of(latency: int) -> int:
    """Return the class of a latency in ms: n holds those above 1.05^(n−1) up to 1.05^n, 0 all up to 1."""
    return max(0, math.ceil(math.log(latency) / CLASS)) if latency > 1 else 0


def upper_bound(kind: int) -> int:
    """Return the largest latency of a class in whole ms."""
    return math.floor(math.exp(kind * CLASS))
