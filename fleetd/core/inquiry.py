"""One look for an instance: what is asked, of which snapshot, when."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from fleetd.core.breaker import BreakerKey, BreakerKind, BreakerState
from fleetd.core.index import Index
from fleetd.core.load import Load
from fleetd.core.registry import Registry
from fleetd.core.route import Requirements

KINDS = {"provider": BreakerKind.PROVIDER, "instance": BreakerKind.INSTANCE}
"""Breakers that matter to a route, by the prefix of their key."""


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
        probing: Mapping[str, int],
        tried: Collection[str] = (),
        above: int = 0,
    ) -> None:
        """Take `probing` as "instance:<id>" or "provider:<id>" → epoch ms."""
        self.registry = registry
        self.requirements = requirements
        self.now = now
        self.index: Index = registry.index
        self.load = (load if isinstance(load, Load) else Load(load)).on(self.index)
        self.probes: dict[BreakerKey, int] = {}
        self.held = 0
        self.tried = self.index.mask(tried) if tried else 0
        self.above = above
        for key, until in probing.items():
            prefix, _, name = key.partition(":")
            kind = KINDS.get(prefix)
            if kind and until > now and registry.breaker(kind, name).state is BreakerState.HALF_OPEN:
                self.probes[kind, name] = until
                self.held |= registry.guarded(kind, name)
