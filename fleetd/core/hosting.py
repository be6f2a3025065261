"""Adding, removing and holding hosts, and what checks find out about them (spec M5)."""

from __future__ import annotations

from dataclasses import dataclass

from fleetd.core.event import EventType
from fleetd.core.host import Host, HostState
from fleetd.core.hostbook import HostRow, HostStatus
from fleetd.core.ledger import Ledger, Rowless
from fleetd.errors import NotFound


@dataclass(frozen=True, slots=True)
class PutHosts(Rowless):
    """Add hosts or replace their definition. Answer: None. `only` names a source whose other hosts are removed: a configuration that was read again."""

    hosts: tuple[Host, ...]
    only: str = ""

    def apply(self, ledger: Ledger) -> None:
        known = ledger.hosts.rows()
        wanted = {host.id: host for host in self.hosts}
        for host_id, row in list(known.items()):
            if self.only and row.host.source == self.only and host_id not in wanted:
                _remove(ledger, host_id)
        for host in wanted.values():
            before = known.get(host.id)
            if before is not None and before.host == host:
                continue
            status = before.status if before is not None else HostStatus(since=ledger.now)
            _put(ledger, HostRow(host, status))


@dataclass(frozen=True, slots=True)
class RemoveHost(Rowless):
    """Forget a host; what runs there is handed back. Answer: None."""

    host_id: str

    def apply(self, ledger: Ledger) -> None:
        find_host(ledger, self.host_id)
        _remove(ledger, self.host_id)


@dataclass(frozen=True, slots=True)
class SetHostState(Rowless):
    """Set the state of a host by hand: STOPPED stays until it is set to ONLINE, others until the next check. Answer: HostRow."""

    host_id: str
    state: HostState
    reason: str = ""

    def apply(self, ledger: Ledger) -> HostRow:
        row = find_host(ledger, self.host_id)
        held = self.state is HostState.STOPPED
        reason = "" if self.state is HostState.ONLINE else self.reason or "set by an operator"
        return _set_state(ledger, row, HostStatus(self.state, reason, ledger.now, held))


@dataclass(frozen=True, slots=True)
class NoteHost(Rowless):
    """What a check found out. Answer: None. A host that was removed, or that an operator holds, is left alone."""

    host_id: str
    state: HostState
    reason: str = ""

    def apply(self, ledger: Ledger) -> None:
        row = ledger.hosts.rows().get(self.host_id)
        if row is None or row.status.held:
            return
        if (row.status.state, row.status.reason) != (self.state, self.reason):
            _set_state(ledger, row, HostStatus(self.state, self.reason, ledger.now))


def find_host(ledger: Ledger, host_id: str) -> HostRow:
    """Return a host; NotFound when there is none."""
    row = ledger.hosts.rows().get(host_id)
    if row is None:
        raise NotFound("HOST_NOT_FOUND", f"no host is called {host_id!r}", {"host_id": host_id})
    return row


def _set_state(ledger: Ledger, row: HostRow, status: HostStatus) -> HostRow:
    if row.status.state is status.state:
        status = status._replace(since=row.status.since)
    else:
        payload = {"host": row.host.id, "state": status.state.name, "reason": status.reason}
        ledger.fleet_event(EventType.HOST_STATE, payload)
    return _put(ledger, HostRow(row.host, status))


def _put(ledger: Ledger, row: HostRow) -> HostRow:
    ledger.hosts.put(row)
    ledger.changes.hosts[row.host.id] = row
    return row


def _remove(ledger: Ledger, host_id: str) -> None:
    ledger.hosts.remove(host_id)
    ledger.changes.hosts[host_id] = None
