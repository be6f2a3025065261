"""One agent's connection to the daemon, made anew as often as needed. Lives on the link's loop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio

from fleetd_client.backoff import Backoff
from fleetd_client.channel import open_channel
from fleetd_client.effects import Effect
from fleetd_client.errors import (
    Denied,
    FailedPrecondition,
    FleetError,
    InvalidArgument,
    SessionReplaced,
    Unimplemented,
    from_rpc,
)
from fleetd_client.methods import CLAIM_PATH
from fleetd_client.session import NEVER, Ending, Session
from fleetd_client.stubs import ClaimRequest, ClaimResponse, Report, SessionEnd
from fleetd_client.times import span

log = logging.getLogger("fleetd_client")

# A connection that lived so long was healthy: the next failure begins with short waits again.
HEALTHY_SECONDS = 60.0
# After the goodbye the daemon ends the stream; one that does not is not waited for longer.
FAREWELL_SECONDS = 5.0
# No other try can mend these.
HOPELESS = (InvalidArgument, Denied, Unimplemented, SessionReplaced)


class Stream:
    """Reader and writer over a session; `apply(*effects)` takes the session's effects to the runs."""

    def __init__(
        self,
        session: Session,
        address: str,
        apply: Callable[..., None],
        backoff: Backoff | None = None,
    ) -> None:
        self._session = session
        self._address = address
        self._apply = apply
        self._backoff = backoff or Backoff()
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._reached_at = NEVER

    async def serve(self) -> Ending:
        """Keep the agent connected until it has left; raises what no reconnect can mend, SessionReplaced among it."""
        channel = open_channel(self._address)
        claim = channel.stream_stream(
            CLAIM_PATH,
            request_serializer=ClaimRequest.SerializeToString,
            response_deserializer=ClaimResponse.FromString,
        )
        try:
            while not self._session.done:
                wait = await self._connection(claim)
                if not self._session.done:
                    await self._pause(wait)
            return self._session.ending or "finished"
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._act(self._session.lose_all())
            await channel.close()

    # Called on the link's loop, by mailbox and by the agent

    def say(self, reports: list[Report]) -> None:
        now = time.monotonic()
        for report in reports:
            self._session.say(report, now)
        self._stir()

    def drain(self, ending: Ending = "finished") -> None:
        self._session.drain(ending)
        self._stir()

    def leave(self) -> None:
        self._act(self._session.leave())
        self._stir()

    # One connection

    async def _connection(self, claim: Any) -> float:
        """Serve one connection to its end; the seconds to wait before the next."""
        self._reached_at = NEVER
        call = claim()
        reader = asyncio.create_task(self._read(call))
        writer = asyncio.create_task(self._write(call))
        error: FleetError | None = None
        end: SessionEnd | None = None
        try:
            await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
            if (
                not reader.done()
            ):  # the goodbye is said: the daemon closes. asyncio.wait leaves the read alone
                writer.result()  # a defect must not look like a lost connection
                await asyncio.wait({reader}, timeout=FAREWELL_SECONDS)
            if reader.done():
                end = reader.result()
        except grpc.aio.AioRpcError as raised:
            error = from_rpc(raised)
        finally:
            call.cancel()
            writer.cancel()
            reader.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)
            self._session.disconnected()
            self._arm()
        return self._wait_after(end, error)

    def _wait_after(self, end: SessionEnd | None, error: FleetError | None) -> float:
        if time.monotonic() - self._reached_at >= HEALTHY_SECONDS:
            self._backoff.reset()
        if self._session.leaving:
            return 0.0
        if end is not None:
            log.info("session ended: %s %s", end.reason, end.message)
            if end.reason == "SESSION_REPLACED":
                raise SessionReplaced(end.reason, end.message or "another process took this agent's id")
            if not end.HasField("reconnect_after"):
                raise FailedPrecondition(end.reason, end.message or "the daemon ended the session for good")
            return self._backoff.next(span(end.reconnect_after))
        if isinstance(error, HOPELESS):
            raise error
        if error is not None:
            log.info("connection to %s lost: %s", self._address, error)
        return self._backoff.next(error.retry_after if error is not None else None)

    async def _read(self, call: Any) -> SessionEnd | None:
        """Take messages until the daemon ends the session or the stream. Never cancelled or timed out while it is to go on."""
        session = self._session
        while (message := await call.read()) is not grpc.aio.EOF:
            now = time.monotonic()
            self._act(session.receive(message, now))
            if session.ended is not None:
                return session.ended
            if self._reached_at == NEVER and session.connected:
                self._reached_at = now
            self._stir()
        return None

    async def _write(self, call: Any) -> None:
        """The only writer. It pulls: what is said while one message is written travels together in the next."""
        session = self._session
        try:
            await call.write(session.hello(time.monotonic()))
            while True:
                self._wake.clear()
                for message in session.outgoing(time.monotonic()):
                    await call.write(message)
                if session.done:
                    break
                self._arm()
                await self._wake.wait()
            await call.write(session.goodbye())
            await call.done_writing()
        except (grpc.aio.AioRpcError, grpc.aio.BaseError, asyncio.InvalidStateError):
            # The stream is gone: the reader learns why. Until it has, this task must not be the first to end.
            await asyncio.Event().wait()

    # Waking up

    def _stir(self) -> None:
        self._wake.set()

    def _arm(self) -> None:
        """Wake when the session has something to do."""
        if self._timer is not None:
            self._timer.cancel()
        at = self._session.wake_at()
        # loop.time() is time.monotonic(), the clock of the session.
        self._timer = None if at == NEVER else asyncio.get_running_loop().call_at(at, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._act(self._session.tick(time.monotonic()))
        if self._session.connected:
            self._stir()
        else:
            self._arm()

    def _act(self, effects: list[Effect]) -> None:
        if effects:
            self._apply(*effects)

    async def _pause(self, seconds: float) -> None:
        """Wait before the next connection; over at once when the agent has nothing to stay for."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while not self._session.done and (left := end - loop.time()) > 0:
            self._wake.clear()
            timer = loop.call_later(left, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                timer.cancel()
