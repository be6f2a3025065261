"""A rollout between two modes: its definition, and which of the modes a piece of work gets (spec G1, G2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import blake2b
from typing import NamedTuple

from fleetd.core.fallback import Fallback, FallbackRules, Phase

HASH_VERSION = 1
"""Of `bucket`: another hash would move everybody, so that a definition keeps the one it began with."""
STEPS = 10_000
"""Buckets: percentages have two decimals."""


class BucketBy(IntEnum):
    """What work percentages keep together; numbers equal fleet.v1.RolloutBucket."""

    ORG = 1
    SESSION = 2


class Cause(IntEnum):
    """Why a mode was chosen, in the order in which the causes are asked (G1); numbers equal fleet.v1.DecisionCause."""

    FORCED = 1
    AUTO_FALLBACK = 2
    EXPLICIT_MODE = 3
    DENY_LIST = 4
    ALLOW_LIST = 5
    PERCENT = 6
    DEFAULT_MODE = 7


class Origin(IntEnum):
    """Where a definition comes from; numbers equal fleet.v1.RolloutOrigin."""

    STORE = 1
    FILE = 2
    ENVIRONMENT = 3


class RolloutMode(NamedTuple):
    """One of the two modes, and what a task in it requires besides its own capabilities."""

    name: str
    required_capabilities: tuple[str, ...] = ()


class Targets(NamedTuple):
    """What is to be reached (G7): latencies in ms, rates as shares; None = no target."""

    avg_latency: int | None = None
    p95_latency: int | None = None
    error_rate: float | None = None
    timeout_rate: float | None = None


@dataclass(frozen=True, slots=True)
class Rollout:
    """
    The definition of a rollout. Percentages from 0 to 100 with two decimals.

    `default` and `explicit` are names of one of the two modes; `explicit` "" = none. `salt` never changes; "" = the one it was begun with, at first its name. `health_url` "" = no probe. `version`
    grows with every change; `updated_at` epoch ms.
    """

    name: str
    old: RolloutMode
    new: RolloutMode
    default: str
    explicit: str = ""
    allow: frozenset[str] = frozenset()
    deny: frozenset[str] = frozenset()
    percent: float = 0.0
    bucket_by: BucketBy = BucketBy.ORG
    salt: str = ""
    hash_version: int = HASH_VERSION
    shadow_percent: float = 0.0
    shadow_limit: int = 10
    fallback: FallbackRules = field(default_factory=FallbackRules)
    health_url: str = ""
    targets: Targets = field(default_factory=Targets)
    origin: Origin = Origin.STORE
    version: int = 1
    updated_at: int = 0

    def mode(self, name: str) -> RolloutMode:
        """Return one of the two modes by its name."""
        return self.new if name == self.new.name else self.old


class TaskRollout(NamedTuple):
    """
    How the mode of a task was decided. `shadow` marks work on the side, which must have no effect outside; `other` is then the task whose shadow it is,
    else the shadow of the task, "" = none.
    """

    name: str
    mode: str
    cause: Cause
    epoch: int
    trial: bool = False
    shadow: bool = False
    other: str = ""


TIMEOUTS = frozenset({"TIMEOUT", "RUN_TIMEOUT", "DEADLINE_EXCEEDED"})
"""Codes that mean that time was over (G5)."""


class Sample(NamedTuple):
    """What came of a piece of work in a mode; `code` "" when it went well, `latency` ms."""

    rollout: str
    org_id: str
    mode: str
    epoch: int
    code: str
    latency: int
    shadow: bool = False

    @property
    def counts(self) -> bool:
        """Whether it says anything of its mode: work that somebody wanted no more does not."""
        return self.code != "CANCELLED"

    def timed_out(self, threshold: int) -> bool:
        """Whether it counts as a timeout, also of work that went well; `threshold` ms."""
        return self.code in TIMEOUTS or self.latency > threshold


class Decision(NamedTuple):
    """
    Which mode, and why. `epoch` goes with the work and comes back with its outcome. `shadow` is the mode that should do the work on the side, "" =
    none. `bucket` 0 up to 100, -1 when there was nothing to make it from. `reason` is a sentence for people.
    """

    rollout: str
    org_id: str
    mode: str
    cause: Cause
    reason: str
    epoch: int
    trial: bool = False
    shadow: str = ""
    bucket: float = -1.0


def bucket(salt: str, key: str) -> int:
    """Return the bucket, 0 to STEPS − 1, of a key: uniform, the same for ever, and independent for different salts."""
    digest = blake2b(
        key.encode(), digest_size=8, key=blake2b(salt.encode(), digest_size=32).digest()
    ).digest()
    return int.from_bytes(digest, "big") % STEPS


def within(place: int, percent: float) -> bool:
    """Tell whether a bucket belongs to the first `percent` of all: growing it only adds members."""
    return place < round(percent * STEPS / 100)


def decide(
    rollout: Rollout,
    whole: Fallback,
    own: Fallback | None,
    org_id: str,
    session_id: str,
    epoch: int,
    take_trial: Callable[[bool], bool],
) -> Decision:
    """
    Decide the mode of a piece of work (G1).

    Args:
        rollout: the definition.
        whole: where the rollout stands as a whole.
        own: where the org stands on its own; None when it does not differ, or nobody looks.
        org_id: "" when unknown.
        session_id: "" when unknown.
        epoch: of the rollout, the newest of all its scopes.
        take_trial: asked only for work that would get the new mode while a trial goes on (True: the org's own trial): tells whether it is part of it.
    """
    key = session_id if rollout.bucket_by is BucketBy.SESSION and session_id else org_id
    # An org and a session of the same name are not the same thing.
    kind = "session" if rollout.bucket_by is BucketBy.SESSION and session_id else "org"
    place = bucket(f"{rollout.salt}/{kind}", key) if key else -1

    def decided(mode: str, cause: Cause, reason: str, *, trial: bool = False, shadow: str = "") -> Decision:
        shown = place * 100 / STEPS if place >= 0 else -1.0
        return Decision(rollout.name, org_id, mode, cause, reason, epoch, trial, shadow, shown)

    old, new = rollout.old.name, rollout.new.name
    scopes = [scope for scope in (own, whole) if scope is not None]
    # Forced on as a whole is for everybody: what is forced off for an org lets it pass its own fallback only.
    forced = next((scope.forced for scope in scopes if scope.forced is not None and scope.forced.on), None)
    if forced is not None:
        by = f" by {forced.actor}" if forced.actor else ""
        return decided(old, Cause.FORCED, f"fallback forced on{by}: {forced.reason}")
    # Forced off as a whole lets everybody pass.
    watched = [] if whole.forced is not None else [scope for scope in scopes if scope.forced is None]
    fallen = next((scope for scope in watched if scope.phase is Phase.FALLBACK), None)
    if fallen is not None:
        return decided(old, Cause.AUTO_FALLBACK, f"in fallback: {fallen.reason}")
    mode, cause, reason = _by_definition(rollout, org_id, place, kind)
    trial = next((scope for scope in watched if scope.phase is Phase.TRIAL), None)
    if trial is not None:
        if mode == old:
            return decided(old, cause, reason)
        if not take_trial(trial is own):
            return decided(old, Cause.AUTO_FALLBACK, f"on trial, others use the old mode: {trial.reason}")
        return decided(new, cause, f"{reason}; on trial", trial=True)
    shadow = ""
    # Who is denied the new mode is not to be seen there at all.
    if mode == old and rollout.shadow_percent and key and cause is not Cause.DENY_LIST:
        shade = bucket(f"{rollout.salt}/shadow/{kind}", key)
        shadow = new if within(shade, rollout.shadow_percent) else ""
    return decided(mode, cause, reason, shadow=shadow)


def _by_definition(rollout: Rollout, org_id: str, place: int, kind: str) -> tuple[str, Cause, str]:
    """Return mode, cause and reason while nothing is forced or in fallback."""
    old, new = rollout.old.name, rollout.new.name
    if rollout.explicit:
        return rollout.explicit, Cause.EXPLICIT_MODE, f"explicit_mode is {rollout.explicit}"
    if org_id in rollout.deny:
        return old, Cause.DENY_LIST, f"org {org_id} is in deny_orgs"
    if org_id in rollout.allow:
        return new, Cause.ALLOW_LIST, f"org {org_id} is in allow_orgs"
    if place >= 0 and within(place, rollout.percent):
        shown = place * 100 / STEPS
        return new, Cause.PERCENT, f"bucket {shown:.2f} of the {kind} is below {rollout.percent:g} %"
    return rollout.default, Cause.DEFAULT_MODE, f"the default mode is {rollout.default}"
