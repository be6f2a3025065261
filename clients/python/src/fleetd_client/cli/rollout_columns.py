"""The columns of rollouts: definitions, decisions, fallbacks, metrics, comparisons."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from fleet.v1.rollout_pb2 import RolloutBucket
from fleetd_client import stubs as s
from fleetd_client.cli.output import Column, Shown
from fleetd_client.cli.route_columns import share
from fleetd_client.cli.times import length, since
from fleetd_client.words import name

WIDE, ALONE = Shown.WIDE, Shown.ALONE


def phase(state: s.FallbackState) -> str:
    """NORMAL, FALLBACK or TRIAL; FORCED while an operator wants the old mode."""
    if state.HasField("forced") and state.forced.on:
        return "FORCED"
    return name(s.RolloutPhase, "ROLLOUT_PHASE", state.phase) if state.phase else ""


def forced(state: s.FallbackState, now: float) -> str:
    """What an operator forced, how long and why; empty when nothing."""
    if not state.HasField("forced"):
        return ""
    its = state.forced
    parts = [
        "old mode" if its.on else "no fallback by itself",
        f"ends {since(its.until, now)}" if its.HasField("until") else "until reset",
        f"by {its.actor}" if its.actor else "",
        its.reason,
    ]
    return ", ".join(part for part in parts if part)


def _of(part: str, field: str) -> Callable[[Any, float], str]:
    """A field of the definition, or of the fallback, of one rollout as the daemon shows it."""
    return lambda one, _: str(getattr(getattr(one, part), field) or "")


def _field(field: str) -> Callable[[Any, float], str]:
    return lambda thing, _: str(getattr(thing, field) or "")


def _when(field: str) -> Callable[[Any, float], str]:
    return lambda thing, now: since(getattr(thing, field), now) if thing.HasField(field) else ""


OUTPUTS: dict[int, str] = {s.Equality.EQUALITY_EQUAL: "equal", s.Equality.EQUALITY_DIFFERENT: "different"}

ROLLOUT = (
    Column("NAME", _of("rollout", "name")),
    Column("PHASE", lambda one, _: phase(one.fallback)),
    Column("OLD", lambda one, _: one.rollout.old_mode.name),
    Column("NEW", lambda one, _: one.rollout.new_mode.name),
    Column("DEFAULT", lambda one, _: one.rollout.default_mode or one.rollout.old_mode.name),
    Column("PERCENT", lambda one, _: f"{one.rollout.percent:g}%", right=True),
    Column("SHADOW", lambda one, _: f"{one.rollout.shadow_percent:g}%", right=True),
    Column("ORIGIN", lambda one, _: name(s.RolloutOrigin, "ROLLOUT_ORIGIN", one.rollout.origin)),
    Column("WHY", lambda one, _: _why(one.fallback), free=True),
    Column("EXPLICIT", _of("rollout", "explicit_mode"), WIDE),
    Column("ALLOWED", lambda one, _: _orgs(one.rollout.allow_orgs), WIDE, free=True),
    Column("DENIED", lambda one, _: _orgs(one.rollout.deny_orgs), WIDE, free=True),
    Column("BUCKETS BY", lambda one, _: _bucket(one.rollout), WIDE),
    Column("VERSION", _of("rollout", "version"), WIDE, right=True),
    Column("UPDATED", lambda one, now: _when("updated_at")(one.rollout, now), WIDE),
    Column("SALT", _of("rollout", "salt"), ALONE),
    Column("HEALTH", _of("rollout", "health_url"), ALONE),
    Column("FALLS BACK", lambda one, _: _rules(one.rollout.fallback), ALONE),
    Column("TARGETS", lambda one, _: _targets(one.rollout.targets), ALONE),
    Column("SINCE", lambda one, now: _when("since")(one.fallback, now), ALONE),
    Column("UNTIL", lambda one, now: _when("until")(one.fallback, now), ALONE),
    Column("FORCED", lambda one, now: forced(one.fallback, now), ALONE),
    Column("EPOCH", _of("fallback", "epoch"), ALONE),
)

DECISION = (
    Column("MODE", _field("mode")),
    Column("CAUSE", _field("cause")),
    Column("REASON", _field("reason")),
    Column("SHADOW", _field("shadow_mode")),
    Column("TRIAL", lambda decision, _: "yes" if decision.trial else ""),
    Column("BUCKET", lambda decision, _: "" if decision.bucket is None else f"{decision.bucket:.2f}"),
    Column("EPOCH", _field("epoch")),
    Column("DECISION", _field("decision_id")),
)

FALLBACK = (
    Column("ORG", lambda state, _: state.org_id or "(all)"),
    Column("PHASE", lambda state, _: phase(state)),
    Column("OLD MODE", lambda state, _: "yes" if state.fallback else "no"),
    Column("SINCE", _when("since")),
    Column("UNTIL", _when("until")),
    Column("DWELL", lambda state, _: length(state.dwell) if state.HasField("dwell") else "", right=True),
    Column("FAILED TRIALS", lambda state, _: str(state.failed_trials), right=True),
    Column("EPOCH", lambda state, _: str(state.epoch), right=True),
    Column("FORCED", forced, free=True),
    Column("WHY", _field("reason"), free=True),
)

METRICS = (
    Column("ORG", lambda row, _: row.org_id or "(all)"),
    Column("WORK", lambda row, _: row.work),
    Column("MODE", lambda row, _: row.metrics.mode),
    Column("TOTAL", lambda row, _: str(row.metrics.total), right=True),
    Column("ERRORS", lambda row, _: _rate(row.metrics.error, row.metrics.error_rate), right=True),
    Column("TIMEOUTS", lambda row, _: _rate(row.metrics.timeout, row.metrics.timeout_rate), right=True),
    Column("AVG", lambda row, _: length(row.metrics.avg_latency) if row.metrics.total else "", right=True),
    Column("P95", lambda row, _: length(row.metrics.p95_latency) if row.metrics.total else "", right=True),
    Column("TARGETS", lambda row, _: _results(row.metrics.targets), free=True, least=30),
)

COMPARISON = (
    Column("SHADOW", _field("id")),
    Column("OF", lambda one, _: one.primary.id),
    Column("STATUS", lambda one, _: _same(one)),
    Column("OUTPUT", lambda one, _: OUTPUTS.get(one.output, "")),
    Column("PRIMARY", lambda one, _: _side(one.primary), free=True, least=24),
    Column("ON THE SIDE", lambda one, _: _side(one.shadow), free=True, least=24),
    Column("CREATED", _when("created_at")),
    Column("ROLLOUT", _field("rollout"), WIDE),
    Column("ORG", _field("org_id"), WIDE),
    Column("DIGESTS", lambda one, _: " ".join(filter(None, (one.primary.digest, one.shadow.digest))), WIDE),
)


@dataclass(frozen=True, slots=True)
class Work:
    """One line of metrics: of which org, and whose work."""

    org_id: str
    work: str
    metrics: s.ModeMetrics


def works(all_metrics: Iterable[s.RolloutMetrics]) -> list[Work]:
    """The lines of metrics; without shadows where none ran."""
    found = []
    for one in all_metrics:
        found += [Work(one.org_id, "old", one.old_mode), Work(one.org_id, "new", one.new_mode)]
        if one.shadow.total:
            found.append(Work(one.org_id, "shadow", one.shadow))
    return found


def _why(state: s.FallbackState) -> str:
    forced = state.forced.reason if state.HasField("forced") else ""
    # While it is forced on, both are the same.
    return "; ".join(dict.fromkeys(part for part in (forced, state.reason) if part))


def _orgs(orgs: Any) -> str:
    """A few names, then how many more."""
    more = f" and {len(orgs) - 5} more" if len(orgs) > 5 else ""
    return ",".join(orgs[:5]) + more


def _bucket(rollout: s.Rollout) -> str:
    return name(RolloutBucket, "ROLLOUT_BUCKET", rollout.bucket_by) if rollout.bucket_by else "ORG"


def _rules(rules: Any) -> str:
    parts = [
        f"errors > {share(rules.error_rate)}" if rules.HasField("error_rate") else "",
        f"timeouts > {share(rules.timeout_rate)}" if rules.HasField("timeout_rate") else "",
        f"timeout after {length(rules.timeout_threshold)}" if rules.HasField("timeout_threshold") else "",
        f"average > {share(rules.latency_share)} of it" if rules.HasField("latency_share") else "",
        f"within {length(rules.window)}" if rules.HasField("window") else "",
        f"of at least {rules.min_samples}" if rules.min_samples else "",
        "per org" if rules.per_org else "",
    ]
    return ", ".join(part for part in parts if part)


def _targets(targets: Any) -> str:
    parts = [
        f"average {length(targets.avg_latency)}" if targets.HasField("avg_latency") else "",
        f"p95 {length(targets.p95_latency)}" if targets.HasField("p95_latency") else "",
        f"errors {share(targets.error_rate)}" if targets.HasField("error_rate") else "",
        f"timeouts {share(targets.timeout_rate)}" if targets.HasField("timeout_rate") else "",
    ]
    return ", ".join(part for part in parts if part)


def _results(results: Any) -> str:
    return ", ".join(f"{one.name} {'met' if one.met else 'missed'}" for one in results)


def _rate(count: int, rate: float) -> str:
    return f"{count} ({share(rate)})" if count else "0"


def _same(one: s.Comparison) -> str:
    if not (one.primary.finished and one.shadow.finished):
        return "running"
    return "same" if one.same_status else "different"


def _side(side: Any) -> str:
    if not side.finished:
        return f"{side.mode} running"
    how = side.code or "ok"
    size = f", {side.size} bytes" if side.size else ""
    return f"{side.mode} {how} in {length(side.latency)}{size}"
