"""Agents without a stream: register, claim with a long poll, report, heartbeat. Their leases wait in the same queue as those of streams (M3)."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fleetd.core.agent import Agent, AgentSpec, SessionKind
from fleetd.core.attendance import Attach, Attached, LeaseRef
from fleetd.core.task import Order
from fleetd.core.words import Ack, Say, Word, WordKind
from fleetd.engine.outbox import Offer, OrderItem, OrdersItem
from fleetd.engine.session import Demand, Session
from fleetd.engine.sessions import Sessions
from fleetd.errors import NotFound, Unavailable, WrongState

if TYPE_CHECKING:
    from fleetd.engine.engine import Engine

REQUESTS_KEPT = 10_000
"""Claims remembered by request id, for repeats; a repeat comes within seconds of a lost answer."""

NO_CEILING = 10_000
"""max_concurrency of an agent that registers by claiming: the number it asks for is its ceiling."""


@dataclass(frozen=True, slots=True)
class UnaryAnswer:
    """What every unary call of an agent answers, each with its own part. Milliseconds."""

    lease_ttl: int
    heartbeat_interval: int
    offers: list[Offer] = field(default_factory=list)
    acks: list[Ack] = field(default_factory=list)
    leases: list[LeaseRef] = field(default_factory=list)
    orders: list[OrderItem] = field(default_factory=list)


class UnaryAgents:
    """The calls of agents without a stream."""

    def __init__(self, engine: Engine, sessions: Sessions) -> None:
        self._engine = engine
        self._sessions = sessions
        self._requests: OrderedDict[tuple[str, str], list[LeaseRef]] = OrderedDict()

    async def register(self, spec: AgentSpec, incarnation: str, lease_duration: int = 0) -> Agent:
        """Make the agent known and open its session; another process of the same id ends here (D1)."""
        attach = Attach(spec, incarnation, SessionKind.UNARY, None, lease_duration)
        attached: Attached = await self._engine.execute(attach, self._sessions.attached)
        return attached.agent

    async def claim(
        self,
        agent_id: str,
        incarnation: str,
        capabilities: tuple[str, ...] | None,
        max_tasks: int,
        wait: int,
        lease_duration: int,
        request_id: str,
    ) -> UnaryAnswer:
        """Wait up to `wait` ms for work; durations in ms. A repeated `request_id` returns the leases of the first call that still stand."""
        session = await self._session_for(agent_id, incarnation, capabilities, lease_duration)
        repeated = self._repeat(session, request_id)
        if repeated is not None:
            return self._answer(session, offers=repeated)
        demand = Demand(self._room_for(agent_id, session, max_tasks))
        try:
            await self._open(session, demand)
            if not demand.offers and wait and self._engine.state == "SERVING":
                await self._engine.wait(demand.event, wait)
            await self._close(session, demand)
        except BaseException:
            self._abandon(session, demand)
            raise
        if request_id:
            given = [LeaseRef(offer.task.id, offer.lease_epoch) for offer in demand.offers]
            self._requests[agent_id, request_id] = given
            while len(self._requests) > REQUESTS_KEPT:
                self._requests.popitem(last=False)
        return self._answer(session, offers=demand.offers)

    async def report(self, agent_id: str, incarnation: str, words: tuple[Word, ...]) -> UnaryAnswer:
        """Say words; each gets its own answer. The session is renewed."""
        agent = self._agent(agent_id, incarnation)
        acks: list[Ack] = await self._engine.execute(Say(agent_id, agent.session_epoch, words))
        session = self._sessions.get(agent_id)
        if session is None:
            rules = self._engine.rules
            interval = rules.heartbeat_min
            return UnaryAnswer(interval * rules.missed_heartbeats, interval, acks=acks)
        return self._answer(session, acks=acks)

    async def heartbeat(
        self, agent_id: str, incarnation: str, held: list[LeaseRef], confirmed_orders: list[str]
    ) -> UnaryAnswer:
        """Renew the session and repair differences."""
        agent = self._agent(agent_id, incarnation)
        session = self._sessions.get(agent_id)
        if session is None:
            await self.register(agent.spec, incarnation, agent.lease_duration)
            session = self._opened(agent_id, incarnation)
        self._sessions.repair(session, held)
        self._sessions.confirm(session, confirmed_orders)
        return self._answer(session)

    def _agent(self, agent_id: str, incarnation: str) -> Agent:
        agent = self._engine.agents.get(agent_id)
        if agent is None:
            raise NotFound("AGENT_NOT_FOUND", f"no agent {agent_id!r} is registered", {"agent_id": agent_id})
        if agent.incarnation != incarnation:
            raise WrongState(
                "SESSION_REPLACED", f"another process is registered as {agent_id!r}", {"agent_id": agent_id}
            )
        return agent

    async def _session_for(
        self, agent_id: str, incarnation: str, capabilities: tuple[str, ...] | None, lease_duration: int
    ) -> Session:
        """Return the agent's session; open one when it has none, is new, or says something new of itself."""
        agent = self._engine.agents.get(agent_id)
        session = self._sessions.get(agent_id)
        if agent is None:
            spec = AgentSpec(agent_id, capabilities=capabilities or (), max_concurrency=NO_CEILING)
        else:
            new = capabilities is not None and capabilities != agent.spec.capabilities
            same = agent.incarnation == incarnation and agent.lease_duration == lease_duration and not new
            if session is not None and same:
                return session
            spec = agent.spec
            if capabilities is not None:
                spec = replace(spec, capabilities=capabilities)
        await self.register(spec, incarnation, lease_duration)
        return self._opened(agent_id, incarnation)

    def _opened(self, agent_id: str, incarnation: str) -> Session:
        """Return the session that was just opened, unless something else ended it in the same transaction."""
        session = self._sessions.get(agent_id)
        if session is None:
            raise Unavailable("SESSION_ENDED", f"the session of {agent_id!r} was ended just now")
        if session.incarnation != incarnation:
            raise WrongState("SESSION_REPLACED", f"another process registered as {agent_id!r} just now")
        return session

    def _room_for(self, agent_id: str, session: Session, max_tasks: int) -> int:
        agent = self._engine.agents[agent_id]
        waiting = sum(demand.open for demand in session.demands)
        return max(0, min(max_tasks, agent.spec.max_concurrency - len(session.held) - waiting))

    def _repeat(self, session: Session, request_id: str) -> list[Offer] | None:
        given = self._requests.get((session.agent_id, request_id)) if request_id else None
        if given is None:
            return None
        offers = [session.offers[ref.task_id] for ref in given if ref.task_id in session.offers]
        return [offer for offer in offers if (offer.task.id, offer.lease_epoch) in given]

    async def _open(self, session: Session, demand: Demand) -> None:
        """Join the queue, and let one round of dispatch pass."""

        def join() -> None:
            session.demands.append(demand)
            self._sessions.seat(session.agent_id)

        self._engine.between(join)
        await self._engine.turn()

    async def _close(self, session: Session, demand: Demand) -> None:
        """Leave the queue between two transactions: what was given until then belongs to this call."""
        self._engine.between(lambda: self._leave(session, demand))
        await self._engine.turn()

    def _abandon(self, session: Session, demand: Demand) -> None:
        """The caller went away: leave the queue and hand back what nobody will read."""

        def leave() -> None:
            self._leave(session, demand)
            words = tuple(
                Word(
                    offer.task.id,
                    offer.lease_epoch,
                    WordKind.RELEASE,
                    message="the claiming call was cancelled",
                )
                for offer in demand.offers
            )
            if words:
                self._engine.post_internal(Say(session.agent_id, session.epoch, words), None)

        self._engine.between(leave)

    def _leave(self, session: Session, demand: Demand) -> None:
        if demand in session.demands:
            session.demands.remove(demand)
        self._sessions.seat(session.agent_id)

    def _answer(
        self, session: Session, offers: list[Offer] | None = None, acks: list[Ack] | None = None
    ) -> UnaryAnswer:
        present = self._sessions.get(session.agent_id)
        if present is not None and present.epoch == session.epoch:
            session = present  # registered again meanwhile: the same session, built anew
        self._sessions.renew(session)
        said = [item for item in session.outbox.take() if isinstance(item, OrdersItem)]
        drops = [order for item in said for order in item.orders if order.kind == Order.DROP]
        return UnaryAnswer(
            session.lease_ttl,
            session.heartbeat_interval,
            offers or [],
            acks or [],
            session.refs(),
            [*self._sessions.pending_orders(session), *drops],
        )
