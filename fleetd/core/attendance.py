"""Coming and going of agents, and the orders they are under (spec D1, D2; design "Sessions and leases")."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from fleetd.core import runs
from fleetd.core.agent import Agent, AgentOrder, AgentSpec, SessionKind
from fleetd.core.effect import AgentChanged, Ordered, SessionEnded
from fleetd.core.event import EventType
from fleetd.core.ledger import Keys, Ledger, Rowless
from fleetd.core.task import Order, Status, Task
from fleetd.errors import NotFound, WrongState


class LeaseRef(NamedTuple):
    """A lease by name."""

    task_id: str
    lease_epoch: int


class Attached(NamedTuple):
    """Answer of Attach: the session as the hello left it, and the leases of it that stood then."""

    agent: Agent
    resumed: bool
    held: list[Task]


@dataclass(frozen=True, slots=True)
class Attach:
    """
    An agent says hello. Answer: Attached.

    The same incarnation resumes: leases in `held` are adopted with their epoch, others of the session go back (all stand when `held` is
    None). Another incarnation ends the older session for good: what ran there is lost, and that process is refused from then on.
    """

    spec: AgentSpec
    incarnation: str
    kind: SessionKind
    held: tuple[LeaseRef, ...] | None = None
    lease_duration: int = 0

    def keys(self) -> Keys:
        return Keys(held_by=(self.spec.agent_id,))

    def more(self, ledger: Ledger) -> Keys | None:
        return None

    def apply(self, ledger: Ledger) -> Attached:
        agent_id = self.spec.agent_id
        known = ledger.agent(agent_id)
        if known is None:
            agent = Agent(spec=self.spec, registered_at=ledger.now)
            ledger.add_agent(agent)
            return self._open(ledger, agent, resumed=False)
        if self.incarnation in known.retired:
            raise WrongState(
                "SESSION_REPLACED",
                f"another process has registered as {agent_id!r} since; this one is no longer that agent",
            )
        agent = ledger.change_agent(agent_id)
        if agent.session_open and agent.incarnation == self.incarnation:
            self._adopt(ledger, agent)
            agent.session_kind = self.kind
            if self.kind is not SessionKind.STREAM:
                # A process with a stream changes by a command; a host's agent is what its definition says now.
                agent.spec = self.spec
            return self._open(ledger, agent, resumed=True)
        if agent.incarnation != self.incarnation:
            # Also when its session was lost before: cut off for a while, it must not come back and take over in its turn.
            agent.retire_incarnation()
        if agent.session_open:
            _lose_all(ledger, agent_id, "replaced by a new process of the agent")
            ledger.effects.append(SessionEnded(agent_id, agent.session_epoch, "SESSION_REPLACED"))
        agent.spec = self.spec
        agent.error_since = agent.consecutive_failures = 0
        if agent.order is AgentOrder.RESTART:
            agent.order, agent.order_id, agent.order_deadline = AgentOrder.NONE, "", 0
        return self._open(ledger, agent, resumed=False)

    def _adopt(self, ledger: Ledger, agent: Agent) -> None:
        if self.held is None:
            return
        listed = set(self.held)
        for task in ledger.held_by(agent.spec.agent_id):
            if LeaseRef(task.id, task.lease_epoch) not in listed:
                runs.release(ledger, task, "not held any more after a reconnect")
            elif not task.accepted:
                runs.accept(ledger, task)

    def _open(self, ledger: Ledger, agent: Agent, *, resumed: bool) -> Attached:
        agent.last_heartbeat_at = ledger.now
        agent.lease_duration = self.lease_duration
        agent_id = agent.spec.agent_id
        ledger.greeted[agent_id] = None
        if not resumed:
            agent.session_epoch += 1
            agent.session_open = True
            agent.session_kind = self.kind
            agent.incarnation = self.incarnation
            payload = {"session_epoch": agent.session_epoch, "capabilities": list(agent.spec.capabilities)}
            ledger.agent_event(agent_id, EventType.AGENT_REGISTERED, payload)
        held = [task for task in ledger.held_by(agent_id) if task.session_epoch == agent.session_epoch]
        return Attached(agent.copy(), resumed, held)


class Leaving(StrEnum):
    """Why a session ends."""

    GOODBYE = "GOODBYE"
    LOST = "HEARTBEAT_MISSED"
    OVERFLOW = "OUTBOX_OVERFLOW"
    UNREGISTERED = "UNREGISTERED"


@dataclass(slots=True)
class EndSession:
    """
    End a session if it is still the one meant. Answer: number of leases that went back.

    The end of a lost agent waits its turn among the commands; `called_back` is set when the agent is heard meanwhile. `heard_at`: when it was heard
    last, epoch ms, 0 = now.
    """

    agent_id: str
    session_epoch: int
    why: Leaving
    reason: str = ""
    heard_at: int = 0
    called_back: bool = False

    def keys(self) -> Keys:
        return Keys(held_by=(self.agent_id,))

    def more(self, ledger: Ledger) -> Keys | None:
        return None

    def apply(self, ledger: Ledger) -> int:
        known = ledger.agent(self.agent_id)
        if known is None or not known.session_open or known.session_epoch != self.session_epoch:
            return 0
        if self.why is Leaving.LOST and (self.called_back or self.agent_id in ledger.greeted):
            return 0
        ledger.change_agent(self.agent_id).last_heartbeat_at = self.heard_at or ledger.now
        return _end(ledger, self.agent_id, self.why, self.reason)


@dataclass(frozen=True, slots=True)
class Unregister:
    """Forget an agent. Answer: number of leases that went back."""

    agent_id: str

    def keys(self) -> Keys:
        return Keys(held_by=(self.agent_id,))

    def more(self, ledger: Ledger) -> Keys | None:
        return None

    def apply(self, ledger: Ledger) -> int:
        known = _find(ledger, self.agent_id)
        count = _end(ledger, self.agent_id, Leaving.UNREGISTERED, "") if known.session_open else 0
        ledger.remove_agent(self.agent_id)
        ledger.agent_event(self.agent_id, EventType.AGENT_UNREGISTERED)
        return count


@dataclass(frozen=True, slots=True)
class SetCapabilities(Rowless):
    """Replace what an agent can do. Answer: Agent."""

    agent_id: str
    capabilities: tuple[str, ...]

    def apply(self, ledger: Ledger) -> Agent:
        _find(ledger, self.agent_id)
        agent = ledger.change_agent(self.agent_id)
        agent.spec = replace(agent.spec, capabilities=self.capabilities)
        payload = {"capabilities": list(self.capabilities), "reason": "capabilities changed"}
        ledger.agent_event(self.agent_id, EventType.AGENT_STATUS, payload)
        ledger.effects.append(AgentChanged(self.agent_id))
        return agent


@dataclass(frozen=True, slots=True)
class OrderAgent:
    """
    Drain, undrain, stop, start or restart an agent (D2). Answer: Agent.

    `deadline` (epoch ms, 0 = none) is when what still runs is handed back. Offers it has not accepted go back at once.
    """

    agent_id: str
    order: AgentOrder
    order_id: str
    reason: str = ""
    deadline: int = 0

    def keys(self) -> Keys:
        return Keys(held_by=(self.agent_id,))

    def more(self, ledger: Ledger) -> Keys | None:
        return None

    def apply(self, ledger: Ledger) -> Agent:
        _find(ledger, self.agent_id)
        agent = ledger.change_agent(self.agent_id)
        agent.order, agent.order_id, agent.order_deadline = self.order, self.order_id, self.deadline
        agent.status_reason = self.reason
        if self.order is AgentOrder.DRAIN:
            agent.draining = True
        elif self.order is AgentOrder.UNDRAIN:
            agent.draining = False
        elif self.order is AgentOrder.STOP:
            agent.stopped = True
        elif self.order is AgentOrder.START:
            agent.stopped = agent.draining = False
            agent.error_since = agent.consecutive_failures = 0
        if self.order in (AgentOrder.DRAIN, AgentOrder.STOP, AgentOrder.RESTART):
            for task in ledger.held_by(self.agent_id):
                if task.status is Status.ASSIGNED and not task.accepted:
                    runs.release(ledger, task, f"agent ordered to {self.order.name.lower()}", tell=True)
        payload = {"order": self.order.name, "reason": self.reason, "deadline": self.deadline}
        ledger.agent_event(self.agent_id, EventType.AGENT_STATUS, payload)
        ledger.effects.append(AgentChanged(self.agent_id))
        return agent


@dataclass(frozen=True, slots=True)
class ConfirmOrders(Rowless):
    """An agent says that it obeys. Answer: None. A restart stays in force until the new process is there."""

    agent_id: str
    order_ids: tuple[str, ...]

    def apply(self, ledger: Ledger) -> None:
        known = ledger.agent(self.agent_id)
        if known is None or not known.order_id or known.order_id not in self.order_ids:
            return
        agent = ledger.change_agent(self.agent_id)
        agent.order_id = ""
        if agent.order is not AgentOrder.RESTART:
            agent.order = AgentOrder.NONE
        ledger.effects.append(AgentChanged(self.agent_id))


@dataclass(frozen=True, slots=True)
class EndDrain:
    """The `deadline` (epoch ms) of a drain, stop or restart has passed: what still runs is ordered back. Answer: None."""

    agent_id: str
    deadline: int

    def keys(self) -> Keys:
        return Keys(held_by=(self.agent_id,))

    def more(self, ledger: Ledger) -> Keys | None:
        return None

    def apply(self, ledger: Ledger) -> None:
        agent = ledger.agent(self.agent_id)
        if agent is None or agent.order_deadline != self.deadline:
            return
        ledger.change_agent(self.agent_id).order_deadline = 0
        for task in ledger.held_by(self.agent_id):
            if task.order is Order.NONE:
                runs.order(ledger, task, Order.RELEASE, "drain deadline")
                ledger.effects.append(Ordered(task))


@dataclass(frozen=True, slots=True)
class Repair:
    """Accepted leases that the agent's heartbeat no longer lists go back. Answer: None."""

    agent_id: str
    session_epoch: int
    missing: tuple[LeaseRef, ...]

    def keys(self) -> Keys:
        return Keys(task_ids=tuple(ref.task_id for ref in self.missing))

    def more(self, ledger: Ledger) -> Keys | None:
        return None

    def apply(self, ledger: Ledger) -> None:
        for ref in self.missing:
            task = ledger.task(ref.task_id)
            if (
                task is not None
                and task.live
                and task.accepted
                and task.lease_epoch == ref.lease_epoch
                and task.agent_id == self.agent_id
                and task.session_epoch == self.session_epoch
            ):
                runs.release(ledger, task, "no longer held by the agent")


