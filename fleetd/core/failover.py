"""What an error means, who is struck for it, and what to do next: another try, another instance, or the end (spec F2, F4, F6)."""

from __future__ import annotations

from collections.abc import Collection
from enum import IntEnum
from functools import partial
from typing import NamedTuple

from fleetd.core.breaker import BreakerKind
from fleetd.core.instance import Instance, Kind
from fleetd.core.route import Step, StepKind
from fleetd.core.task import RetryPolicy

LADDER = 1_000
"""Wait before the first retry, ms; doubles with each."""
LONGEST_WAIT = 60_000
"""Longest wait of the ladder, and the longest Retry-After that is waited out while another instance could go on at once, ms."""
PROVIDERS_EXHAUSTED = "PROVIDERS_EXHAUSTED"
TASK_TIMEOUT = "TASK_TIMEOUT"
NO_AVAILABLE_INSTANCE = "NO_AVAILABLE_INSTANCE"


class Counts(IntEnum):
    """What an error counts for at a breaker: nothing, a strike, the failure ratio alone, or enough to open it at once and for long."""

    NOTHING = 0
    STRIKE = 1
    RATIO = 2
    OPEN_LONG = 3


class Attribution(IntEnum):
    """Whose fault an error is."""

    INSTANCE = 1
    PROVIDER = 2
    AGENT = 3
    HOST = 4
    CALLER = 5
    REQUEST = 6


class Fault(NamedTuple):
    """
    One row of the error table (F4).

    `retry_same`: the same instance is tried again by the ladder; `retry_alone`: only when no other could go on. `next_instance`: another instance
    may mend it; `larger_ctx`: only one with a larger context. `final`: the code that ends the task as FAILED, "" when something may still mend
    it. `limit`: names a limit that is used up, which ends in the dead letters whatever attempts remain. `provider_wide`: other providers first.
    """

    code: str
    attribution: Attribution
    counts: Counts = Counts.NOTHING
    retry_same: bool = False
    retry_alone: bool = False
    next_instance: bool = False
    larger_ctx: bool = False
    final: str = ""
    limit: bool = False
    provider_wide: bool = False


class Hit(NamedTuple):
    """A breaker that learns of an error, and how much it counts there."""

    kind: BreakerKind
    name: str
    counts: Counts


class Verdict(NamedTuple):
    """`retryable`: another attempt may mend it. `blames_agent`: counts among the agent's own failures."""

    retryable: bool
    blames_agent: bool


def _gone(code: str) -> Fault:
    return Fault(code, Attribution.INSTANCE, Counts.STRIKE, retry_alone=True, next_instance=True)


def _ailing(code: str, attribution: Attribution = Attribution.INSTANCE) -> Fault:
    wide = attribution is Attribution.PROVIDER
    return Fault(code, attribution, Counts.STRIKE, retry_same=True, next_instance=True, provider_wide=wide)


def _account(code: str) -> Fault:
    return Fault(code, Attribution.PROVIDER, Counts.OPEN_LONG, next_instance=True, provider_wide=True)


def _ended(code: str, attribution: Attribution) -> Fault:
    return Fault(code, attribution, final=code)


AGENT_ERROR = Fault("AGENT_ERROR", Attribution.AGENT)
"""Any code that is not in the table: the handler raised, the program exited badly."""

