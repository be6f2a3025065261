"""
What an error says about a model instance, and what to do next on it: the error table and the retry ladder (spec F2, F4, F6, R7).

Codes are structured, never guessed from the text of a message; an HTTP status is a code of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

from fleetd.core.instance import Instance
from fleetd.core.route import Step, StepKind


class Counts(IntEnum):
    """How an error counts for the breaker of its instance."""

    NOTHING = 0
    STRIKE = 1
    RATIO = 2
    """Only as one of the failed calls of the last minute."""
    REFUSED = 3
    """Opens it at once, for half an hour."""


class Blame(IntEnum):
    """Whose fault an error is."""

    INSTANCE = 1
    PROVIDER = 2
    AGENT = 3
    HOST = 4
    CALLER = 5
    NOBODY = 6


class Fault(NamedTuple):
    """
    One row of the error table. `ladder`: the same instance is tried again after a wait; `next_instance`: another one may do better; `larger`: only
    one with a larger context window. `final`: no other try can mend it, the task is FAILED.
    """

    code: str
    ladder: bool
    next_instance: bool
    counts: Counts
    blame: Blame
    final: bool = False
    larger: bool = False


_REFUSED = ("CONN_REFUSED", "PROCESS_EXITED", "FINGERPRINT_MISMATCH")
_LADDER = ("TIMEOUT", "500", "502", "503", "504", "529")

TABLE: Mapping[str, Fault] = {
    row.code: row
    for row in (
        *(Fault(code, False, True, Counts.STRIKE, Blame.INSTANCE) for code in _REFUSED),
        *(Fault(code, True, True, Counts.STRIKE, Blame.INSTANCE) for code in _LADDER),
        Fault("429", True, True, Counts.RATIO, Blame.PROVIDER),
        Fault("AUTH", False, True, Counts.REFUSED, Blame.PROVIDER),
        Fault("BILLING", False, True, Counts.REFUSED, Blame.PROVIDER),
        Fault("INSTANCE_NOT_READY", False, True, Counts.NOTHING, Blame.INSTANCE),
        Fault("BREAKER_OPEN", False, True, Counts.NOTHING, Blame.NOBODY),
        Fault("CONTEXT_EXCEEDED", False, True, Counts.NOTHING, Blame.CALLER, final=True, larger=True),
        Fault("NO_AVAILABLE_INSTANCE", False, True, Counts.NOTHING, Blame.NOBODY),
        Fault("BAD_REQUEST", False, False, Counts.NOTHING, Blame.CALLER, final=True),
        Fault("POLICY", False, False, Counts.NOTHING, Blame.CALLER, final=True),
        Fault("LOGIC_ERROR", False, False, Counts.NOTHING, Blame.CALLER, final=True),
        Fault("CANCELLED", False, False, Counts.NOTHING, Blame.CALLER, final=True),
        Fault("AGENT_ERROR", False, False, Counts.NOTHING, Blame.AGENT),
        Fault("AGENT_LOST", False, False, Counts.NOTHING, Blame.AGENT),
        Fault("LEASE_EXPIRED", False, False, Counts.NOTHING, Blame.AGENT),
        Fault("RUN_TIMEOUT", False, False, Counts.NOTHING, Blame.AGENT),
        Fault("HOST_UNREACHABLE", False, False, Counts.NOTHING, Blame.HOST),
    )
}

FIRST_WAIT = 1_000
"""Milliseconds before the first retry on an instance; doubled with each: 1, 2, 4 s (F2)."""


def fault(code: str) -> Fault:
    """Return what a code means; any unknown one is AGENT_ERROR, by its own name."""
    return TABLE.get(code) or TABLE["AGENT_ERROR"]._replace(code=code)


class Outlook(NamedTuple):
    """
    What routing says after an error: `following` is the next instance, not tried yet, "" when there is none; `eligible` tells whether the one just tried
    is still eligible, `others` whether any other one is, tried or not.
    """

    following: str
    eligible: bool
    others: bool


def next_step(
    error: Fault,
    instance: Instance,
    retries: int,
    outlook: Outlook,
    *,
    now: int,
    deadline: int = 0,
    retry_after: int = 0,
    spread: float = 0.0,
) -> Step:
    """
    Return what to do after a try on an instance ended in an error. `retries` were spent on this instance; `now` and `deadline` (0 = none) in epoch ms, `retry_after`
    in ms; a wait is longer by the share `spread` (0 when jitter is off).
    """
    if not error.next_instance:
        if error.final or error.blame is not Blame.NOBODY:
            return Step(StepKind.GIVE_UP, code=error.code, reason="no other instance would do better")
        return Step(StepKind.PROCEED)
    # Waiting for a refused port buys nothing while there is another instance; the only one there is gets its retries.
    patient = error.ladder or (
        not outlook.following and not error.larger and error.counts is not Counts.REFUSED
    )
    if patient and outlook.eligible and retries < instance.max_retries:
        wait = max(round((FIRST_WAIT << retries) * (1.0 + spread)), retry_after)
        # A provider that asks for more time than another instance needs to answer loses the call to it.
        in_time = not deadline or now + wait < deadline
        if in_time and not (outlook.following and retry_after > instance.timeout):
            reason = f"retry {retries + 1} of {instance.max_retries} after {error.code}"
            return Step(StepKind.RETRY_SAME, wait, instance.id, reason=reason)
        if not in_time and not outlook.following:
            return Step(StepKind.GIVE_UP, code="TASK_TIMEOUT", reason="no time left for another try")
    if outlook.following:
        return Step(StepKind.SWITCH, 0, outlook.following, reason=f"{error.code} on {instance.id}")
    if error.final:
        return Step(StepKind.GIVE_UP, code=error.code, reason="no instance has a larger context window")
    if outlook.eligible or outlook.others:
        return Step(
            StepKind.GIVE_UP,
            code="PROVIDERS_EXHAUSTED",
            reason=f"every eligible instance was tried; last: {error.code} on {instance.id}",
        )
    return Step(StepKind.BLOCK, code="NO_AVAILABLE_INSTANCE", reason="no instance is eligible at present")
