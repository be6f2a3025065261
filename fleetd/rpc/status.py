"""Problems as google.rpc.Status, kept small: what does not fit into 8 KiB of trailing metadata would be lost altogether."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from fleetd.api.errors import DOMAIN, Problem

MESSAGE = 1_500
"""Bytes of the message, percent-encoded as HTTP/2 carries it beside the details."""
DETAILS = 3_000
"""Bytes of bad fields; base64 makes a third more of them. With the message twice that stays under 8 KiB."""


def grpc_status(problem: Problem) -> Any:
    """Return the grpc.Status to abort a call with."""
    status = status_pb2.Status(code=int(problem.code), message=_fitting(problem.message))
    info = error_details_pb2.ErrorInfo(reason=problem.reason, domain=DOMAIN, metadata=dict(problem.metadata))
    status.details.add().Pack(info)
    if problem.fields:
        status.details.add().Pack(_bad_request(problem.fields))
    if problem.retry_after is not None:
        seconds, rest = divmod(problem.retry_after, 1_000)
        delay = Duration(seconds=seconds, nanos=rest * 1_000_000)
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return rpc_status.to_status(status)


def _bad_request(fields: tuple[tuple[str, str], ...]) -> error_details_pb2.BadRequest:
    """Return as many bad fields as fit; the last entry tells how many more there are."""
    found = error_details_pb2.BadRequest()
    size = 0
    for place, (path, right) in enumerate(fields):
        violation = error_details_pb2.BadRequest.FieldViolation(field=path, description=right)
        size += violation.ByteSize()
        if found.field_violations and size > DETAILS:
            found.field_violations.add(field="…", description=f"and {len(fields) - place} more")
            break
        found.field_violations.append(violation)
    return found


def _fitting(message: str) -> str:
    if len(message) * 12 <= MESSAGE:  # four bytes a character, each written as %XX
        return message
    short = message
    while len(quote(short, safe=" !\"#$&'()*+,/:;<=>?@[]{}|^`~")) > MESSAGE:
        short = short[: len(short) * 3 // 4]
    return short if short == message else short[:-1] + "…"
