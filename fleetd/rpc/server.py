"""The gRPC server: handlers from the method table, channel arguments, start and stop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from fleet.v1 import dispatcher_pb2
from fleetd.api.errors import Code
from fleetd.api.limits import Limits
from fleetd.api.methods_events import EventMethods
from fleetd.api.methods_task_events import TaskEventMethods
from fleetd.api.table import DISPATCHER, SERVICES, Method
from fleetd.engine.engine import Engine
from fleetd.listening import BindError, clear, keep_private, unix_path
from fleetd.rpc import health as health_service
from fleetd.rpc.claim import AgentStream, ClaimOptions
from fleetd.rpc.health import HealthService
from fleetd.rpc.status import grpc_status
from fleetd.rpc.unary import Calls, Context, unary_handler
from fleetd.rpc.watch import Watch
from fleetd.rpc.watch_task import TaskWatch

LAST_MOMENT = 5.0
"""Seconds that handlers get to end after the server has cancelled them."""


@dataclass(frozen=True, slots=True)
class RpcOptions:
    """`listen` is host:port or unix:path; `message` bytes of one message either way; `limits` of the fields; `version` of the software."""

    listen: str = "127.0.0.1:50051"
    message: int = 8 << 20
    version: str = ""
    limits: Limits = field(default_factory=Limits)
    claim: ClaimOptions = field(default_factory=ClaimOptions)


def channel_arguments(message: int) -> list[tuple[str, int]]:
    """Return the arguments of a server with thousands of mostly idle streams."""
    return [
        # A second daemon on the port must fail instead of sharing the agents.
        ("grpc.so_reuseport", 0),
        # Finds dead sockets; heartbeats find dead agents sooner.
        ("grpc.keepalive_time_ms", 30_000),
        # The time for the answer to such a ping; keepalive_timeout_ms has no effect in grpc-core and is kept equal in case it gets one.
        ("grpc.http2.ping_timeout_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        # Below every client's keepalive interval, or its jitter counts as a strike and ends the connection.
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # Few would make short calls wait behind long polls on the same channel.
        ("grpc.max_concurrent_streams", 1_000),
        ("grpc.max_receive_message_length", message),
        ("grpc.max_send_message_length", message),
        # Frees channels that operators forgot; a stream keeps its connection busy.
        ("grpc.max_connection_idle_ms", 15 * 60_000),
        ("grpc.server_handshake_timeout_ms", 10_000),
    ]


class RpcServer:
    """Serves the methods on one address."""

    def __init__(
        self,
        options: RpcOptions,
        methods: Mapping[str, Method],
        engine: Engine,
        health: HealthService,
        log: Any,
    ) -> None:
        self._options = options
        self._methods = methods
        self._engine = engine
        self._health = health
        self._log = log
        self._calls = Calls(engine, log)
        self._stopping = asyncio.Event()
        self._watch = Watch(engine, EventMethods(engine, options.limits), self._stopping)
        self._task_watch = TaskWatch(engine, TaskEventMethods(engine, options.limits))
        self._server: Any = None

    async def start(self) -> str:
        """Listen; return the address, with the port that was taken. Raises BindError."""
        server = grpc.aio.server(options=channel_arguments(self._options.message))
        for service, handlers in self._handlers().items():
            # Not as registered methods: the server waits on one future for each of those at every call.
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        try:
            address = _bind(server, self._options.listen)
            await server.start()
        except BaseException:
            await server.stop(None)
            raise
        self._server = server
        return address

    def set_serving(self, *, serving: bool) -> None:
        """Tell health probes whether the daemon takes work."""
        self._health.set_serving(serving=serving)

    async def stop(self, grace: int) -> None:
        """Refuse new calls, give those under way `grace` ms, and return when the last handler is done. Safe to call twice."""
        self._health.stop()
        self._stopping.set()
        self._engine.task_feed.close()
        server, self._server = self._server, None
        if server is not None:
            await server.stop(grace / 1_000)
        # Stopping does not wait for handlers that were cancelled; the store is closed after this, so they must be done.
        running = set(self._calls.running)
        if running:
            await asyncio.wait(running, timeout=LAST_MOMENT)

    def _handlers(self) -> dict[str, dict[str, Any]]:
        """Return grpc handlers by service and method."""
        handlers: dict[str, dict[str, Any]] = {
            health_service.NAME: self._health.handlers(),
            reflection.SERVICE_NAME: {"ServerReflectionInfo": _reflection_handler()},
        }
        for method in self._methods.values():
            if method.full_name == f"/{DISPATCHER}/Claim":
                handler = grpc.stream_stream_rpc_method_handler(self._claim)
            elif method.full_name == f"/{DISPATCHER}/WatchEvents":
                handler = grpc.unary_stream_rpc_method_handler(self._watch_events)
            elif method.full_name == f"/{DISPATCHER}/WatchTask":
                handler = grpc.unary_stream_rpc_method_handler(self._watch_task)
            else:
                handler = unary_handler(self._calls, method, self._options.message)
            handlers.setdefault(method.service, {})[method.name] = handler
        return handlers

    async def _claim(self, _requests: Any, context: Context) -> None:
        peer = context.peer()
        async with _surrounded(self._calls, context, f"{DISPATCHER}/Claim", peer) as line:
            line.quiet = True  # the end of its session has a line of its own
            options = self._options
            stream = AgentStream(self._engine, options.limits, options.claim, options.version, context)
            await stream.run(self._log, peer)

    async def _watch_events(self, data: bytes, context: Context) -> None:
        method = self._methods[f"/{DISPATCHER}/WatchEvents"]
        async with _surrounded(self._calls, context, f"{DISPATCHER}/WatchEvents", context.peer()):
            method.admit(self._engine.state)
            request: dispatcher_pb2.WatchEventsRequest = method.read(data)
            async with contextlib.aclosing(self._watch.events(request)) as messages:
                async for message in messages:
                    await context.write(message.SerializeToString())

    async def _watch_task(self, data: bytes, context: Context) -> None:
        method = self._methods[f"/{DISPATCHER}/WatchTask"]
        async with _surrounded(self._calls, context, f"{DISPATCHER}/WatchTask", context.peer()):
            method.admit(self._engine.state)
            request: dispatcher_pb2.WatchTaskRequest = method.read(data)
            async with contextlib.aclosing(self._task_watch.messages(request)) as messages:
                async for message in messages:
                    await context.write(message)


def _reflection_handler() -> Any:
    servicer = reflection.aio.ReflectionServicer((*SERVICES, health_service.NAME, reflection.SERVICE_NAME))
    return grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )


@dataclass(slots=True)
class _Line:
    quiet: bool = False


@contextlib.asynccontextmanager
async def _surrounded(calls: Calls, context: Context, name: str, peer: str) -> Any:
    """Surround a stream as unary calls are: errors become statuses, and its end is a line of log unless it went well and is quiet."""
    began, line = perf_counter(), _Line()
    request_id = calls.request_id(context.invocation_metadata() or ())
    code, problem = Code.OK, None
    task = asyncio.current_task()
    if task is not None:
        calls.running.add(task)
    try:
        yield line
    except asyncio.CancelledError:
        code = Code.CANCELLED
        raise
    except grpc.aio.BaseError:
        # The peer is gone: a write failed, and there is nobody to tell.
        code = Code.CANCELLED
    except Exception as error:  # noqa: BLE001 - the boundary: every error becomes a status
        problem = calls.problem(error, name, request_id)
        code = problem.code
    finally:
        if task is not None:
            calls.running.discard(task)
        if not line.quiet or problem is not None:
            calls.line(name, code, problem.reason if problem else "", began, peer, request_id)
    if problem is not None:
        await context.abort_with_status(grpc_status(problem))


def _bind(server: Any, listen: str) -> str:
    path = unix_path(listen)
    if path is not None:
        clear(path)
    try:
        port = server.add_insecure_port(listen)
    except RuntimeError as error:
        raise BindError(f"cannot listen on {listen}: is another daemon there?") from error
    if path is not None:
        keep_private(path)
        return listen
    if not port:
        raise BindError(f"cannot listen on {listen}: is another daemon there?")
    return f"{listen.rpartition(':')[0]}:{port}"
