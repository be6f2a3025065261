"""What went wrong, in words for people and as an exit code."""

from __future__ import annotations

from fleetd_client.cli import exit_codes
from fleetd_client.errors import (
    Aborted,
    AlreadyExists,
    DeadlineExceeded,
    Denied,
    FailedPrecondition,
    FleetError,
    Internal,
    InvalidArgument,
    NotFound,
    OutOfRange,
    Overloaded,
    SessionReplaced,
    Unavailable,
    Unimplemented,
)

EXIT_CODES: dict[type[FleetError], int] = {
    InvalidArgument: exit_codes.USAGE,
    NotFound: exit_codes.NOT_FOUND,
    AlreadyExists: exit_codes.PRECONDITION,
    FailedPrecondition: exit_codes.PRECONDITION,
    Aborted: exit_codes.PRECONDITION,
    OutOfRange: exit_codes.PRECONDITION,
    Overloaded: exit_codes.UNAVAILABLE,
    Unavailable: exit_codes.UNAVAILABLE,
    DeadlineExceeded: exit_codes.UNAVAILABLE,
}

# What to do, by the kind of error; {server} is where the daemon was looked for.
REMEDIES: dict[type[FleetError], str] = {
    Aborted: "somebody changed it meanwhile: read it again, then repeat",
    Overloaded: "nothing was taken: try again a little later",
    DeadlineExceeded: "whether it was done is not known: look before you repeat it, or give it more --timeout",
    Denied: "this needs other credentials",
    SessionReplaced: "another process took this name; give each its own with --id",
    Unimplemented: "daemon and client differ in version: see fleetctl status",
    Internal: "a defect of the daemon: its log tells more",
}
# More exact, by reason.
REASON_REMEDIES = {
    "TASK_NOT_FOUND": "see fleetctl tasks list",
    "AGENT_NOT_FOUND": "see fleetctl agents list and fleetctl hosts list",
    "HOST_NOT_FOUND": "see fleetctl hosts list",
    "INSTANCE_NOT_FOUND": "see fleetctl instances list",
    "PLAN_NOT_FOUND": "it was not routed, or long ago",
    "INSTANCE_NOT_ELIGIBLE": "see fleetctl route explain, or use --force",
    "ROLLOUT_NOT_FOUND": "see fleetctl rollouts list",
    "ROLLOUT_DEFINED_ELSEWHERE": "change it there: fleetctl rollouts get names the origin",
    "SALT_CHANGED": "leave it as it is, or put the rollout under another name",
    "WAIT_TIMEOUT": "it goes on: wait again, or see fleetctl tasks get",
    "STORE_FULL": "make room on the daemon's disk",
    "STORE_BROKEN": "the daemon's log tells what is wrong with it",
}
# Said by grpc itself, which knows nothing of daemons.
UNREACHABLE = "the daemon at {server} cannot be reached"
UNREACHABLE_REMEDY = "is it running? start it with fleetd serve, or name another with --server"


def exit_code(error: FleetError) -> int:
    """The exit code of an error, its base's where it has none of its own."""
    return next((EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES), exit_codes.ERROR)


def explain(error: FleetError, server: str) -> list[str]:
    """The lines for people: message, reason and what to do; bad fields one a line below it."""
    message, remedy = error.message, _remedy(error)
    # An error the daemon sent has a reason of its own, one of grpc's is named like its code.
    if isinstance(error, Unavailable) and error.reason == "UNAVAILABLE":
        message, remedy = UNREACHABLE.format(server=server), UNREACHABLE_REMEDY
    if isinstance(error, InvalidArgument) and error.fields:
        return [f"bad request [{error.reason}]", *(f"  {path}: {text}" for path, text in error.fields)]
    first = f"{message.strip().splitlines()[0]} [{error.reason}]" if message.strip() else error.reason
    return [f"{first}; {remedy}" if remedy else first]


def _remedy(error: FleetError) -> str:
    if error.reason in REASON_REMEDIES:
        return REASON_REMEDIES[error.reason]
    return next((REMEDIES[kind] for kind in type(error).__mro__ if kind in REMEDIES), "")
