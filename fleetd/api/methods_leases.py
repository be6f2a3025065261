"""Dispatcher and Health: the unary twins of the agent stream (spec M3, S1)."""

from __future__ import annotations

from typing import TypeAlias

from fleet.v1 import dispatcher_pb2 as pb
from fleet.v1 import health_pb2, lease_pb2
from fleetd.api.calls import Call
from fleetd.api.convert_leases import (
    ack_into,
    lease_out,
    order_ids_in,
    order_out,
    refs_in,
    refs_out,
    words_in,
)
from fleetd.api.convert_times import duration, milliseconds
from fleetd.api.limits import Limits
from fleetd.api.methods_waits import budget
from fleetd.api.pages import fitting
from fleetd.api.validate import WORD, Fields
from fleetd.core.words import Word, WordKind
from fleetd.engine.engine import Engine
from fleetd.engine.outbox import Offer

Leases: TypeAlias = list[lease_pb2.Lease]


class LeaseMethods:
    """Claiming, reporting and living without a stream."""

    def __init__(self, engine: Engine, limits: Limits) -> None:
        self._engine = engine
        self._limits = limits

    async def claim_tasks(self, request: pb.ClaimTasksRequest, call: Call) -> pb.ClaimTasksResponse:
        limits, fields = self._limits, Fields()
        agent_id = fields.own_name("agent_id", request.agent_id)
        incarnation = fields.text("incarnation", request.incarnation, WORD)
        capabilities = fields.capabilities("capabilities", request.capabilities, limits.capabilities)
        max_tasks = fields.number("max_tasks", request.max_tasks, 0, limits.batch) or 1
        request_id = fields.text("request_id", request.request_id, WORD)
        wait = milliseconds(request.wait, "wait", fields, 0, limits.claim_wait)
        lease = limits.default_lease
        if request.HasField("lease_duration"):
            # Shorter than a second would be over before the answer is read.
            lease = milliseconds(request.lease_duration, "lease_duration", fields, 1_000, limits.lease)
        fields.check()
        answer = await self._engine.unary.claim(
            agent_id,
            incarnation,
            capabilities or None,
            max_tasks,
            max(0, budget(wait, call, self._engine.clock.now())),
            lease,
            request_id,
        )
        leases = await self._fitting(answer.offers, agent_id, incarnation)
        return pb.ClaimTasksResponse(
            leases=leases,
            lease_ttl=duration(answer.lease_ttl),
            orders=[order_out(order) for order in answer.orders],
        )

    async def report_tasks(self, request: pb.ReportTasksRequest, call: Call) -> pb.ReportTasksResponse:
        fields = Fields()
        agent_id = fields.own_name("agent_id", request.agent_id)
        incarnation = fields.text("incarnation", request.incarnation, WORD)
        fields.check()
        words = words_in(request.reports, self._limits)
        answer = await self._engine.unary.report(agent_id, incarnation, words)
        response = pb.ReportTasksResponse(
            lease_ttl=duration(answer.lease_ttl), orders=[order_out(order) for order in answer.orders]
        )
        for ack in answer.acks:
            ack_into(response.acks.add(), ack)
        return response

    async def heartbeat(
        self, request: health_pb2.HeartbeatRequest, call: Call
    ) -> health_pb2.HeartbeatResponse:
        fields = Fields()
        agent_id = fields.own_name("agent_id", request.agent_id)
        incarnation = fields.text("incarnation", request.incarnation, WORD)
        held = refs_in(request.held, "held", self._limits.max_concurrency, fields)
        confirmed = order_ids_in(request.confirmed_orders, "confirmed_orders", fields)
        fields.check()
        answer = await self._engine.unary.heartbeat(agent_id, incarnation, held, confirmed)
        return health_pb2.HeartbeatResponse(
            heartbeat_interval=duration(answer.heartbeat_interval),
            lease_ttl=duration(answer.lease_ttl),
            leases=refs_out(answer.leases),
            orders=[order_out(order) for order in answer.orders],
        )

    async def _fitting(self, offers: list[Offer], agent_id: str, incarnation: str) -> Leases:
        """Return the leases that fit into one answer, at least one; the others go back unburnt."""
        leases = fitting(map(lease_out, offers), self._limits.delivery)
        if len(leases) < len(offers):
            words = tuple(
                Word(o.task.id, o.lease_epoch, WordKind.RELEASE, message="the claim's answer was full")
                for o in offers[len(leases) :]
            )
            await self._engine.unary.report(agent_id, incarnation, words)
        return leases
