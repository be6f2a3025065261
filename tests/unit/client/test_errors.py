"""Typed errors out of what travels: status, ErrorInfo, BadRequest, RetryInfo."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from fleetd_client import errors
from fleetd_client.stubs import ItemError


class Failure(grpc.RpcError):
    """A failed call as grpc hands it out."""

    def __init__(self, code, message, *details):
        status = status_pb2.Status(code=code.value[0], message=message)
        for detail in details:
            packed = AnyMessage()
            packed.Pack(detail)
            status.details.append(packed)
        self._code, self._message = code, message
        self._metadata = rpc_status.to_status(status).trailing_metadata if details else ()

    def code(self):
        return self._code

    def details(self):
        return self._message

    def trailing_metadata(self):
        return self._metadata


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("NOT_FOUND", errors.NotFound),
        ("ALREADY_EXISTS", errors.AlreadyExists),
        ("FAILED_PRECONDITION", errors.FailedPrecondition),
        ("ABORTED", errors.Aborted),
        ("OUT_OF_RANGE", errors.OutOfRange),
        ("RESOURCE_EXHAUSTED", errors.Overloaded),
        ("UNAVAILABLE", errors.Unavailable),
        ("DEADLINE_EXCEEDED", errors.DeadlineExceeded),
        ("UNIMPLEMENTED", errors.Unimplemented),
        ("PERMISSION_DENIED", errors.Denied),
        ("UNAUTHENTICATED", errors.Denied),
        ("INTERNAL", errors.Internal),
        ("UNKNOWN", errors.Internal),
    ],
)
def test_every_code_has_its_type_and_keeps_reason_and_metadata(code, kind):
    """S3, S2."""
    info = error_details_pb2.ErrorInfo(reason="A_REASON", domain="fleetd", metadata={"task_id": "t"})
    error = errors.from_rpc(Failure(grpc.StatusCode[code], "no such task", info))
    assert type(error) is kind
    assert (error.reason, error.message, error.metadata) == ("A_REASON", "no such task", {"task_id": "t"})


def test_bad_fields_are_named():
    """S3."""
    bad = error_details_pb2.BadRequest(
        field_violations=[{"field": "title", "description": "1 to 500 characters"}]
    )
    info = error_details_pb2.ErrorInfo(reason="FIELD_INVALID", domain="fleetd")
    error = errors.from_rpc(Failure(grpc.StatusCode.INVALID_ARGUMENT, "title: bad", info, bad))
    assert isinstance(error, errors.InvalidArgument)
    assert error.fields == (("title", "1 to 500 characters"),)
    assert error.reason == "FIELD_INVALID"


def test_the_time_to_wait_comes_in_seconds():
    """S7, S3."""
    retry = error_details_pb2.RetryInfo(retry_delay=Duration(seconds=1, nanos=500_000_000))
    error = errors.from_rpc(Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", retry))
    assert error.retry_after == 1.5


@pytest.mark.parametrize(
    ("reason", "kind"), [("LEASE_LOST", errors.LeaseLost), ("SESSION_REPLACED", errors.SessionReplaced)]
)
def test_reasons_that_ask_for_something_of_their_own_have_types_of_their_own(reason, kind):
    """T5, D1."""
    info = error_details_pb2.ErrorInfo(reason=reason, domain="fleetd")
    assert type(errors.from_rpc(Failure(grpc.StatusCode.FAILED_PRECONDITION, "no", info))) is kind


def test_an_error_of_grpc_itself_has_the_name_of_its_code_as_reason():
    """S3."""
    error = errors.from_rpc(Failure(grpc.StatusCode.UNAVAILABLE, "connection refused"))
    assert isinstance(error, errors.Unavailable)
    assert (error.reason, error.retry_after) == ("UNAVAILABLE", None)
    assert str(error) == "connection refused [UNAVAILABLE]"


def test_details_of_another_status_are_not_believed():
    """S3."""
    failure = Failure(grpc.StatusCode.NOT_FOUND, "gone", error_details_pb2.ErrorInfo(reason="TASK_NOT_FOUND"))
    failure._code = grpc.StatusCode.UNAVAILABLE
    error = errors.from_rpc(failure)
    assert isinstance(error, errors.Unavailable)
    assert error.reason == "UNAVAILABLE"


def test_a_refused_item_of_a_batch_is_the_error_a_call_would_raise():
    """T4, S3."""
    item = ItemError(
        code=3, reason="FIELD_INVALID", message="bad", fields=[{"field": "title", "description": "text"}]
    )
    error = errors.from_item(item)
    assert isinstance(error, errors.InvalidArgument)
    assert error.fields == (("title", "text"),)


def test_a_refused_item_keeps_what_its_reason_is_about_and_when_to_try_again():
    """S3, S5."""
    item = ItemError(
        code=8, reason="ORG_PENDING_LIMIT", metadata={"org_id": "acme"}, retry_after={"nanos": 500_000_000}
    )
    error = errors.from_item(item)
    assert isinstance(error, errors.Overloaded)
    assert (error.metadata, error.retry_after) == ({"org_id": "acme"}, 0.5)


def test_the_twin_of_an_error_is_equal_and_another():
    """S3, S5."""
    error = errors.InvalidArgument([("title", "text")])
    twin = errors.twin(error)
    assert twin is not error
    assert type(twin) is errors.InvalidArgument
    assert (twin.fields, twin.reason, str(twin)) == (error.fields, error.reason, str(error))
