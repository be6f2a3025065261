"""Router: planning, verifying and changing routes, and what came of them (spec R4 to R12)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from fleet.v1 import route_pb2
from fleet.v1 import router_pb2 as pb
from fleetd.api.calls import Call
from fleetd.api.convert_decisions import Outcome, decision_into, use_in
from fleetd.api.convert_instances import instance_into
from fleetd.api.convert_routes import (
    error_code,
    next_into,
    plan_into,
    plan_out,
    plans_out,
    requirements_in,
)
from fleetd.api.convert_times import duration, milliseconds, timestamp
from fleetd.api.errors import describe
from fleetd.api.ids import NewId
from fleetd.api.limits import DAY, SECOND, Limits
from fleetd.api.methods_rollouts import reported
from fleetd.api.methods_tasks import REASON
from fleetd.api.validate import WORD, Fields, check_batch
from fleetd.core.audit import Audited, Nothing
from fleetd.core.definition import ID_CHARS
from fleetd.core.event import EventType
from fleetd.core.instance import Instance, InstanceState, unknown_instance
from fleetd.core.outcome import Advice, Failure
from fleetd.core.rollout import Sample
from fleetd.core.route import MOST_FALLBACKS, RoutePlan, Step, StepKind
from fleetd.core.steering import PinTask, ReportLease, ReportRoute, RerouteTask, Steered, VerifyTask
from fleetd.engine.availability import DAY as LAST_DAY
from fleetd.engine.availability import HOUR
from fleetd.engine.engine import Engine
from fleetd.engine.route_ring import Kept
from fleetd.engine.router import Routed
from fleetd.errors import FleetError, InvalidArgument, NotFound, Overloaded

DETAIL = 4_096
"""Characters of an error's words that are kept."""
BREATH = 16
"""Routes of a batch made in one go, about two milliseconds, before other calls get their turn."""
PIN, LONGEST_PIN = 3_600 * SECOND, 30 * DAY
MOST_VERSION = (1 << 31) - 1

Named: TypeAlias = (
    pb.VerifyRouteRequest | pb.RerouteTaskRequest | pb.OverrideRouteRequest | pb.GetRoutePlanRequest
)


class _Meant(NamedTuple):
    """What a request names: a route that is no task's, or the route of a task."""

    kept: Kept | None
    task_id: str


class _Changed(NamedTuple):
    """What became of a route: its present plan, the event that tells it, and the instance to use, None when there is none."""

    plan: RoutePlan
    event: EventType
    instance: Instance | None


