"""The columns of routes, instances and breakers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fleetd_client import stubs as s
from fleetd_client.cli.output import Column, Shown
from fleetd_client.cli.times import length, since
from fleetd_client.words import name

WIDE, ALONE = Shown.WIDE, Shown.ALONE


def _when(field: str) -> Callable[[Any, float], str]:
    return lambda thing, now: since(getattr(thing, field), now) if thing.HasField(field) else ""


def _field(field: str) -> Callable[[Any, float], str]:
    return lambda thing, _: str(getattr(thing, field) or "")


def _words(field: str) -> Callable[[Any, float], str]:
    return lambda thing, _: ", ".join(getattr(thing, field))


def _spec(field: str) -> Callable[[Any, float], str]:
    """A field of an instance's definition."""
    return lambda status, _: str(getattr(status.instance, field) or "")


PLAN = (
    Column("SELECTED", lambda plan, _: plan.selected or "-"),
    Column("FALLBACK", _words("fallback")),
    Column("REASONS", _words("reasons")),
    Column("NEEDS", lambda plan, _: needs(plan.requirements)),
    Column("SUMMARY", _field("summary")),
    Column("LOOK AGAIN", _when("retry_at")),
    Column("PLAN", lambda plan, _: f"{plan.plan_id}, version {plan.version}" if plan.plan_id else ""),
    Column("ROUTER", lambda plan, _: f"{plan.router_version}, registry version {plan.registry_version}"),
)

VERSION = (
    Column("VERSION", _field("version"), right=True),
    Column("CAUSE", _field("cause")),
    Column("SELECTED", lambda plan, _: plan.selected or "-"),
    Column("SCORE", lambda plan, _: _score(plan.scores.get(plan.selected)), right=True),
    Column("FALLBACK", _words("fallback"), free=True),
    Column("SUMMARY", _field("summary"), free=True),
    Column("MADE", _when("made_at")),
    Column("REASONS", _words("reasons"), WIDE, free=True),
    Column("PLAN", _field("plan_id"), WIDE),
)

ELIMINATION = (
    Column("FILTER", _field("filter")),
    Column("REMOVED", _field("count"), right=True),
    Column("BECAUSE", _field("detail"), free=True),
)

INSTANCE = (
    Column("ID", lambda status, _: str(status.instance.id), free=True, least=30),
    Column("STATE", lambda status, _: name(s.InstanceState, "INSTANCE_STATE", status.state)),
    Column("KIND", lambda status, _: name(s.InstanceKind, "INSTANCE_KIND", status.instance.kind).lower()),
    Column("CTX", _spec("ctx"), right=True),
    Column("TAGS", lambda status, _: ",".join(status.instance.tags), free=True),
    Column("RUNS", lambda status, _: _of(status.inflight, status.instance.max_inflight), right=True),
    Column("WHY", lambda status, _: _why(status), free=True),
    Column(
        "LATENCY",
        lambda status, _: length(status.latency) if status.HasField("latency") else "",
        WIDE,
        right=True,
    ),
    Column("SINCE", _when("since"), WIDE),
    Column("MODEL", _spec("model"), WIDE),
    Column("PRIORITY", _spec("priority"), WIDE, right=True),
    Column("READY 1H", lambda status, _: share(status.ready_ratio_1h), WIDE, right=True),
    Column("READY 24H", lambda status, _: share(status.ready_ratio_24h), WIDE, right=True),
    Column("SOURCE", _field("source"), WIDE),
    Column("URL", _spec("base_url"), WIDE),
    Column("CREDENTIAL", lambda status, _: _credential(status), ALONE),
    Column("PROBE", _spec("probe_url"), ALONE),
    Column("RETRIES", _spec("max_retries"), ALONE),
    Column("TIMEOUT", lambda status, _: _timeout(status.instance), ALONE),
    Column("COST", lambda status, _: _cost(status.instance), ALONE),
    Column("DEPRECATED", _spec("deprecation_date"), ALONE),
)

BREAKER = (
    Column("KIND", lambda breaker, _: name(s.BreakerKind, "BREAKER_KIND", breaker.kind)),
    Column("NAME", _field("name"), free=True, least=24),
    Column("STATE", lambda breaker, _: name(s.BreakerState, "BREAKER_STATE", breaker.state)),
    Column("FAILURES", lambda breaker, _: str(breaker.failure_count), right=True),
    Column("OPENED", _when("opened_at")),
    Column("RETRY", _when("retry_at")),
    Column("FORCED", lambda breaker, _: "by hand" if breaker.forced else ""),
    Column("LAST ERROR", _field("last_error"), free=True),
    Column("EPOCH", _field("epoch"), WIDE, right=True),
)

PROVIDER = (
    Column("PROVIDER", _field("provider_id")),
    Column("READY", lambda one, _: f"{one.ready}/{one.instances}", right=True),
    Column("LAST HOUR", lambda one, _: share(one.ready_ratio_1h), right=True),
    Column("LAST DAY", lambda one, _: share(one.ready_ratio_24h), right=True),
)

