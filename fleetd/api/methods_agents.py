"""Dispatcher and Health: agents (spec D1, D2, D7)."""

from __future__ import annotations

import asyncio
from fnmatch import fnmatchcase
from functools import partial
from typing import TypeAlias

from fleet.v1 import agent_pb2, health_pb2
from fleet.v1 import dispatcher_pb2 as pb
from fleetd.api.calls import Call
from fleetd.api.convert_agents import STATUS_NAMES, agent_out, spec_in
from fleetd.api.convert_audits import matching
from fleetd.api.convert_times import duration, milliseconds, timestamp
from fleetd.api.ids import NewId
from fleetd.api.limits import LABEL_VALUE, Limits
from fleetd.api.methods_tasks import REASON
from fleetd.api.pace import GROUP
from fleetd.api.pages import fitting, make_token, page_size, read_token
from fleetd.api.validate import WORD, Fields
from fleetd.core.agent import Agent, AgentOrder, AgentStatus
from fleetd.core.attendance import OrderAgent, SetCapabilities, Unregister
from fleetd.core.audit import Audited, Nothing
from fleetd.core.limits import closure
from fleetd.engine.engine import Engine
from fleetd.engine.session import Session
from fleetd.errors import NotFound

Dated: TypeAlias = pb.DrainAgentRequest | pb.StopAgentRequest | pb.RestartAgentRequest | pb.DrainAgentsRequest
Order: TypeAlias = (
    pb.DrainAgentRequest
    | pb.UndrainAgentRequest
    | pb.StopAgentRequest
    | pb.StartAgentRequest
    | pb.RestartAgentRequest
)


