"""
When a rollout falls back to its old mode, and how it comes back (spec G3, G4): a state machine of pure functions.

NORMAL → FALLBACK when the new mode's own outcomes, or its probe, are bad; FALLBACK → TRIAL when the dwell is over; TRIAL → NORMAL when it went well, else
→ FALLBACK with a longer dwell. `judge` says what should happen, `moved` what that makes of a state. Times since the phase began come from a clock that
nobody sets; `since` and `until` are for people.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

ALIKE = 70
"""
How bad the old mode is at the least, in percent of how bad the new one is, where both fail alike. Below that going back helps. Not nearer to 1: an outage of
both fills two windows at one pace, and of two modes that fail equally often one may be ahead by a few of its first outcomes.
"""


class Phase(IntEnum):
    """Where a rollout stands; numbers equal fleet.v1.RolloutPhase."""

    NORMAL = 1
    FALLBACK = 2
    TRIAL = 3


@dataclass(frozen=True, slots=True)
class FallbackRules:
    """
    Thresholds and times, with the values of spec G3 and G4. Times in ms, shares from 0 to 1; all comparisons are strictly greater.

    `latency_share` is of `timeout_threshold`; `recovery_share` is what a trial's thresholds are of the others; the dwell halves with every
    `dwell_decay` in NORMAL. `trial_for` bounds a trial, so that few outcomes, or none, never keep a rollout in it.
    """

    error_rate: float = 0.5
    timeout_rate: float = 0.3
    timeout_threshold: int = 300_000
    latency_share: float = 0.8
    window: int = 300_000
    min_samples: int = 10
    probe_failures: int = 3
    probe_interval: int = 5_000
    probe_timeout: int = 5_000
    dwell: int = 60_000
    dwell_max: int = 1_800_000
    dwell_decay: int = 3_600_000
    trial_percent: float = 5.0
    trial_for: int = 300_000
    recovery_share: float = 0.5
    per_org: bool = False


class Forced(NamedTuple):
    """What an operator forced: the old mode for all (`on`), or no fallback by itself. `until` epoch ms, 0 = until it is reset."""

    on: bool
    reason: str
    actor: str = ""
    until: int = 0


@dataclass(frozen=True, slots=True)
class Fallback:
    """
    Where a rollout, or one org of it, stands. `since` and `until` epoch ms; `dwell` ms, 0 = the first one of the rules.

    `reason` names all causes until the phase is NORMAL again. `epoch` grows with every change; what was decided in an older one says nothing.
    """

    phase: Phase = Phase.NORMAL
    reason: str = ""
    since: int = 0
    until: int = 0
    dwell: int = 0
    failed_trials: int = 0
    epoch: int = 1
    forced: Forced | None = None


class Sums(NamedTuple):
    """What outcomes add up to; `latency` is the sum over all of them in ms."""

    total: int = 0
    errors: int = 0
    timeouts: int = 0
    latency: int = 0

    @property
    def error_rate(self) -> float:
        return self.errors / self.total if self.total else 0.0

    @property
    def timeout_rate(self) -> float:
        return self.timeouts / self.total if self.total else 0.0

    @property
    def average(self) -> float:
        """Mean latency, ms."""
        return self.latency / self.total if self.total else 0.0


class Health(NamedTuple):
    """What the probe of the new mode says: failures in a row, and the words of the last one; `asked` is False without a probe or an answer of it yet."""

    failures: int = 0
    detail: str = ""
    asked: bool = False


class Step(IntEnum):
    """What should happen."""

    TRIP = 1
    BEGIN_TRIAL = 2
    FAIL_TRIAL = 3
    RECOVER = 4


class Move(NamedTuple):
    """A step and its reason; `blamed` is False for a trial that failed while the old mode failed alike: its dwell does not grow."""

    step: Step
    reason: str = ""
    blamed: bool = True


class Violation(NamedTuple):
    """A threshold that was passed: its name (error_rate, timeout_rate, latency or probe), and the words for it."""

    name: str
    words: str


def violations(sums: Sums, rules: FallbackRules, share: float = 1.0) -> list[Violation]:
    """Return every threshold that outcomes pass, in a fixed order; `share` scales the thresholds. Says nothing about how many outcomes there are."""
    found = []
    if _exceeds(sums.errors, sums.total, rules.error_rate, share):
        limit = rules.error_rate * share
        found.append(
            Violation("error_rate", f"error rate too high: {sums.error_rate:.2%} (threshold: {limit:.2%})")
        )
    if _exceeds(sums.timeouts, sums.total, rules.timeout_rate, share):
        limit = rules.timeout_rate * share
        found.append(
            Violation(
                "timeout_rate", f"timeout rate too high: {sums.timeout_rate:.2%} (threshold: {limit:.2%})"
            )
        )
    if _exceeds(sums.latency, sums.total * rules.timeout_threshold, rules.latency_share, share):
        slowest = rules.latency_share * rules.timeout_threshold * share
        words = f"average latency too high: {sums.average:.0f} ms (threshold: {slowest:.0f} ms)"
        found.append(Violation("latency", words))
    return found


def _exceeds(amount: int, total: int, threshold: float, share: float) -> bool:
    """Tell whether an amount is more than `threshold` times `share` of the total, exactly: 29 of 100 are not more than 0.29."""
    limit = _limit(threshold, share)
    return amount * limit.denominator > limit.numerator * total


@lru_cache(maxsize=256)
def _limit(threshold: float, share: float) -> Fraction:
    """Return the product of two numbers as they are written, 0.29 being 29/100, which no float is."""
    return Fraction(str(threshold)) * Fraction(str(share))


def judge(
    state: Fallback, rules: FallbackRules, new: Sums, old: Sums, health: Health, elapsed: int
) -> Move | None:
    """
    Return what should happen, None when nothing should.

    Args:
        state: where it stands; nothing happens by itself while something is forced.
        rules: thresholds and times.
        new: the new mode's own outcomes, of this epoch and within the window.
        old: the old mode's outcomes within the window.
        health: what the probe says.
        elapsed: ms since the phase began.
    """
    if state.forced is not None:
        return None
    if state.phase is Phase.NORMAL:
        return _trip(rules, new, old, health)
    if state.phase is Phase.FALLBACK:
        # To send work where the probe finds nobody would fail the trial beforehand.
        if elapsed < (state.dwell or rules.dwell) or _unwell(rules, health):
            return None
        return Move(Step.BEGIN_TRIAL, state.reason)
    return _end_of_trial(rules, new, old, health, elapsed)


def _trip(rules: FallbackRules, new: Sums, old: Sums, health: Health) -> Move | None:
    found = violations(new, rules) if new.total >= rules.min_samples else []
    alike = _upstream(rules, new, old)
    blamed = [each for each in found if each.name not in alike]
    if _unwell(rules, health):
        blamed.append(_probe(health))
    return Move(Step.TRIP, _words(blamed)) if blamed else None


def _end_of_trial(rules: FallbackRules, new: Sums, old: Sums, health: Health, elapsed: int) -> Move | None:
    if _unwell(rules, health):
        return Move(Step.FAIL_TRIAL, _words([_probe(health)]))
    over = elapsed >= rules.trial_for
    if new.total < rules.min_samples and not over:
        return None
    found = violations(new, rules, rules.recovery_share)
    if not found:
        # Also when nothing came at all: a rollout must not stay in fallback for want of outcomes (G4a).
        return Move(Step.RECOVER)
    upstream = _upstream(rules, new, old)
    return Move(Step.FAIL_TRIAL, _words(found), blamed=any(each.name not in upstream for each in found))


def _upstream(rules: FallbackRules, new: Sums, old: Sums) -> set[str]:
    """Return the names of the figures in which the old mode fails alike, so that the cause is further up (G3). No data of it says nothing."""
    if old.total < rules.min_samples:
        return set()
    bad = {
        "error_rate": (new.errors, old.errors),
        "timeout_rate": (new.timeouts, old.timeouts),
        "latency": (new.latency, old.latency),
    }
    return {
        name for name, (ours, theirs) in bad.items() if 100 * theirs * new.total >= ALIKE * ours * old.total
    }


def _unwell(rules: FallbackRules, health: Health) -> bool:
    return health.asked and health.failures >= rules.probe_failures


def _probe(health: Health) -> Violation:
    detail = f": {health.detail}" if health.detail else ""
    return Violation("probe", f"health probe failed {health.failures} times in a row{detail}")


def _words(found: list[Violation]) -> str:
    return "; ".join(each.words for each in found)


def moved(state: Fallback, move: Move, rules: FallbackRules, now: int, epoch: int) -> Fallback:
    """Return the state after a move at `now` (epoch ms), in a new epoch."""
    if move.step is Step.TRIP:
        dwell = decayed(state, rules, now)
        return Fallback(Phase.FALLBACK, move.reason, now, now + dwell, dwell, 0, epoch)
    if move.step is Step.BEGIN_TRIAL:
        return replace(state, phase=Phase.TRIAL, since=now, until=now + rules.trial_for, epoch=epoch)
    if move.step is Step.FAIL_TRIAL:
        dwell = _bounded((state.dwell or rules.dwell) * (2 if move.blamed else 1), rules)
        failed = state.failed_trials + 1
        return Fallback(Phase.FALLBACK, move.reason, now, now + dwell, dwell, failed, epoch)
    return Fallback(Phase.NORMAL, "", now, 0, state.dwell, 0, epoch)


def decayed(state: Fallback, rules: FallbackRules, now: int) -> int:
    """Return the dwell of the next fallback, ms: halved for every `dwell_decay` that the state has been NORMAL."""
    dwell = state.dwell or rules.dwell
    healthy = max(0, now - state.since) // rules.dwell_decay if state.since else 0
    return _bounded(dwell >> min(healthy, 62), rules)


def _bounded(dwell: int, rules: FallbackRules) -> int:
    """Return a dwell within the bounds, which may have changed since it was set."""
    return min(rules.dwell_max, max(rules.dwell, dwell))


def forced(state: Fallback, what: Forced, epoch: int) -> Fallback:
    """Return the state with something forced."""
    return replace(state, forced=what, epoch=epoch)


def released(state: Fallback, now: int, epoch: int) -> Fallback:
    """
    Return the state when what was forced has run out: the phase it was in before begins anew, and only new outcomes count.

    A trial begins anew too: one that ran out meanwhile would recover on the outcomes of nobody.
    """
    if state.phase is Phase.NORMAL:
        return replace(state, forced=None, epoch=epoch)
    length = state.dwell if state.phase is Phase.FALLBACK else state.until - state.since
    return replace(state, forced=None, since=now, until=now + length, epoch=epoch)


def reset(now: int, epoch: int) -> Fallback:
    """Return the state after a reset by hand: nothing of what was before counts (G4b)."""
    return Fallback(since=now, epoch=epoch)
