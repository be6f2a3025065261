"""One life of the daemon: the real engine, turned by the simulation, and the streams that end in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from fleetd.engine.engine import Engine
from fleetd.errors import FleetError

if TYPE_CHECKING:
    from tests.simulation.stream_agent import Connection
    from tests.simulation.world import World


class Killed(BaseException):
    """The daemon's process is gone, in the middle of whatever it did."""


class Incidents:
    """The daemon's log: an error in it is a finding."""

    def __init__(self, world: World) -> None:
        self._world = world

    def info(self, event: str, **fields: Any) -> None:
        return None

    def warning(self, event: str, **fields: Any) -> None:
        self._world.history.note("daemon", f"{event} {fields}")

    def error(self, event: str, **fields: Any) -> None:
        cause = fields.pop("exc_info", None)
        self._world.checker.violated(f"the daemon logs {event} {fields}: {cause!r}", cause)


class SimulatedEngine(Engine):
    """The real engine; only its waiting is virtual."""

    world: World

    async def wait(self, event: asyncio.Event, milliseconds: int) -> None:
        over = asyncio.get_running_loop().create_future()

        def end() -> None:
            if not over.done():
                over.set_result(None)

        self.world.agenda.after(milliseconds, end)
        waiting = asyncio.ensure_future(event.wait())
        waiting.add_done_callback(lambda _: end())
        try:
            await over
        finally:
            waiting.cancel()


class Daemon:
    """From start to death. `run` starts what a caller asked for; nothing that happens after the death reaches anybody."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.alive = True
        self.connections: list[Connection] = []
        self.engine = SimulatedEngine(
            world.store, world.clock, world.rules, Incidents(world), world.options, world.random
        )
        self.engine.world = world
        self.suspended_until = 0
        self.stepping = False
        self._running: dict[asyncio.Task[Any], None] = {}
        self._busy = True

    async def start(self) -> None:
        await self.engine.recover()
        self.engine.serve()
        self.world.history.note("daemon", f"serves, generation of batch {self.engine.batch}")

    def due(self) -> int | None:
        """Return when the engine can have the next turn it wants, None when it wants none."""
        wanted = bool(self._busy or self.engine._wake.is_set())
        at = self.world.clock.now() if wanted else self.engine.sweeper.next()
        return None if at is None else max(at, self.suspended_until)

    @property
    def idle(self) -> bool:
        """True when the engine has done everything it was asked."""
        due = self.due()
        if self.suspended:
            return False
        return self.engine.queued == 0 and (due is None or due > self.world.clock.now())

    async def step(self) -> None:
        """Let the engine do one turn, as its own loop would."""
        self.world.checker.begin()
        self.engine._wake.clear()
        self.stepping = True
        try:
            self._busy = await self.engine.step()
        finally:
            self.stepping = False

    def run(self, work: Coroutine[Any, Any, Any], landed: Callable[[Any], object]) -> Callable[[], object]:
        """Start a call; `landed` gets its answer or the FleetError that refused it. Returns what cancels it."""
        task = asyncio.ensure_future(work)
        self._running[task] = None

        def ended(task: asyncio.Task[Any]) -> None:
            self._running.pop(task, None)
            if task.cancelled():
                return
            error = task.exception()
            if not self.alive:
                return
            if error is None:
                landed(task.result())
            elif isinstance(error, FleetError):
                landed(error)
            else:
                self.world.checker.violated(f"a call raised {error!r}", error)

        task.add_done_callback(ended)
        return task.cancel

    def pump(self) -> None:
        """Send what waits in the outboxes."""
        if self.suspended:
            return
        for connection in self.connections:
            connection.pump()

    @property
    def suspended(self) -> bool:
        """True while the process stands still."""
        return self.world.clock.now() < self.suspended_until

    def suspend(self, milliseconds: int) -> None:
        """Let the process stand still, in whatever it does; what comes meanwhile waits in its sockets."""
        if self.suspended:
            return
        since = self.world.clock.now()
        self.suspended_until = since + milliseconds
        self.world.history.note("daemon", f"is suspended for {milliseconds} ms")
        self.world.agenda.at(self.suspended_until, lambda: self._resume(since))

    def _resume(self, since: int) -> None:
        if not self.alive:
            return
        self.world.history.note("daemon", "goes on")
        # Its pulse beat until then; from then on it does not: the engine has its turns when the simulation wants.
        pulse = self.engine.pulse
        pulse._seen = since
        pulse.beat()
        pulse._seen = None
        if self.world.clock.now() - since > self.world.rules.heartbeat_min:
            self._vouch_anew(since)

    def _vouch_anew(self, since: int) -> None:
        """Nobody may be given up for what nobody heard; an end that was due before is none of that."""
        vouched = self.world.checker.vouched
        for session in self.engine.sessions.all():
            if vouched.get(session.agent_id, 0) > since:
                vouched[session.agent_id] = self.world.clock.now() + session.lease_ttl

    def reach(self, arrive: Callable[[], object]) -> None:
        """Let a message arrive, when the process goes on."""
        if self.suspended:
            self.world.agenda.at(self.suspended_until, arrive)
        else:
            arrive()

    def die(self) -> None:
        """Everything in memory is gone; streams end, calls get no answer."""
        self.alive = False
        for task in list(self._running):
            task.cancel()
        for connection in list(self.connections):
            connection.broken("daemon died")
        self.connections.clear()
