"""One look for an instance: what is asked, of which snapshot, when."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from fleetd.core.breaker import BreakerKey, BreakerState
from fleetd.core.index import Index
from fleetd.core.load import Load
from fleetd.core.registry import Registry
from fleetd.core.route import Requirements


class Inquiry:
    """
    What filters and scores look at.

    `now` epoch ms; `above` tokens: only instances that are known to hold more, 0 = any; `probes` until when the probe of a half-open
    breaker is held. Sets of instances: `held` are behind such a breaker, `tried` were tried.
    """

    __slots__ = ("above", "held", "index", "load", "now", "probes", "registry", "requirements", "tried")

    def __init__(
        self,
        registry: Registry,
        requirements: Requirements,
        now: int,
        load: Mapping[str, int],
        probing: Mapping[BreakerKey, int],
        tried: Collection[str] = (),
        above: int = 0,
    ) -> None:
        self.registry = registry
        self.requirements = requirements
        self.now = now
        self.index: Index = registry.index
        self.load = (load if isinstance(load, Load) else Load(load)).on(self.index)
        self.probes: dict[BreakerKey, int] = {}
        self.held = 0
        self.tried = self.index.mask(tried) if tried else 0
        self.above = above
        for (kind, name), until in probing.items():
            if until > now and registry.breaker(kind, name).state is BreakerState.HALF_OPEN:
                self.probes[kind, name] = until
                self.held |= registry.guarded(kind, name)
