"""
What every path of the port goes through: reading a body within its limit, calling a method of the table, and one boundary for errors and the log.

A caller who leaves ends its call, as over gRPC: a claim that waits must not take a lease for somebody who is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, TypeVar, TypeVarTuple
from urllib.parse import urlsplit

from google.protobuf.message import Message
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from fleetd.api.boundary import Boundary
from fleetd.api.calls import Call
from fleetd.api.errors import Code
from fleetd.api.table import Method
from fleetd.errors import InvalidArgument, Unavailable
from fleetd.web.errors import JSON, Refused, problem_response
from fleetd.web.message_json import parse_object

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

TIMEOUT = "connect-timeout-ms"
CERTAIN = 990
"""Thousandths of the caller's time that a method may use: the answer has to travel back, too."""
LARGE = 64 << 10
"""Bytes of JSON from which on its conversion runs beside the event loop: it takes about a millisecond."""


@dataclass(frozen=True, slots=True)
class PortOptions:
    """`max_body` bytes of any request, where its method has no smaller limit; `body_timeout` milliseconds for it to arrive."""

    max_body: int = 8 << 20
    body_timeout: int = 30_000


class Port:
    """The methods, as the paths call them."""

    def __init__(
        self,
        boundary: Boundary,
        methods: Mapping[str, Method],
        options: PortOptions | None = None,
    ) -> None:
        self.boundary = boundary
        self.methods = methods
        self.stopping = asyncio.Event()
        self.held = False
        """While it is set the daemon is starting for everybody here, whatever the engine does already."""
        self.options = options or PortOptions()
        self._by_name = {method.name: method for method in methods.values()}

    @property
    def state(self) -> str:
        """What the daemon does, as callers are to see it."""
        return "STARTING" if self.held else self.boundary.engine.state

    async def answer(
        self, request: Request, name: str, work: Callable[[Call], Awaitable[Response]]
    ) -> Response:
        """Run `work` for a request: errors become answers, the caller's time is kept, and its end is a line of the log."""
        boundary, began = self.boundary, perf_counter()
        headers = [(key.decode("latin-1"), value.decode("latin-1")) for key, value in request.headers.raw]
        request_id = boundary.request_id(headers)
        peer = f"{request.client.host}:{request.client.port}" if request.client else "unix"
        code, reason = Code.OK, ""
        task = asyncio.current_task()
        if task is not None:
            boundary.running.add(task)
        try:
            same_site(request)
            limit = _timeout(request)
            now = boundary.engine.clock.now()
            call = Call("", None if limit is None else now + limit * CERTAIN // 1_000, tuple(headers), peer)
            try:
                async with asyncio.timeout(None if limit is None else limit / 1_000):
                    response = await work(call)
            except TimeoutError:
                raise Refused(504, Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "the time is over") from None
        except asyncio.CancelledError:
            code = Code.CANCELLED
            raise
        except ClientDisconnect:
            code = Code.CANCELLED
            response = Response(status_code=499)
        except Refused as error:
            code, reason = error.problem.code, error.problem.reason
            response = problem_response(error.problem, error.status, error.headers)
        except Exception as error:  # noqa: BLE001 - the boundary: every error becomes an answer
            problem = boundary.problem(error, name, request_id)
            code, reason = problem.code, problem.reason
            response = problem_response(problem)
        finally:
            if task is not None:
                boundary.running.discard(task)
            boundary.line(name, code, reason, began, peer, request_id)
        response.headers["X-Request-Id"] = request_id
        return response

    async def body(self, request: Request, limit: int) -> bytes:
        """Return the body. Raises Refused when it is larger than `limit` bytes or does not arrive."""
        limit = min(limit, self.options.max_body)
        told = request.headers.get("content-length", "")
        if told.isdecimal() and int(told) > limit:
            raise _too_long(limit)
        found = bytearray()
        try:
            async with asyncio.timeout(self.options.body_timeout / 1_000):
                async for chunk in request.stream():
                    found += chunk
                    if len(found) > limit:
                        raise _too_long(limit)
        except TimeoutError:
            late = f"the body did not arrive within {self.options.body_timeout} ms"
            raise Refused(408, Code.DEADLINE_EXCEEDED, "BODY_TIMEOUT", late) from None
        return bytes(found)

    async def json(self, request: Request, limit: int) -> dict[str, Any]:
        """Return the JSON object of the body. Raises Refused, InvalidArgument."""
        data = await self.body(request, limit)
        if data and media_type(request) != JSON:
            raise wrong_type()
        return await aside(len(data), parse_object, data)

    def method(self, name: str) -> Method:
        """Return a unary method by its name alone: no two services share one."""
        return self._by_name[name]

    async def call(self, request: Request, method: Method, message: Message, call: Call) -> Message:
        """Call a method for as long as its caller is there. Raises FleetError, ClientDisconnect."""
        if self.state == "STARTING":
            raise Unavailable("STARTING", "the daemon is starting")
        method.admit(self.state)
        serve = method.serve
        if serve is None:
            raise Refused(
                501, Code.UNIMPLEMENTED, "STREAM", f"{method.name} is a stream, which is served over gRPC"
            )
        return await self._while_there(request, serve(message, call))

    async def _while_there(self, request: Request, work: Awaitable[T]) -> T:
        working = asyncio.ensure_future(work)
        leaving = asyncio.ensure_future(_left(request))
        ending = asyncio.ensure_future(self.stopping.wait())
        every: list[asyncio.Future[Any]] = [working, leaving, ending]
        try:
            await asyncio.wait(every, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            if leaving.done():
                raise ClientDisconnect
            raise Unavailable("DRAINING", "the daemon is stopping")
        finally:
            for future in every:
                future.cancel()
            await asyncio.gather(*every, return_exceptions=True)


async def aside(size: int, convert: Callable[[*Ts], T], *arguments: *Ts) -> T:
    """Convert something of `size` bytes, beside the event loop when it is large."""
    return convert(*arguments) if size < LARGE else await asyncio.to_thread(convert, *arguments)


def media_type(request: Request) -> str:
    """Return the content type without its parameters, in small letters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def wrong_type(right: str = JSON) -> Refused:
    """Return the refusal of a body in a form that nobody reads here."""
    message = f"Content-Type must be {right}"
    return Refused(415, Code.INVALID_ARGUMENT, "CONTENT_TYPE", message, {"Accept-Post": right})


def same_site(request: Request) -> None:
    """Refuse what a page of another site has a browser send: nothing else proves who calls a port of this machine. Raises Refused."""
    origin = request.headers.get("origin", "")
    try:
        place = urlsplit(origin).netloc.lower()
    except ValueError:
        place = ""
    if origin and place != request.headers.get("host", "").lower():
        raise Refused(403, Code.PERMISSION_DENIED, "OTHER_ORIGIN", "pages of other sites may not call")


def _timeout(request: Request) -> int | None:
    text = request.headers.get(TIMEOUT)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 10):
        raise InvalidArgument([("Connect-Timeout-Ms", "must be 1 to 10 digits")])
    return int(text)


def _too_long(limit: int) -> Refused:
    message = f"request: must have at most {limit:,} bytes"
    return Refused(413, Code.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE", message, {"Connection": "close"})


async def _left(request: Request) -> None:
    """Return when the caller has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
