"""The HTTP server: uvicorn as a task of the daemon's own loop, without signal handlers of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from fleetd.engine.log import Log
from fleetd.listening import BindError, clear, keep_private, unix_path
from fleetd.web.port import Port

BACKLOG = 1_024
LAST_MOMENT = 5
"""Seconds that calls get to end after they were told to."""
HEADERS = 64 << 10
"""Bytes of all headers of one request."""


@dataclass(frozen=True, slots=True)
class WebOptions:
    """
    `listen` is host:port or unix:path; `connections` at once, beyond which callers get 503; `idle` seconds that a connection is kept for its next request:
    longer than the usual pause of a client or proxy.
    """

    listen: str
    connections: int = 1_000
    idle: int = 75


class WebServer:
    """Serves the application on one address."""

    def __init__(self, options: WebOptions, app: ASGIApp, port: Port, log: Log) -> None:
        self._options = options
        self._port = port
        self._log = log
        self._server = _Server(
            uvicorn.Config(
                app,
                http=_Connection,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=options.connections,
                timeout_keep_alive=options.idle,
                timeout_graceful_shutdown=LAST_MOMENT,
                h11_max_incomplete_event_size=HEADERS,
            )
        )
        self._task: asyncio.Task[None] | None = None
        self._path: Path | None = None

    async def start(self) -> str:
        """Listen; return the address, with the port that was taken. Raises BindError."""
        bound, address = _bind(self._options.listen)
        self._path = unix_path(self._options.listen)
        self._task = asyncio.create_task(self._server.serve([bound]), name="web")
        self._task.add_done_callback(self._ended)
        return address

    async def stop(self, grace: int) -> None:
        """Give the calls under way `grace` ms, end them, and return when the server is gone. Safe to call twice, or without `start`."""
        task, self._task = self._task, None
        if task is None:
            return
        running = set(self._port.boundary.running)
        if running and grace:
            await asyncio.wait(running, timeout=grace / 1_000)
        self._port.stopping.set()
        self._server.should_exit = True
        await asyncio.gather(task, return_exceptions=True)
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._log.error("web_failed", exc_info=task.exception())


class _Connection(H11Protocol):
    """A connection that ends when its next request is late: uvicorn itself waits for ever for the first one, and for the rest of what has begun."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._late is not None:
            self._late.cancel()

    def _wait(self) -> None:
        if self._late is not None:
            self._late.cancel()
        self._late = self.loop.call_later(self.timeout_keep_alive, self._end)

    def _end(self) -> None:
        if self.conn.our_state in (h11.IDLE, h11.DONE):
            self.transport.close()


class _Server(uvicorn.Server):
    """A server that leaves signals to the daemon."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _bind(listen: str) -> tuple[socket.socket, str]:
    """Return a bound socket and its address. Raises BindError."""
    path = unix_path(listen)
    try:
        if path is not None:
            clear(path)
            bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            bound.bind(str(path))
            keep_private(path)
            return bound, listen
        host, _, port = listen.rpartition(":")
        family, kind, proto, _, place = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, proto)
        try:
            # A port in TIME_WAIT may be taken again; one that somebody listens on may not.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(place)
            bound.listen(BACKLOG)
        except BaseException:
            bound.close()
            raise
    except OSError as error:
        raise BindError(f"cannot listen on {listen}: {error.strerror or error}") from error
    return bound, f"{host}:{bound.getsockname()[1]}"
