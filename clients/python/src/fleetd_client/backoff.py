"""How long to wait before the next try: full jitter, so that a thousand callers do not come back at once."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Backoff:
    """
    Waits up to `initial` × 2^n, at most `cap`, in seconds; the share `sure` of each wait is not left to chance. A source of randomness in
    [0, 1) can be given.
    """

    initial: float = 0.1
    cap: float = 30.0
    sure: float = 0.0
    chance: Callable[[], float] = random.random
    tries: int = field(default=0, init=False)

    def next(self, at_least: float | None = None) -> float:
        """The next wait; `at_least` is what the daemon asked for, and comes before the jitter."""
        ceiling = min(self.cap, self.initial * 2.0 ** min(self.tries, 32))
        self.tries += 1
        return (at_least or 0.0) + ceiling * (self.sure + (1.0 - self.sure) * self.chance())

    def reset(self) -> None:
        self.tries = 0
