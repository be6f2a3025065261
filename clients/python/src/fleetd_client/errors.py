"""
The daemon's errors, rebuilt as types named for what the caller should do.

FleetError
├── InvalidArgument      mend the named fields
├── NotFound             check the id
├── AlreadyExists        use another key
├── FailedPrecondition   the move is not legal now
│   ├── LeaseLost        stop the run: the lease is over
│   └── SessionReplaced  stop for good: another process took the agent's id
├── Aborted              read again, then repeat the whole operation
├── OutOfRange           start from another position
├── Overloaded           wait `retry_after`, then repeat: nothing was taken
├── Unavailable          the daemon cannot be reached, starts or drains: repeat what may be repeated
├── DeadlineExceeded     nobody knows whether it happened
├── Denied               get other credentials
├── Unimplemented        the daemon does not know the method: versions differ
├── ClientClosed         the program closed this client while the call waited: open another
└── Internal             a defect of the daemon
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from fleetd_client.stubs import ItemError, RouteItemError


class FleetError(Exception):
    """A refusal: a stable `reason` for programs, a `message` for people, `metadata`, and `retry_after` in seconds when the daemon named one."""

    def __init__(
        self,
        reason: str,
        message: str,
        metadata: Mapping[str, str] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata: dict[str, str] = dict(metadata or {})
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.message} [{self.reason}]"


class InvalidArgument(FleetError):
    """Fields are bad; `fields` holds (path, what would be right). Raised before the call for what the client sees itself."""

    def __init__(
        self,
        fields: Sequence[tuple[str, str]],
        reason: str = "FIELD_INVALID",
        message: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(reason, message or "; ".join(f"{path}: {text}" for path, text in fields), metadata)
        self.fields: tuple[tuple[str, str], ...] = tuple(fields)


class NotFound(FleetError):
    """There is no such thing."""


class AlreadyExists(FleetError):
    """The key is taken by something else."""


class FailedPrecondition(FleetError):
    """The move is not legal in the present state; nothing changed."""


class LeaseLost(FailedPrecondition):
    """The lease is over or another's; nothing changed."""


class SessionReplaced(FailedPrecondition):
    """Another process registered the same agent id; this one must stop for good."""


class Aborted(FleetError):
    """Somebody else changed it in between."""


class OutOfRange(FleetError):
    """The position is no longer (or not yet) there."""


class Overloaded(FleetError):
    """A limit is reached; nothing was taken."""


class Unavailable(FleetError):
    """Not now: the daemon cannot be reached, starts or drains."""


class DeadlineExceeded(FleetError):
    """The time is over; the daemon may or may not have done it."""


class Denied(FleetError):
    """The credentials are missing or do not allow this."""


class Unimplemented(FleetError):
    """The daemon does not know this method."""


class ClientClosed(FleetError):
    """The client was closed while the call waited; what had been sent may have been done."""

    def __init__(self) -> None:
        super().__init__("CLIENT_CLOSED", "the client was closed while the call waited")


class Internal(FleetError):
    """A defect of the daemon; its log holds the cause under metadata["incident"]."""


BY_CODE: dict[int, type[FleetError]] = {
    grpc.StatusCode.NOT_FOUND.value[0]: NotFound,
    grpc.StatusCode.ALREADY_EXISTS.value[0]: AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION.value[0]: FailedPrecondition,
    grpc.StatusCode.ABORTED.value[0]: Aborted,
    grpc.StatusCode.OUT_OF_RANGE.value[0]: OutOfRange,
    grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]: Overloaded,
    grpc.StatusCode.UNAVAILABLE.value[0]: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED.value[0]: DeadlineExceeded,
    grpc.StatusCode.UNAUTHENTICATED.value[0]: Denied,
    grpc.StatusCode.PERMISSION_DENIED.value[0]: Denied,
    grpc.StatusCode.UNIMPLEMENTED.value[0]: Unimplemented,
}
ROUTE_REASONS: dict[str, type[FleetError]] = {
    "PLAN_VERSION_MISMATCH": Aborted,
    "INSTANCE_NOT_ELIGIBLE": FailedPrecondition,
}
BY_REASON: dict[str, type[FleetError]] = {"LEASE_LOST": LeaseLost, "SESSION_REPLACED": SessionReplaced}


def build(
    code: int,
    reason: str,
    message: str,
    metadata: Mapping[str, str] | None = None,
    retry_after: float | None = None,
    fields: Iterable[tuple[str, str]] = (),
) -> FleetError:
    """The typed error of a google.rpc.Code and a reason; unknown codes are Internal."""
    if code == grpc.StatusCode.INVALID_ARGUMENT.value[0]:
        return InvalidArgument(tuple(fields), reason, message, metadata)
    kind = BY_REASON.get(reason) or BY_CODE.get(code, Internal)
    return kind(reason, message, metadata, retry_after)


def from_rpc(error: Any) -> FleetError:
    """The typed error of a grpc.RpcError, synchronous or not. Without ErrorInfo (raised by grpc itself) the reason is the code's name."""
    code: grpc.StatusCode = error.code()
    reason, message = code.name, error.details() or code.name
    metadata: dict[str, str] = {}
    retry_after: float | None = None
    fields: list[tuple[str, str]] = []
    for detail in _details(error):
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo()
            detail.Unpack(info)
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo()
            detail.Unpack(retry)
            retry_after = _seconds(retry.retry_delay)
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad = error_details_pb2.BadRequest()
            detail.Unpack(bad)
            fields = [(one.field, one.description) for one in bad.field_violations]
    return build(code.value[0], reason, message, metadata, retry_after, fields)


def from_item(error: ItemError) -> FleetError:
    """The typed error of one refused item of a batch."""
    fields = [(one.field, one.description) for one in error.fields]
    retry_after = _seconds(error.retry_after) if error.HasField("retry_after") else None
    return build(error.code, error.reason, error.message, error.metadata, retry_after, fields)


def from_route_item(error: RouteItemError) -> FleetError:
    """
    The typed error of one refused item of a batch of the Router. Older daemons name only reason, message and field: then it is a plain FleetError when
    those do not tell the type, as it is when nothing was done for want of room in the answer: the same call made alone tells.
    """
    if error.reason == "ANSWER_FULL":
        return FleetError(error.reason, error.message)
    if error.code:
        fields = [(error.field, error.message.removeprefix(f"{error.field}: "))] if error.field else []
        retry_after = _seconds(error.retry_after) if error.HasField("retry_after") else None
        return build(error.code, error.reason, error.message, {}, retry_after, fields)
    if error.field or error.reason == "FIELD_INVALID":
        text = error.message.removeprefix(f"{error.field}: ")
        fields = [(error.field, text)] if error.field else []
        return InvalidArgument(fields, error.reason, error.message if not fields else "")
    if error.reason.endswith("_NOT_FOUND"):
        return NotFound(error.reason, error.message)
    kind = ROUTE_REASONS.get(error.reason) or BY_REASON.get(error.reason, FleetError)
    return kind(error.reason, error.message)


def twin(error: FleetError) -> FleetError:
    """The same error as an object of its own: each caller that raises one adds its traceback to it."""
    other = type(error).__new__(type(error), *error.args)
    other.__dict__.update(error.__dict__)
    return other


def _seconds(wire: Any) -> float:
    return float(wire.seconds + wire.nanos / 1e9)


def _details(error: Any) -> Sequence[Any]:
    try:
        status = rpc_status.from_call(error)
    except ValueError:  # the details do not belong to this status: a middleman rewrote it
        return ()
    return () if status is None else list(status.details)
