"""Agents and what they say of themselves."""

from __future__ import annotations

from fleet.v1 import agent_pb2
from fleetd.api.convert_enums import enum_out
from fleetd.api.convert_times import timestamp
from fleetd.api.limits import LABEL_VALUE, METADATA_VALUE, Limits
from fleetd.api.validate import WORD, Fields
from fleetd.core.agent import Agent, AgentSpec

STATUS_NAMES = {v.number: v.name for v in agent_pb2.AgentStatus.DESCRIPTOR.values if v.number}


def spec_in(message: agent_pb2.AgentSpec, path: str, limits: Limits, fields: Fields) -> AgentSpec:
    """Return what an agent says of itself."""
    return AgentSpec(
        agent_id=fields.own_name(f"{path}.agent_id", message.agent_id),
        agent_type=fields.text(f"{path}.agent_type", message.agent_type, WORD),
        hostname=fields.text(f"{path}.hostname", message.hostname, 255),
        endpoint=fields.text(f"{path}.endpoint", message.endpoint, 1_024),
        capabilities=fields.capabilities(f"{path}.capabilities", message.capabilities, limits.capabilities),
        max_concurrency=fields.number(
            f"{path}.max_concurrency", message.max_concurrency, 0, limits.max_concurrency
        )
        or 1,
        labels=fields.pairs(f"{path}.labels", message.labels, limits.labels, LABEL_VALUE),
        metadata=fields.pairs(f"{path}.metadata", message.metadata, limits.metadata, METADATA_VALUE),
        software_version=fields.text(f"{path}.software_version", message.software_version, WORD),
    )


def spec_out(spec: AgentSpec) -> agent_pb2.AgentSpec:
    return agent_pb2.AgentSpec(
        agent_id=spec.agent_id,
        agent_type=spec.agent_type,
        hostname=spec.hostname,
        endpoint=spec.endpoint,
        capabilities=spec.capabilities,
        max_concurrency=spec.max_concurrency,
        labels=dict(spec.labels),
        metadata=dict(spec.metadata),
        software_version=spec.software_version,
    )


def agent_out(agent: Agent, *, held: int, connected: bool) -> agent_pb2.Agent:
    """Return the agent as callers see it while it holds `held` leases."""
    message = agent_pb2.Agent(
        spec=spec_out(agent.spec),
        status=enum_out(agent.status(held)),
        connected=connected,
        draining=agent.draining,
        status_reason=agent.status_reason,
        registered_at=timestamp(agent.registered_at),
        session_epoch=agent.session_epoch,
        running_tasks=held,
        completed_tasks=agent.completed,
        failed_tasks=agent.failed,
        consecutive_failures=agent.consecutive_failures,
    )
    if agent.session_open:
        message.session_kind = enum_out(agent.session_kind)
    if agent.last_heartbeat_at:
        message.last_heartbeat_at.CopyFrom(timestamp(agent.last_heartbeat_at))
    return message
