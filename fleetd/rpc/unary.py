"""
Unary calls: one wrapper around each method, built once, in place of a chain of interceptors.

It reads the request, tells the method who calls and how long it may take, turns errors into statuses, and writes one line of log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import Any

import grpc

from fleetd.api.boundary import Boundary, too_large
from fleetd.api.calls import Call
from fleetd.api.errors import Code
from fleetd.api.table import Method
from fleetd.rpc.status import grpc_status

Context = Any
"""grpc.aio.ServicerContext: grpc ships no types."""
Handler = Callable[[bytes, Context], Awaitable[bytes]]

CERTAIN = 990
"""Milliseconds of each second that remains: on the wire a deadline has three digits, rounded up by as much as 1 %, so the caller's own clock
rings before the one told to the server."""


class Calls(Boundary):
    """What every call over gRPC has in common."""

    def call(self, context: Context, metadata: Sequence[tuple[str, str | bytes]]) -> Call:
        remaining = context.time_remaining()
        deadline = None if remaining is None else self.engine.clock.now() + int(remaining * CERTAIN)
        return Call("", deadline, tuple(metadata), context.peer())


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
                problem = too_large(len(answer), limit)
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
