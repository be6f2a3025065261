"""What the clients' methods ask about hosts, the machines on which the daemon runs tasks itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.json_format import ParseDict, ParseError

from fleetd_client import methods as m
from fleetd_client import stubs as s
from fleetd_client.errors import InvalidArgument
from fleetd_client.plan import Page, Plan, ask
from fleetd_client.tasks import BATCH_BYTES, BATCH_ITEMS, in_batches
from fleetd_client.words import number


def upsert_hosts(hosts: Iterable[s.Host | Mapping[str, Any]]) -> Plan[list[s.HostResult]]:
    """
    Add hosts or replace their definition; each gets its own answer, in order, with an `error` when it was refused. A host is a message, or an object as
    it stands in the daemon's file of hosts.
    """
    messages = [one if isinstance(one, s.Host) else host(one, f"hosts[{at}]") for at, one in enumerate(hosts)]
    results: list[s.HostResult] = []
    for batch in in_batches(messages, BATCH_ITEMS, BATCH_BYTES):
        response = yield from ask(m.UPSERT_HOSTS, s.UpsertHostsRequest(hosts=batch))
        results += response.results
    return results


def host_page(
    position: Any, *, states: Iterable[str | int] = (), page_size: int = 1_000
) -> Plan[Page[s.HostStatus]]:
    """Hosts that match, in order of their ids, as they are now."""
    request = s.ListHostsRequest(
        states=[_state(one, "states") for one in states], page_size=page_size, page_token=position or ""
    )
    response = yield from ask(m.LIST_HOSTS, request)
    return Page(response.hosts, response.next_page_token or None)


def remove_host(host_id: str, *, reason: str = "") -> Plan[None]:
    """Forget a host; what runs there is ended and handed back. NotFound (HOST_NOT_FOUND)."""
    yield from ask(m.REMOVE_HOST, s.RemoveHostRequest(id=host_id, reason=reason))


def set_host_state(host_id: str, state: str | int, *, reason: str = "") -> Plan[s.HostStatus]:
    """Set the state by hand: STOPPED stays until it is set to ONLINE, any other until the next check."""
    request = s.SetHostStateRequest(id=host_id, state=_state(state, "state"), reason=reason)
    return ask(m.SET_HOST_STATE, request)


def host(fields: Mapping[str, Any], name: str = "host") -> s.Host:
    """Return a host as it stands in the daemon's file of hosts. Raises InvalidArgument for field `name` when it has another form."""
    try:
        agents = [_agent(one) if isinstance(one, Mapping) else one for one in fields.get("agents") or ()]
        made: s.Host = ParseDict({**fields, "agents": agents}, s.Host())
    except (ParseError, TypeError, AttributeError) as error:
        raise InvalidArgument([(name, str(error))]) from None
    return made


def _agent(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an agent as its message has it."""
    timeout = fields.get("timeout_sec")
    rest = {key: value for key, value in fields.items() if key != "timeout_sec"}
    if timeout is None:
        return rest
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise TypeError(f"timeout_sec must be a number, not {timeout!r}")
    return {**rest, "timeout": f"{timeout:f}s"}


def _state(value: str | int, field: str) -> Any:
    return number(s.HostState, "HOST_STATE", value, field)