FAULTS: dict[str, Fault] = {
    fault.code: fault
    for fault in (
        _gone("CONN_REFUSED"),
        _gone("PROCESS_EXITED"),
        _gone("FINGERPRINT_MISMATCH"),
        _ailing("TIMEOUT"),
        _ailing("500"),
        _ailing("502"),
        _ailing("503"),
        _ailing("504"),
        _ailing("529", Attribution.PROVIDER),
        _ailing("429", Attribution.PROVIDER)._replace(counts=Counts.RATIO),
        _account("AUTH"),
        _account("BILLING"),
        Fault("INSTANCE_NOT_READY", Attribution.INSTANCE, retry_alone=True, next_instance=True),
        Fault("BREAKER_OPEN", Attribution.INSTANCE, next_instance=True),
        Fault(NO_AVAILABLE_INSTANCE, Attribution.INSTANCE, next_instance=True),
        Fault("CONTEXT_EXCEEDED", Attribution.CALLER, larger_ctx=True, final="CONTEXT_EXCEEDED"),
        _ended("BAD_REQUEST", Attribution.CALLER),
        _ended("CANCELLED", Attribution.CALLER),
        _ended("POLICY", Attribution.REQUEST),
        _ended("LOGIC_ERROR", Attribution.REQUEST),
        AGENT_ERROR,
        Fault("AGENT_LOST", Attribution.AGENT),
        Fault("LEASE_EXPIRED", Attribution.AGENT),
        Fault("RUN_TIMEOUT", Attribution.AGENT),
        Fault("HOST_UNREACHABLE", Attribution.HOST, Counts.STRIKE),
        Fault(PROVIDERS_EXHAUSTED, Attribution.PROVIDER, limit=True),
        Fault(TASK_TIMEOUT, Attribution.REQUEST, limit=True),
    )
}


def fault(code: str) -> Fault:
    """Return the row of an error code; HTTP statuses are codes, too ("503"), and unknown ones are AGENT_ERROR."""
    return FAULTS.get(code, AGENT_ERROR)


def is_instance_fault(code: str) -> bool:
    """Return whether an error is an instance's or its provider's, so that other tries may help and no agent is blamed."""
    return fault(code).attribution in (Attribution.INSTANCE, Attribution.PROVIDER)


def verdict(code: str, *, larger_ctx: bool = False) -> Verdict:
    """
    Return what an error code means for a task whose run it ended.

    `larger_ctx`: an instance with a larger context than the one that was tried is eligible.
    """
    row = fault(code)
    mendable = not row.final or (row.larger_ctx and larger_ctx)
    return Verdict(mendable, row.attribution is Attribution.AGENT)


def hits(row: Fault, instance: Instance, *, alone: bool) -> tuple[Hit, ...]:
    """
    Return which breakers an error at an instance concerns.

    Always the instance's own. Its provider's as well when the two are one (`alone`: the provider has no other instance), when the error is
    provider-wide, or when the provider runs elsewhere: what ails one of its instances mostly ails its service. Local instances are machines
    and processes of their own. A bad key opens the instance's breaker at once and is one strike for a provider with others, which may have
    keys of their own (F3a).
    """
    if row.counts is Counts.NOTHING or row.attribution not in (Attribution.INSTANCE, Attribution.PROVIDER):
        return ()
    own = Hit(BreakerKind.INSTANCE, instance.id, row.counts)
    if alone:
        return (own, Hit(BreakerKind.PROVIDER, instance.provider_id, row.counts))
    if row.provider_wide or instance.kind is not Kind.LOCAL:
        counts = Counts.STRIKE if row.counts is Counts.OPEN_LONG else row.counts
        return (own, Hit(BreakerKind.PROVIDER, instance.provider_id, counts))
    return (own,)


def retry_delay(
    row: Fault,
    *,
    instance: Instance,
    retries: int,
    retry_after: int,
    deadline: int,
    now: int,
    alone: bool,
    draw: float,
    jitter: float,
) -> int | None:
    """
    Return the wait in ms before the same instance is tried again; None when its call is exhausted, which is one strike (F2, F3).

    `retries` were made already; `retry_after` is what the provider asked for, ms; `deadline` epoch ms, 0 = none; `alone`: no other instance could
    go on. `draw` is uniform in [0, 1): the ladder's wait is spread over ± `jitter` of itself, never below `retry_after`.
    """
    if not (row.retry_same or (row.retry_alone and alone)) or retries >= instance.max_retries:
        return None
    if retry_after > LONGEST_WAIT and not alone:
        return None
    wait = min(LONGEST_WAIT, LADDER << min(retries, 16))
    delay = max(retry_after, round(wait * (1 + jitter * (2 * draw - 1))))
    return None if deadline and now + delay >= deadline else delay


