"""Problems as answers over HTTP: the JSON and the status that the Connect protocol has for them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf import json_format
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from starlette.responses import Response

from fleetd.api.errors import DOMAIN, Code, Problem
from fleetd.web.message_json import encoded

JSON = "application/json"

STATUSES: Mapping[Code, int] = {
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.UNAUTHENTICATED: 401,
}
"""The table of the Connect protocol."""


class Refused(Exception):
    """A request that never came to a method; `status` where HTTP has a better word than the table."""

    def __init__(
        self, status: int, code: Code, reason: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.problem = Problem(code, reason, message)
        self.headers = dict(headers or {})


def json_response(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer that holds one JSON value."""
    return Response(encoded(value), status, headers=dict(headers or {}), media_type=JSON)


def problem_response(problem: Problem, status: int = 0, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer that tells of a problem: {"code", "message", "details"}."""
    found = dict(headers or {})
    if problem.retry_after is not None:
        found["Retry-After"] = str(-(-problem.retry_after // 1_000))
    body = {
        "code": "canceled" if problem.code is Code.CANCELLED else problem.code.name.lower(),
        "message": problem.message,
        "details": [_detail(detail) for detail in _details(problem)],
    }
    return json_response(body, status or STATUSES.get(problem.code, 500), found)


def _details(problem: Problem) -> Iterator[Message]:
    yield error_details_pb2.ErrorInfo(reason=problem.reason, domain=DOMAIN, metadata=dict(problem.metadata))
    if problem.fields:
        violation = error_details_pb2.BadRequest.FieldViolation
        yield error_details_pb2.BadRequest(
            field_violations=[violation(field=path, description=right) for path, right in problem.fields]
        )
    if problem.retry_after is not None:
        seconds, rest = divmod(problem.retry_after, 1_000)
        yield error_details_pb2.RetryInfo(retry_delay=Duration(seconds=seconds, nanos=rest * 1_000_000))


def _detail(message: Message) -> dict[str, Any]:
    # Without padding, as the protocol asks for.
    value = b64encode(message.SerializeToString(deterministic=True)).decode().rstrip("=")
    return {"type": message.DESCRIPTOR.full_name, "value": value, "debug": json_format.MessageToDict(message)}
