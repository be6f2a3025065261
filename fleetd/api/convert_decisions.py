"""Decisions of modes, what came of them, where rollouts stand and how they fare (spec G1 to G5, G7)."""

from __future__ import annotations

from fleet.v1 import rollout_pb2
from fleetd.api.convert_enums import enum_out
from fleetd.api.convert_times import duration_into, timestamp
from fleetd.api.validate import WORD, Fields
from fleetd.core.comparison import Comparison, Side
from fleetd.core.fallback import Fallback, Phase
from fleetd.core.rolling import falls_back
from fleetd.core.rollout import Decision, Targets, TaskRollout
from fleetd.core.rolloutbook import Scope
from fleetd.engine.rollouts import ModeFigures, RolloutFigures
from fleetd.errors import InvalidArgument

Use = tuple[str, str, str]
"""A rollout, an org and a session, "" where unknown."""

EQUALITY = {None: 0, True: 1, False: 2}


def use_in(message: rollout_pb2.RolloutUse, path: str, fields: Fields, org_id: str | None = None) -> Use:
    """Return which rollout decides, and for whom; `org_id` is that of the task, None when there is none."""
    rollout = fields.name(f"{path}.rollout", message.rollout, required=True)
    named = fields.name(f"{path}.org_id", message.org_id)
    if org_id is not None and named not in ("", org_id):
        fields.refuse(f"{path}.org_id", f"must be left out, or that of the task, {org_id}")
    session = fields.text(f"{path}.session_id", message.session_id, WORD)
    return rollout, named if org_id is None else org_id, session


def decision_into(message: rollout_pb2.ModeDecision, decision: Decision, decision_id: str) -> None:
    """Fill an empty message with a decision."""
    message.decision_id = decision_id
    message.rollout = decision.rollout
    message.org_id = decision.org_id
    message.mode = decision.mode
    message.cause = enum_out(decision.cause)
    message.reason = decision.reason
    message.epoch = decision.epoch
    message.trial = decision.trial
    message.shadow_mode = decision.shadow
    message.bucket = decision.bucket


def task_rollout_into(message: rollout_pb2.TaskRollout, rollout: TaskRollout) -> None:
    """Fill an empty message with how the mode of a task was decided."""
    message.rollout = rollout.name
    message.mode = rollout.mode
    message.cause = enum_out(rollout.cause)
    message.epoch = rollout.epoch
    message.trial = rollout.trial
    message.shadow = rollout.shadow
    if rollout.shadow:
        message.shadow_of = rollout.other


class Outcome:
    """What a message says of a decision, checked; `Fields` gets what is bad."""

    __slots__ = ("decision_id", "digest", "epoch", "mode", "org_id", "rollout", "shadow", "size")

    def __init__(
        self, message: rollout_pb2.RolloutOutcome, path: str, fields: Fields, *, alone: bool
    ) -> None:
        """`alone`: nothing else says which decision is meant, so rollout, mode and epoch are required."""
        self.rollout = fields.name(f"{path}.rollout", message.rollout, required=alone)
        self.org_id = fields.name(f"{path}.org_id", message.org_id)
        self.mode = fields.name(f"{path}.mode", message.mode, required=alone)
        self.epoch = message.epoch
        if alone and self.epoch < 1:
            fields.refuse(f"{path}.epoch", "is required: as the decision said")
        self.decision_id = fields.text(f"{path}.decision_id", message.decision_id, WORD)
        self.shadow = message.shadow
        if self.shadow and not self.decision_id:
            fields.refuse(f"{path}.decision_id", "is required with shadow")
        self.size = fields.number(f"{path}.size", message.size, 0, (1 << 63) - 1)
        self.digest = fields.text(f"{path}.digest", message.digest, WORD)


def check_mode(mode: str, known: tuple[str, str], path: str) -> None:
    """Raise InvalidArgument unless a mode is one of the rollout's."""
    if mode not in known:
        raise InvalidArgument([(path, f"must be {known[0]} or {known[1]}, not {mode!r}")])


def state_into(message: rollout_pb2.FallbackState, scope: Scope, state: Fallback, dwell: int) -> None:
    """Fill an empty message with where a rollout, or an org of it, stands; `dwell` ms is that of the next fallback."""
    message.rollout, message.org_id = scope
    message.phase = enum_out(state.phase)
    message.fallback = falls_back(state)
    message.reason = state.forced.reason if state.forced is not None and state.forced.on else state.reason
    if state.since:
        message.since.CopyFrom(timestamp(state.since))
    # While something is forced nothing ends by itself, and afterwards the phase begins anew.
    if state.until and state.phase is not Phase.NORMAL and state.forced is None:
        message.until.CopyFrom(timestamp(state.until))
    duration_into(message.dwell, dwell)
    message.failed_trials = state.failed_trials
    message.epoch = state.epoch
    if state.forced is not None:
        forced = message.forced
        forced.on = state.forced.on
        forced.reason = state.forced.reason
        forced.actor = state.forced.actor
        if state.forced.until:
            forced.until.CopyFrom(timestamp(state.forced.until))


def figures_into(message: rollout_pb2.RolloutMetrics, figures: RolloutFigures) -> None:
    """Fill an empty message with how both modes fared; `fallback` is left to the caller."""
    rollout = figures.rollout
    message.rollout = rollout.name
    message.org_id = figures.org_id
    _mode_into(message.old_mode, figures.old, rollout.targets)
    _mode_into(message.new_mode, figures.new, rollout.targets)
    _mode_into(message.shadow, figures.shadow, rollout.targets)
    duration_into(message.window, rollout.fallback.window)


def _mode_into(message: rollout_pb2.ModeMetrics, figures: ModeFigures, targets: Targets) -> None:
    total = figures.total
    message.mode = figures.mode
    message.total = total
    message.success = total - figures.errors
    message.error = figures.errors
    message.timeout = figures.timeouts
    if not total:
        return
    duration_into(message.avg_latency, round(figures.average))
    duration_into(message.p95_latency, figures.p95)
    message.error_rate = figures.errors / total
    message.timeout_rate = figures.timeouts / total
    reached = (figures.average, figures.p95, message.error_rate, message.timeout_rate)
    for name, target, actual in zip(Targets._fields, targets, reached, strict=True):
        if target is not None:
            message.targets.add(name=name, target=target, actual=actual, met=actual <= target)


def comparison_out(comparison: Comparison) -> rollout_pb2.Comparison:
    message = rollout_pb2.Comparison(
        id=comparison.id,
        rollout=comparison.rollout,
        org_id=comparison.org_id,
        same_status=comparison.same_status,
        output=enum_out(EQUALITY[comparison.same_output]),
        created_at=timestamp(comparison.created_at),
    )
    _side_into(message.primary, comparison.primary)
    _side_into(message.shadow, comparison.shadow)
    if comparison.finished_at:
        message.finished_at.CopyFrom(timestamp(comparison.finished_at))
    return message


def _side_into(message: rollout_pb2.ComparedSide, side: Side) -> None:
    message.id = side.id
    message.mode = side.mode
    message.finished = side.finished
    if side.finished:
        message.code = side.code
        duration_into(message.latency, side.latency)
        message.size = side.size
        message.digest = side.digest
