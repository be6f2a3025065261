"""Connected agents: their sessions in memory, what they may hold, what they are told (spec D1, D2, T6, T7; design "Sessions and leases")."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from fleetd.core.agent import Agent, AgentOrder, AgentSpec, SessionKind
from fleetd.core.attendance import (
    Attach,
    Attached,
    ConfirmOrders,
    EndDrain,
    EndSession,
    LeaseRef,
    Leaving,
    Repair,
)
from fleetd.core.task import Order, Task
from fleetd.core.words import Say, Word
from fleetd.engine.outbox import BeaconItem, Offer, OrderItem, Outbox
from fleetd.engine.session import Session
from fleetd.errors import FleetError, Overloaded, Unavailable

if TYPE_CHECKING:
    from fleetd.engine.engine import Engine

DAEMON_DRAIN = "daemon-drain"
"""Order id of the drain that goes to every agent when the daemon stops."""


class Sessions:
    """All sessions of this daemon. Everything here runs on the event loop; what touches slots runs between transactions."""

    def __init__(self, engine: Engine, outbox_limit: int) -> None:
        self._engine = engine
        self._outbox_limit = outbox_limit
        self._sessions: dict[str, Session] = {}
        # For agents in ERROR: since when (epoch ms), and when the trial comes (monotonic ms: no jump of the wall clock moves it).
        self._trials: dict[str, tuple[int, int]] = {}
        # What every stream was told at the end of a drain.
        self._last_word: tuple[str, str, int] | None = None

    def get(self, agent_id: str) -> Session | None:
        return self._sessions.get(agent_id)

    def all(self) -> Iterable[Session]:
        return self._sessions.values()

    @property
    def by_agent(self) -> dict[str, Session]:
        return self._sessions

    @property
    def connected(self) -> int:
        """Number of connected agents."""
        return sum(1 for session in self._sessions.values() if session.connected)

    # streams

    async def hello(
        self,
        spec: AgentSpec,
        incarnation: str,
        held: tuple[LeaseRef, ...],
        kind: SessionKind = SessionKind.STREAM,
    ) -> Session:
        """
        Open or resume the session of a stream. Raises WrongState SESSION_REPLACED when the process was replaced.

        While the daemon drains only a process that has a session comes in, to deliver what it holds; all others get Unavailable.
        """
        if self._engine.state != "SERVING" and not self._may_deliver(spec.agent_id, incarnation):
            raise Unavailable(self._engine.state, f"the daemon is {self._engine.state.lower()}")
        attach = Attach(spec, incarnation, kind, held)
        opened: list[Session] = []
        answer = self._engine.post(attach, lambda attached: opened.append(self.attached(attached)))
        try:
            await asyncio.shield(answer)
        except asyncio.CancelledError:
            # The stream is gone, the hello is not: without a stream the session must get no work.
            answer.add_done_callback(lambda _: self.detach(opened[0]) if opened else None)
            raise
        return opened[0]

    def _may_deliver(self, agent_id: str, incarnation: str) -> bool:
        if self._engine.state != "DRAINING" or self._last_word is not None:
            return False
        agent = self._engine.agents.get(agent_id)
        return agent is not None and agent.session_open and agent.incarnation == incarnation

    def slots(self, session: Session, ceiling: int) -> None:
        """Set how many leases the agent wants to hold at once."""
        session.wanted = ceiling
        self._engine.between(lambda: self.seat(session.agent_id))

    def ping(
        self, session: Session, sequence: int, held: list[LeaseRef], confirmed_orders: list[str]
    ) -> None:
        """Renew the session, answer with a beacon and every pending order, repair differences."""
        if self._sessions.get(session.agent_id) is not session:
            return
        self.renew(session)
        self.confirm(session, confirmed_orders)
        self.repair(session, held)
        session.outbox.beacon(
            BeaconItem(sequence, session.refs(), session.heartbeat_interval, session.lease_ttl)
        )
        for order in self.pending_orders(session):
            session.outbox.order(order)

    def post_words(self, session: Session, words: tuple[Word, ...]) -> None:
        """
        Queue words; their acks arrive in the outbox after the commit, in order.

        A stream that another one of the same session has taken over is not heard any more: the agent says all of it again there, where it may
        have been mended meanwhile.
        """
        present = self._sessions.get(session.agent_id)
        if present is not None and present is not session and present.epoch == session.epoch:
            return
        session.in_flight += 1
        say = Say(session.agent_id, session.epoch, words)
        try:
            answer = self._engine.post(say, session.outbox.ack)
        except FleetError as error:
            session.landed()
            self._refuse(session, error)
            return

        def landed(future: asyncio.Future[Any]) -> None:
            session.landed()
            error = future.exception() if not future.cancelled() else None
            if isinstance(error, FleetError):
                self._refuse(session, error)

        answer.add_done_callback(landed)

    def _refuse(self, session: Session, error: FleetError) -> None:
        """Words could not be written: the agent keeps them and says them again after a reconnect."""
        retry_after = error.retry_after if isinstance(error, (Overloaded, Unavailable)) else 1_000
        session.outbox.end(error.reason, error.message, retry_after)

    async def goodbye(self, session: Session, reason: str) -> None:
        """End the session on the agent's wish; its leases go back unburnt."""
        await self._engine.execute(EndSession(session.agent_id, session.epoch, Leaving.GOODBYE, reason))

    def detach(self, session: Session) -> None:
        """The stream ended without a goodbye: the agent has one interval to come back (D2)."""
        if self._sessions.get(session.agent_id) is not session or not session.connected:
            return
        session.connected = False
        now = self._engine.clock.now()
        until = max(now + session.heartbeat_interval, session.spared_until)
        session.expires_at = min(session.expires_at, until)
        self._engine.sweeper.timers.set(("session", session.agent_id), session.expires_at)
        self._engine.between(lambda: self.seat(session.agent_id))

    # what the engine tells

    def attached(self, answer: Attached) -> Session:
        """A session was opened or resumed: build it in memory, unless something else ended it in the same transaction."""
        agent = answer.agent
        agent_id, epoch = agent.spec.agent_id, agent.session_epoch
        old = self._sessions.get(agent_id)
        held = [t for t in answer.held if t.live and (t.agent_id, t.session_epoch) == (agent_id, epoch)]
        session = self._build(agent, held)
        present = self._engine.agents.get(agent_id)
        if present is None or present.session_epoch != epoch or not present.session_open:
            replaced = present is None or present.session_epoch != epoch
            session.outbox.end(
                "SESSION_REPLACED" if replaced else "SESSION_ENDED",
                "the session is over",
                None if replaced else 0,
            )
            return session
        if old is not None:
            old.call_back()
        if answer.resumed and old is not None:
            if old.connected and old.kind is not SessionKind.UNARY:
                old.outbox.end("RECONNECTED", "the agent opened another stream", None)
            session.given_at.update(old.given_at)
            session.orders.update(old.orders)
            session.demands, session.offers = old.demands, old.offers
            session.spared_until = old.spared_until
        session.adopted = session.refs()
        self._sessions[session.agent_id] = session
        self._engine.sweeper.timers.set(("session", session.agent_id), session.expires_at)
        self._engine.between(lambda: self.seat(session.agent_id))
        for order in self.pending_orders(session):
            session.outbox.order(order)
        if self._last_word is not None:
            session.outbox.end(*self._last_word)
        return session

    def restore(self, agent: Agent, held: list[Task]) -> None:
        """Put back a session as it stood before a restart: not connected, with a full fresh TTL."""
        session = self._build(agent, held)
        session.connected = agent.session_kind is SessionKind.UNARY
        session.wanted = 0 if agent.session_kind is SessionKind.UNARY else session.wanted
        for task in held:
            if task.order is not Order.NONE:
                session.orders[task.id] = order_item(task, self._engine.rules.stop_grace)
        self._sessions[session.agent_id] = session
        self._engine.sweeper.timers.set(("session", session.agent_id), session.expires_at)
        self.seat(session.agent_id)

    def _build(self, agent: Agent, held: list[Task]) -> Session:
        now = self._engine.clock.now()
        interval, ttl = self._pace(agent)
        unary = agent.session_kind is SessionKind.UNARY
        return Session(
            agent_id=agent.spec.agent_id,
            epoch=agent.session_epoch,
            incarnation=agent.incarnation,
            kind=agent.session_kind,
            outbox=Outbox(self._outbox_limit),
            expires_at=now + ttl,
            heartbeat_interval=interval,
            lease_ttl=ttl,
            wanted=0 if unary else agent.spec.max_concurrency,
            heartbeat_wall=self._engine.clock.wall(),
            held={task.id: task.lease_epoch for task in held},
            given_at={task.id: now for task in held},
            accepted={task.id for task in held if task.accepted},
        )

    def _pace(self, agent: Agent) -> tuple[int, int]:
        """Return heartbeat interval and lease TTL for an agent, in milliseconds."""
        rules = self._engine.rules
        interval = rules.heartbeat(len(self._sessions))
        if agent.lease_duration:
            return max(1_000, agent.lease_duration // rules.missed_heartbeats), agent.lease_duration
        return interval, interval * rules.missed_heartbeats

    def offered(self, agent_id: str, offer: Offer) -> None:
        """Deliver a lease that was committed."""
        session = self._sessions[agent_id]
        task_id = offer.task.id
        session.held[task_id] = offer.lease_epoch
        session.given_at[task_id] = self._engine.clock.now()
        if session.accepts_by_itself:
            session.accepted.add(task_id)
            demand = next((d for d in session.demands if d.open > 0), None)
            if demand is not None:
                session.offers[task_id] = offer
                demand.offers.append(offer)
                demand.event.set()
        else:
            session.outbox.offer(offer)

    def accepted(self, agent_id: str, task_id: str) -> None:
        session = self._sessions.get(agent_id)
        if session is not None and task_id in session.held:
            session.accepted.add(task_id)

    def ended(self, agent_id: str, task_id: str, lease_epoch: int, *, tell: bool) -> None:
        """A lease is over; `tell` the agent when it does not know."""
        session = self._sessions.get(agent_id)
        if session is None or session.held.get(task_id) != lease_epoch:
            return
        session.drop(task_id)
        if tell:
            drop = OrderItem(
                f"{task_id}/{lease_epoch}/drop", int(Order.DROP), task_id, lease_epoch, 0, "the lease is over"
            )
            session.outbox.order(drop)

    def ordered(self, task: Task) -> None:
        """Tell the agent to stop a run."""
        session = self._sessions.get(task.agent_id)
        if session is not None and session.held.get(task.id) == task.lease_epoch:
            item = order_item(task, self._engine.rules.stop_grace)
            session.orders[task.id] = item
            session.outbox.order(item)

    def closed(self, agent_id: str, epoch: int, reason: str) -> None:
        """A session is over: tell its stream why and forget it."""
        session = self._sessions.get(agent_id)
        if session is None or session.epoch != epoch:
            return
        # A replaced process must not come back; a lost or overrun one may, at once.
        reconnect_after = None if reason in ("SESSION_REPLACED", "UNREGISTERED") else 0
        session.outbox.end(reason, "the session is over", reconnect_after)
        for demand in session.demands:
            demand.event.set()
        session.call_back()
        del self._sessions[agent_id]
        self._engine.sweeper.timers.cancel(("session", agent_id))
        self._engine.slot_book.remove(agent_id)

    def changed(self, agent_id: str) -> None:
        """The agent's row changed: its slots, its orders, its timers."""
        agent = self._engine.agents.get(agent_id)
        if agent is None:
            return
        timers, clock = self._engine.sweeper.timers, self._engine.clock
        if agent.order_deadline:
            timers.set(("drain", agent_id), clock.now() + max(0, agent.order_deadline - clock.wall()))
        if agent.error_since and self._trials.get(agent_id, (0, 0))[0] != agent.error_since:
            wait = self._engine.rules.error_trial_after
            at = clock.now() + min(wait, max(0, agent.error_since + wait - clock.wall()))
            self._trials[agent_id] = (agent.error_since, at)
            timers.set(("trial", agent_id), at)
        self.seat(agent_id)
        session = self._sessions.get(agent_id)
        if session is not None and agent.order_id:
            session.outbox.order(agent_order(agent))

    def seat(self, agent_id: str) -> None:
        """Set anew what the agent may be given. Runs between transactions."""
        session, agent = self._sessions.get(agent_id), self._engine.agents.get(agent_id)
        if session is None or agent is None:
            self._engine.slot_book.remove(agent_id)
            if agent is None:
                self._trials.pop(agent_id, None)
            return
        trial = self._trials.get(agent_id, (0, 0))[1] <= self._engine.clock.now()
        held, unary = len(session.held), session.accepts_by_itself
        wanted = held + sum(demand.open for demand in session.demands) if unary else session.wanted
        ceiling = agent.ceiling(wanted, trial=trial) if session.connected else 0
        self._engine.slot_book.place(
            agent_id,
            agent.spec.capabilities,
            ceiling,
            held,
            counted=unary,
            host=agent.session_kind is SessionKind.HOST,
        )
        self._engine.nudge()

    def pending_orders(self, session: Session) -> list[OrderItem]:
        """Return everything the agent was told and has not confirmed."""
        orders = list(session.orders.values())
        agent = self._engine.agents.get(session.agent_id)
        if agent is not None and agent.order_id:
            orders.append(agent_order(agent))
        if self._engine.state == "DRAINING":
            orders.append(OrderItem(DAEMON_DRAIN, int(AgentOrder.DRAIN), reason="the daemon is stopping"))
        return orders

    def expire(self, agent_id: str) -> None:
        """The session's time is over, unless it was renewed meanwhile."""
        session = self._sessions.get(agent_id)
        if session is None:
            return
        now = self._engine.clock.now()
        if session.demands:
            session.expires_at = max(session.expires_at, now + session.lease_ttl)
        if session.expires_at > now:
            self._engine.sweeper.timers.set(("session", agent_id), session.expires_at)
            return
        missed = "stream ended without goodbye" if not session.connected else "heartbeats missed"
        session.ending = EndSession(agent_id, session.epoch, Leaving.LOST, missed, session.heartbeat_wall)
        self._engine.post_internal(session.ending, ("session", agent_id))

    def spare(self, now: int) -> None:
        """The daemon was suspended: no session, lease or deadline ends before every agent had a full TTL to be heard (design rule 1)."""
        sweeper, rules = self._engine.sweeper, self._engine.rules
        for session in self._sessions.values():
            # A stream that broke meanwhile may be found broken only later.
            session.spared_until = now + session.lease_ttl
            session.expires_at = max(session.expires_at, session.spared_until)
            sweeper.timers.set(("session", session.agent_id), session.expires_at)
            for task_id in session.held:
                sweeper.put_off_lease(task_id, session.spared_until)
        sweeper.due.hold_back(now + rules.heartbeat(len(self._sessions)) * rules.missed_heartbeats)

    def end_drain(self, agent_id: str) -> None:
        agent = self._engine.agents.get(agent_id)
        if agent is not None and agent.order_deadline:
            self._engine.post_internal(EndDrain(agent_id, agent.order_deadline), ("drain", agent_id))

    def drain_all(self) -> None:
        """Tell every agent that the daemon stops."""
        for session in self._sessions.values():
            for order in self.pending_orders(session):
                session.outbox.order(order)
            for demand in session.demands:
                demand.event.set()

    def end_all(self, reason: str, message: str, reconnect_after: int) -> None:
        """End every stream; the sessions stand in the store and resume after the restart."""
        self._last_word = reason, message, reconnect_after
        for session in self._sessions.values():
            session.outbox.end(reason, message, reconnect_after)

    # shared with unary calls

    def renew(self, session: Session) -> None:
        """Note a word of the agent: its leases live on."""
        agent = self._engine.agents.get(session.agent_id)
        if agent is not None:
            session.heartbeat_interval, session.lease_ttl = self._pace(agent)
        session.expires_at = self._engine.clock.now() + session.lease_ttl
        session.heartbeat_wall = self._engine.clock.wall()
        if session.call_back():
            self._engine.sweeper.timers.set(("session", session.agent_id), session.expires_at)

    def confirm(self, session: Session, order_ids: list[str]) -> None:
        """Note which orders of the agent itself were obeyed."""
        agent = self._engine.agents.get(session.agent_id)
        if agent is not None and agent.order_id and agent.order_id in order_ids:
            self._engine.post_internal(ConfirmOrders(session.agent_id, tuple(order_ids)), None)

    def repair(self, session: Session, held: list[LeaseRef]) -> None:
        """Mend differences between what the agent says it holds and what it does hold: both sides follow the store."""
        named = dict(held)
        for task_id, epoch in named.items():
            if session.held.get(task_id) != epoch:
                drop = OrderItem(
                    f"{task_id}/{epoch}/drop", int(Order.DROP), task_id, epoch, 0, "the lease is over"
                )
                session.outbox.order(drop)
        missing = [
            ref for ref in session.refs() if ref.task_id in session.accepted and ref.task_id not in named
        ]
        if session.kind is SessionKind.UNARY:
            # The answer that brought a lease may still be on its way when a heartbeat without it is sent.
            settled = self._engine.clock.now() - session.heartbeat_interval
            missing = [ref for ref in missing if named and session.given_at[ref.task_id] <= settled]
        if missing:
            repair = Repair(session.agent_id, session.epoch, tuple(missing))
            self._engine.post_internal(repair, None)


def order_item(task: Task, stop_grace: int) -> OrderItem:
    """Return the order a run is under, as it goes to the agent."""
    name = task.order.name.lower()
    reason = {Order.CANCEL: "cancelled", Order.TIMEOUT: "timed out", Order.RELEASE: "to be handed back"}
    deadline = task.order_at + stop_grace
    order_id = f"{task.id}/{task.lease_epoch}/{name}"
    return OrderItem(
        order_id, int(task.order), task.id, task.lease_epoch, deadline, reason.get(task.order, name)
    )


def agent_order(agent: Agent) -> OrderItem:
    """Return the order an agent is under, as it goes to the agent."""
    return OrderItem(
        agent.order_id, int(agent.order), deadline=agent.order_deadline, reason=agent.status_reason
    )
