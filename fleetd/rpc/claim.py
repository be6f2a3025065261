"""
The agent stream: one reader and one writer for each session (spec T5, D1, D2; design "The agent stream").

A read is never cancelled or given a time limit while the stream lives: grpc.aio would report a false end. The end of the requests without a
goodbye is a lost agent, whatever caused it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import grpc

from fleet.v1 import dispatcher_pb2 as pb
from fleetd.api.convert_agents import spec_in
from fleetd.api.convert_leases import (
    acks_out,
    leases_out,
    order_ids_in,
    order_out,
    refs_in,
    refs_out,
    words_in,
)
from fleetd.api.convert_times import duration, timestamp
from fleetd.api.limits import Limits
from fleetd.api.table import parse
from fleetd.api.validate import WORD, Fields
from fleetd.core.agent import AgentSpec
from fleetd.core.attendance import LeaseRef
from fleetd.engine.engine import Engine
from fleetd.engine.outbox import Acks, BeaconItem, EndItem, Item, Offers
from fleetd.engine.session import Session
from fleetd.errors import InvalidArgument

PROTOCOL = 1
REASON = 1_000
"""Characters kept of a goodbye's reason."""
LINGER = 0.1
"""Seconds to wait for the cancellation that follows the end of a dead stream: a status sent on a dead call leaks memory in grpc."""


@dataclass(frozen=True, slots=True)
class ClaimOptions:
    """Waiting times in milliseconds: for the hello, and for the last words to an agent that said goodbye."""

    hello_timeout: int = 10_000
    farewell: int = 5_000


