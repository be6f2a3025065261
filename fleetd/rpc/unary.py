"""
Unary calls: one wrapper around each method, built once, in place of a chain of interceptors.

It reads the request, tells the method who calls and how long it may take, turns errors into statuses, and writes one line of log.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import Any

import grpc

from fleetd.api.calls import Call
from fleetd.api.errors import Code, Problem, describe, unexpected
from fleetd.api.table import Method
from fleetd.engine.engine import Engine
from fleetd.engine.failures import store_failure
from fleetd.errors import FleetError
from fleetd.rpc.status import grpc_status

Context = Any
"""grpc.aio.ServicerContext: grpc ships no types."""
Handler = Callable[[bytes, Context], Awaitable[bytes]]

REQUEST_ID = "x-request-id"
LONGEST_ID = 128
CERTAIN = 990
"""Milliseconds of each second that remains: on the wire a deadline has three digits, rounded up by as much as 1 %, so the caller's own clock
rings before the one told to the server."""


class Calls:
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

    def call(self, context: Context, metadata: Sequence[tuple[str, str | bytes]]) -> Call:
        remaining = context.time_remaining()
        deadline = None if remaining is None else self.engine.clock.now() + int(remaining * CERTAIN)
        return Call("", deadline, tuple(metadata), context.peer())

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


def unary(calls: Calls, method: Method, limit: int) -> Handler:
    """Return the handler of a unary method: bytes in, at most `limit` bytes out."""
    name = f"{method.service}/{method.name}"
    serve, engine, running = method.serve, calls.engine, calls.running
    if serve is None:
        raise TypeError(f"{name} is a stream")

    async def handle(data: bytes, context: Context) -> bytes:
        began = perf_counter()
        metadata = context.invocation_metadata() or ()
        request_id = calls.request_id(metadata)
        call = calls.call(context, metadata)
        code, reason = Code.OK, ""
        task = asyncio.current_task()
        if task is not None:
            running.add(task)
        try:
            try:
                method.admit(engine.state)
                answer: bytes = (await serve(method.read(data), call)).SerializeToString()
            except Exception as error:  # noqa: BLE001 - the boundary: every error becomes a status
                problem = calls.problem(error, name, request_id)
            else:
                if len(answer) <= limit:
                    return answer
                problem = _too_large(len(answer), limit)
            code, reason = problem.code, problem.reason
        except asyncio.CancelledError:
            late = call.deadline is not None and engine.clock.now() >= call.deadline
            code = Code.DEADLINE_EXCEEDED if late else Code.CANCELLED
            raise
        finally:
            if task is not None:
                running.discard(task)
            # Before the status goes out: whoever got an answer finds its line in the log.
            calls.line(name, code, reason, began, call.peer, request_id)
        await context.abort_with_status(grpc_status(problem))
        raise AssertionError  # abort_with_status always raises

    return handle


def unary_handler(calls: Calls, method: Method, limit: int) -> Any:
    return grpc.unary_unary_rpc_method_handler(unary(calls, method, limit))


def _too_large(size: int, limit: int) -> Problem:
    message = f"the answer has {size:,} bytes, more than {limit:,}: ask for less at once"
    return Problem(Code.RESOURCE_EXHAUSTED, "ANSWER_TOO_LARGE", message)


def _single(error: Exception) -> Exception:
    """Unwrap what a task group wrapped around one error."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
