"""What the tests of hosts share: hosts without runners, and what the daemon itself would do on them."""

from __future__ import annotations

from typing import Any

from fleetd.core.agent import AgentSpec, SessionKind
from fleetd.core.host import HostState
from fleetd.core.hostbook import seat_name
from fleetd.core.hosting import NoteHost
from fleetd.engine.session import Session
from tests.unit.api.port import Port


def host(host_id: str = "build-1", *kinds: Any, **fields: Any) -> dict[str, Any]:
    """Return a definition: kinds of agents are names, or their fields; one that can do `code` when none is given."""
    agents = [{"type": one, "command": ["cat"]} if isinstance(one, str) else one for one in kinds]
    agents = agents or [{"type": "coder", "command": ["cat"], "capabilities": ["code"]}]
    return {"id": host_id, "hostname": "localhost", "agents": agents, **fields}


async def add(port: Port, *hosts: Any) -> None:
    answer = await port("UpsertHosts", hosts=hosts)
    assert [result.error for result in answer.results] == [""] * len(hosts)


async def online(port: Port, host_id: str = "build-1", **slots: int) -> dict[str, Session]:
    """Say that a check went well and seat its kinds of agents, with one slot each unless told otherwise."""
    await port.engine.execute(NoteHost(host_id, HostState.ONLINE))
    seats = {}
    for agent in port.engine.hosts.present[host_id].host.agents:
        name = seat_name(host_id, agent.type)
        spec = AgentSpec(name, capabilities=agent.capabilities, max_concurrency=agent.max_concurrency)
        seats[name] = await port.engine.sessions.hello(spec, f"daemon:{name}", (), SessionKind.HOST)
        port.engine.sessions.slots(seats[name], slots.get(agent.type, 1))
    await port.engine.turn()
    return seats
