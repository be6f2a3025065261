"""What happens when: the virtual clock and everything that is still to come."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from fleetd.clock import ManualClock

Action = Callable[[], object]


class Agenda:
    """Actions in order of time (monotonic milliseconds); those of one moment in the order in which they were planned."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self._heap: list[tuple[int, int, Action]] = []
        self._count = 0

    def at(self, when: int, action: Action) -> None:
        """Plan an action; a moment that has passed means now."""
        self._count += 1
        heapq.heappush(self._heap, (max(when, self.clock.now()), self._count, action))

    def after(self, delay: int, action: Action) -> None:
        self.at(self.clock.now() + delay, action)

    def next(self) -> int | None:
        """Return when the next action is planned."""
        return self._heap[0][0] if self._heap else None

    def run_next(self) -> None:
        """Move the clock to the next action and carry it out; time that a slow store took is not given back."""
        when, _, action = heapq.heappop(self._heap)
        self.clock.advance(max(0, when - self.clock.now()))
        action()
