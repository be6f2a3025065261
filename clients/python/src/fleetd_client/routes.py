"""What the clients' methods ask the Router: which instance a task gets and why, and what came of it; the sister of `tasks`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

from fleetd_client import methods as m
from fleetd_client import stubs as s
from fleetd_client.decision import use
from fleetd_client.errors import FleetError, InvalidArgument, from_route_item
from fleetd_client.plan import Plan, ask
from fleetd_client.requirements import NAMES, RouteNeeds, requirements
from fleetd_client.tasks import BATCH_BYTES, BATCH_ITEMS, in_batches
from fleetd_client.times import Span, duration


class RouteOptions(RouteNeeds, total=False):
    """What a route may have besides the task's title."""

    description: str
    task_id: str  # name of the route; one is made unless given
    seed: str  # makes ties repeatable; the task_id unless given
    fallbacks: int  # 0 to 10; 2 unless given
    trace: bool  # a line for every instance
    dry_run: bool  # count no load, keep no plan
    rollout: str | s.RolloutUse  # that also decides the mode of the work, for `org_id` and `session_id`
    org_id: str
    session_id: str


class Outcome(TypedDict, total=False):
    """What came of a try. `plan_id` of a route, or task_id and lease_epoch of a lease; with neither only the breakers learn."""

    plan_id: str
    task_id: str
    lease_epoch: int
    instance: str  # the plan's selected one unless given
    code: str  # empty = success; else a code such as CONN_REFUSED, TIMEOUT, or an HTTP status such as 503
    message: str
    latency: Span  # of the try
    retry_after: Span  # what the provider asked for
    rollout: s.RolloutOutcome  # of a decision; alone, or with a plan that was made with a rollout


@dataclass(frozen=True, slots=True)
class RouteAnswer:
    """What became of one route of a batch: the route, or the error it was refused with."""

    route: s.RouteTaskResponse | None
    error: FleetError | None


@dataclass(frozen=True, slots=True)
class OutcomeAnswer:
    """What became of one outcome of a batch: what to do next, or the error it was refused with."""

    next: s.NextStep | None
    error: FleetError | None


PLAIN = frozenset({"description", "task_id", "seed", "fallbacks", "trace", "dry_run"})


def to_route(title: str = "", **options: Unpack[RouteOptions]) -> s.RouteTaskRequest:
    """A route to ask for with route_many. Raises TypeError for an option that there is not."""
    wanted: dict[str, Any] = {}
    fields: dict[str, Any] = {}
    session, org = options.pop("session_id", ""), options.pop("org_id", "")
    fields["rollout"] = use(options.pop("rollout", None), org, session)
    for name, value in options.items():
        if name in NAMES:
            wanted[name] = value
        elif name in PLAIN:
            fields[name] = value
        else:
            raise TypeError(f"a route has no {name!r}, but {', '.join(RouteOptions.__annotations__)}")
    request = s.RouteTaskRequest(title=title, **fields)
    if wanted:
        request.requirements.CopyFrom(requirements(wanted))
    return request


def route(title: str = "", **options: Unpack[RouteOptions]) -> Plan[s.RouteTaskResponse]:
    """
    Choose an instance: `.instance` to work on, `.plan` with the reasons. What fits nothing has an empty `.selected`, and
    `.plan.summary` says why. With a `rollout`, `.decision` is the mode to work in. InvalidArgument when `model` is unknown, naming the nearest.
    """
    return ask(m.ROUTE_TASK, to_route(title, **options))


def route_many(routes: Iterable[s.RouteTaskRequest]) -> Plan[list[RouteAnswer]]:
    """Choose instances for what `to_route(...)` made, in as few calls as the limits allow; one answer for each, in order."""
    answers: list[RouteAnswer] = []
    for batch in in_batches(routes, BATCH_ITEMS, BATCH_BYTES):
        response = yield from ask(m.ROUTE_TASKS, s.RouteTasksRequest(items=batch))
        for item in response.items:
            refused = from_route_item(item.error) if item.HasField("error") else None
            answers.append(RouteAnswer(None if refused else item.route, refused))
    return answers


