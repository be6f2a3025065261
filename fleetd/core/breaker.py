"""
Breakers: a provider, instance or host that keeps failing gets no work for a while (spec F3).

CLOSED → OPEN after enough strikes in a row, or when too many of the last calls failed; OPEN → HALF_OPEN when its time is over; HALF_OPEN lets one probe
through at a time, whose success closes it and whose failure opens it again. Every change of state begins a new epoch; an outcome that began in an
older one changes nothing. All times in epoch milliseconds.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple


class BreakerKind(IntEnum):
    """What a breaker guards; numbers equal fleet.v1.BreakerKind."""

    PROVIDER = 1
    INSTANCE = 2
    HOST = 3


class BreakerState(IntEnum):
    """Whether a breaker lets work through; numbers equal fleet.v1.BreakerState."""

    CLOSED = 1
    OPEN = 2
    HALF_OPEN = 3


class Change(IntEnum):
    """What an outcome, or time, did to a breaker."""

    OPENED = 1
    HALF_OPENED = 2
    CLOSED = 3


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """
    When breakers open, and for how long (F3, F4). `strikes` in a row; or more than `ratio` of at least `calls` within `window` ms. `per_attempt`: every
    failed try is a strike, not only the one that ends a call. `probe_lease`: ms after which a probe that did not report is given up.
    """

    strikes: int = 3
    open_for: int = 300_000
    refused_for: int = 1_800_000
    window: int = 60_000
    calls: int = 10
    ratio: float = 0.5
    probe_lease: int = 60_000
    per_attempt: bool = False


class BreakerView(NamedTuple):
    """What routing sees of a breaker."""

    state: BreakerState = BreakerState.CLOSED
    retry_at: int = 0
    epoch: int = 0


CLOSED = BreakerView()

CALLS_KEPT = 1_000
"""Calls remembered for the ratio at most: at more than 16 a second the window is shorter, and the ratio of a thousand is as good."""


@dataclass(slots=True)
class Breaker:
    """One breaker; what `view` and the fields before `calls` say is kept over a restart, the calls of the last minute are not."""

    kind: BreakerKind
    name: str
    state: BreakerState = BreakerState.CLOSED
    failures: int = 0
    opened_at: int = 0
    retry_at: int = 0
    last_error: str = ""
    forced: bool = False
    epoch: int = 0
    calls: deque[tuple[int, bool]] = field(default_factory=lambda: deque(maxlen=CALLS_KEPT), repr=False)
    failed_calls: int = 0

    @property
    def view(self) -> BreakerView:
        return BreakerView(self.state, self.retry_at, self.epoch)

    def succeed(self, now: int, rules: BreakerRules, epoch: int) -> Change | None:
        """Note a call that went well and began in `epoch`; in HALF_OPEN it closes the breaker."""
        if epoch != self.epoch or self.state is BreakerState.OPEN:
            return None
        if self.state is BreakerState.HALF_OPEN:
            self.reset()
            return Change.CLOSED
        self.failures = 0
        self._count(now, rules, failed=False)
        return None

    def fail(
        self,
        now: int,
        rules: BreakerRules,
        epoch: int,
        error: str,
        *,
        strike: bool = True,
        open_for: int = 0,
    ) -> Change | None:
        """
        Note a call that failed and began in `epoch`. Without `strike` only the ratio counts it (429); `open_for` ms opens the breaker at once
        (refused credentials, an unpaid bill).
        """
        if epoch != self.epoch or self.state is BreakerState.OPEN:
            return None
        self.last_error = error
        if self.state is BreakerState.HALF_OPEN:
            return self._open(now, open_for or rules.open_for)
        self._count(now, rules, failed=True)
        self.failures += strike
        if open_for or self.failures >= rules.strikes or self._too_many(rules):
            return self._open(now, open_for or rules.open_for)
        return None

    def pass_time(self, now: int) -> Change | None:
        """Let one probe through once the time is over."""
        if self.state is not BreakerState.OPEN or now < self.retry_at:
            return None
        self.state = BreakerState.HALF_OPEN
        self.forced = False
        self.epoch += 1
        return Change.HALF_OPENED

    def force(self, now: int, duration: int, reason: str) -> Change:
        """Open it by hand."""
        self.last_error = reason
        self._open(now, duration)
        self.forced = True
        return Change.OPENED

    def reset(self) -> Change | None:
        """Close it, whatever it was; None when it was closed and had no strikes."""
        idle = self.state is BreakerState.CLOSED and not self.failures
        if self.state is not BreakerState.CLOSED:
            self.epoch += 1
        self.state = BreakerState.CLOSED
        self.failures = self.opened_at = self.retry_at = self.failed_calls = 0
        self.forced = False
        self.calls.clear()
        return None if idle else Change.CLOSED

    def _open(self, now: int, duration: int) -> Change:
        self.state = BreakerState.OPEN
        self.opened_at, self.retry_at = now, now + duration
        self.epoch += 1
        self.calls.clear()
        self.failed_calls = 0
        return Change.OPENED

    def _count(self, now: int, rules: BreakerRules, *, failed: bool) -> None:
        calls = self.calls
        if len(calls) == CALLS_KEPT:
            self.failed_calls -= calls[0][1]
        calls.append((now, failed))
        self.failed_calls += failed
        # Later than `now` when the wall clock was set back: such a call is no witness either.
        while calls and not now - rules.window < calls[0][0] <= now:
            self.failed_calls -= calls.popleft()[1]

    def _too_many(self, rules: BreakerRules) -> bool:
        return len(self.calls) >= rules.calls and self.failed_calls > rules.ratio * len(self.calls)


BreakerKey = tuple[BreakerKind, str]
