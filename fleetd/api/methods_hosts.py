"""Dispatcher: the hosts on which the daemon runs tasks itself (spec M5)."""

from __future__ import annotations

from fleet.v1 import dispatcher_pb2 as pb
from fleet.v1 import host_pb2
from fleetd.api.calls import Call
from fleetd.api.convert_audits import named
from fleetd.api.convert_hosts import STATES, host_in, status_out
from fleetd.api.limits import Limits
from fleetd.api.methods_tasks import REASON
from fleetd.api.pages import fitting, make_token, page_size, read_token
from fleetd.api.validate import Fields, check_batch
from fleetd.core.audit import Audited
from fleetd.core.given import WORD_CHARS
from fleetd.core.host import Host, HostState
from fleetd.core.hostbook import HostRow, seat_name
from fleetd.core.hosting import PutHosts, RemoveHost, SetHostState
from fleetd.engine.engine import Engine
from fleetd.errors import InvalidArgument

PROBLEM, ITEM_FIELDS = 1_000, 16
"""Characters of what is bad about one host, and bad fields that are named: a thousand bad hosts must still be answered in one message."""


SHOWN = 200
"""Characters of what would be right for one field."""


class HostMethods:
    """The hosts, as operators fill the list and everybody reads it."""

    def __init__(self, engine: Engine, limits: Limits) -> None:
        self._engine = engine
        self._limits = limits

    async def upsert_hosts(self, request: pb.UpsertHostsRequest, call: Call) -> pb.UpsertHostsResponse:
        check_batch("hosts", len(request.hosts), self._limits.batch)
        response = pb.UpsertHostsResponse()
        good: dict[str, Host] = {}
        for message in request.hosts:
            result = response.results.add(id=message.id[:WORD_CHARS])
            try:
                host = host_in(message)
            except InvalidArgument as error:
                result.error = error.message[:PROBLEM]
                for path, right in error.fields[:ITEM_FIELDS]:
                    result.fields.add(field=path, description=right[:SHOWN])
            else:
                good[host.id] = host
        if good:
            act = PutHosts(tuple(good.values()))
            await self._engine.execute(Audited(act, call.actor, "UpsertHosts", named(list(good))))
        return response

    async def list_hosts(self, request: pb.ListHostsRequest, call: Call) -> pb.ListHostsResponse:
        fields = Fields()
        for place, state in enumerate(request.states):
            fields.known(f"states[{place}]", state, STATES)
        states = frozenset(request.states)
        limit = page_size(request.page_size, 100, self._limits.page, fields)
        mark = b"hosts" + repr(sorted(states)).encode()
        after = read_token(request.page_token, mark, fields)
        fields.check()
        rows = self._engine.hosts.present
        wanted = [
            rows[host_id]
            for host_id in sorted(rows)
            if host_id > after and (not states or rows[host_id].status.state in states)
        ]
        shown = fitting(map(self._status, wanted[:limit]), self._limits.delivery)
        more = len(shown) < len(wanted)
        return pb.ListHostsResponse(
            hosts=shown, next_page_token=make_token(shown[-1].host.id, mark) if more else ""
        )

    async def remove_host(self, request: pb.RemoveHostRequest, call: Call) -> pb.RemoveHostResponse:
        fields = Fields()
        host_id = fields.text("id", request.id, WORD_CHARS, required=True)
        reason = fields.text("reason", request.reason, REASON)
        fields.check()
        await self._engine.execute(Audited(RemoveHost(host_id), call.actor, "RemoveHost", host_id, reason))
        return pb.RemoveHostResponse()

    async def set_host_state(self, request: pb.SetHostStateRequest, call: Call) -> host_pb2.HostStatus:
        fields = Fields()
        host_id = fields.text("id", request.id, WORD_CHARS, required=True)
        state = fields.known("state", request.state, STATES)
        reason = fields.text("reason", request.reason, REASON)
        fields.check()
        act = SetHostState(host_id, HostState(state), reason)
        why = f"{act.state.name}: {reason}" if reason else act.state.name
        row: HostRow = await self._engine.execute(Audited(act, call.actor, "SetHostState", host_id, why))
        return self._status(row)

    def _status(self, row: HostRow) -> host_pb2.HostStatus:
        running = {}
        for agent in row.host.agents:
            session = self._engine.sessions.get(seat_name(row.host.id, agent.type))
            running[agent.type] = len(session.held) if session is not None else 0
        return status_out(row, running)
