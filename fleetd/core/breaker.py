"""Circuit breakers: which provider, instance or host is spared, for how long, and who may ask whether it is well again (spec F3)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

WINDOW_KEPT = 100
"""Calls a breaker remembers for its failure ratio: enough to tell 50 % from 60 %, and some 10 KB at a busy instance."""
ERROR_CHARS = 300
"""Characters kept of the last error; the whole of it is in the log."""


class BreakerKind(IntEnum):
    """What a breaker spares; numbers equal fleet.v1.BreakerKind."""

    PROVIDER = 1
    INSTANCE = 2
    HOST = 3


class BreakerState(IntEnum):
    """Whether a breaker lets work through; numbers equal fleet.v1.BreakerState."""

    CLOSED = 1
    OPEN = 2
    HALF_OPEN = 3


class BreakerView(NamedTuple):
    """What routing sees of a breaker; `retry_at` in epoch ms, 0 when closed; `epoch` goes with every try and comes back with its outcome."""

    state: BreakerState = BreakerState.CLOSED
    retry_at: int = 0
    epoch: int = 0


NEVER_STRUCK = BreakerView()
BreakerKey = tuple[BreakerKind, str]


class Change(IntEnum):
    """What became of a breaker."""

    OPENED = 1
    HALF_OPENED = 2
    CLOSED = 3


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """
    When breakers open, and for how long; times in ms.

    Opens after `strikes` in a row, or when more than `window_ratio` of at least `window_calls` calls within `window` failed. `per_attempt` counts
    every try, else a call counts once, when its retries are used up.
    """

    strikes: int = 3
    open_for: int = 300_000
    auth_open_for: int = 1_800_000
    window: int = 60_000
    window_calls: int = 10
    window_ratio: float = 0.5
    probe_lease: int = 60_000
    per_attempt: bool = False


Call = tuple[int, str | None]
"""A call in the window: when it ended (epoch ms), and whose it was when it failed ("" = unknown, None = it went well)."""

# Every outcome asks for them, and a member of an enum costs a look-up by its name.
_CLOSED, _OPEN, _HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


@dataclass(slots=True)
class Breaker:
    """
    One breaker. Times in epoch ms, 0 = unset; `opened_at` is the last opening, also when it has closed since.

    `failures` counts strikes since the last success. `epoch` grows whenever the breaker opens or closes; an outcome counts only when it carries
    the present one, so that what began before an opening says nothing about what came after. The fields up to `epoch` are stored, the others
    begin empty after a restart.
    """

    kind: BreakerKind
    name: str
    state: BreakerState = BreakerState.CLOSED
    failures: int = 0
    opened_at: int = 0
    retry_at: int = 0
    last_error: str = ""
    forced: bool = False
    epoch: int = 0
    window: deque[Call] = field(default_factory=deque, repr=False, compare=False)
    window_failed: int = field(default=0, repr=False, compare=False)
    source: str = field(default="", repr=False, compare=False)
    shared: bool = field(default=False, repr=False, compare=False)

    @property
    def key(self) -> BreakerKey:
        return (self.kind, self.name)

    @property
    def view(self) -> BreakerView:
        """Return what routing needs of it."""
        return BreakerView(self.state, self.retry_at, self.epoch)

    def copy(self) -> Breaker:
        """Return a copy to work on until the transaction commits."""
        return Breaker(
            self.kind,
            self.name,
            self.state,
            self.failures,
            self.opened_at,
            self.retry_at,
            self.last_error,
            self.forced,
            self.epoch,
            self.window.copy(),
            self.window_failed,
            self.source,
            self.shared,
        )

    def admits(self, now: int) -> bool:
        """Return whether calls may pass. When it is not closed only the holder of its probe may use that (`Probes`)."""
        return self.state is not _OPEN or now >= self.retry_at

    def fail(
        self,
        now: int,
        rules: BreakerRules,
        code: str,
        message: str,
        *,
        epoch: int,
        ratio_only: bool = False,
        open_for: int | None = None,
        source: str = "",
    ) -> Change | None:
        """
        Count a failed call.

        `epoch` is the breaker's when the call was let through. `ratio_only` counts for the ratio and is no strike (429). `open_for` opens at once
        and for so long (AUTH, BILLING). `source` names the task whose call it was: the failures of a single one never open a breaker by number
        or ratio (F3a); "" is somebody else each time. Once half-open any failure opens it again.
        """
        if epoch != self.epoch or not self.admits(now):
            return None
        self.last_error = f"{code}: {message}"[:ERROR_CHARS] if message else code
        if not ratio_only:
            self._strike(source)
        if self.state is not _CLOSED:
            return self._open(now, rules.open_for if open_for is None else open_for)
        self._remember(now, source, rules)
        if open_for is not None:
            return self._open(now, open_for)
        struck_out = self.failures >= rules.strikes and (self.shared or rules.strikes <= 1)
        if struck_out or self._fails_too_often(rules):
            return self._open(now, rules.open_for)
        return None

    def succeed(self, now: int, rules: BreakerRules, *, epoch: int) -> Change | None:
        """Count a call that went well: the strikes begin anew, and a breaker that was half-open closes."""
        if epoch != self.epoch or not self.admits(now):
            return None
        self.failures = 0
        if self.state is not _CLOSED:
            return self._close()
        self._remember(now, None, rules)
        return None

    def due(self, now: int) -> Change | None:
        """Half-open the breaker when its time has come."""
        if self.state is not _OPEN or now < self.retry_at:
            return None
        self.state = _HALF_OPEN
        self.forced = False
        return Change.HALF_OPENED

    def force(self, now: int, duration: int, reason: str) -> Change:
        """Open by hand for `duration` ms, whatever it was; no outcome closes it before."""
        self.last_error = f"forced open: {reason}"[:ERROR_CHARS]
        change = self._open(now, duration)
        self.forced = True
        return change

    def reset(self, now: int) -> Change | None:
        """Close by hand and forget every strike; None when it was closed already."""
        self.failures = 0
        self.last_error = ""
        if self.state is not _CLOSED:
            return self._close()
        self._forget()
        return None

    def _strike(self, source: str) -> None:
        if not self.failures:
            self.source, self.shared = source, not source
        elif source != self.source or not source:
            self.shared = True
        self.failures += 1

    def _open(self, now: int, duration: int) -> Change:
        self.state = _OPEN
        self.opened_at, self.retry_at = now, now + duration
        self.forced = False
        self.epoch += 1
        self._forget()
        return Change.OPENED

    def _close(self) -> Change:
        self.state = _CLOSED
        self.retry_at = 0
        self.forced = False
        self.epoch += 1
        return Change.CLOSED

    def _remember(self, now: int, failed: str | None, rules: BreakerRules) -> None:
        window = self.window
        oldest = now - rules.window
        while window and window[0][0] <= oldest:
            self._drop()
        window.append((now, failed))
        if failed is not None:
            self.window_failed += 1
        if len(window) > WINDOW_KEPT and len(window) > rules.window_calls:
            self._drop()

    def _drop(self) -> None:
        if self.window.popleft()[1] is not None:
            self.window_failed -= 1

    def _forget(self) -> None:
        self.window.clear()
        self.window_failed = 0

    def _fails_too_often(self, rules: BreakerRules) -> bool:
        calls = len(self.window)
        if calls < rules.window_calls or self.window_failed <= rules.window_ratio * calls:
            return False
        first = None
        for _, source in self.window:
            if source is None:
                continue
            if not source or (first is not None and source != first):
                return True
            first = source
        return False
