"""Rows of execution hosts."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fleetd.core.host import Host, HostAgent, HostState
from fleetd.core.hostbook import HostRow, HostStatus
from fleetd.store.json_text import decode, encode
from fleetd.store.route_rows import Row

HOST_COLUMNS = ("id", "definition", "state", "reason", "since", "held")


def host_values(row: HostRow) -> tuple[Any, ...]:
    host, status = row
    definition = {name: value for name, value in asdict(host).items() if name != "id"}
    return (host.id, encode(definition), +status.state, status.reason, status.since, int(status.held))


def host_of(row: Row) -> HostRow:
    """Return the host, with its status, of a row of HOST_COLUMNS."""
    host_id, definition, state, reason, since, held = row
    fields = decode(definition)
    agents = tuple(
        HostAgent(
            **{
                **agent,
                "command": tuple(agent["command"]),
                "capabilities": tuple(agent["capabilities"]),
            }
        )
        for agent in fields.pop("agents")
    )
    host = Host(id=host_id, agents=agents, **fields)
    return HostRow(host, HostStatus(HostState(state), reason, since, held == 1))
