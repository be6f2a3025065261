"""
What a probe says about an instance (spec R1).

Refused → DISCONNECTED; failures in a row → ERROR; one success → READY; slow or half-failing → DEGRADED. Slow and half-failing have hysteresis: what
flips with every probe would move routes with every probe. What an operator holds, or stopped, is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from fleetd.core.instance import Condition, InstanceState

WINDOW = 10
"""Probes that say whether an instance is half-failing; kept as bits, 1 = failed."""
ENOUGH = 4
"""Of them at least: one failure of two probes is no pattern."""


class Outcome(IntEnum):
    """How a probe ended."""

    OK = 1
    REFUSED = 2
    FAILED = 3


class ProbeResult(NamedTuple):
    """How a probe ended; `latency` in milliseconds counts when it is OK, `detail` says for people why it is not."""

    outcome: Outcome
    latency: float = 0.0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ProbeRules:
    """
    `failures_to_error` in a row; `slow`: mean latency in ms above which an instance is DEGRADED; `recovered`: share of `slow` below which it is not any
    more; `weight` of a new latency in the mean.
    """

    failures_to_error: int = 2
    slow: int = 1_000
    recovered: float = 0.8
    weight: float = 0.3


class Record(NamedTuple):
    """What is remembered of the probes of one instance: failures in a row, the last results, what it is DEGRADED for."""

    failures: int = 0
    results: int = 0
    seen: int = 0
    slow: bool = False
    flapping: bool = False


def judge(
    condition: Condition, record: Record, result: ProbeResult, rules: ProbeRules, now: int
) -> tuple[Condition, Record]:
    """Return how the instance is after a probe at `now` (epoch ms), and what to remember of it."""
    if condition.held or condition.state is InstanceState.STOPPED:
        return condition, record
    if result.outcome is Outcome.OK:
        return _succeeded(condition, record, result.latency, rules, now)
    return _failed(condition, record, result, rules, now)


def _succeeded(
    condition: Condition, record: Record, latency: float, rules: ProbeRules, now: int
) -> tuple[Condition, Record]:
    back = condition.state in {InstanceState.ERROR, InstanceState.DISCONNECTED, InstanceState.UNKNOWN}
    if back or condition.latency is None:
        # It may have been restarted or moved: what was before its absence says nothing about it.
        mean = latency
        record = Record()
    else:
        mean = rules.weight * latency + (1 - rules.weight) * condition.latency
    results, seen = _noted(record, failed=0)
    failed = results.bit_count()
    slow = mean > rules.slow * (rules.recovered if record.slow else 1)
    # In from a half, out at a quarter.
    flapping = failed * 4 > seen if record.flapping else seen >= ENOUGH and failed * 2 >= seen
    reason = ""
    if slow:
        reason = f"slow: answers take more than {rules.slow:,} ms"
    elif flapping:
        reason = f"half-failing: {failed} of the last {seen} probes failed"
    state = InstanceState.DEGRADED if reason else InstanceState.READY
    return _moved(condition, state, reason, now, round(mean, 1)), Record(0, results, seen, slow, flapping)


def _failed(
    condition: Condition, record: Record, result: ProbeResult, rules: ProbeRules, now: int
) -> tuple[Condition, Record]:
    results, seen = _noted(record, failed=1)
    after = record._replace(failures=record.failures + 1, results=results, seen=seen)
    if result.outcome is Outcome.REFUSED:
        state = InstanceState.DISCONNECTED
    elif after.failures >= rules.failures_to_error:
        state = InstanceState.ERROR
    elif condition.state is InstanceState.READY:
        state = InstanceState.DEGRADED
    else:
        # One failure makes nothing better: UNKNOWN stays without work, and DISCONNECTED too.
        state = condition.state
    count = "1 failed probe" if after.failures == 1 else f"{after.failures} failed probes in a row"
    return _moved(condition, state, f"{count}: {result.detail}", now, condition.latency), after


def _noted(record: Record, *, failed: int) -> tuple[int, int]:
    """Return the last results with one more, and how many they are."""
    return (record.results << 1 | failed) & ((1 << WINDOW) - 1), min(record.seen + 1, WINDOW)


def _moved(
    condition: Condition, state: InstanceState, reason: str, now: int, latency: float | None
) -> Condition:
    since = condition.since if state is condition.state else now
    return Condition(state, reason, since, latency, held=False, credentials=condition.credentials)