class RouteMethods:
    """Routes of services that run their own work, and what can be done with those of tasks."""

    def __init__(self, engine: Engine, limits: Limits, new_id: NewId) -> None:
        self._engine = engine
        self._limits = limits
        self._new_id = new_id

    async def route_task(self, request: pb.RouteTaskRequest, call: Call) -> pb.RouteTaskResponse:
        response = pb.RouteTaskResponse()
        self._route_into(response, request)
        return response

    async def route_tasks(self, request: pb.RouteTasksRequest, call: Call) -> pb.RouteTasksResponse:
        check_batch("items", len(request.items), self._limits.batch)
        response = pb.RouteTasksResponse()
        answers, room = response.items, self._limits.delivery
        for place, item in enumerate(request.items):
            answer = answers.add()
            refused = room <= 0
            if refused:
                _error_into(answer.error, _full())
            else:
                try:
                    self._route_into(answer.route, item)
                except FleetError as error:
                    refused = True
                    _error_into(answer.error, error)
                room -= answer.ByteSize()
            # Looking for the name nearest to an unknown one takes as long as many routes.
            if refused or place % BREATH == BREATH - 1:
                await asyncio.sleep(0)
        return response

    async def verify_route(self, request: pb.VerifyRouteRequest, call: Call) -> pb.VerifyRouteResponse:
        fields = Fields()
        version = fields.number("plan_version", request.plan_version, 0, MOST_VERSION)
        meant = await self._meant(request, fields)
        if meant.kept is not None:
            done = _changed(self._engine.router.verify(meant.kept, version))
        else:
            done = await self._steer(VerifyTask(meant.task_id, version))
        response = pb.VerifyRouteResponse(event=done.event.name)
        plan_into(response.plan, done.plan)
        if done.instance is not None:
            instance_into(response.instance, done.instance)
        return response

    async def reroute_task(self, request: pb.RerouteTaskRequest, call: Call) -> pb.RerouteTaskResponse:
        fields = Fields()
        version = fields.number("plan_version", request.plan_version, 0, MOST_VERSION)
        code = error_code("error_code", request.error_code, fields)
        meant = await self._meant(request, fields)
        failure = Failure("", code, request.error_detail[:DETAIL])
        if meant.kept is not None:
            done = _changed(await self._engine.router.reroute(meant.kept, failure, version))
        else:
            done = await self._steer(RerouteTask(meant.task_id, failure, version))
        response = pb.RerouteTaskResponse(
            event=done.event.name, success=done.event is EventType.TASK_REROUTED
        )
        plan_into(response.plan, done.plan)
        if done.instance is not None:
            instance_into(response.instance, done.instance)
        return response

    async def override_route(self, request: pb.OverrideRouteRequest, call: Call) -> route_pb2.RoutePlan:
        fields = Fields()
        version = fields.number("plan_version", request.plan_version, 0, MOST_VERSION)
        instance = fields.text("instance", request.instance, ID_CHARS, required=True)
        reason = fields.text("reason", request.reason, REASON, required=True)
        held = PIN
        if request.HasField("expires_after"):
            held = milliseconds(request.expires_after, "expires_after", fields, SECOND, LONGEST_PIN)
        target = _one_id(request, fields)
        engine = self._engine
        # The line stands even when there is no such route.
        await engine.execute(Audited(Nothing(), call.actor, "OverrideRoute", target, reason))
        meant = await self._meant(request, fields)
        until = engine.clock.wall() + held
        if meant.kept is not None:
            kept, forced = meant.kept, request.force
            return plan_out(engine.router.pin(kept, instance, until, force=forced, plan_version=version).plan)
        act = PinTask(meant.task_id, instance, until, call.actor, request.force, version)
        return plan_out((await self._steer(act)).plan)

    async def report_outcome(self, request: pb.ReportOutcomeRequest, call: Call) -> pb.ReportOutcomeResponse:
        response = pb.ReportOutcomeResponse()
        next_into(response.next, await self._outcome(request))
        return response

    async def report_outcomes(
        self, request: pb.ReportOutcomesRequest, call: Call
    ) -> pb.ReportOutcomesResponse:
        check_batch("items", len(request.items), self._limits.batch)
        response = pb.ReportOutcomesResponse()
        # Outcomes of one plan go one after the other: each begins where the one before it left the plan. The others share their commits.
        lines: dict[str | int, list[tuple[pb.ReportOutcomeRequest, pb.ReportOutcomesItem]]] = {}
        for place, item in enumerate(request.items):
            lines.setdefault(item.plan_id or place, []).append((item, response.items.add()))
        await asyncio.gather(*[self._outcomes(line) for line in lines.values()])
        return response

    async def get_route_plan(self, request: pb.GetRoutePlanRequest, call: Call) -> pb.GetRoutePlanResponse:
        meant = await self._meant(request, Fields())
        if meant.kept is not None:
            plans: Sequence[RoutePlan] = meant.kept.plans
        else:
            plans = await self._engine.store.get_plans(meant.task_id)
        if not plans:
            raise NotFound(
                "PLAN_NOT_FOUND",
                f"task {meant.task_id} has no plan yet: it gets one when it may run",
                {"plan_id": meant.task_id},
            )
        response = pb.GetRoutePlanResponse(versions=plans_out(plans, self._limits.delivery // 2))
        response.plan.CopyFrom(response.versions[-1])
        return response

    async def get_routing_stats(
        self, request: pb.GetRoutingStatsRequest, call: Call
    ) -> pb.GetRoutingStatsResponse:
        engine = self._engine
        figures, registry = engine.routes.figures, engine.routes.outside.registry
        reroutes = sum(figures.reroutes.values())
        response = pb.GetRoutingStatsResponse(
            routes=figures.routes,
            routed=figures.routed,
            verifies=figures.verifies,
            reroutes=reroutes,
            blocked=figures.blocked,
            success_rate=figures.routed / figures.routes if figures.routes else 0.0,
            failover_frequency=reroutes / figures.verifies if figures.verifies else 0.0,
            reroutes_by_reason=figures.reroutes,
            since=timestamp(engine.router.since),
        )
        providers: dict[str, list[str]] = {}
        for instance_id, instance in registry.index.instances.items():
            providers.setdefault(instance.provider_id, []).append(instance_id)
        now, ratio = engine.clock.now(), engine.instance_notes.availability.ratio
        for provider_id, ids in sorted(providers.items()):
            ready = sum(registry.condition(each).state is InstanceState.READY for each in ids)
            response.providers.add(
                provider_id=provider_id,
                instances=len(ids),
                ready=ready,
                ready_ratio_1h=ratio(ids, HOUR, now),
                ready_ratio_24h=ratio(ids, LAST_DAY, now),
            )
        return response

    def _route_into(self, response: pb.RouteTaskResponse, request: pb.RouteTaskRequest) -> None:
        """Plan one route into an empty message, which is not touched when the request is bad."""
        fields, limits = Fields(), self._limits
        title, description, name, seed = request.title, request.description, request.task_id, request.seed
        if len(title) > limits.title:
            fields.text("title", title, limits.title)
        if len(description) > limits.description:
            fields.text("description", description, limits.description)
        if name:
            fields.text("task_id", name, WORD)
        if seed:
            fields.text("seed", seed, WORD)
        fallbacks = None
        if request.HasField("fallbacks"):
            fallbacks = fields.number("fallbacks", request.fallbacks, 0, MOST_FALLBACKS)
        requirements = requirements_in(request.requirements, "requirements", title, description, fields)
        use = use_in(request.rollout, "rollout", fields) if request.HasField("rollout") else None
        if fields.errors:
            fields.check()
        if use is not None:
            self._engine.rollout_book.find_present(use[0])
        plan_id = self._new_id()
        plan, instance, _ = self._engine.router.route(
            requirements,
            plan_id,
            name=name,
            seed=seed,
            fallbacks=fallbacks,
            trace=request.trace,
            dry_run=request.dry_run,
        )
        plan_into(response.plan, plan)
        if use is not None:
            # The plan is the decision's name: who reports the one reports the other. Decided last: a route that is refused uses nothing up.
            decision = self._engine.rollouts.decide(*use, plan_id, dry_run=request.dry_run)
            kept = None if request.dry_run else self._engine.router.find(plan_id)
            if kept is not None:
                kept.decision = decision
            decision_into(response.decision, decision, "" if request.dry_run else plan_id)
        if instance is not None:
            response.selected = instance.id
            instance_into(response.instance, instance)

    async def _outcomes(self, line: list[tuple[pb.ReportOutcomeRequest, pb.ReportOutcomesItem]]) -> None:
        for item, answer in line:
            try:
                next_into(answer.next, await self._outcome(item))
            except FleetError as error:
                _error_into(answer.error, error)

    async def _outcome(self, request: pb.ReportOutcomeRequest) -> Advice:
        """Take what came of one try."""
        fields = Fields()
        plan_id = fields.text("plan_id", request.plan_id, WORD)
        task_id = fields.text("task_id", request.task_id, WORD)
        instance = fields.text("instance", request.instance, ID_CHARS)
        if plan_id and task_id:
            fields.refuse("task_id", "must not be given together with plan_id")
        if task_id and request.lease_epoch < 1:
            fields.refuse("lease_epoch", "is required with task_id: as given in the lease")
        told = None
        if request.HasField("rollout"):
            told = Outcome(request.rollout, "rollout", fields, alone=not plan_id)
            if task_id:
                fields.refuse("rollout", "must not be given with task_id: what came of a task is known")
        if not (plan_id or task_id or instance or told):
            fields.refuse("instance", "is required where neither plan_id nor task_id nor rollout is given")
        code = error_code("code", request.code, fields, required=False)
        retry_after = 0
        if request.HasField("retry_after"):
            retry_after = milliseconds(request.retry_after, "retry_after", fields, 0, DAY)
        latency = None
        if request.HasField("latency"):
            latency = milliseconds(request.latency, "latency", fields, 0, 30 * DAY)
        elif told is not None and not plan_id:
            fields.refuse("latency", "is required with rollout: how long the work took")
        fields.check()
        failure = Failure(instance, code, request.message[:DETAIL], retry_after)
        engine, registry = self._engine, self._engine.routes.outside.registry
        advice: Advice
        if task_id:
            advice = await engine.execute(ReportLease(task_id, request.lease_epoch, failure))
            return advice
        if plan_id:
            kept = self._by_id(plan_id)
            if kept is None:
                if plan_id in await engine.store.get_tasks([plan_id]):
                    right = "must not be that of a task: give task_id and lease_epoch of its lease"
                    raise InvalidArgument([("plan_id", right)])
                raise _unknown_plan(plan_id)
            return await self._plan_outcome(kept, failure, latency, told)
        sample = None if told is None else reported(told, code, latency or 0, engine)
        advice = Advice(Step(StepKind.PROCEED))
        if instance:
            if registry.get(instance) is None:
                raise unknown_instance(instance, registry.nearest(instance))
            if told is None or not told.shadow:
                # What a shadow does concerns no instance.
                advice = await engine.execute(ReportRoute(failure))
        if told is not None and sample is not None:
            await engine.rollouts.report(sample, told.decision_id, told.size, told.digest)
        return advice

    async def _plan_outcome(
        self, kept: Kept, failure: Failure, latency: int | None, told: Outcome | None
    ) -> Advice:
        """Take what came of a try of a plan, and of its mode when the work has ended with that. What a shadow does concerns no instance."""
        engine, registry = self._engine, self._engine.routes.outside.registry
        instance = failure.instance
        if instance and registry.get(instance) is None and not _knows(kept, instance):
            raise unknown_instance(instance, registry.nearest(instance))
        if told is not None and kept.decision is None:
            raise InvalidArgument([("rollout", "must be left out: the plan was made without one")])
        shadow = told is not None and told.shadow
        if shadow and not (kept.decision and kept.decision.shadow):
            raise InvalidArgument([("rollout.shadow", "must be left out: the decision named no shadow")])
        alone = shadow or not (kept.tried or kept.retries)
        if shadow:
            advice = Advice(Step(StepKind.PROCEED), version=kept.plan.version)
        else:
            advice = await engine.router.report(kept, failure)
        decision, plan_id = kept.decision, kept.plan.plan_id
        goes_on = advice.step.kind in (StepKind.RETRY_SAME, StepKind.SWITCH)
        if decision is None or goes_on or (kept.shadow_told if shadow else kept.mode_told):
            return advice
        if engine.rollout_book.present.rollout(decision.rollout) is None:
            # It was removed meanwhile; what came of the instance counts all the same.
            return advice
        before = kept.mode_told, kept.shadow_told
        kept.mode_told, kept.shadow_told = kept.mode_told or not shadow, kept.shadow_told or shadow
        # The latency that is reported is that of the last try; of work that took several it says little.
        took = latency if alone and latency is not None else engine.clock.now() - kept.made
        mode = decision.shadow if shadow else decision.mode
        sample = Sample(decision.rollout, decision.org_id, mode, decision.epoch, failure.code, took, shadow)
        size, digest = (told.size, told.digest) if told is not None else (0, "")
        try:
            await engine.rollouts.report(sample, plan_id, size, digest)
        except BaseException:  # also when the caller leaves: what was not taken may be told again
            kept.mode_told, kept.shadow_told = before
            raise
        return advice

    async def _steer(self, act: VerifyTask | RerouteTask | PinTask) -> _Changed:
        """Change the route of a task."""
        steered: Steered = await self._engine.execute(act)
        task = steered.task
        version = task.route.version if task.route is not None else 0
        plans = await self._engine.store.get_plans(task.id)
        if not plans:
            raise _unknown_plan(task.id)
        plan = next((each for each in reversed(plans) if each.version == version), plans[-1])
        return _Changed(plan, steered.event, steered.instance if steered.success else None)

    async def _meant(self, request: Named, fields: Fields) -> _Meant:
        """
        Return the route that a request names, when all its fields are good.

        The plan of a task has the id of the task. A name may be both, that of a task without a route and that of a route somebody asked for on its behalf.
        """
        name, task_id = _one_id(request, fields), request.task_id
        if not task_id:
            kept = self._by_id(name)
            if kept is not None:
                return _Meant(kept, "")
        row = (await self._engine.store.get_tasks([name])).get(name)
        if row is not None and row.task.route is not None:
            return _Meant(None, name)
        if task_id:
            kept = self._engine.router.find(task_id)
            if kept is not None and kept.plan.task_id == task_id:
                return _Meant(kept, "")
        if row is not None:
            text = f"task {name} was submitted without route requirements"
            raise NotFound("PLAN_NOT_FOUND", text, {"plan_id": name})
        raise _unknown_plan(name)

    def _by_id(self, plan_id: str) -> Kept | None:
        kept = self._engine.router.find(plan_id)
        return kept if kept is not None and kept.plan.plan_id == plan_id else None


def _one_id(request: Named, fields: Fields) -> str:
    """Return the one id by which a request names a route. Raises InvalidArgument when any field of the request is bad."""
    plan_id = fields.text("plan_id", request.plan_id, WORD)
    task_id = fields.text("task_id", request.task_id, WORD)
    if plan_id and task_id:
        fields.refuse("task_id", "must not be given together with plan_id")
    elif not (plan_id or task_id):
        fields.refuse("task_id", "is required unless plan_id is given")
    fields.check()
    return plan_id or task_id


def _changed(routed: Routed) -> _Changed:
    return _Changed(routed.plan, routed.event or EventType.TASK_ROUTE_VERIFIED, routed.instance)


def _knows(kept: Kept, instance_id: str) -> bool:
    """Tell whether a route may have tried an instance, for one that was removed meanwhile."""
    return any(instance_id == plan.selected or instance_id in plan.fallback for plan in kept.plans)


def _unknown_plan(plan_id: str) -> NotFound:
    return NotFound(
        "PLAN_NOT_FOUND",
        f"there is no task with a route, and no route of the last hour, that is called {plan_id!r}",
        {"plan_id": plan_id},
    )


def _full() -> Overloaded:
    return Overloaded("ANSWER_FULL", "the answers before it fill the message: ask for it again", 0)


def _error_into(message: pb.RouteItemError, error: FleetError) -> None:
    """Fill an empty message with why an item was refused."""
    problem = describe(error)
    message.code = int(problem.code)
    message.reason = problem.reason
    message.message = problem.message
    if problem.fields:
        message.field = problem.fields[0][0]
    if problem.retry_after is not None:
        message.retry_after.CopyFrom(duration(problem.retry_after))
