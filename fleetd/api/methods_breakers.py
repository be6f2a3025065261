"""Router: the breakers that keep work away from what fails (spec F3)."""

from __future__ import annotations

from fleet.v1 import instance_pb2
from fleet.v1 import router_pb2 as pb
from fleetd.api.calls import Call
from fleetd.api.convert_instances import BREAKER_KINDS, breaker_out
from fleetd.api.convert_times import milliseconds
from fleetd.api.limits import DAY, SECOND
from fleetd.api.methods_tasks import REASON
from fleetd.api.validate import Fields
from fleetd.core.audit import Audited
from fleetd.core.breaker import Breaker, BreakerKind, BreakerState
from fleetd.core.breaking import ForceBreaker, ResetBreakers
from fleetd.core.definition import ID_CHARS
from fleetd.engine.engine import Engine

LONGEST = 30 * DAY
"""Longest time a breaker is held open by hand: who wants more removes the instance."""
ANY_KIND = {0: "BREAKER_KIND_UNSPECIFIED", **BREAKER_KINDS}


class BreakerMethods:
    """Breakers as they are, and what operators make of them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def list_breakers(self, request: pb.ListBreakersRequest, call: Call) -> pb.ListBreakersResponse:
        fields = Fields()
        kind = fields.known("kind", request.kind, ANY_KIND)
        name = fields.text("name", request.name, ID_CHARS)
        fields.check()
        found = [
            breaker
            for breaker in self._engine.routes.known_breakers()
            if kind in (0, breaker.kind)
            and name in ("", breaker.name)
            and (request.all or breaker.state is not BreakerState.CLOSED)
        ]
        found.sort(key=lambda breaker: breaker.key)
        return pb.ListBreakersResponse(breakers=map(breaker_out, found))

    async def reset_breakers(self, request: pb.ResetBreakersRequest, call: Call) -> pb.ResetBreakersResponse:
        fields = Fields()
        number = fields.known("kind", request.kind, ANY_KIND)
        name = fields.text("name", request.name, ID_CHARS)
        reason = fields.text("reason", request.reason, REASON)
        fields.check()
        kind = BreakerKind(number) if number else None
        act = Audited(
            ResetBreakers(kind, name, reason), call.actor, "ResetBreakers", _target(kind, name), reason
        )
        return pb.ResetBreakersResponse(reset=await self._engine.execute(act))

    async def force_breaker(self, request: pb.ForceBreakerRequest, call: Call) -> instance_pb2.Breaker:
        fields = Fields()
        number = fields.known("kind", request.kind, BREAKER_KINDS)
        name = fields.text("name", request.name, ID_CHARS, required=True)
        reason = fields.text("reason", request.reason, REASON)
        span = self._engine.rules.router.breakers.open_for
        if request.HasField("duration"):
            span = milliseconds(request.duration, "duration", fields, SECOND, LONGEST)
        fields.check()
        kind = BreakerKind(number)
        act = ForceBreaker(kind, name, reason, span)
        breaker: Breaker = await self._engine.execute(
            Audited(act, call.actor, "ForceBreaker", _target(kind, name), reason)
        )
        return breaker_out(breaker)


def _target(kind: BreakerKind | None, name: str) -> str:
    """Return what an act was about, as a line of the audit log says it."""
    return f"{kind.name.lower() if kind else 'all'}:{name}" if name else kind.name.lower() if kind else "all"
