"""An agent as its host sees it: a name under which one process after the other lives, and sometimes two."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleetd.core.agent import AgentSpec, SessionKind
from fleetd.core.hostbook import PREFIX
from tests.simulation.process import Process
from tests.simulation.stream_agent import StreamProcess
from tests.simulation.unary_agent import UnaryProcess

if TYPE_CHECKING:
    from tests.simulation.world import World

UNHEARD = 60_000
"""Milliseconds that a hello may wait in the daemon at most."""


class Agent:
    """Starts processes, and a new one when the last is gone."""

    def __init__(
        self, world: World, agent_id: str, capabilities: tuple[str, ...], slots: int, *, stream: bool
    ) -> None:
        self.world = world
        self.agent_id = agent_id
        self.capabilities = capabilities
        self.slots = slots
        self.stream = stream
        self.processes: list[Process] = []
        self.uncertain_until = 0
        self._count = 0

    @property
    def kind(self) -> SessionKind:
        """Hosts are played by agents with a stream."""
        if self.agent_id.startswith(PREFIX):
            return SessionKind.HOST
        return SessionKind.STREAM if self.stream else SessionKind.UNARY

    @property
    def known(self) -> bool:
        """True when the daemon has the agent in its registry."""
        daemon = self.world.daemon
        return daemon is not None and self.agent_id in daemon.engine.agents

    @property
    def strained(self) -> bool:
        """True while handlers may take the process down."""
        return not self.world.calm and self.world.faults.crashes > 0

    def spec(self) -> AgentSpec:
        return AgentSpec(self.agent_id, capabilities=self.capabilities, max_concurrency=self.slots)

    def start(self) -> None:
        """Start a process; one that lives already goes on as a process that was replaced and does not know it."""
        self._count += 1
        kind = StreamProcess if self.stream else UnaryProcess
        process = kind(self, f"p{self._count}")
        process.note("starts")
        self.processes.append(process)
        process.start()

    def detached(self, *, hello: bool) -> None:
        """
        The daemon learns that a stream is gone: from now on it has one interval to wait.

        Was its `hello` still under way, then the daemon cuts the session off as soon as that is heard, whenever this may be.
        """
        if hello:
            self.uncertain_until = self.world.clock.now() + UNHEARD
        vouched = self.world.checker.vouched
        at = self.world.clock.now() + self.world.rules.heartbeat_min
        if self.agent_id in vouched:
            vouched[self.agent_id] = min(vouched[self.agent_id], at)

    def died(self, process: Process) -> None:
        """Start anew after a while, unless another process lives."""
        if process in self.processes:
            self.processes.remove(process)
        if not self.processes:
            delay = 500 if self.world.calm else self.world.random.choice((500, 5_000, 40_000))
            self.world.agenda.after(self.world.random.randrange(1, delay), self._start_if_none)

    def _start_if_none(self) -> None:
        if not self.processes:
            self.start()

    def crash(self) -> None:
        for process in list(self.processes):
            process.crash("killed")
            self.died(process)
