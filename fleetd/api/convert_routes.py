"""Route requirements out of messages; plans, steps and assignments into them (spec R2, R4, R11). The hot path of the Router: parts that are not set cost one look."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fleet.v1 import route_pb2
from fleetd.api.convert_enums import enum_out
from fleetd.api.convert_instances import instance_into
from fleetd.api.convert_times import duration_into, timestamp
from fleetd.api.validate import WORD, Fields
from fleetd.core.definition import MOST_CTX, TAG_CHARS, TAGS, TEXT_CHARS
from fleetd.core.failover import NO_AVAILABLE_INSTANCE
from fleetd.core.outcome import Advice
from fleetd.core.requirements import canonical, complete
from fleetd.core.route import ROUTER_VERSION, Candidate, LatencyClass, Requirements, RoutePlan, StepKind
from fleetd.core.text import is_word, shown
from fleetd.engine.outbox import Assignment

PREFERENCES = ("local", "cloud", "fast", "cheap")
LATENCY_CLASSES = {0: LatencyClass.NORMAL, **{int(each): each for each in LatencyClass}}
LATENCY_NAMES = {v.number: v.name for v in route_pb2.LatencyClass.DESCRIPTOR.values}

STATUS_CODES = {
    "400": "BAD_REQUEST",
    "401": "AUTH",
    "402": "BILLING",
    "403": "AUTH",
    "408": "TIMEOUT",
    "422": "BAD_REQUEST",
}
"""HTTP statuses that the error table knows by another name; the others are codes as they are."""


def requirements_in(
    message: route_pb2.RouteRequirements, path: str, title: str, description: str, fields: Fields
) -> Requirements:
    """Return the requirements, what is not given read from the text. `path` is what fields are called by; bad ones are noted in `fields`."""
    latency_class = LATENCY_CLASSES.get(message.latency_class)
    if latency_class is None:
        fields.known(f"{path}.latency_class", message.latency_class, LATENCY_NAMES)
        latency_class = LatencyClass.NORMAL
    needs, prefer, required, model = message.needs, message.prefer, message.required, message.model
    if needs:
        _check_tags(f"{path}.needs", needs, fields)
    if required:
        _check_tags(f"{path}.required", required, fields)
    if prefer and fields.count(f"{path}.prefer", len(prefer), TAGS):
        for place, tag in enumerate(prefer):
            if canonical(tag) not in PREFERENCES:
                fields.refuse(
                    f"{path}.prefer[{place}]", f"must be one of {', '.join(PREFERENCES)}, not {shown(tag)}"
                )
    if model:
        fields.text(f"{path}.model", model, TEXT_CHARS)
    min_ctx = message.min_ctx
    if min_ctx:
        fields.number(f"{path}.min_ctx", min_ctx, 0, MOST_CTX)
    if fields.errors:
        return Requirements()
    return complete(
        title,
        description,
        needs=needs,
        prefer=prefer,
        min_ctx=min_ctx,
        latency_class=latency_class,
        required=required,
        model=model,
    )


def _check_tags(path: str, tags: Sequence[str], fields: Fields) -> None:
    if not fields.count(path, len(tags), TAGS):
        return
    for place, tag in enumerate(tags):
        if len(tag) > TAG_CHARS or not is_word(tag.strip()) or not canonical(tag):
            fields.refuse(
                f"{path}[{place}]",
                f"must have 1 to {TAG_CHARS} characters, no blanks among them, unlike {shown(tag)}",
            )


def error_code(path: str, code: str, fields: Fields, *, required: bool = True) -> str:
    """Return a code of the error table; statuses of HTTP that it knows by a name are told by that name."""
    if required and not code:
        fields.refuse(path, "is required: a code of docs/errors.md or an HTTP status, such as TIMEOUT or 503")
    elif len(code) > WORD:
        fields.refuse(path, f"must have at most {WORD} characters, not {len(code):,}")
    return STATUS_CODES.get(code, code)


def requirements_into(message: route_pb2.RouteRequirements, known: Requirements) -> None:
    """Fill an empty message with requirements as they are used."""
    message.needs.extend(known.needs)
    message.min_ctx = known.min_ctx
    message.latency_class = enum_out(known.latency_class)
    if known.prefer:
        message.prefer.extend(known.prefer)
    if known.required:
        message.required.extend(known.required)
    if known.model:
        message.model = known.model


def plan_into(message: route_pb2.RoutePlan, plan: RoutePlan) -> None:
    """Fill an empty message with a plan."""
    message.plan_id = plan.plan_id
    message.version = plan.version
    message.router_version = ROUTER_VERSION
    message.registry_version = plan.registry_version
    message.seed = plan.seed
    message.considered = plan.considered
    message.cause = plan.cause
    message.summary = plan.summary
    requirements_into(message.requirements, plan.requirements)
    made_at = message.made_at
    made_at.seconds, rest = divmod(plan.made_at, 1_000)
    made_at.nanos = rest * 1_000_000
    if plan.task_id:
        message.task_id = plan.task_id
    if plan.selected:
        message.selected = plan.selected
        message.reasons.extend(plan.reasons)
        scores = message.scores
        for instance_id, score in plan.scores.items():
            scores[instance_id] = score
    if plan.fallback:
        message.fallback.extend(plan.fallback)
    if plan.eliminated:
        add = message.eliminated.add
        for name, count, detail in plan.eliminated:
            add(filter=name, count=count, detail=detail)
    if plan.trace:
        for candidate in plan.trace:
            _candidate_into(message.trace.add(), candidate)
    if plan.retry_at:
        message.retry_at.CopyFrom(timestamp(plan.retry_at))


def plan_out(plan: RoutePlan) -> route_pb2.RoutePlan:
    message = route_pb2.RoutePlan()
    plan_into(message, plan)
    return message


def plans_out(plans: Iterable[RoutePlan], limit: int) -> list[route_pb2.RoutePlan]:
    """Return the versions of a plan, given and returned oldest first: of the newest as many as fit into `limit` bytes, at least one."""
    kept: list[route_pb2.RoutePlan] = []
    size = 0
    for plan in reversed(list(plans)):
        message = plan_out(plan)
        size += message.ByteSize()
        if kept and size > limit:
            break
        kept.append(message)
    kept.reverse()
    return kept


def _candidate_into(message: route_pb2.CandidateTrace, candidate: Candidate) -> None:
    message.instance = candidate.instance
    if candidate.eliminated_by:
        message.eliminated_by = candidate.eliminated_by
        message.observed = candidate.observed
        message.required = candidate.required
        return
    for term in candidate.terms:
        message.terms.add(name=term.name, value=term.value, detail=term.detail)
    message.raw_score = candidate.raw
    message.score = round((0.5 + candidate.raw) / 1.25, 6)


def next_into(message: route_pb2.NextStep, advice: Advice) -> None:
    """Fill an empty message with what to do next. That no instance is available at present is told as the end of the run, with the code that makes it wait."""
    step = advice.step
    if step.kind is StepKind.BLOCK:
        message.kind = enum_out(StepKind.GIVE_UP)
        message.code = NO_AVAILABLE_INSTANCE
    else:
        message.kind = enum_out(step.kind)
        if step.code:
            message.code = step.code
        if step.delay:
            duration_into(message.delay, step.delay)
    if step.reason:
        message.reason = step.reason
    if advice.instance is not None:
        instance_into(message.instance, advice.instance)
    if advice.version:
        message.plan_version = advice.version


def assignment_into(message: route_pb2.RouteAssignment, route: Assignment) -> None:
    """Fill an empty message with the route of a lease."""
    message.plan_id = route.plan_id
    message.plan_version = route.version
    instance_into(message.instance, route.instance)
    if route.fallback:
        message.fallback.extend(route.fallback)
