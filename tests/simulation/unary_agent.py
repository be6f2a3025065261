"""An agent process without a stream: it claims, reports and lives by single calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fleetd.core.words import Word
from fleetd.engine.engine import Engine
from fleetd.engine.unary import UnaryAnswer
from fleetd.errors import FleetError
from tests.simulation.network import call
from tests.simulation.process import Process

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from tests.simulation.agent import Agent

DEADLINE = 4_000
"""Milliseconds after which a call is given up, beyond what it waits by itself."""


class UnaryProcess(Process):
    """The process of an agent that talks by unary calls. One claim, one report and one heartbeat at a time."""

    def __init__(self, agent: Agent, incarnation: str) -> None:
        super().__init__(agent, incarnation)
        self._duration = self.world.random.choice((15_000, 30_000, 60_000))
        self._reporting = False
        self._request = ""

    def start(self) -> None:
        if self.world.random.random() < 0.5:
            self._register()
        else:
            self._claim()
        self.later(self._duration // 3, self._beat)

    def _register(self) -> None:
        spec, incarnation, duration = self.agent.spec(), self.incarnation, self._duration

        def begin(engine: Engine) -> Coroutine[Any, Any, Any]:
            return engine.unary.register(spec, incarnation, duration)

        def answered(result: Any) -> None:
            if self._goes_on(result):
                self._claim()

        call(self.world, self.name, "register", begin, lambda r: self.act(lambda: answered(r)), DEADLINE)

    # work

    def _claim(self) -> None:
        random, world = self.world.random, self.world
        free = self.agent.slots - len(self.works)
        if self.leaving or free <= 0:
            self.later(random.randrange(500, 3_000), self._claim)
            return
        wait = random.choice((0, 0, 2_000, 10_000))
        request = self._request = self._request or f"request-{world.number()}"
        most = random.randrange(1, free + 1)
        agent_id, incarnation, duration = self.agent.agent_id, self.incarnation, self._duration
        capabilities = self.agent.capabilities if random.random() < 0.5 or not self.agent.known else None

        async def claim(engine: Engine) -> UnaryAnswer:
            number = world.number()
            world.checker.claiming(agent_id, number, most)
            try:
                return await engine.unary.claim(
                    agent_id, incarnation, capabilities, most, wait, duration, request
                )
            finally:
                world.checker.claimed(agent_id, number)

        def answered(result: Any) -> None:
            # Without an answer the same request is made again: what it was given must not be lost.
            if isinstance(result, UnaryAnswer) or random.random() < 0.2:
                self._request = ""
            if self._goes_on(result):
                for offer in result.offers if isinstance(result, UnaryAnswer) else ():
                    self.granted(offer)
                self.later(random.randrange(1, 1_000), self._claim)

        call(
            world,
            self.name,
            f"claim {most}",
            claim,
            lambda r: self.act(lambda: answered(r)),
            wait + DEADLINE,
            self._vouch,
        )

    def tells_by_words(self) -> bool:
        return self.world.random.random() < 0.3

    def flush(self) -> None:
        if not self._reporting:
            self._reporting = True
            self.later(self.world.random.randrange(1, 200), self._report_words)

    def _report_words(self) -> None:
        words: tuple[Word, ...] = tuple(self.unacked.values())
        if not words:
            self._reporting = False
            return
        agent_id, incarnation = self.agent.agent_id, self.incarnation

        def begin(engine: Engine) -> Coroutine[Any, Any, Any]:
            return engine.unary.report(agent_id, incarnation, words)

        def answered(result: Any) -> None:
            self._reporting = False
            if self._goes_on(result) and self.unacked:
                self._reporting = True
                self.later(self.world.random.randrange(100, 3_000), self._report_words)

        what = ", ".join(f"{word.kind.name} {word.task_id}/{word.lease_epoch}" for word in words)
        call(
            self.world, self.name, what, begin, lambda r: self.act(lambda: answered(r)), DEADLINE, self._vouch
        )

    # life

    def _beat(self) -> None:
        agent_id, incarnation = self.agent.agent_id, self.incarnation
        held, confirmed = list(self.held()), list(self.confirmed)

        def begin(engine: Engine) -> Coroutine[Any, Any, Any]:
            return engine.unary.heartbeat(agent_id, incarnation, held, confirmed)

        call(
            self.world,
            self.name,
            f"heartbeat {[*map(tuple, held)]}",
            begin,
            lambda r: self.act(lambda: self._goes_on(r)),
            DEADLINE,
            self._vouch,
        )
        if self.unacked:
            self.flush()
        self.later(self._duration // 3, self._beat)
        self.go_if_done()

    def leave(self) -> None:
        """Nothing says goodbye for a unary agent: it stops calling."""
        self.dead = True
        self.note("leaves")
        self.agent.died(self)

    def _vouch(self, result: Any) -> None:
        daemon, agent_id = self.world.daemon, self.agent.agent_id
        session = daemon.engine.sessions.get(agent_id) if daemon is not None else None
        # The answer may be about a session that another process has ended meanwhile.
        if (
            session is not None
            and session.incarnation == self.incarnation
            and isinstance(result, UnaryAnswer)
        ):
            self.world.checker.vouched[agent_id] = self.world.clock.now() + result.lease_ttl

    def _goes_on(self, result: Any) -> bool:
        """Take in what every answer carries; False when the process is over."""
        if isinstance(result, UnaryAnswer):
            for ack in result.acks:
                self.acknowledged(ack)
            for order in result.orders:
                self.obey(order)
        elif isinstance(result, FleetError) and result.reason == "SESSION_REPLACED":
            self.crash(result.reason)
            self.agent.died(self)
        elif isinstance(result, FleetError) and result.reason not in ("LOST", "STARTING", "STOPPED"):
            self.note(f"is refused: {result.reason}")
        return not self.dead
