"""The registry: an immutable, versioned snapshot of instances, their conditions and breakers (spec R1, R4, F3)."""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Iterable, Mapping
from typing import TYPE_CHECKING

from fleetd.core.breaker import NEVER_STRUCK, BreakerKey, BreakerKind, BreakerState, BreakerView
from fleetd.core.conditions import Conditions
from fleetd.core.index import Index
from fleetd.core.instance import Condition, Instance

if TYPE_CHECKING:
    from fleetd.core.recall import Recalled, Unasked

ALIKE = 0.4
"""Share of letters two names must have in common, for one to be taken as a slip of the other."""


class Registry:
    """
    Instances and how they are. A change makes a new registry, one version on, that shares what did not change.

    Sets of instances: `open_instances` have an open breaker, `open_providers` a provider whose breaker is open. `recalled` and
    `unasked` are what routes found out that holds as long as this registry (recall.py): no part of its value, each registry begins without any.
    """

    __slots__ = (
        "_breakers",
        "conditions",
        "index",
        "open_instances",
        "open_providers",
        "recalled",
        "unasked",
        "version",
    )

    def __init__(
        self,
        version: int = 0,
        index: Index | None = None,
        conditions: Conditions | None = None,
        breakers: Mapping[BreakerKey, BreakerView] | None = None,
        open_instances: int = 0,
        open_providers: int = 0,
    ) -> None:
        self.version = version
        self.index = index or Index()
        self.conditions = conditions or Conditions()
        self._breakers = breakers or {}
        self.open_instances = open_instances
        self.open_providers = open_providers
        self.recalled: dict[Hashable, Recalled] = {}
        self.unasked: dict[Hashable, Unasked] = {}

    def __len__(self) -> int:
        return len(self.index.instances)

    def get(self, instance_id: str) -> Instance | None:
        return self.index.instances.get(instance_id)

    def condition(self, instance_id: str) -> Condition:
        """Return how a registered instance is."""
        return self.conditions.of[instance_id]

    def breaker(self, kind: BreakerKind, name: str) -> BreakerView:
        """Return a breaker; closed when it was never struck."""
        return self._breakers.get((kind, name), NEVER_STRUCK)

    def breakers(self, state: BreakerState) -> list[tuple[BreakerKey, BreakerView]]:
        """Return the breakers that are in a state."""
        return [(key, view) for key, view in self._breakers.items() if view.state is state]

    def guarded(self, kind: BreakerKind, name: str) -> int:
        """Return the instances that a breaker keeps work from, as a set."""
        if kind is BreakerKind.PROVIDER:
            return self.index.having("provider", name)
        return self.index.mask((name,)) if kind is BreakerKind.INSTANCE else 0

    def ids(self) -> tuple[str, ...]:
        """Return all ids, sorted."""
        return tuple(sorted(self.index.instances))

    def provider(self, provider_id: str) -> tuple[str, ...]:
        """Return the ids of a provider's instances, sorted."""
        return tuple(self.index.names(self.index.having("provider", provider_id)))

    def meant(self, model: str) -> int:
        """
        Return the instances that a wanted instance id, bare provider or model name means, as a set; 0 when it is unknown.

        The first of the three that is known counts; models are known in any case of letters.
        """
        index = self.index
        return (
            index.mask((model,)) or index.having("provider", model) or index.having("model", model.casefold())
        )

    def resolve(self, model: str) -> tuple[str, ...]:
        """Return the ids that a wanted instance id, bare provider or model name means, sorted; none when it is unknown."""
        return tuple(self.index.names(self.meant(model)))

    def nearest(self, name: str) -> str:
        """Return the instance id, provider or model whose name is most like this one; "" when none is like it."""
        names = set(self.index.instances)
        for facet in ("provider", "model"):
            names.update(map(str, self.index.facets.get(facet, ())))
        return next(iter(difflib.get_close_matches(name, sorted(names), 1, ALIKE)), "")

    def with_instances(
        self, put: Mapping[str, tuple[Instance, Condition]], removed: Iterable[str] = ()
    ) -> Registry:
        """Return the registry with instances removed, added and replaced; who is unknown need not be removed."""
        old = self.index
        gone = [key for key in dict.fromkeys(removed) if key in old.instances and key not in put]
        new = old.with_instances({key: instance for key, (instance, _) in put.items()}, gone)
        conditions = self.conditions.moved(
            [
                *((key, 1 << old.slots[key], None) for key in gone),
                *((key, 1 << new.slots[key], condition) for key, (_, condition) in put.items()),
            ]
        )
        left = ~old.mask((*gone, *put))
        open_instances, open_providers = self.open_instances & left, self.open_providers & left
        for key, (instance, _) in put.items():
            bit = 1 << new.slots[key]
            if self.breaker(BreakerKind.INSTANCE, key).state is BreakerState.OPEN:
                open_instances |= bit
            if self.breaker(BreakerKind.PROVIDER, instance.provider_id).state is BreakerState.OPEN:
                open_providers |= bit
        return Registry(self.version + 1, new, conditions, self._breakers, open_instances, open_providers)

    def with_condition(self, instance_id: str, condition: Condition) -> Registry:
        """Return the registry with an instance in another condition; the same one when it was removed meanwhile."""
        return self.with_conditions({instance_id: condition})

    def with_conditions(self, conditions: Mapping[str, Condition]) -> Registry:
        """Return the registry with instances in other conditions; those that were removed meanwhile are left out."""
        slots = self.index.slots
        moves = [(key, 1 << slots[key], condition) for key, condition in conditions.items() if key in slots]
        if not moves:
            return self
        return Registry(
            self.version + 1,
            self.index,
            self.conditions.moved(moves),
            self._breakers,
            self.open_instances,
            self.open_providers,
        )

    def with_breakers(self, changes: Mapping[BreakerKey, BreakerView]) -> Registry:
        """Return the registry with breakers in another state."""
        open_instances, open_providers = self.open_instances, self.open_providers
        for (kind, name), view in changes.items():
            guarded = self.guarded(kind, name)
            opened = guarded if view.state is BreakerState.OPEN else 0
            if kind is BreakerKind.PROVIDER:
                open_providers = open_providers & ~guarded | opened
            else:
                open_instances = open_instances & ~guarded | opened
        breakers = {**self._breakers, **changes}
        return Registry(
            self.version + 1, self.index, self.conditions, breakers, open_instances, open_providers
        )
