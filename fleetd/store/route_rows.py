"""Rows of the Router: routes and plans of tasks, instances and breakers. Only the route of a task is on a hot path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fleetd.core.breaker import Breaker, BreakerKind, BreakerState
from fleetd.core.instance import Condition, Instance, InstanceState, Kind, ProbeKind
from fleetd.core.ledger import Registered, TaskPlan
from fleetd.core.route import Elimination, LatencyClass, Requirements, RoutePlan, TaskRoute, Try
from fleetd.store.json_text import decode, encode

Row = Sequence[Any]

_LATENCY_CLASS = {int(member): member for member in LatencyClass}


def _text(fields: Mapping[str, Any]) -> str:
    """Return the fields as JSON without those that are 0 or empty. A reader takes these for what is missing, whatever a class has for its default."""
    return encode({name: value for name, value in fields.items() if value})


def _requirements(requirements: Requirements) -> dict[str, Any]:
    needs, prefer, min_ctx, latency_class, required, model = requirements
    fields = {
        "needs": needs,
        "prefer": prefer,
        "min_ctx": min_ctx,
        "latency_class": +latency_class,
        "required": required,
        "model": model,
    }
    return {name: value for name, value in fields.items() if value}


def _requirements_of(fields: Mapping[str, Any]) -> Requirements:
    return Requirements(
        tuple(fields.get("needs", ())),
        tuple(fields.get("prefer", ())),
        fields.get("min_ctx", 0),
        _LATENCY_CLASS[fields["latency_class"]],
        tuple(fields.get("required", ())),
        fields.get("model", ""),
    )


def route_text(route: TaskRoute) -> str:
    """Return the route of a task as JSON without what is unset."""
    return _text(
        {
            "requirements": _requirements(route.requirements),
            "version": route.version,
            "selected": route.selected,
            "fallback": route.fallback,
            "made_at": route.made_at,
            "summary": route.summary,
            "pin": route.pin,
            "pinned_until": route.pinned_until,
            "forced": route.forced,
            "instance": route.instance,
            "epochs": any(route.epochs) and route.epochs,
            "retries": route.retries,
            "tried": route.tried,
            "tries": route.tries,
            "above": route.above,
            "retry_at": route.retry_at,
        }
    )


def route_of(text: str) -> TaskRoute:
    """Return the route that `route_text` made JSON of."""
    fields = decode(text)
    get = fields.get
    instance, provider = get("epochs", (0, 0))
    return TaskRoute(
        _requirements_of(fields["requirements"]),
        get("version", 0),
        get("selected", ""),
        tuple(get("fallback", ())),
        get("made_at", 0),
        get("summary", ""),
        get("pin", ""),
        get("pinned_until", 0),
        get("forced", False),
        get("instance", ""),
        (instance, provider),
        get("retries", 0),
        tuple(get("tried", ())),
        tuple([Try(*values) for values in get("tries", ())]),
        get("above", 0),
        get("retry_at", 0),
    )


PLAN_COLUMNS = ("task_seq", "version", "plan")


def plan_values(planned: TaskPlan) -> tuple[Any, ...]:
    """Return the columns of a version of a plan, without its trace."""
    seq, plan = planned
    text = _text(
        {
            "plan_id": plan.plan_id,
            "task_id": plan.task_id,
            "selected": plan.selected,
            "fallback": plan.fallback,
            "scores": dict(plan.scores),
            "reasons": plan.reasons,
            "requirements": _requirements(plan.requirements),
            "registry_version": plan.registry_version,
            "seed": plan.seed,
            "made_at": plan.made_at,
            "eliminated": plan.eliminated,
            "considered": plan.considered,
            "cause": plan.cause,
            "summary": plan.summary,
            "retry_at": plan.retry_at,
        }
    )
    return (seq, plan.version, text)


def plan_of(row: Row) -> RoutePlan:
    """Return the plan of a row of PLAN_COLUMNS."""
    _, version, text = row
    fields = decode(text)
    return RoutePlan(
        plan_id=fields.get("plan_id", ""),
        task_id=fields.get("task_id", ""),
        version=version,
        selected=fields.get("selected", ""),
        fallback=tuple(fields.get("fallback", ())),
        scores=fields.get("scores", {}),
        reasons=tuple(fields.get("reasons", ())),
        requirements=_requirements_of(fields["requirements"]),
        registry_version=fields.get("registry_version", 0),
        seed=fields.get("seed", ""),
        made_at=fields.get("made_at", 0),
        eliminated=tuple(Elimination(*values) for values in fields.get("eliminated", ())),
        considered=fields.get("considered", 0),
        cause=fields.get("cause", ""),
        summary=fields.get("summary", ""),
        retry_at=fields.get("retry_at", 0),
    )


INSTANCE_COLUMNS = ("id", "definition", "state", "reason", "since", "latency", "held", "credentials")


def instance_values(registered: Registered) -> tuple[Any, ...]:
    instance, condition = registered
    definition = {
        "provider_id": instance.provider_id,
        "kind": +instance.kind,
        "tags": instance.tags,
        "ctx": instance.ctx,
        "model": instance.model,
        "base_url": instance.base_url,
        "priority": instance.priority,
        "max_retries": instance.max_retries,
        "timeout": instance.timeout,
        "enabled": instance.enabled,
        "max_inflight": instance.max_inflight,
        "input_cost": instance.input_cost,
        "output_cost": instance.output_cost,
        "deprecated_at": instance.deprecated_at,
        "credential": instance.credential,
        "probe": +instance.probe,
        "probe_url": instance.probe_url,
        "failover": instance.failover,
        "source": instance.source,
    }
    return (
        instance.id,
        _text(definition),
        +condition.state,
        condition.reason,
        condition.since,
        condition.latency,
        int(condition.held),
        int(condition.credentials),
    )


def instance_of(row: Row) -> Registered:
    """Return the instance, with its condition, of a row of INSTANCE_COLUMNS."""
    instance_id, definition, state, reason, since, latency, held, credentials = row
    fields = decode(definition)
    instance = Instance(
        id=instance_id,
        provider_id=fields.get("provider_id", ""),
        kind=Kind(fields["kind"]),
        tags=tuple(fields.get("tags", ())),
        ctx=fields.get("ctx", 0),
        model=fields.get("model", ""),
        base_url=fields.get("base_url", ""),
        priority=fields.get("priority", 0),
        max_retries=fields.get("max_retries", 0),
        timeout=fields.get("timeout", 0),
        enabled=fields.get("enabled", False),
        max_inflight=fields.get("max_inflight", 0),
        input_cost=fields.get("input_cost", 0.0),
        output_cost=fields.get("output_cost", 0.0),
        deprecated_at=fields.get("deprecated_at", 0),
        credential=fields.get("credential", ""),
        probe=ProbeKind(fields.get("probe", 0)),
        probe_url=fields.get("probe_url", ""),
        failover=fields.get("failover", False),
        source=fields.get("source", ""),
    )
    condition = Condition(InstanceState(state), reason, since, latency, held == 1, credentials == 1)
    return Registered(instance, condition)


BREAKER_COLUMNS = (
    "kind", "name", "state", "failures", "opened_at", "retry_at", "last_error", "forced", "epoch",
)  # fmt: skip


def breaker_values(breaker: Breaker) -> tuple[Any, ...]:
    return (
        +breaker.kind,
        breaker.name,
        +breaker.state,
        breaker.failures,
        breaker.opened_at,
        breaker.retry_at,
        breaker.last_error,
        int(breaker.forced),
        breaker.epoch,
    )


def breaker_of(row: Row) -> Breaker:
    """Return the breaker of a row of BREAKER_COLUMNS; it remembers no call."""
    kind, name, state, failures, opened_at, retry_at, last_error, forced, epoch = row
    return Breaker(
        BreakerKind(kind),
        name,
        BreakerState(state),
        failures,
        opened_at,
        retry_at,
        last_error,
        forced == 1,
        epoch,
    )