class AgentStream:
    """One stream from hello to end."""

    def __init__(
        self, engine: Engine, limits: Limits, options: ClaimOptions, version: str, context: Any
    ) -> None:
        self._engine = engine
        self._limits = limits
        self._options = options
        self._version = version
        self._context = context
        self._goodbye = False
        self._end = ""
        self._words = 0
        self._unknown = 0
        self._leases = 0

    async def run(self, log: Any, peer: str) -> None:
        """Serve the stream until it ends; write one line of log for its session. Raises FleetError when the agent breaks the protocol."""
        hello = await self._hello()
        if hello is None:
            return
        began = perf_counter()
        spec, incarnation, held = hello
        session = await self._attach(spec, incarnation, held)
        reason = "error"
        try:
            await self._converse(session)
            reason = "goodbye" if self._goodbye else self._end or "lost"
        except asyncio.CancelledError:
            reason = "goodbye" if self._goodbye else self._end or "lost"
            raise
        finally:
            log.info(
                "session_end",
                agent_id=session.agent_id,
                session_epoch=session.epoch,
                reason=reason,
                seconds=round(perf_counter() - began, 3),
                leases=self._leases,
                words=self._words,
                unknown_messages=self._unknown,
                peer=peer,
            )

    async def _hello(self) -> tuple[AgentSpec, str, tuple[LeaseRef, ...]] | None:
        """Return what the first message says; None when the caller went away before it."""
        reading = asyncio.ensure_future(self._context.read())
        reading.add_done_callback(_forget)
        done, _ = await asyncio.wait({reading}, timeout=self._options.hello_timeout / 1_000)
        if not done:
            seconds = self._options.hello_timeout / 1_000
            raise InvalidArgument([("hello", f"must be the first message, within {seconds:g} s")])
        data = reading.result()
        if data is grpc.aio.EOF:
            return None
        message: pb.ClaimRequest = parse(pb.ClaimRequest, data)
        if message.WhichOneof("kind") != "hello":
            raise InvalidArgument([("hello", "must be the first message")])
        hello, fields = message.hello, Fields()
        spec = spec_in(hello.agent, "hello.agent", self._limits, fields)
        incarnation = fields.text("hello.incarnation", hello.incarnation, WORD, required=True)
        held = refs_in(hello.held, "hello.held", self._limits.max_concurrency, fields)
        if hello.protocol_version != PROTOCOL:
            fields.refuse("hello.protocol_version", f"must be {PROTOCOL}, not {hello.protocol_version}")
        fields.check()
        return spec, incarnation, tuple(held)

    async def _attach(self, spec: AgentSpec, incarnation: str, held: tuple[LeaseRef, ...]) -> Session:
        """Open the session; when the stream ends meanwhile, the session is detached as soon as it stands."""
        opening = asyncio.ensure_future(self._engine.sessions.hello(spec, incarnation, held))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(self._detach_opened)
            raise

    def _detach_opened(self, opening: asyncio.Future[Session]) -> None:
        if not opening.cancelled() and opening.exception() is None:
            self._engine.sessions.detach(opening.result())

    async def _converse(self, session: Session) -> None:
        reader: asyncio.Task[None] | None = None
        writer: asyncio.Task[None] | None = None
        try:
            await self._context.write(self._welcome(session).SerializeToString())
            reader = asyncio.create_task(self._read(session), name=f"reader of {session.agent_id}")
            writer = asyncio.create_task(self._write(session), name=f"writer of {session.agent_id}")
            await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
            if self._goodbye and not writer.done():
                await asyncio.wait({writer}, timeout=self._options.farewell / 1_000)
            for task in (reader, writer):
                if task.done():
                    task.result()
        finally:
            if not self._goodbye:
                self._engine.sessions.detach(session)
            tasks = [task for task in (reader, writer) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if not self._goodbye and not self._end:
            await asyncio.sleep(LINGER)

    # what the agent says

    async def _read(self, session: Session) -> None:
        """Hear the agent out: until its goodbye, or the end of the stream."""
        while True:
            try:
                data = await self._context.read()
            except grpc.aio.BaseError:
                return
            if data is grpc.aio.EOF:
                return
            message: pb.ClaimRequest = parse(pb.ClaimRequest, data)
            kind = message.WhichOneof("kind")
            if kind == "reports":
                words = words_in(message.reports.reports, self._limits)
                self._words += len(words)
                if words:
                    await session.room()
                    self._engine.sessions.post_words(session, words)
            elif kind == "ping":
                self._ping(session, message.ping)
            elif kind == "slots":
                fields = Fields()
                ceiling = fields.number(
                    "slots.ceiling", message.slots.ceiling, 0, self._limits.max_concurrency
                )
                fields.check()
                self._engine.sessions.slots(session, ceiling)
            elif kind == "goodbye":
                await self._engine.sessions.goodbye(session, message.goodbye.reason[:REASON])
                self._goodbye = True
                return
            elif kind == "hello":
                raise InvalidArgument([("hello", "must be said once, as the first message")])
            else:
                # A newer agent may know more words than this version; they are counted and passed over.
                self._unknown += 1

    def _ping(self, session: Session, ping: pb.Ping) -> None:
        fields = Fields()
        held = refs_in(ping.held, "ping.held", self._limits.max_concurrency, fields)
        confirmed = order_ids_in(ping.confirmed_orders, "ping.confirmed_orders", fields)
        fields.check()
        self._engine.sessions.ping(session, ping.sequence, held, confirmed)

    # what the agent is told

    def _welcome(self, session: Session) -> pb.ClaimResponse:
        return pb.ClaimResponse(
            welcome=pb.Welcome(
                session_epoch=session.epoch,
                heartbeat_interval=duration(session.heartbeat_interval),
                lease_ttl=duration(session.lease_ttl),
                adopted=refs_out(session.adopted),
                server_time=timestamp(self._engine.clock.wall()),
                daemon_version=self._version,
                protocol_version=PROTOCOL,
            )
        )

    async def _write(self, session: Session) -> None:
        """Send whatever is in the outbox, until its last word."""
        outbox = session.outbox
        while True:
            await outbox.ready()
            for item in outbox.take():
                for message in self._messages(item):
                    try:
                        await self._context.write(message.SerializeToString())
                    except grpc.aio.BaseError:
                        return
                if isinstance(item, EndItem):
                    self._end = item.reason
                    return

    def _messages(self, item: Item) -> Iterator[pb.ClaimResponse]:
        if isinstance(item, Offers):
            self._leases += len(item.offers)
            yield from leases_out(item.offers, self._limits.delivery)
        elif isinstance(item, Acks):
            yield from acks_out(item.acks)
        elif isinstance(item, BeaconItem):
            yield pb.ClaimResponse(
                beacon=pb.Beacon(
                    sequence=item.sequence,
                    leases=refs_out(item.leases),
                    heartbeat_interval=duration(item.heartbeat_interval),
                    lease_ttl=duration(item.lease_ttl),
                )
            )
        elif isinstance(item, EndItem):
            end = pb.SessionEnd(reason=item.reason, message=item.message)
            if item.reconnect_after is not None:
                end.reconnect_after.CopyFrom(duration(item.reconnect_after))
            yield pb.ClaimResponse(end=end)
        else:
            yield pb.ClaimResponse(orders=pb.Orders(orders=[order_out(order) for order in item.orders]))


def _forget(reading: asyncio.Future[Any]) -> None:
    """Look at the outcome of a read nobody waits for any more, so that asyncio does not complain of it."""
    if not reading.cancelled():
        reading.exception()
