"""The error table."""

import pytest

from fleetd import errors
from fleetd.api.errors import CODES, Code, describe, unexpected


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (errors.InvalidArgument([("a", "b")]), Code.INVALID_ARGUMENT, "FIELD_INVALID"),
        (errors.NotFound("TASK_NOT_FOUND", "m"), Code.NOT_FOUND, "TASK_NOT_FOUND"),
        (errors.AlreadyExists("R", "m"), Code.ALREADY_EXISTS, "R"),
        (errors.WrongState("R", "m"), Code.FAILED_PRECONDITION, "R"),
        (errors.LeaseLost("m"), Code.FAILED_PRECONDITION, "LEASE_LOST"),
        (errors.Conflict("VERSION_MISMATCH", "m"), Code.ABORTED, "VERSION_MISMATCH"),
        (errors.OutOfRange("EVENTS_TRIMMED", "m"), Code.OUT_OF_RANGE, "EVENTS_TRIMMED"),
        (errors.Overloaded("QUEUE_FULL", "m"), Code.RESOURCE_EXHAUSTED, "QUEUE_FULL"),
        (errors.Unavailable("DRAINING", "m"), Code.UNAVAILABLE, "DRAINING"),
        (errors.Internal("abc"), Code.INTERNAL, "INTERNAL"),
    ],
)
def test_every_class_has_its_code_and_keeps_its_reason(error, code, reason):
    """S3."""
    problem = describe(error)
    assert (problem.code, problem.reason) == (code, reason)


def test_no_class_of_errors_is_without_a_code():
    """S3."""
    kinds = set(errors.FleetError.__subclasses__())
    assert kinds <= set(CODES)


def test_a_class_without_a_line_is_told_as_its_parent():
    """S3."""

    class Special(errors.NotFound): ...

    assert describe(Special("R", "m")).code is Code.NOT_FOUND


def test_bad_fields_and_waiting_times_are_passed_on():
    """S3, S7."""
    assert describe(errors.InvalidArgument([("a.b", "must be c")])).fields == (("a.b", "must be c"),)
    assert describe(errors.Overloaded("QUEUE_FULL", "m", 700)).retry_after == 700
    assert describe(errors.Unavailable("DRAINING", "m", 900)).retry_after == 900
    assert describe(errors.NotFound("R", "m")).retry_after is None


def test_long_texts_are_cut_and_short_ones_are_not():
    """S3."""
    problem = describe(errors.NotFound("R", "x" * 5_000, {"id": "y" * 5_000, "short": "z"}))
    assert (len(problem.message), len(problem.metadata["id"]), problem.metadata["short"]) == (1_000, 256, "z")


def test_an_unexpected_error_tells_its_incident_and_nothing_else():
    """S3."""
    one, two = unexpected(), unexpected()
    assert one.metadata["incident"] != two.metadata["incident"]
    assert one.message == f"internal error, incident {one.metadata['incident']}"
