"""Routes as values: what a task needs, what was chosen and why (spec R2 to R5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

ROUTER_VERSION = "v1"
MIN_CTX = 4_096
"""Tokens an instance must hold when nothing is said."""
FALLBACKS, MOST_FALLBACKS = 2, 10


class LatencyClass(IntEnum):
    """How quick answers must be; numbers equal fleet.v1.LatencyClass."""

    NORMAL = 1
    FAST = 2
    BATCH = 3


class Requirements(NamedTuple):
    """What a task needs of an instance (R2). Tags lower case, aliases resolved, each once, in the order given."""

    needs: tuple[str, ...] = ()
    prefer: tuple[str, ...] = ()
    min_ctx: int = MIN_CTX
    latency_class: LatencyClass = LatencyClass.NORMAL
    required: tuple[str, ...] = ()
    model: str = ""


class ScoreTerm(NamedTuple):
    """One number that a raw score is made of."""

    name: str
    value: float
    detail: str = ""


class Candidate(NamedTuple):
    """How one instance fared: removed by a filter (`eliminated_by` with what it observed and wanted), or scored."""

    instance: str
    eliminated_by: str = ""
    observed: str = ""
    required: str = ""
    terms: tuple[ScoreTerm, ...] = ()
    raw: float = 0.0


class Elimination(NamedTuple):
    """How many instances one filter removed; `detail` for people."""

    filter: str
    count: int  # type: ignore[assignment]  # a tuple has a method of this name, which nobody asks of this one
    detail: str


@dataclass(slots=True)
class RoutePlan:
    """
    What was chosen, and why. `selected` is "" when nothing fits; `scores` are display scores of selected and fallback; `cause` is routed, rerouted,
    overridden or blocked; `made_at` and `retry_at` in epoch ms, 0 = unset.
    """

    plan_id: str
    task_id: str
    version: int
    selected: str
    fallback: tuple[str, ...]
    scores: Mapping[str, float]
    reasons: tuple[str, ...]
    requirements: Requirements
    registry_version: int
    seed: str
    made_at: int
    eliminated: tuple[Elimination, ...] = ()
    considered: int = 0
    trace: tuple[Candidate, ...] = ()
    cause: str = "routed"
    summary: str = ""
    retry_at: int = 0


class Try(NamedTuple):
    """One try on an instance that failed; `at` epoch ms."""

    instance: str
    code: str
    at: int


@dataclass(slots=True)
class TaskRoute:
    """
    The route of a task, on its hot row: verifying at claim reads nothing else. Times in epoch ms, 0 = unset.

    The present plan in short: `version` (0 while there is none), `selected` ("" when nothing fits), `fallback`, `made_at` (0 = make it anew), `summary`
    in words. `pin` is an operator's choice until `pinned_until`, `forced` although a filter refuses it.

    `instance` is what the present lease works on, "" without a lease: it is counted in that instance's load; `epochs` are those of the breakers of
    instance and provider when it was let through. `retries` were made there; `tried` were given up in this run (and, until the next
    lease, in the last one); `above`: only instances that are known to hold more tokens. `tries` are the failed tries of the last run, the newest TRIES_KEPT.

    `retry_at`: when to look again at a BLOCKED task, as far as that is known.
    """

    requirements: Requirements
    version: int = 0
    selected: str = ""
    fallback: tuple[str, ...] = ()
    made_at: int = 0
    summary: str = ""
    pin: str = ""
    pinned_until: int = 0
    forced: bool = False
    instance: str = ""
    epochs: tuple[int, int] = (0, 0)
    retries: int = 0
    tried: tuple[str, ...] = ()
    tries: tuple[Try, ...] = ()
    above: int = 0
    retry_at: int = 0


TRIES_KEPT = 50
"""More than a run makes on ten instances with four tries each."""


@dataclass(slots=True)
class RouteFigures:
    """What routing did (R12): routes asked for and those with an instance, plans verified, reroutes by reason, and what found no instance."""

    routes: int = 0
    routed: int = 0
    verifies: int = 0
    blocked: int = 0
    reroutes: dict[str, int] = field(default_factory=dict)

    def rerouted(self, reason: str) -> None:
        self.reroutes[reason] = self.reroutes.get(reason, 0) + 1

    def add(self, other: RouteFigures) -> None:
        self.routes += other.routes
        self.routed += other.routed
        self.verifies += other.verifies
        self.blocked += other.blocked
        for reason, count in other.reroutes.items():
            self.reroutes[reason] = self.reroutes.get(reason, 0) + count


class StepKind(IntEnum):
    """What to do after a try; numbers equal fleet.v1.StepKind."""

    PROCEED = 1
    RETRY_SAME = 2
    SWITCH = 3
    GIVE_UP = 4
    BLOCK = 100
    """No instance at present: the task is released and waits BLOCKED. Told to callers as GIVE_UP with NO_AVAILABLE_INSTANCE."""


class Step(NamedTuple):
    """What to do next: wait `delay` ms, then try `instance`; `code` is what to fail with."""

    kind: StepKind
    delay: int = 0
    instance: str = ""
    code: str = ""
    reason: str = ""
