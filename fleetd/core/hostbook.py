"""Execution hosts in memory: what they are and how they are (spec M5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from fleetd.core.host import Host, HostAgent, HostState
from fleetd.core.limits import closure
from fleetd.core.modes import HostView

PREFIX = "host:"
"""Begins the names under which hosts hold leases; no agent may take such a name."""


class HostStatus(NamedTuple):
    """How a host is: `since` epoch ms; `reason` for people, "" when it is well; `held` when an operator set the state and only an operator changes it."""

    state: HostState = HostState.UNKNOWN
    reason: str = ""
    since: int = 0
    held: bool = False


class HostRow(NamedTuple):
    """A host with its status, as both are stored."""

    host: Host
    status: HostStatus


def seat_name(host_id: str, agent_type: str) -> str:
    """Return the name under which one kind of agent on one host holds leases."""
    return f"{PREFIX}{host_id}/{agent_type}"


def host_of(name: str) -> str:
    """Return the id of the host that holds leases under a name; "" when an agent does."""
    return name.removeprefix(PREFIX).partition("/")[0] if name.startswith(PREFIX) else ""


class HostBook:
    """Every host. Changes belong to a transaction: `commit` keeps them, `rollback` takes them back."""

    def __init__(self) -> None:
        self.present: Mapping[str, HostRow] = {}
        self._working: dict[str, HostRow] | None = None

    def rows(self) -> Mapping[str, HostRow]:
        """Return the hosts by id, changes of this transaction included."""
        return self.present if self._working is None else self._working

    def put(self, row: HostRow) -> None:
        self._own()[row.host.id] = row

    def remove(self, host_id: str) -> None:
        self._own().pop(host_id, None)

    def commit(self) -> bool:
        """Keep what the transaction did; tell whether it did anything."""
        if self._working is None:
            return False
        self.present, self._working = self._working, None
        return True

    def rollback(self) -> None:
        self._working = None

    def load(self, rows: Mapping[str, HostRow]) -> None:
        """Fill an empty book after a start."""
        self.present = dict(rows)

    def views(self) -> list[HostView]:
        """Return what can be run where, of hosts that may get work."""
        return [
            HostView(closure(agent.capabilities), row.status.state is HostState.ONLINE)
            for row in self.rows().values()
            for agent in row.host.agents
            if row.host.enabled and row.status.state is not HostState.STOPPED
        ]

    def seats(self) -> Iterator[tuple[str, HostRow, HostAgent]]:
        """Yield every kind of agent of every host with the name it holds leases under."""
        for row in self.present.values():
            for agent in row.host.agents:
                yield seat_name(row.host.id, agent.type), row, agent

    def _own(self) -> dict[str, HostRow]:
        if self._working is None:
            self._working = dict(self.present)
        return self._working