STATS = (
    Column("SINCE", _when("since")),
    Column("ROUTES", lambda stats, _: f"{stats.routes}, {stats.routed} with an instance"),
    Column("SUCCESS", lambda stats, _: f"{share(stats.success_rate)} of the routes"),
    Column("VERIFIED", lambda stats, _: str(stats.verifies)),
    Column("REROUTED", lambda stats, _: f"{stats.reroutes}{_by_reason(stats.reroutes_by_reason)}"),
    Column("FAILOVER", lambda stats, _: f"{share(stats.failover_frequency)} of what was verified"),
    Column("BLOCKED", lambda stats, _: str(stats.blocked)),
)


REMOVED = (
    Column("INSTANCE", _field("instance"), free=True, least=30),
    Column("REMOVED BY", _field("eliminated_by")),
    Column("OBSERVED", _field("observed"), free=True),
    Column("REQUIRED", _field("required"), free=True),
)


@dataclass(frozen=True, slots=True)
class Ranked:
    """An eligible instance, and its place in the plan: 1 is the selected one, 0 none."""

    place: int
    trace: s.CandidateTrace


def ranked(plan: s.RoutePlan) -> list[Ranked]:
    """The eligible instances of a plan's trace: the chosen ones in their order, then the others by score."""
    chain = [one for one in (plan.selected, *plan.fallback) if one]
    places = {one: place for place, one in enumerate(chain, 1)}
    found = [Ranked(places.get(one.instance, 0), one) for one in plan.trace if not one.eliminated_by]
    return sorted(
        found, key=lambda one: (one.place or len(chain) + 1, -one.trace.raw_score, one.trace.instance)
    )


def removed(plan: s.RoutePlan) -> list[s.CandidateTrace]:
    """The instances that filters removed, by filter."""
    found = [one for one in plan.trace if one.eliminated_by]
    return sorted(found, key=lambda one: (one.eliminated_by, one.instance))


def score_columns(rows: Sequence[Ranked]) -> tuple[Column, ...]:
    """A column for each term that any of them has, their sum, and where they come from."""
    terms = list(dict.fromkeys(term.name for one in rows for term in one.trace.terms))
    return (
        Column("#", lambda one, _: str(one.place or ""), right=True),
        Column("INSTANCE", lambda one, _: str(one.trace.instance), free=True, least=30),
        *(Column(term.upper(), _term(term), right=True) for term in terms),
        Column("SUM", lambda one, _: f"{one.trace.raw_score:.3f}", right=True),
        Column("SCORE", lambda one, _: f"{one.trace.score:.2f}", right=True),
        Column("FROM", lambda one, _: _details(one.trace.terms), free=True),
    )


def needs(wanted: s.RouteRequirements) -> str:
    """Requirements as people say them."""
    parts = [", ".join(wanted.needs)]
    parts += [f"prefer {', '.join(wanted.prefer)}"] if wanted.prefer else []
    parts += [f"required {', '.join(wanted.required)}"] if wanted.required else []
    parts += [f"ctx >= {wanted.min_ctx}"] if wanted.min_ctx else []
    latency = name(s.LatencyClass, "LATENCY_CLASS", wanted.latency_class).lower()
    parts += [latency] if latency in {"fast", "batch"} else []
    parts += [f"model {wanted.model}"] if wanted.model else []
    return "; ".join(part for part in parts if part)


def share(ratio: float) -> str:
    """A share of one as percent; a dash when it is not known."""
    return "-" if ratio < 0 else f"{ratio * 100:.1f}%"


def _term(wanted: str) -> Callable[[Any, float], str]:
    return lambda one, _: next((_signed(term.value) for term in one.trace.terms if term.name == wanted), "")


def _details(terms: Iterable[s.ScoreTerm]) -> str:
    return "; ".join(term.detail for term in terms if term.detail)


def _signed(value: float) -> str:
    return f"{value:+.3f}" if round(value, 3) else "0.000"


def _score(score: float | None) -> str:
    return "" if score is None else f"{score:.2f}"


def _of(number: int, limit: int) -> str:
    return f"{number}/{limit}" if limit else str(number)


def _why(status: s.InstanceStatus) -> str:
    off = status.instance.HasField("enabled") and not status.instance.enabled
    parts = ["disabled" if off else "", "" if status.credentials_present else "no_credentials", status.reason]
    return ", ".join(part for part in parts if part)


def _credential(status: s.InstanceStatus) -> str:
    named = status.instance.credential
    return f"{named}, {'present' if status.credentials_present else 'missing'}" if named else ""


def _timeout(instance: s.Instance) -> str:
    return length(instance.timeout) if instance.HasField("timeout") else ""


def _cost(instance: s.Instance) -> str:
    there, back = instance.input_cost_per_mtok, instance.output_cost_per_mtok
    return f"${there:g} in, ${back:g} out, for a million tokens" if there or back else ""


def _by_reason(reasons: Any) -> str:
    return "".join(f", {count} {reason}" for reason, count in sorted(reasons.items()))
