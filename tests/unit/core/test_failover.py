"""What an error means, and how long to wait after it: F4 as far as agents go, T3."""

import pytest

from fleetd.core.failover import backoff, verdict
from fleetd.core.task import RetryPolicy


@pytest.mark.parametrize(
    ("code", "retryable", "blames_agent"),
    [
        ("AGENT_ERROR", True, True),
        ("anything unknown", True, True),
        ("AGENT_LOST", True, True),
        ("RUN_TIMEOUT", True, True),
        ("LOGIC_ERROR", False, False),
        ("BAD_REQUEST", False, False),
        ("POLICY", False, False),
        ("CANCELLED", False, False),
    ],
)
def test_the_code_alone_decides_what_an_error_means(code, retryable, blames_agent):
    """T2, D2: retried or final, the agent's own fault or not."""
    assert verdict(code) == (retryable, blames_agent)


def test_backoff_doubles_up_to_its_limit():
    """T3: initial 1 s, multiplier 2, max 60 s."""
    waits = [backoff(RetryPolicy(), attempt, 0.5) for attempt in (1, 2, 3, 6, 7, 8, 10_000)]
    assert waits == [1_000, 2_000, 4_000, 32_000, 60_000, 60_000, 60_000]


def test_jitter_spreads_the_wait_evenly_around_itself():
    """T3."""
    policy = RetryPolicy(jitter=0.2)
    assert [backoff(policy, 1, draw) for draw in (0.0, 0.5, 0.999999)] == [800, 1_000, 1_200]
    assert backoff(RetryPolicy(jitter=0.0), 1, 0.9) == 1_000
