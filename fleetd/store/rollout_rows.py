"""Rows of rollouts: definitions, states, comparisons, and what a task keeps of the decision of its mode."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fleetd.core.comparison import Comparison, Side, SideDone
from fleetd.core.fallback import Fallback, FallbackRules, Forced, Phase
from fleetd.core.rollout import BucketBy, Cause, Origin, Rollout, RolloutMode, Targets, TaskRollout
from fleetd.core.rolloutbook import Salt, Scope
from fleetd.store.json_text import decode, encode
from fleetd.store.route_rows import Row

ROLLOUT_COLUMNS = ("name", "definition", "version", "updated_at")
SALT_COLUMNS = ("rollout", "salt", "hash_version")
STATE_COLUMNS = (
    "rollout", "org_id", "phase", "reason", "since", "until", "dwell", "failed_trials", "epoch", "forced",
)  # fmt: skip
SIDE_COLUMNS = ("id", "mode", "finished", "code", "latency", "size", "digest")
COMPARISON_COLUMNS = (
    "id", "rollout", "org_id", "created_at", "finished_at", "open",
    *(f"primary_{name}" for name in SIDE_COLUMNS), *(f"shadow_{name}" for name in SIDE_COLUMNS),
)  # fmt: skip

_BESIDE = frozenset({"name", "version", "updated_at", "origin"})


def rollout_text(rollout: TaskRollout) -> str:
    """Return what a task keeps of its decision as JSON."""
    return encode([*rollout[:2], +rollout.cause, *rollout[3:]])


def task_rollout_of(text: str) -> TaskRollout:
    name, mode, cause, *rest = decode(text)
    return TaskRollout(name, mode, Cause(cause), *rest)


def rollout_values(rollout: Rollout) -> tuple[Any, ...]:
    fields = {name: value for name, value in asdict(rollout).items() if name not in _BESIDE}
    fields["allow"], fields["deny"] = sorted(rollout.allow), sorted(rollout.deny)
    fields["bucket_by"] = +rollout.bucket_by
    return (rollout.name, encode(fields), rollout.version, rollout.updated_at)


def rollout_of(row: Row) -> Rollout:
    """Return the rollout of a row of ROLLOUT_COLUMNS."""
    name, definition, version, updated_at = row
    fields = decode(definition)
    return Rollout(
        name=name,
        version=version,
        updated_at=updated_at,
        origin=Origin.STORE,
        old=_mode(fields.pop("old")),
        new=_mode(fields.pop("new")),
        allow=frozenset(fields.pop("allow")),
        deny=frozenset(fields.pop("deny")),
        bucket_by=BucketBy(fields.pop("bucket_by")),
        fallback=FallbackRules(**fields.pop("fallback")),
        targets=Targets(*fields.pop("targets")),
        **fields,
    )


def _mode(value: list[Any]) -> RolloutMode:
    name, required = value
    return RolloutMode(name, tuple(required))


def state_values(scope: Scope, state: Fallback) -> tuple[Any, ...]:
    return (
        *scope,
        +state.phase,
        state.reason,
        state.since,
        state.until,
        state.dwell,
        state.failed_trials,
        state.epoch,
        None if state.forced is None else encode(list(state.forced)),
    )


def state_of(row: Row) -> tuple[Scope, Fallback]:
    """Return scope and state of a row of STATE_COLUMNS."""
    rollout, org_id, phase, reason, since, until, dwell, failed_trials, epoch, forced = row
    found = None if forced is None else Forced(*decode(forced))
    state = Fallback(Phase(phase), reason, since, until, dwell, failed_trials, epoch, found)
    return (rollout, org_id), state


def salt_of(row: Row) -> tuple[str, Salt]:
    """Return rollout and salt of a row of SALT_COLUMNS."""
    rollout, salt, hash_version = row
    return rollout, Salt(salt, hash_version)


def comparison_values(comparison: Comparison) -> tuple[Any, ...]:
    return (
        comparison.id,
        comparison.rollout,
        comparison.org_id,
        comparison.created_at,
        comparison.finished_at,
        int(comparison.open),
        *_side(comparison.primary),
        *_side(comparison.shadow),
    )


def comparison_of(row: Row) -> Comparison:
    """Return the comparison of a row of number and COMPARISON_COLUMNS."""
    number, found, rollout, org_id, created_at, finished_at, is_open, *sides = row
    width = len(SIDE_COLUMNS)
    return Comparison(
        found,
        rollout,
        org_id,
        _side_of(sides[:width]),
        _side_of(sides[width:]),
        created_at,
        finished_at,
        is_open == 1,
        number,
    )


def side_values(done: SideDone) -> tuple[Any, ...]:
    """Return what an update of one side sets, then the time, then the comparison."""
    return (*_side(done.side)[2:], done.at, done.comparison)


def _side(side: Side) -> tuple[Any, ...]:
    return (side.id, side.mode, int(side.finished), *side[3:])


def _side_of(values: Row) -> Side:
    found, mode, finished, *rest = values
    return Side(found, mode, finished == 1, *rest)
