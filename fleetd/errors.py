"""
The errors of fleetd, named for what the caller should do.

FleetError
├── InvalidArgument    mend the named fields
├── NotFound           check the id
├── AlreadyExists      use another key
├── WrongState         the move is not legal now
│   └── LeaseLost      stop the run: the lease is over
├── Conflict           read again, then repeat the whole operation
├── OutOfRange         start from another position
├── Overloaded         wait `retry_after`, then repeat
├── Unavailable        wait `retry_after`, then repeat: nothing is known to have changed
└── Internal           report the incident id

Nothing here knows gRPC or HTTP; fleetd.api.errors maps each class to its status.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class FleetError(Exception):
    """An expected refusal: a stable `reason` for programs, a sentence for people, details in `metadata`."""

    def __init__(self, reason: str, message: str, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata: dict[str, str] = dict(metadata or {})


class InvalidArgument(FleetError):
    """Fields of the request are bad; `fields` holds (path, what would be right)."""

    def __init__(self, fields: Sequence[tuple[str, str]], reason: str = "FIELD_INVALID") -> None:
        super().__init__(reason, "; ".join(f"{path}: {text}" for path, text in fields))
        self.fields: tuple[tuple[str, str], ...] = tuple(fields)


class NotFound(FleetError):
    """There is no such thing."""


class AlreadyExists(FleetError):
    """The key is taken by something else."""


class WrongState(FleetError):
    """The move is not legal in the present state; nothing changed."""


class LeaseLost(WrongState):
    """The lease is over or another's; nothing changed."""

    def __init__(self, message: str, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__("LEASE_LOST", message, metadata)


class Conflict(FleetError):
    """Somebody else changed it in between."""


class OutOfRange(FleetError):
    """The position is no longer (or not yet) there."""


class Overloaded(FleetError):
    """A limit is reached; nothing was taken. `retry_after` in milliseconds."""

    def __init__(
        self, reason: str, message: str, retry_after: int = 500, metadata: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(reason, message, metadata)
        self.retry_after = retry_after


class Unavailable(FleetError):
    """Not now. `retry_after` in milliseconds."""

    def __init__(self, reason: str, message: str, retry_after: int = 1_000) -> None:
        super().__init__(reason, message)
        self.retry_after = retry_after


class Internal(FleetError):
    """A defect of the daemon; the log holds the cause under the incident id."""

    def __init__(self, incident: str) -> None:
        super().__init__("INTERNAL", f"internal error, incident {incident}", {"incident": incident})
