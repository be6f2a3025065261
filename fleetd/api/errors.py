"""The error table: what went wrong, as google.rpc codes and details in plain values (spec S3). Each transport writes them its own way."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from fleetd import errors

DOMAIN = "fleetd"
TEXT = 1_000
"""Characters of a message or of what would be right that are passed on: texts of callers come back in them."""
VALUE = 256
"""Characters of a value of the metadata that are passed on."""


class Code(IntEnum):
    """google.rpc.Code, as far as methods answer with it."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


CODES: Mapping[type[BaseException], Code] = {
    errors.InvalidArgument: Code.INVALID_ARGUMENT,
    errors.NotFound: Code.NOT_FOUND,
    errors.AlreadyExists: Code.ALREADY_EXISTS,
    errors.WrongState: Code.FAILED_PRECONDITION,
    errors.Conflict: Code.ABORTED,
    errors.OutOfRange: Code.OUT_OF_RANGE,
    errors.Overloaded: Code.RESOURCE_EXHAUSTED,
    errors.Unavailable: Code.UNAVAILABLE,
    errors.Internal: Code.INTERNAL,
}


@dataclass(frozen=True, slots=True)
class Problem:
    """
    One error for a caller: `reason` and `metadata` go into ErrorInfo (domain DOMAIN), `fields` (path, what would be right) into
    BadRequest, `retry_after` (milliseconds) into RetryInfo; those two only when they are set.
    """

    code: Code
    reason: str
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    fields: tuple[tuple[str, str], ...] = ()
    retry_after: int | None = None


def describe(error: errors.FleetError) -> Problem:
    """Return what the caller is told; a subclass without a line of its own is told as its parent."""
    code = next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), Code.UNKNOWN)
    fields: tuple[tuple[str, str], ...] = ()
    retry_after = None
    if isinstance(error, errors.InvalidArgument):
        fields = tuple((_short(path, VALUE), _short(right, VALUE)) for path, right in error.fields)
    elif isinstance(error, (errors.Overloaded, errors.Unavailable)):
        retry_after = error.retry_after
    metadata = {key: _short(value, VALUE) for key, value in error.metadata.items()}
    return Problem(code, error.reason, _short(error.message, TEXT), metadata, fields, retry_after)


def unexpected() -> errors.Internal:
    """Return the error that stands for a defect: a fresh incident id to be logged with the cause, and nothing else."""
    return errors.Internal(secrets.token_hex(6))


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
