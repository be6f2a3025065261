"""What callers are told when the store fails (S3)."""

import pytest

from fleetd.api.errors import Code, describe
from fleetd.engine.failures import store_failure
from fleetd.store.base import CommitUnclear, StoreBroken, StoreFull


@pytest.mark.parametrize(
    ("failure", "code", "reason"),
    [
        (StoreBroken, Code.UNAVAILABLE, "STORE_BROKEN"),
        (CommitUnclear, Code.UNAVAILABLE, "STORE_UNCLEAR"),
        (StoreFull, Code.RESOURCE_EXHAUSTED, "STORE_FULL"),
    ],
)
def test_a_failure_of_the_store_has_a_reason_a_time_to_wait_and_no_path(failure, code, reason):
    """S3."""
    refusal = store_failure(failure("/var/lib/fleetd/fleetd.db: disk I/O error"))
    assert refusal is not None
    problem = describe(refusal)
    assert (problem.code, problem.reason, problem.retry_after) == (code, reason, 1_000)
    assert "/var" not in problem.message


def test_any_other_error_is_a_defect():
    """S3: INTERNAL with an incident id."""
    assert store_failure(ValueError("x")) is None