class AgentMethods:
    """The registry, and what agents are told."""

    def __init__(self, engine: Engine, limits: Limits, new_id: NewId) -> None:
        self._engine = engine
        self._limits = limits
        self._new_id = new_id

    async def register_agent(self, request: pb.RegisterAgentRequest, call: Call) -> agent_pb2.Agent:
        fields = Fields()
        spec = spec_in(request.agent, "agent", self._limits, fields)
        incarnation = fields.text("incarnation", request.incarnation, WORD)
        fields.check()
        return self._show(await self._engine.unary.register(spec, incarnation))

    async def unregister_agent(
        self, request: pb.UnregisterAgentRequest, call: Call
    ) -> pb.UnregisterAgentResponse:
        fields = Fields()
        agent_id = fields.own_name("agent_id", request.agent_id)
        fields.check()
        act = Audited(Unregister(agent_id), call.actor, "UnregisterAgent", agent_id)
        released: int = await self._engine.execute(act)
        return pb.UnregisterAgentResponse(released_tasks=released)

    async def update_agent_capabilities(
        self, request: pb.UpdateAgentCapabilitiesRequest, call: Call
    ) -> agent_pb2.Agent:
        fields = Fields()
        agent_id = fields.own_name("agent_id", request.agent_id)
        capabilities = fields.capabilities("capabilities", request.capabilities, self._limits.capabilities)
        fields.check()
        act = SetCapabilities(agent_id, capabilities)
        return self._show(
            await self._engine.execute(Audited(act, call.actor, "UpdateAgentCapabilities", agent_id))
        )

    async def drain_agent(self, request: pb.DrainAgentRequest, call: Call) -> agent_pb2.Agent:
        return await self._order(AgentOrder.DRAIN, request, call)

    async def undrain_agent(self, request: pb.UndrainAgentRequest, call: Call) -> agent_pb2.Agent:
        return await self._order(AgentOrder.UNDRAIN, request, call)

    async def stop_agent(self, request: pb.StopAgentRequest, call: Call) -> agent_pb2.Agent:
        return await self._order(AgentOrder.STOP, request, call)

    async def start_agent(self, request: pb.StartAgentRequest, call: Call) -> agent_pb2.Agent:
        return await self._order(AgentOrder.START, request, call)

    async def restart_agent(self, request: pb.RestartAgentRequest, call: Call) -> agent_pb2.Agent:
        return await self._order(AgentOrder.RESTART, request, call)

    async def get_agent(self, request: health_pb2.GetAgentRequest, call: Call) -> agent_pb2.Agent:
        return self._show(self._find(_checked(request.agent_id)))

    async def list_agents(
        self, request: health_pb2.ListAgentsRequest, call: Call
    ) -> health_pb2.ListAgentsResponse:
        fields = Fields()
        fields.text("capability", request.capability, WORD)
        for place, status in enumerate(request.statuses):
            fields.known(f"statuses[{place}]", status, STATUS_NAMES)
        fields.text("agent_type", request.agent_type, WORD)
        labels = fields.pairs("labels", request.labels, self._limits.labels, LABEL_VALUE)
        limit = page_size(request.page_size, 100, self._limits.page, fields)
        plain = health_pb2.ListAgentsRequest()
        plain.CopyFrom(request)
        plain.page_size, plain.page_token = 0, ""
        mark = plain.SerializeToString(deterministic=True)
        after = read_token(request.page_token, mark, fields)
        fields.check()
        known = (
            self._engine.agents[agent_id] for agent_id in sorted(self._engine.agents) if agent_id > after
        )
        wanted = [agent for agent in known if self._wanted(agent, request, labels)]
        shown = fitting(map(self._show, wanted[:limit]), self._limits.delivery)
        more = len(shown) < len(wanted)
        token = make_token(shown[-1].spec.agent_id, mark) if more else ""
        return health_pb2.ListAgentsResponse(agents=shown, next_page_token=token)

    async def get_agent_load(
        self, request: health_pb2.GetAgentLoadRequest, call: Call
    ) -> health_pb2.GetAgentLoadResponse:
        answer = health_pb2.GetAgentLoadResponse(total=len(self._engine.agents))
        for agent_id, agent in self._engine.agents.items():
            session = self._engine.sessions.get(agent_id)
            held = len(session.held) if session else 0
            status = agent.status(held)
            answer.idle += status is AgentStatus.IDLE
            answer.running += status is AgentStatus.RUNNING
            answer.error += status is AgentStatus.ERROR
            answer.stopped += status is AgentStatus.STOPPED
            answer.draining += agent.draining
            answer.leases += held
            if session is not None and session.connected:
                answer.connected += 1
                answer.capacity += agent.spec.max_concurrency
        return answer

    async def get_agent_workload(
        self, request: health_pb2.GetAgentWorkloadRequest, call: Call
    ) -> health_pb2.GetAgentWorkloadResponse:
        fields = Fields()
        agent_id = fields.name("agent_id", request.agent_id)
        limit = page_size(request.page_size, 100, self._limits.page, fields)
        mark = b"workload" + agent_id.encode()
        after = read_token(request.page_token, mark, fields)
        fields.check()
        if agent_id:
            return health_pb2.GetAgentWorkloadResponse(agents=[self._workload(self._find(agent_id))])
        ids = [known for known in sorted(self._engine.agents) if known > after]
        return health_pb2.GetAgentWorkloadResponse(
            agents=[self._workload(self._engine.agents[known]) for known in ids[:limit]],
            next_page_token=make_token(ids[limit - 1], mark) if len(ids) > limit else "",
        )

    async def drain_agents(self, request: pb.DrainAgentsRequest, call: Call) -> pb.DrainAgentsResponse:
        fields = Fields()
        pattern = fields.text("id_pattern", request.id_pattern, WORD)
        labels = fields.pairs("labels", request.labels, self._limits.labels, LABEL_VALUE)
        if not pattern and not labels:
            fields.refuse("id_pattern", "is required unless labels are given; * means every agent")
        reason = fields.text("reason", request.reason, REASON)
        deadline = self._deadline(request, fields)
        fields.check()
        found = [
            agent_id
            for agent_id, agent in sorted(self._engine.agents.items())
            if _like(agent_id, pattern or "*")
            and all(
                key in agent.spec.labels and _like(agent.spec.labels[key], value)
                for key, value in labels.items()
            )
        ]
        if not request.dry_run:
            target = matching(pb.DrainAgentsRequest(id_pattern=pattern, labels=labels))
            await self._engine.execute(Audited(Nothing(), call.actor, "DrainAgents", target, reason))
            for start in range(0, len(found), GROUP):
                await self._drain(found[start : start + GROUP], reason, deadline)
        return pb.DrainAgentsResponse(agent_ids=found)

    async def _drain(self, agent_ids: list[str], reason: str, deadline: int) -> None:
        """Drain agents in one batch; one that was unregistered just now needs no order."""
        orders = [
            self._engine.execute(OrderAgent(agent_id, AgentOrder.DRAIN, self._new_id(), reason, deadline))
            for agent_id in agent_ids
        ]
        for answer in await asyncio.gather(*orders, return_exceptions=True):
            if isinstance(answer, BaseException) and not isinstance(answer, NotFound):
                raise answer

    async def _order(self, order: AgentOrder, request: Order, call: Call) -> agent_pb2.Agent:
        fields = Fields()
        # Nothing on a host has a process that could be another after an order.
        check = fields.own_name if order is AgentOrder.RESTART else partial(fields.name, required=True)
        agent_id = check("agent_id", request.agent_id)
        reason = fields.text("reason", request.reason, REASON)
        undated = isinstance(request, (pb.StartAgentRequest, pb.UndrainAgentRequest))
        deadline = 0 if undated else self._deadline(request, fields)
        fields.check()
        act = OrderAgent(agent_id, order, self._new_id(), reason, deadline)
        action = f"{order.name.capitalize()}Agent"
        return self._show(await self._engine.execute(Audited(act, call.actor, action, agent_id, reason)))

    def _deadline(self, request: Dated, fields: Fields) -> int:
        """Return when what still runs is handed back, epoch ms; 0 = it may finish."""
        if not request.HasField("deadline"):
            return 0
        patience = milliseconds(request.deadline, "deadline", fields, 0, self._limits.duration)
        return self._engine.clock.wall() + patience

    def _find(self, agent_id: str) -> Agent:
        agent = self._engine.agents.get(agent_id)
        if agent is None:
            raise NotFound("AGENT_NOT_FOUND", f"no agent {agent_id!r} is registered", {"agent_id": agent_id})
        return agent

    def _wanted(self, agent: Agent, request: health_pb2.ListAgentsRequest, labels: dict[str, str]) -> bool:
        session = self._engine.sessions.get(agent.spec.agent_id)
        connected = session is not None and session.connected
        held = len(session.held) if session else 0
        return (
            (not request.capability or request.capability in closure(agent.spec.capabilities))
            and (not request.statuses or int(agent.status(held)) in request.statuses)
            and (not request.HasField("connected") or request.connected == connected)
            and (not request.agent_type or request.agent_type == agent.spec.agent_type)
            and all(agent.spec.labels.get(key) == value for key, value in labels.items())
        )

    def _show(self, agent: Agent) -> agent_pb2.Agent:
        session = self._engine.sessions.get(agent.spec.agent_id)
        if session is None:
            return agent_out(agent, held=0, connected=False)
        message = agent_out(agent, held=len(session.held), connected=session.connected)
        message.last_heartbeat_at.CopyFrom(timestamp(_last_word(agent, session)))
        return message

    def _workload(self, agent: Agent) -> health_pb2.AgentWorkload:
        session = self._engine.sessions.get(agent.spec.agent_id)
        finished = agent.completed + agent.failed
        message = health_pb2.AgentWorkload(
            agent_id=agent.spec.agent_id,
            current_task_ids=list(session.held) if session else (),
            max_concurrency=agent.spec.max_concurrency,
            completed=agent.completed,
            failed=agent.failed,
            error_rate=agent.failed / finished if finished else 0.0,
        )
        if agent.completed:
            message.average_execution.CopyFrom(duration(agent.run_ms // agent.completed))
        heard = _last_word(agent, session)
        if heard:
            message.last_heartbeat_at.CopyFrom(timestamp(heard))
        return message


def _last_word(agent: Agent, session: Session | None) -> int:
    """Return when the agent was last heard, epoch ms: heartbeats stay in memory until the row is written for another reason."""
    return max(agent.last_heartbeat_at, session.heartbeat_wall if session else 0)


def _like(text: str, pattern: str) -> bool:
    """Match a pattern of * and ?; brackets are plain characters."""
    return fnmatchcase(text, pattern.replace("[", "[[]"))


def _checked(agent_id: str) -> str:
    fields = Fields()
    fields.name("agent_id", agent_id, required=True)
    fields.check()
    return agent_id
