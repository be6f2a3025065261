"""Routes that are no task's: their plans for an hour, and the work they stand for until it is reported (spec R4, R10)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from fleetd.core.outlook import Token
from fleetd.core.rollout import Decision
from fleetd.core.route import Requirements, RoutePlan

VANISHED = 2
"""A route that nobody reports counts as work in flight for so many timeouts of its instance: a try has one, and the report of a late one may take its time."""

VERSIONS_KEPT = 100
"""Versions that are kept of one route: a run that fails over at every step makes some tens."""


@dataclass(frozen=True, slots=True)
class RouterOptions:
    """Routes that are remembered, and for how long, ms."""

    plans_kept: int = 10_000
    plans_for: int = 3_600_000


@dataclass(slots=True)
class Kept:
    """
    One route: every version of its plan, and how far whoever asked for it has come. `instance` is counted in that one's load until it is reported, ""
    afterwards; `tokens` are the probes that are held for it; `gone` once it left the ring: nobody would notice that it vanished. `decision` is that of the
    mode, `mode_told` and `shadow_told` once its rollout knows what came of it. Times in monotonic milliseconds; `pinned_until` epoch ms.
    """

    plans: list[RoutePlan]
    requirements: Requirements
    seed: str
    fallbacks: int
    made: int
    instance: str = ""
    counted: bool = False
    tokens: list[Token] = field(default_factory=list)
    epochs: tuple[int, int] = (0, 0)
    retries: int = 0
    tried: tuple[str, ...] = ()
    above: int = 0
    pin: str = ""
    pinned_until: int = 0
    forced: bool = False
    gone: bool = False
    decision: Decision | None = None
    mode_told: bool = False
    shadow_told: bool = False

    @property
    def plan(self) -> RoutePlan:
        """The present version."""
        return self.plans[-1]

    def add(self, plan: RoutePlan) -> None:
        """Make a plan the present version."""
        self.plans.append(plan)
        del self.plans[:-VERSIONS_KEPT]


class RouteRing:
    """At most `limit` routes, each for `life` ms; `leave` is called for those that go."""

    def __init__(self, limit: int, life: int, leave: Callable[[Kept], None]) -> None:
        self._limit = limit
        self._life = life
        self._leave = leave
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._names: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def put(self, kept: Kept, now: int) -> None:
        """Add a route; the oldest one leaves when there are too many."""
        self.trim(now)
        if len(self._kept) >= self._limit:
            self._drop()
        plan = kept.plan
        self._kept[plan.plan_id] = kept
        if plan.task_id:
            self._names[plan.task_id] = plan.plan_id

    def get(self, plan_id: str, now: int) -> Kept | None:
        """Return a route by the id of its plan, or by the name its caller gave it."""
        self.trim(now)
        return self._kept.get(plan_id) or self._kept.get(self._names.get(plan_id, ""))

    def trim(self, now: int) -> None:
        """Let those go whose time is over."""
        while self._kept:
            oldest = next(iter(self._kept.values()))
            if now - oldest.made < self._life:
                return
            self._drop()

    def _drop(self) -> None:
        plan_id, kept = self._kept.popitem(last=False)
        name = kept.plan.task_id
        if self._names.get(name) == plan_id:
            del self._names[name]
        kept.gone = True
        self._leave(kept)