def _end(ledger: Ledger, agent_id: str, why: Leaving, reason: str) -> int:
    agent = ledger.change_agent(agent_id)
    agent.session_open = False
    held = [task for task in ledger.held_by(agent_id) if task.session_epoch == agent.session_epoch]
    if why is Leaving.GOODBYE or why is Leaving.UNREGISTERED:
        for task in held:
            runs.release(ledger, task, reason or f"agent left: {why.lower()}")
        if why is Leaving.GOODBYE:
            payload = {"connected": False, "reason": reason or "goodbye"}
            ledger.agent_event(agent_id, EventType.AGENT_STATUS, payload)
    else:
        payload = {"reason": reason or why.lower(), "leases": len(held), "session_epoch": agent.session_epoch}
        ledger.agent_event(agent_id, EventType.AGENT_LOST, payload)
        for task in held:
            runs.lost(ledger, task, "AGENT_LOST", reason or "the agent was lost")
    ledger.effects.append(SessionEnded(agent_id, agent.session_epoch, why.value))
    return len(held)


def _lose_all(ledger: Ledger, agent_id: str, message: str) -> None:
    for task in ledger.held_by(agent_id):
        runs.lost(ledger, task, "AGENT_LOST", message)


def _find(ledger: Ledger, agent_id: str) -> Agent:
    agent = ledger.agent(agent_id)
    if agent is None:
        raise NotFound("AGENT_NOT_FOUND", f"no agent {agent_id!r} is registered", {"agent_id": agent_id})
    return agent
