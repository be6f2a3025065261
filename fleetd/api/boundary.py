"""The boundary of the daemon, the same for every transport: ids of requests, how errors leave, and one line of log for each call."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Sequence
from time import perf_counter
from typing import Any

from fleetd.api.errors import Code, Problem, describe, unexpected
from fleetd.engine.engine import Engine
from fleetd.engine.failures import store_failure
from fleetd.errors import FleetError

REQUEST_ID = "x-request-id"
LONGEST_ID = 128


class Boundary:
    """What every call has in common: ids, the set of those under way, the log, and the way errors leave."""

    def __init__(self, engine: Engine, log: Any) -> None:
        self.engine = engine
        self.log = log
        self.running: set[asyncio.Task[Any]] = set()
        self._prefix = secrets.token_hex(4)
        self._numbers = itertools.count(1)

    def request_id(self, metadata: Sequence[tuple[str, str | bytes]]) -> str:
        """Return the caller's id of the request, or one of ours."""
        for key, value in metadata:
            if key == REQUEST_ID and isinstance(value, str) and 0 < len(value) <= LONGEST_ID:
                return value
        return f"{self._prefix}-{next(self._numbers):x}"

    def problem(self, error: Exception, method: str, request_id: str) -> Problem:
        """Return what the caller is told; failures of the store and defects go to the log with their cause, of defects an incident id goes out."""
        error = _single(error)
        if isinstance(error, FleetError):
            return describe(error)
        refusal = store_failure(error)
        if refusal is not None:
            self.log.error(
                "store_failed",
                method=method,
                request_id=request_id,
                reason=refusal.reason,
                message=str(error),
            )
            return describe(refusal)
        incident = unexpected()
        self.log.error(
            "call_failed",
            method=method,
            request_id=request_id,
            incident=incident.metadata["incident"],
            exc_info=error,
        )
        return describe(incident)

    def line(self, method: str, code: Code, reason: str, began: float, peer: str, request_id: str) -> None:
        """Write the canonical line of a call that ended."""
        self.log.info(
            "call",
            method=method,
            code=code.name,
            reason=reason,
            ms=round((perf_counter() - began) * 1_000, 3),
            peer=peer,
            request_id=request_id,
        )


def too_large(size: int, limit: int) -> Problem:
    """Return what is told in place of an answer that is too large."""
    message = f"the answer has {size:,} bytes, more than {limit:,}: ask for less at once"
    return Problem(Code.RESOURCE_EXHAUSTED, "ANSWER_TOO_LARGE", message)


def _single(error: Exception) -> Exception:
    """Unwrap what a task group wrapped around one error."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
