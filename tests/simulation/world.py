"""The world of one seed: a daemon that comes and goes on its store, agents, submitters, operators, and one clock for all."""

from __future__ import annotations

import asyncio
import itertools
from random import Random

from fleetd.clock import ManualClock
from fleetd.core.settings import Rules
from fleetd.engine.engine import EngineStopped
from fleetd.engine.engine_options import EngineOptions
from tests.simulation import memory
from tests.simulation.agenda import Agenda
from tests.simulation.agent import Agent
from tests.simulation.checker import Checker
from tests.simulation.daemon import Daemon, Killed
from tests.simulation.faults import Faults
from tests.simulation.history import History
from tests.simulation.instances import Instances, Trouble
from tests.simulation.rollouts import Rollouts, RolloutTrouble
from tests.simulation.store import FaultyStore
from tests.simulation.telling import Telling, TellingTrouble
from tests.simulation.watcher import Watcher


class World:
    """Everything of one simulation. Only `random` decides anything."""

    def __init__(
        self,
        seed: int,
        faults: Faults,
        rules: Rules,
        options: EngineOptions | None = None,
        trouble: Trouble | None = None,
        rollout_trouble: RolloutTrouble | None = None,
        telling_trouble: TellingTrouble | None = None,
    ) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.clock = ManualClock()
        self.agenda = Agenda(self.clock)
        self.history = History(self.clock)
        self.faults = faults
        self.rules = rules
        self.options = options
        self.calm = False
        self.instances = Instances(self, trouble) if trouble is not None else None
        self.rollouts = Rollouts(self, rollout_trouble) if rollout_trouble is not None else None
        self.telling = Telling(self, telling_trouble) if telling_trouble is not None else None
        self.checker = Checker(self)
        self.store = FaultyStore(self)
        self.watcher = Watcher(self)
        self.daemon: Daemon | None = None
        self.agents: dict[str, Agent] = {}
        self._numbers = itertools.count(1)
        self._down_until = 0

    def number(self) -> int:
        """Return a number that nobody else got."""
        return next(self._numbers)

    async def open(self) -> None:
        asyncio.get_running_loop().set_exception_handler(self._surprise)
        await self.store.open()
        await self._start_daemon()

    async def close(self) -> None:
        if self.daemon is not None:
            self.daemon.die()
            self.daemon = None
        await self.turn()
        await self.store.close()

    def restart(self, *, graceful: bool) -> None:
        """Let the daemon die, at once or after it has told its agents; it comes back after a while."""
        daemon = self.daemon
        if daemon is None or daemon.engine.state != "SERVING":
            return
        self.history.note("daemon", "drains" if graceful else "dies")
        if graceful:
            daemon.engine.drain()
            left = self.random.randrange(1, 10_000)
            if self.telling is not None:
                self.agenda.after(left - 1, daemon.engine.task_feed.close)
            self.agenda.after(left, lambda: self._end(daemon))
        else:
            self._end(daemon)

    def _end(self, daemon: Daemon) -> None:
        if daemon is self.daemon:
            self.daemon = None
            daemon.die()
            # Longer than a lease lives, now and then.
            self._down_until = self.clock.now() + self.random.choice((100, 3_000, 50_000))

    async def _start_daemon(self) -> None:
        # A store that is opened anew has no rows at hand.
        self.store.real._live = {}
        daemon = Daemon(self)
        await daemon.start()
        await self.watcher.connect(daemon)
        self.daemon = daemon
        self.checker.routes.restarted()
        self.checker.rollouts.restarted(daemon.engine)
        # Every session that stood gets a full fresh TTL.
        for session in daemon.engine.sessions.all():
            self.checker.vouched[session.agent_id] = self.clock.now() + session.lease_ttl

    def _surprise(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        # Futures that nobody looks at are reported when they are collected, which no seed decides.
        if "never retrieved" not in str(context["message"]):
            self.checker.violated(f"{context['message']}: {context.get('exception')!r}")

    # time

    async def live(self, until: int) -> None:
        """Let everything happen that happens before monotonic `until`."""
        while self.clock.now() < until:
            await self.step(until)

    async def step(self, until: int) -> None:
        """One turn of the engine, or the next thing that happens."""
        daemon = self.daemon
        if daemon is None and self.clock.now() >= self._down_until:
            await self._start_daemon()
        elif daemon is not None and (due := daemon.due()) is not None and due <= self.clock.now():
            await self._turn_engine(daemon)
        else:
            times = [until, self.agenda.next(), daemon.due() if daemon else self._down_until]
            await self.pass_time(max(1, min(at for at in times if at is not None) - self.clock.now()))
            self.checker.routes.quiet()
            self.checker.rollouts.quiet()
        if self.telling is not None:
            await self.telling.sweep()
        self.checker.check()

    async def _turn_engine(self, daemon: Daemon) -> None:
        try:
            await daemon.step()
        except Killed as killed:
            self.history.note("daemon", "died in the middle of a transaction")
            if daemon.alive:
                self.checker.violated(str(killed))
        except EngineStopped as error:
            self.history.note("daemon", f"stops: {error}")
            self._end(daemon)
        await self.turn()
        if daemon.alive:
            daemon.pump()
            await self.watcher.look()

    async def pass_time(self, milliseconds: int) -> None:
        """Let time pass, and everybody but the engine do what they do in it."""
        until = self.clock.now() + milliseconds
        while (at := self.agenda.next()) is not None and at <= until:
            self.agenda.run_next()
            await self.turn()
            if self.daemon is not None:
                self.daemon.pump()
        self.clock.advance(max(0, until - self.clock.now()))

    async def turn(self) -> None:
        """Let every coroutine go on that can."""
        ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
        while ready:  # noqa: ASYNC110 - whatever is ready goes on; nothing waits for time
            await asyncio.sleep(0)

    async def compare_memory(self) -> None:
        """Compare the engine's memory with the store, when it has nothing left to do at this moment."""
        daemon = self.daemon
        if daemon is not None and daemon.idle:
            await memory.compare(self, daemon.engine)
            if self.telling is not None:
                await self.checker.told.compare()
            self.checker.check()
