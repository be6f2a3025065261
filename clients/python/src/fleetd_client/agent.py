"""Agent: turns functions into an agent of the fleet."""

from __future__ import annotations

import asyncio
import secrets
import signal
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar, overload

from fleetd_client.channel import DEFAULT_ADDRESS, target
from fleetd_client.effects import Effect
from fleetd_client.link import Link
from fleetd_client.mailbox import Mailbox
from fleetd_client.run import Handler, Runs
from fleetd_client.session import PROTOCOL_VERSION, Ending, Session
from fleetd_client.stream import Stream
from fleetd_client.stubs import AgentSpec, Hello, Report

H = TypeVar("H", bound=Handler)

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Agent:
    """
    An agent: `agent_id` is its name in the fleet, `capabilities` what it can do, `max_concurrency` how many tasks it runs at once.

    Decorate handlers with `@agent.handler` (one for all task types) or `@agent.handler(task_type=...)`; an async function runs in
    the loop that awaits `run()`, a plain one in a thread. What it returns is the output: bytes, str, anything JSON can hold, or a
    Result. What it raises is the failure: Fatal is not retried, Retry and any other exception are, AgentFail names its own code.
    """

    def __init__(
        self,
        agent_id: str,
        address: str = DEFAULT_ADDRESS,
        *,
        capabilities: Iterable[str] = (),
        max_concurrency: int = 1,
        agent_type: str = "",
        hostname: str = "",
        endpoint: str = "",
        labels: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
        software_version: str = "",
    ) -> None:
        self.agent_id = agent_id
        self.address = target(address)
        self._spec = AgentSpec(
            agent_id=agent_id,
            agent_type=agent_type,
            hostname=hostname or socket.gethostname(),
            endpoint=endpoint,
            capabilities=capabilities,
            max_concurrency=max_concurrency,
            labels=labels,
            metadata=metadata,
            software_version=software_version,
        )
        self._handlers: dict[str, Handler] = {}
        self._link: Link | None = None
        self._stream: Stream | None = None

    @overload
    def handler(self, function: H, /) -> H: ...
    @overload
    def handler(self, /, *, task_type: str) -> Callable[[H], H]: ...
    def handler(self, function: H | None = None, /, *, task_type: str = "") -> H | Callable[[H], H]:
        """Make a function the handler of a task type, or of all that have none of their own."""

        def register(handler: H) -> H:
            if task_type in self._handlers:
                raise ValueError(f"there is a handler for task type {task_type!r} already")
            self._handlers[task_type] = handler
            return handler

        return register if function is None else register(function)

    async def run(self, *, signals: bool = True) -> Ending:
        """
        Work until told to leave: "finished", or "restart" when an operator asked for a new process.

        With `signals`, in the main thread, SIGTERM and SIGINT drain (take no more work, finish, say goodbye), a second one hands back
        what runs and leaves (a process of several agents sets signals=False and calls drain and leave itself). Cancelling this coroutine leaves at once, too. Raises SessionReplaced when another process took the
        agent's id, and other FleetErrors that no reconnect can mend; everything else is reconnected through.
        """
        if not self._handlers:
            raise ValueError("the agent has no handler: decorate a function with @agent.handler")
        if self._link is not None:
            raise RuntimeError("the agent runs already")
        self._link = link = Link.open()
        loop = asyncio.get_running_loop()
        watched = self._watch_signals(loop) if signals else ()
        try:
            return await self._serve(link, loop)
        finally:
            for one in watched:
                loop.remove_signal_handler(one)
            self._link = self._stream = None
            await asyncio.to_thread(link.close)

    def run_sync(self) -> Ending:
        """As run(), for programs without asyncio."""
        return asyncio.run(self.run())

    def drain(self) -> None:
        """Take no more work, finish what runs, leave. From any thread."""
        if self._link is not None and self._stream is not None:
            self._link.post(self._stream.drain)

    def leave(self) -> None:
        """Hand back what runs and leave. From any thread."""
        if self._link is not None and self._stream is not None:
            self._link.post(self._stream.leave)

    async def _serve(self, link: Link, loop: asyncio.AbstractEventLoop) -> Ending:
        # A new incarnation for every run: to the daemon it is another process.
        session = Session(
            Hello(agent=self._spec, incarnation=secrets.token_hex(16), protocol_version=PROTOCOL_VERSION)
        )

        def certain() -> bool:
            return time.monotonic() < session.certain_until

        # The stream and the runs speak to each other across two loops; their mailboxes are addressed once both are there.
        to_link: Mailbox[Report] = Mailbox(link.loop)
        to_runs: Mailbox[Effect] = Mailbox(loop)
        runs = Runs(self.agent_id, self._handlers, to_link.put, certain)
        stream = self._stream = Stream(session, self.address, to_runs.put)
        to_link.deliver, to_runs.deliver = stream.say, runs.apply
        serving = asyncio.wrap_future(link.run(stream.serve()))
        try:
            return await asyncio.shield(serving)
        except asyncio.CancelledError:
            link.post(stream.leave)
            await asyncio.wait({serving})
            raise
        finally:
            await runs.stop_all()

    def _watch_signals(self, loop: asyncio.AbstractEventLoop) -> tuple[signal.Signals, ...]:
        told: list[int] = []

        def tell() -> None:
            told.append(1)
            (self.drain if len(told) == 1 else self.leave)()

        try:
            for one in SIGNALS:
                loop.add_signal_handler(one, tell)
        except (NotImplementedError, RuntimeError, ValueError):  # not the main thread, or not a Unix
            return ()
        return SIGNALS