def next_step(
    row: Fault,
    *,
    instance: Instance,
    retries: int,
    retry_after: int,
    deadline: int,
    now: int,
    following: str,
    only_eligible: bool,
    draw: float,
    jitter: float,
    tried: Collection[str] = (),
    broken: bool = False,
    retry_at: int = 0,
) -> Step:
    """
    Return what to do after a try on `instance` failed; arguments not named here are those of `retry_delay`.

    `following` is what a fresh plan selects, "" when nothing is eligible; for `larger_ctx` that plan asks for more context than the instance
    has. One of `tried` (instances given up in this run) or the instance itself is no other: it means that every eligible one was tried.
    `only_eligible`: the instance itself is eligible, and no untried one is. `broken`: its breaker, or its provider's, lets it through no more.
    `retry_at`: when the first breaker that stands in the way half-opens, epoch ms, 0 = unknown.

    GIVE_UP carries the final code, or the limit that is exhausted (PROVIDERS_EXHAUSTED, TASK_TIMEOUT). BLOCK when nothing is eligible, with the
    wait until `retry_at` (F6). PROCEED when the error concerns no instance: the run ends with its code, or goes on, as the caller sees fit.
    """
    if row.final and not row.larger_ctx:
        return Step(StepKind.GIVE_UP, code=row.final, reason=f"{row.code}: nothing can mend it")
    if row.limit:
        return Step(StepKind.GIVE_UP, code=row.code, reason=f"{row.code}: nothing is left to try")
    if not (row.next_instance or row.larger_ctx):
        return Step(StepKind.PROCEED, code=row.code, reason=f"{row.code} concerns no instance")
    if deadline and now >= deadline:
        return Step(StepKind.GIVE_UP, code=TASK_TIMEOUT, reason=f"{row.code}, and the deadline has passed")
    other = "" if following == instance.id or following in tried else following
    usable = (row.retry_same or row.retry_alone) and not broken
    alone = usable and not other and (only_eligible or following == instance.id)
    ladder = partial(
        retry_delay,
        row,
        instance=instance,
        retries=retries,
        retry_after=retry_after,
        now=now,
        alone=alone,
        draw=draw,
        jitter=jitter,
    )
    delay = ladder(deadline=deadline) if usable else None
    if delay is not None:
        reason = f"{row.code}: retry {retries + 1} of {instance.max_retries}"
        return Step(StepKind.RETRY_SAME, delay, instance.id, reason=reason)
    if other:
        return Step(StepKind.SWITCH, instance=other, reason=f"{row.code} at {instance.id}")
    others_failed = bool(following) and following != instance.id
    if not (alone or others_failed):
        if row.larger_ctx and retry_at <= now:
            return Step(
                StepKind.GIVE_UP, code=row.final, reason=f"{row.code}: no instance has a larger context"
            )
        return _block(row, now, retry_at)
    if usable and ladder(deadline=0) is not None:
        reason = f"{row.code}, and no time before the deadline for another try"
        return Step(StepKind.GIVE_UP, code=TASK_TIMEOUT, reason=reason)
    reason = f"{row.code} at {instance.id} after {retries} retries, and no instance is left to try"
    return Step(StepKind.GIVE_UP, code=PROVIDERS_EXHAUSTED, reason=reason)


def _block(row: Fault, now: int, retry_at: int) -> Step:
    wait = max(0, retry_at - now)
    until = f"; the first breaker half-opens in {wait / 1_000:g} s" if wait else ""
    reason = f"{row.code}: no instance is eligible at present{until}"
    return Step(StepKind.BLOCK, wait, code=NO_AVAILABLE_INSTANCE, reason=reason)


def backoff(policy: RetryPolicy, attempt: int, draw: float) -> int:
    """
    Return the wait in milliseconds after attempt number `attempt` (from 1) failed.

    `draw` is uniform in [0, 1): the wait is spread evenly over ± `policy.jitter` of itself.
    """
    factor = policy.multiplier ** min(attempt - 1, 64)
    wait = min(policy.max_backoff, policy.initial_backoff * factor)
    return round(wait * (1 + policy.jitter * (2 * draw - 1)))
