"""What an error means: retried, final, and who is to blame (spec F4, the part that concerns agents); waits between attempts."""

from __future__ import annotations

from typing import NamedTuple

from fleetd.core.task import RetryPolicy


class Verdict(NamedTuple):
    """`retryable`: another attempt may mend it. `blames_agent`: counts among the agent's own failures."""

    retryable: bool
    blames_agent: bool


AGENT_ERROR = Verdict(retryable=True, blames_agent=True)
"""Any code that is not in the table: the handler raised, the program exited badly."""

VERDICTS: dict[str, Verdict] = {
    "AGENT_ERROR": AGENT_ERROR,
    "AGENT_LOST": Verdict(retryable=True, blames_agent=True),
    "LEASE_EXPIRED": Verdict(retryable=True, blames_agent=True),
    "RUN_TIMEOUT": Verdict(retryable=True, blames_agent=True),
    "LOGIC_ERROR": Verdict(retryable=False, blames_agent=False),
    "BAD_REQUEST": Verdict(retryable=False, blames_agent=False),
    "POLICY": Verdict(retryable=False, blames_agent=False),
    "CANCELLED": Verdict(retryable=False, blames_agent=False),
}


def verdict(code: str) -> Verdict:
    """Return what an error code means; unknown codes are AGENT_ERROR."""
    return VERDICTS.get(code, AGENT_ERROR)


def backoff(policy: RetryPolicy, attempt: int, draw: float) -> int:
    """
    Return the wait in milliseconds after attempt number `attempt` (from 1) failed.

    `draw` is uniform in [0, 1): the wait is spread evenly over ± `policy.jitter` of itself.
    """
    factor = policy.multiplier ** min(attempt - 1, 64)
    wait = min(policy.max_backoff, policy.initial_backoff * factor)
    return round(wait * (1 + policy.jitter * (2 * draw - 1)))
