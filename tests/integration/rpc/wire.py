"""A real server on a free port, with a real engine and a real file, in the test's own process: its clock moves when told."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from fleet.v1 import dispatcher_pb2 as pb
from fleet.v1.dispatcher_pb2_grpc import DispatcherStub
from fleet.v1.health_pb2_grpc import HealthStub
from fleetd.api.limits import Limits
from fleetd.api.table import SERVICES, method_table
from fleetd.clock import ManualClock
from fleetd.core.settings import Rules
from fleetd.engine.engine import Engine
from fleetd.engine.engine_options import EngineOptions
from fleetd.rpc.claim import ClaimOptions
from fleetd.rpc.health import HealthService
from fleetd.rpc.server import RpcOptions, RpcServer
from fleetd.store.sqlite import SqliteStore


async def until(condition: Callable[[], Any]) -> None:
    """Let the loop turn until a condition holds; the test's own time limit ends one that never does."""
    while not condition():  # noqa: ASYNC110 - conditions of other parts have no event of their own
        await asyncio.sleep(0)


async def refused(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str, dict[str, Any]]:
    """Return the code, the message and the details (by type) with which a call, or a read, fails."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    status = rpc_status.from_call(caught.value)
    details = {}
    for packed in status.details if status else ():
        for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo):
            message = kind()
            if packed.Unpack(message):
                details[kind.__name__] = message
    return caught.value.code(), caught.value.details() or "", details


class Lines:
    """A log that tests read: (event, fields)."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))

    warning = error = info

    def of(self, event: str) -> list[dict[str, Any]]:
        return [fields for name, fields in self.lines if name == event]


class Wire:
    """Server, engine and a channel to it."""

    def __init__(
        self,
        path: Path,
        *,
        limits: Limits | None = None,
        claim: ClaimOptions | None = None,
        queue_limit: int = 10_000,
        started: bool = True,
    ) -> None:
        bounds = limits or Limits()
        self._started = started
        self.log = Lines()
        self.clock = ManualClock()
        self.path = path
        self.store = SqliteStore(path)
        engine_options = EngineOptions(queue_limit=queue_limit)
        self.engine = Engine(self.store, self.clock, Rules(), self.log, engine_options, random=Random(7))
        options = RpcOptions("127.0.0.1:0", 8 << 20, "1.2.3", bounds, claim or ClaimOptions())
        self.methods = dict(method_table(self.engine, bounds, "1.2.3"))
        self.server = RpcServer(options, self.methods, self.engine, HealthService(SERVICES), self.log)
        self.address = ""
        self.channel: Any = None

    async def open(self) -> Wire:
        await self.store.open()
        await self.engine.recover()
        self.address = await self.server.start()
        if self._started:
            self.engine.start()
        else:
            self.engine.serve()
        self.server.set_serving(serving=True)
        self.channel = grpc.aio.insecure_channel(self.address)
        self.dispatcher = DispatcherStub(self.channel)
        self.health = HealthStub(self.channel)
        return self

    async def close(self) -> None:
        if self.channel is not None:
            await self.channel.close()
        await self.server.stop(0)
        await self.engine.stop()
        await self.store.close()

    async def submit(self, title: str = "work", **fields: Any) -> Any:
        """Submit one task and return it."""
        return (await self.dispatcher.SubmitTask(pb.SubmitTaskRequest(title=title, **fields))).task

    async def agent(self, agent_id: str = "agent-1", **fields: Any) -> AgentEnd:
        """Connect an agent and read its welcome."""
        end = AgentEnd(self.dispatcher.Claim())
        await end.hello(agent_id, **fields)
        end.welcome = (await end.read("welcome")).welcome
        return end


class AgentEnd:
    """The agent's end of a stream."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self.welcome: Any = None
        self._reports = itertools.count(1)

    async def hello(
        self, agent_id: str = "agent-1", incarnation: str = "process-1", held: Any = (), **fields: Any
    ) -> None:
        hello = pb.Hello(
            agent={"agent_id": agent_id, **fields}, incarnation=incarnation, held=held, protocol_version=1
        )
        await self.call.write(pb.ClaimRequest(hello=hello))

    async def say(self, lease: Any, **word: Any) -> Any:
        """Say one word and return its acknowledgement."""
        number = next(self._reports)
        report = {"task_id": lease.task_id, "lease_epoch": lease.lease_epoch, "report_id": number, **word}
        await self.call.write(pb.ClaimRequest(reports={"reports": [report]}))
        (ack,) = (await self.read("acks")).acks.acks
        assert ack.report_id == number
        return ack

    async def ping(self, *held: Any) -> Any:
        refs = [{"task_id": lease.task_id, "lease_epoch": lease.lease_epoch} for lease in held]
        await self.call.write(pb.ClaimRequest(ping={"sequence": 1, "held": refs}))
        return (await self.read("beacon")).beacon

    async def lease(self) -> Any:
        (lease,) = (await self.read("leases")).leases.leases
        return lease

    async def read(self, kind: str) -> Any:
        """Return the next message, which must be of a kind."""
        message = await self.call.read()
        assert message is not grpc.aio.EOF, (
            f"the stream ended with {await self.call.code()} instead of {kind}"
        )
        assert message.WhichOneof("kind") == kind, message
        return message

    async def ended(self) -> Any:
        """Return the daemon's last word; the stream must end after it."""
        end = (await self.read("end")).end
        assert await self.call.read() is grpc.aio.EOF
        assert await self.call.code() is grpc.StatusCode.OK
        return end
