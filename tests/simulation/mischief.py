"""The blows that come from outside: processes that die or stand still (the daemon's too), broken streams, restarts, clocks that jump, full disks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.process import Process
from tests.simulation.stream_agent import StreamProcess

if TYPE_CHECKING:
    from tests.simulation.world import World


class Mischief:
    """Plans every kind of blow at its mean distance, until the world is calm."""

    def __init__(self, world: World) -> None:
        self._world = world

    def start(self) -> None:
        faults = self._world.faults
        for every, blow in (
            (faults.crashes, self._crash),
            (faults.pauses, self._pause),
            (faults.breaks, self._break),
            (faults.restarts, self._restart),
            (faults.jumps, self._jump),
            (faults.full_periods, self._fill),
            (faults.suspensions, self._suspend),
        ):
            if every:
                self._plan(every, blow)

    def _plan(self, every: int, blow: Callable[[], None]) -> None:
        def strike() -> None:
            if not self._world.calm:
                blow()
                self._plan(every, blow)

        self._world.agenda.after(self._world.random.randrange(1, 2 * every), strike)

    def _crash(self) -> None:
        agent = self._world.random.choice(list(self._world.agents.values()))
        if self._world.random.random() < 0.3:
            agent.start()
        else:
            agent.crash()

    def _process(self) -> Process | None:
        processes = [p for agent in self._world.agents.values() for p in agent.processes]
        return self._world.random.choice(processes) if processes else None

    def _pause(self) -> None:
        process = self._process()
        if process is not None:
            process.pause(self._world.random.choice((2_000, 12_000, 45_000)))

    def _break(self) -> None:
        process = self._process()
        if isinstance(process, StreamProcess):
            process.break_stream()

    def _restart(self) -> None:
        self._world.restart(graceful=self._world.random.random() < 0.3)

    def _jump(self) -> None:
        by = self._world.random.choice((-600_000, -45_000, -2_000, 2_000, 45_000, 600_000))
        self._world.history.note("clock", f"jumps by {by} ms")
        self._world.clock.jump_wall(by)
        self._world.checker.routes.jumped(by)
        self._world.checker.rollouts.jumped(by)

    def _suspend(self) -> None:
        daemon = self._world.daemon
        if daemon is not None:
            daemon.suspend(self._world.random.choice((2_000, 12_000, 45_000)))

    def _fill(self) -> None:
        world = self._world
        world.history.note("store", "is full for a while")
        world.store.full_until = world.clock.now() + world.random.randrange(500, 15_000)
