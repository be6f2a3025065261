"""Hosts into messages; definitions of hosts out of them (spec M5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fleet.v1 import host_pb2
from fleetd.api.convert_enums import enum_out
from fleetd.api.convert_times import duration_into, timestamp
from fleetd.core.host import Host, HostAgent, host
from fleetd.core.hostbook import HostRow
from fleetd.errors import InvalidArgument

STATES = {v.number: v.name for v in host_pb2.HostState.DESCRIPTOR.values if v.number}


def host_in(message: host_pb2.Host) -> Host:
    """Return the host a message defines. Raises InvalidArgument naming every bad field."""
    try:
        return host(
            {
                "id": message.id,
                "hostname": message.hostname,
                "user": message.user,
                "port": message.port or None,
                "key_file": message.key_file,
                "known_hosts": message.known_hosts,
                "work_dir": message.work_dir,
                "agents": [_agent_fields(agent) for agent in message.agents],
                "enabled": message.enabled if message.HasField("enabled") else None,
            },
            source="rpc",
        )
    except InvalidArgument as error:
        fields = [(path.replace(".timeout_sec", ".timeout"), right) for path, right in error.fields]
        raise InvalidArgument(fields) from None


def _agent_fields(message: host_pb2.HostAgent) -> dict[str, Any]:
    return {
        "type": message.type,
        "command": list(message.command),
        "capabilities": list(message.capabilities),
        "max_concurrency": message.max_concurrency or None,
        "parser": message.parser,
        "prompt": message.prompt,
        "timeout_sec": message.timeout.seconds + message.timeout.nanos / 1e9
        if message.HasField("timeout")
        else None,
        "env": dict(message.env),
    }


def host_into(message: host_pb2.Host, known: Host) -> None:
    """Fill an empty message with a host as it is defined; the values of variables are left out, for they may be secrets."""
    message.id = known.id
    message.hostname = known.hostname
    message.user = known.user
    message.port = known.port
    message.key_file = known.key_file
    message.known_hosts = known.known_hosts
    message.work_dir = known.work_dir
    message.enabled = known.enabled
    for agent in known.agents:
        _agent_into(message.agents.add(), agent)


def _agent_into(message: host_pb2.HostAgent, known: HostAgent) -> None:
    message.type = known.type
    message.command.extend(known.command)
    message.capabilities.extend(known.capabilities)
    message.max_concurrency = known.max_concurrency
    message.parser = known.parser
    message.prompt = known.prompt
    if known.timeout:
        duration_into(message.timeout, known.timeout)
    message.env.update(dict.fromkeys(known.env, ""))


def status_out(row: HostRow, running: Mapping[str, int]) -> host_pb2.HostStatus:
    """Return how a host is; `running` counts its tasks by type of agent."""
    status = row.status
    message = host_pb2.HostStatus(
        state=enum_out(status.state),
        reason=status.reason,
        running=running,
        source=row.host.source,
        held=status.held,
    )
    host_into(message.host, row.host)
    if status.since:
        message.since.CopyFrom(timestamp(status.since))
    return message
