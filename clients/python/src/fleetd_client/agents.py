"""What the clients' methods ask about agents, the queue and the daemon; the sister of `tasks`, which is about tasks."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from fleetd_client import methods as m
from fleetd_client import stubs as s
from fleetd_client.plan import Page, Plan, ask
from fleetd_client.times import Span, duration, seconds
from fleetd_client.words import number


def agent_page(
    position: Any,
    *,
    capability: str = "",
    statuses: Iterable[str | int] = (),
    connected: bool | None = None,
    agent_type: str = "",
    labels: Mapping[str, str] | None = None,
    page_size: int = 1_000,
) -> Plan[Page[s.AgentRecord]]:
    """Agents that match, in order of their ids."""
    request = s.ListAgentsRequest(
        capability=capability,
        statuses=[number(s.AgentStatus, "AGENT_STATUS", one, "statuses") for one in statuses],
        agent_type=agent_type,
        labels=labels,
        page_size=page_size,
        page_token=position or "",
    )
    if connected is not None:
        request.connected = connected
    response = yield from ask(m.LIST_AGENTS, request)
    return Page(response.agents, response.next_page_token or None)


def agent(agent_id: str) -> Plan[s.AgentRecord]:
    """One agent; NotFound when it is not registered."""
    return ask(m.GET_AGENT, s.GetAgentRequest(agent_id=agent_id))


def agent_load() -> Plan[s.GetAgentLoadResponse]:
    """How many agents are idle, running, in error."""
    return ask(m.GET_AGENT_LOAD, s.GetAgentLoadRequest())


def workload_page(
    position: Any, *, agent_id: str = "", page_size: int = 1_000
) -> Plan[Page[s.AgentWorkload]]:
    """What each agent, or one, does and did."""
    request = s.GetAgentWorkloadRequest(agent_id=agent_id, page_size=page_size, page_token=position or "")
    response = yield from ask(m.GET_AGENT_WORKLOAD, request)
    return Page(response.agents, response.next_page_token or None)


def drain_agent(agent_id: str, *, deadline: Span | None = None, reason: str = "") -> Plan[s.AgentRecord]:
    """Let the agent finish what it runs and give it no more; what still runs at the deadline is handed back."""
    request = s.DrainAgentRequest(agent_id=agent_id, deadline=duration(deadline), reason=reason)
    return ask(m.DRAIN_AGENT, request)


def drain_agents(
    id_pattern: str = "",
    *,
    labels: Mapping[str, str] | None = None,
    deadline: Span | None = None,
    reason: str = "",
    dry_run: bool = False,
) -> Plan[list[str]]:
    """Drain every agent whose id and labels match patterns of * and ?; the ids found. dry_run only lists."""
    request = s.DrainAgentsRequest(
        id_pattern=id_pattern, labels=labels, deadline=duration(deadline), reason=reason, dry_run=dry_run
    )
    response = yield from ask(m.DRAIN_AGENTS, request)
    return list(response.agent_ids)


def undrain_agent(agent_id: str, *, reason: str = "") -> Plan[s.AgentRecord]:
    """Give the agent work again."""
    return ask(m.UNDRAIN_AGENT, s.UndrainAgentRequest(agent_id=agent_id, reason=reason))


def stop_agent(agent_id: str, *, deadline: Span | None = None, reason: str = "") -> Plan[s.AgentRecord]:
    """Drain the agent, then let it rest, connected."""
    request = s.StopAgentRequest(agent_id=agent_id, deadline=duration(deadline), reason=reason)
    return ask(m.STOP_AGENT, request)


def start_agent(agent_id: str, *, reason: str = "") -> Plan[s.AgentRecord]:
    """Give the agent work again after a stop, a drain or an error."""
    return ask(m.START_AGENT, s.StartAgentRequest(agent_id=agent_id, reason=reason))


def restart_agent(agent_id: str, *, deadline: Span | None = None, reason: str = "") -> Plan[s.AgentRecord]:
    """Drain the agent, then let its process start anew."""
    request = s.RestartAgentRequest(agent_id=agent_id, deadline=duration(deadline), reason=reason)
    return ask(m.RESTART_AGENT, request)


def register_agent(spec: s.AgentSpec, *, incarnation: str = "") -> Plan[s.AgentRecord]:
    """Make an agent without a stream known."""
    return ask(m.REGISTER_AGENT, s.RegisterAgentRequest(agent=spec, incarnation=incarnation))


def unregister_agent(agent_id: str) -> Plan[int]:
    """Forget an agent; the number of leases that went back to the queue."""
    response = yield from ask(m.UNREGISTER_AGENT, s.UnregisterAgentRequest(agent_id=agent_id))
    return response.released_tasks


def update_agent_capabilities(agent_id: str, capabilities: Iterable[str]) -> Plan[s.AgentRecord]:
    """Replace the agent's capabilities."""
    request = s.UpdateAgentCapabilitiesRequest(agent_id=agent_id, capabilities=capabilities)
    return ask(m.UPDATE_AGENT_CAPABILITIES, request)


def heartbeat(
    agent_id: str,
    *,
    incarnation: str = "",
    held: Iterable[s.LeaseRef] = (),
    confirmed_orders: Iterable[str] = (),
) -> Plan[s.HeartbeatResponse]:
    """Keep an agent without a stream, and its leases, alive; the answer carries its orders."""
    request = s.HeartbeatRequest(
        agent_id=agent_id, incarnation=incarnation, held=held, confirmed_orders=confirmed_orders
    )
    return ask(m.HEARTBEAT, request)


def claim_tasks(
    agent_id: str,
    *,
    incarnation: str = "",
    capabilities: Iterable[str] = (),
    max_tasks: int = 1,
    wait: Span = 0.0,
    lease_duration: Span | None = None,
    request_id: str = "",
) -> Plan[s.ClaimTasksResponse]:
    """Leases for an agent without a stream; waits up to `wait` (60 s at most), then none."""
    request = s.ClaimTasksRequest(
        agent_id=agent_id,
        incarnation=incarnation,
        capabilities=capabilities,
        max_tasks=max_tasks,
        wait=duration(wait),
        lease_duration=duration(lease_duration),
        request_id=request_id or uuid.uuid4().hex,
    )
    return ask(m.CLAIM_TASKS, request, extra=seconds(wait))


def report_tasks(
    agent_id: str, reports: Iterable[s.Report], *, incarnation: str = ""
) -> Plan[s.ReportTasksResponse]:
    """Words about the leases of an agent without a stream; each gets its own answer, in order."""
    request = s.ReportTasksRequest(agent_id=agent_id, incarnation=incarnation, reports=reports)
    return ask(m.REPORT_TASKS, request)


def queue_status() -> Plan[s.GetQueueStatusResponse]:
    """How many tasks there are in each state, and how long they wait and run."""
    return ask(m.GET_QUEUE_STATUS, s.GetQueueStatusRequest())


def status() -> Plan[s.GetStatusResponse]:
    """The daemon itself."""
    return ask(m.GET_STATUS, s.GetStatusRequest())
