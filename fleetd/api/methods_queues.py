"""Dispatcher: shares, limits and pauses of orgs and capabilities, and the audit log (spec D10, F5)."""

from __future__ import annotations

from typing import TypeAlias

from fleet.v1 import dispatcher_pb2 as pb
from fleetd.api.calls import Call
from fleetd.api.convert_audits import audit_line_out, limits_reason
from fleetd.api.convert_enums import enum_out
from fleetd.api.limits import Limits
from fleetd.api.methods_tasks import REASON
from fleetd.api.pages import fitting, make_token, page_size, read_number, read_token
from fleetd.api.validate import WORD, Fields
from fleetd.core.audit import Audited
from fleetd.core.gating import Pause, SetLimits
from fleetd.core.limits import FREE, Gate, GateKey
from fleetd.engine.engine import Engine

KINDS = {pb.QUEUE_KIND_ORG: "org", pb.QUEUE_KIND_CAPABILITY: "capability"}
NUMBERS = {kind: number for number, kind in KINDS.items()}
KIND_NAMES = {v.number: v.name for v in pb.QueueKind.DESCRIPTOR.values if v.number}
ORDER = ("org", "capability")

LIGHTEST, HEAVIEST = 0.001, 1_000.0
"""Bounds of a weight: shares of a millionth are told apart by nobody."""
MOST = 1_000_000_000
"""Bound of a limit: more than any fleet holds."""

Named: TypeAlias = pb.PauseQueueRequest | pb.ResumeQueueRequest | pb.SetQueueLimitsRequest


class QueueMethods:
    """Which tasks may begin, and how many at once."""

    def __init__(self, engine: Engine, limits: Limits) -> None:
        self._engine = engine
        self._limits = limits

    async def pause_queue(self, request: pb.PauseQueueRequest, call: Call) -> pb.QueueLimits:
        return await self._pause(request, call, paused=True)

    async def resume_queue(self, request: pb.ResumeQueueRequest, call: Call) -> pb.QueueLimits:
        return await self._pause(request, call, paused=False)

    async def set_queue_limits(self, request: pb.SetQueueLimitsRequest, call: Call) -> pb.QueueLimits:
        fields = Fields()
        key = _key(request, fields)
        given = [name for name in ("weight", "max_running", "max_pending") if request.HasField(name)]
        if not given:
            fields.refuse("max_running", "is required unless weight or max_pending is given")
        if request.kind == pb.QUEUE_KIND_CAPABILITY:
            for name in given:
                if name != "max_running":
                    fields.refuse(name, "must not be set for a capability: only orgs have one")
        weight = max_running = max_pending = None
        if "weight" in given:
            weight = fields.ratio("weight", request.weight, LIGHTEST, HEAVIEST)
        if "max_running" in given:
            max_running = fields.number("max_running", request.max_running, 0, MOST)
        if "max_pending" in given:
            max_pending = fields.number("max_pending", request.max_pending, 0, MOST)
        fields.check()
        act = SetLimits(key, weight, max_running, max_pending)
        why = limits_reason(request, given)
        await self._engine.execute(Audited(act, call.actor, "SetQueueLimits", _target(key), why))
        return _limits_out(self._engine.gates.gate(key))

    async def list_queue_limits(
        self, request: pb.ListQueueLimitsRequest, call: Call
    ) -> pb.ListQueueLimitsResponse:
        fields = Fields()
        if request.kind:
            fields.known("kind", request.kind, KIND_NAMES)
        limit = page_size(request.page_size, 100, self._limits.page, fields)
        mark = b"limits%d" % request.kind
        after = read_token(request.page_token, mark, fields)
        fields.check()
        only = KINDS.get(request.kind)
        gates = {
            _position(gate.key): gate
            for gate in self._engine.gates.all()
            if only in (None, gate.key.kind) and (gate.rule != FREE or gate.running or gate.pending)
        }
        places = [place for place in sorted(gates) if place > after]
        shown = places[:limit]
        return pb.ListQueueLimitsResponse(
            limits=[_limits_out(gates[place]) for place in shown],
            next_page_token=make_token(shown[-1], mark) if len(places) > limit else "",
        )

    async def list_audits(self, request: pb.ListAuditsRequest, call: Call) -> pb.ListAuditsResponse:
        fields = Fields()
        action = fields.text("action", request.action, WORD)
        target = fields.text("target", request.target, REASON)
        limit = page_size(request.page_size, 50, self._limits.page, fields)
        mark = b"audits" + repr((action, target)).encode()
        before = read_number(request.page_token, mark, fields)
        fields.check()
        lines = await self._engine.store.list_audits(before, limit, action, target)
        shown = fitting(map(audit_line_out, lines), self._limits.delivery)
        more = len(shown) < len(lines) or len(lines) == limit
        return pb.ListAuditsResponse(
            lines=shown, next_page_token=make_token(str(shown[-1].id), mark) if more else ""
        )

    async def _pause(
        self, request: pb.PauseQueueRequest | pb.ResumeQueueRequest, call: Call, *, paused: bool
    ) -> pb.QueueLimits:
        fields = Fields()
        key = _key(request, fields)
        fields.check()
        action = "PauseQueue" if paused else "ResumeQueue"
        act = Pause(key, paused, request.reason)
        await self._engine.execute(Audited(act, call.actor, action, _target(key), request.reason))
        return _limits_out(self._engine.gates.gate(key))


def _key(request: Named, fields: Fields) -> GateKey:
    """Return what the rule is about, and check the reason given for it."""
    fields.known("kind", request.kind, KIND_NAMES)
    if request.kind == pb.QUEUE_KIND_CAPABILITY:
        fields.capability("name", request.name)
    else:
        fields.name("name", request.name, required=True)
    fields.text("reason", request.reason, REASON)
    return GateKey(KINDS.get(request.kind, ""), request.name)


def _target(key: GateKey) -> str:
    return f"{key.kind}:{key.name}"


def _position(key: GateKey) -> str:
    """Return a text that sorts orgs before capabilities."""
    return f"{ORDER.index(key.kind)}{key.name}"


def _limits_out(gate: Gate) -> pb.QueueLimits:
    return pb.QueueLimits(
        kind=enum_out(NUMBERS[gate.key.kind]),
        name=gate.key.name,
        weight=gate.rule.weight,
        max_running=gate.rule.max_running,
        max_pending=gate.rule.max_pending,
        paused=gate.rule.paused,
        reason=gate.rule.reason,
        running=gate.running,
        pending=gate.pending,
    )
