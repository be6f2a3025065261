"""Which of a rollout's two modes does a piece of work, and why (G1): as a caller is told, and as an agent's run is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fleetd_client import stubs as s
from fleetd_client.errors import InvalidArgument
from fleetd_client.words import name


@dataclass(frozen=True, slots=True)
class Decision:
    """
    The mode of a piece of work. `cause` is FORCED, AUTO_FALLBACK, EXPLICIT_MODE, DENY_LIST, ALLOW_LIST, PERCENT or DEFAULT_MODE, and
    `reason` says it in a sentence. With a `shadow_mode` that mode should do the work on the side as well, without any effect outside.
    `bucket`, from 0 to 100, is the new mode's when below the percentage; None when there was nothing to make it from.
    """

    mode: str
    cause: str = ""
    reason: str = ""
    shadow_mode: str = ""
    trial: bool = False
    rollout: str = ""
    org_id: str = ""
    decision_id: str = ""  # empty of a dry run
    epoch: int = 0
    bucket: float | None = None

    @classmethod
    def of(cls, message: s.ModeDecision) -> Decision:
        return cls(
            mode=message.mode,
            cause=cause(message.cause),
            reason=message.reason,
            shadow_mode=message.shadow_mode,
            trial=message.trial,
            rollout=message.rollout,
            org_id=message.org_id,
            decision_id=message.decision_id,
            epoch=message.epoch,
            bucket=None if message.bucket < 0 else message.bucket,
        )

    def outcome(self, *, shadow: bool = False, size: int = 0, digest: str = "") -> s.RolloutOutcome:
        """What came of it, for report_outcome: equal digests mean equal results. With `shadow` of the work on the side."""
        return s.RolloutOutcome(
            rollout=self.rollout,
            org_id=self.org_id,
            mode=self.shadow_mode if shadow else self.mode,
            epoch=self.epoch,
            decision_id=self.decision_id,
            shadow=shadow,
            size=size,
            digest=digest,
        )


@dataclass(frozen=True, slots=True)
class TaskMode:
    """How a task was decided: the mode to work in. A `shadow` works on the side of the task `shadow_of`: it must have no effect outside."""

    mode: str
    cause: str
    shadow: bool
    trial: bool
    rollout: str
    shadow_of: str

    @classmethod
    def of(cls, message: s.TaskRollout) -> TaskMode:
        return cls(
            mode=message.mode,
            cause=cause(message.cause),
            shadow=message.shadow,
            trial=message.trial,
            rollout=message.rollout,
            shadow_of=message.shadow_of,
        )


def cause(number: int) -> str:
    """The short name of a cause; empty when none is said."""
    return name(s.DecisionCause, "DECISION_CAUSE", number) if number else ""


def use(rollout: str | s.RolloutUse | None, org_id: str = "", session_id: str = "") -> Any:
    """Whom a rollout decides for; None without a rollout. Org or session without one would be forgotten: InvalidArgument."""
    if isinstance(rollout, s.RolloutUse):
        whole = s.RolloutUse()
        whole.CopyFrom(rollout)
        whole.org_id = org_id or whole.org_id
        whole.session_id = session_id or whole.session_id
        return whole
    if rollout:
        return s.RolloutUse(rollout=rollout, org_id=org_id, session_id=session_id)
    if org_id or session_id:
        field = "org_id" if org_id else "session_id"
        raise InvalidArgument([(field, "only beside a rollout")])
    return None