def verify_route(
    task_id: str = "", *, plan_id: str = "", plan_version: int = 0
) -> Plan[s.VerifyRouteResponse]:
    """
    Check a plan against live state just before it is used: `.event` is TASK_ROUTE_VERIFIED, TASK_REROUTED or TASK_ROUTE_BLOCKED, and
    `.instance` the one to use. Aborted when plan_version is stale.
    """
    _either(task_id, plan_id)
    request = s.VerifyRouteRequest(task_id=task_id, plan_id=plan_id, plan_version=plan_version)
    return ask(m.VERIFY_ROUTE, request)


def reroute(
    task_id: str = "", *, error_code: str, error_detail: str = "", plan_id: str = "", plan_version: int = 0
) -> Plan[s.RerouteTaskResponse]:
    """Another instance after an error, never one that was tried while an untried one is eligible; `.success` is False when none is."""
    _either(task_id, plan_id)
    request = s.RerouteTaskRequest(
        task_id=task_id,
        plan_id=plan_id,
        plan_version=plan_version,
        error_code=error_code,
        error_detail=error_detail,
    )
    return ask(m.REROUTE_TASK, request)


def override_route(
    task_id: str = "",
    *,
    instance: str,
    reason: str,
    plan_id: str = "",
    expires_after: Span | None = None,
    force: bool = False,
    plan_version: int = 0,
) -> Plan[s.RoutePlan]:
    """
    Pin a task to an instance, for an hour unless `expires_after` says otherwise. FailedPrecondition (INSTANCE_NOT_ELIGIBLE) with the
    words of the filter that refuses the instance, unless `force`.
    """
    _either(task_id, plan_id)
    request = s.OverrideRouteRequest(
        task_id=task_id,
        plan_id=plan_id,
        instance=instance,
        reason=reason,
        expires_after=duration(expires_after),
        force=force,
        plan_version=plan_version,
    )
    return ask(m.OVERRIDE_ROUTE, request)


def outcome(**what: Unpack[Outcome]) -> s.ReportOutcomeRequest:
    """An outcome to report with report_outcomes."""
    return s.ReportOutcomeRequest(
        plan_id=what.get("plan_id", ""),
        task_id=what.get("task_id", ""),
        lease_epoch=what.get("lease_epoch", 0),
        instance=what.get("instance", ""),
        code=what.get("code", ""),
        message=what.get("message", ""),
        latency=duration(what.get("latency")),
        retry_after=duration(what.get("retry_after")),
        rollout=what.get("rollout"),
    )


def report_outcome(**what: Unpack[Outcome]) -> Plan[s.NextStep]:
    """Tell what came of a try and learn what to do next; without a `code` it went well."""
    response = yield from ask(m.REPORT_OUTCOME, outcome(**what))
    return response.next


def report_outcomes(outcomes: Iterable[s.ReportOutcomeRequest]) -> Plan[list[OutcomeAnswer]]:
    """Tell what came of tries made by `outcome(...)`, in as few calls as the limits allow; one answer for each, in order."""
    answers: list[OutcomeAnswer] = []
    for batch in in_batches(outcomes, BATCH_ITEMS, BATCH_BYTES):
        response = yield from ask(m.REPORT_OUTCOMES, s.ReportOutcomesRequest(items=batch))
        for item in response.items:
            refused = from_route_item(item.error) if item.HasField("error") else None
            answers.append(OutcomeAnswer(None if refused else item.next, refused))
    return answers


def route_plan(task_id: str = "", *, plan_id: str = "") -> Plan[s.GetRoutePlanResponse]:
    """The present plan of a task or route, and every version it had, oldest first; NotFound (PLAN_NOT_FOUND)."""
    _either(task_id, plan_id)
    return ask(m.GET_ROUTE_PLAN, s.GetRoutePlanRequest(task_id=task_id, plan_id=plan_id))


def routing_stats() -> Plan[s.GetRoutingStatsResponse]:
    """Success rate, failover frequency, and how long the providers' instances were ready."""
    return ask(m.GET_ROUTING_STATS, s.GetRoutingStatsRequest())


def _either(task_id: str, plan_id: str) -> None:
    if bool(task_id) == bool(plan_id):
        raise InvalidArgument([("task_id", "either this or plan_id")])
