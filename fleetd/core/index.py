"""Instances as they are defined, indexed by everything that a route asks of them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping

from fleetd.core.instance import Instance
from fleetd.core.masks import Column, Steps, slots_of
from fleetd.core.spread import DIGITS, digest

PRICE_DIGITS = 40
HIGHEST_PRICE = (1 << PRICE_DIGITS) - 1
"""Millionths of a dollar for a million tokens: a million dollars and more are all the same."""


class Index:
    """
    An immutable set of instances. A change makes a new index that shares what did not change; one instance costs tens of microseconds.

    `facets[name][value]` is the set of instances with that value: tag, provider, kind, model (case folded), priority, ctx, deprecated,
    disabled, failover. An instance keeps its slot while it is registered; `ids[slot]` is "" when nobody has it. `all` is everybody.
    Prices are held as what is left up to the highest one, so that the highest number is the lowest price.
    """

    __slots__ = (
        "all",
        "ctx",
        "deprecated",
        "digests",
        "facets",
        "ids",
        "instances",
        "prices",
        "priority",
        "slots",
    )

    def __init__(self) -> None:
        self.instances: Mapping[str, Instance] = {}
        self.slots: Mapping[str, int] = {}
        self.ids: tuple[str, ...] = ()
        self.all = 0
        self.facets: Mapping[str, Mapping[Hashable, int]] = {}
        self.ctx = Steps({})
        self.deprecated = Steps({})
        self.priority = Steps({})
        self.prices = Column(PRICE_DIGITS)
        self.digests = Column(DIGITS)

    def having(self, facet: str, value: Hashable) -> int:
        """Return the instances that have a value of a facet."""
        values = self.facets.get(facet)
        return values.get(value, 0) if values else 0

    def mask(self, ids: Iterable[str]) -> int:
        """Return a set of instances; unknown ids are left out."""
        mask = 0
        for instance_id in ids:
            slot = self.slots.get(instance_id)
            if slot is not None:
                mask |= 1 << slot
        return mask

    def names(self, mask: int) -> list[str]:
        """Return the ids of a set, sorted."""
        ids = self.ids
        return sorted([ids[slot] for slot in slots_of(mask)])

    def with_instances(self, put: Mapping[str, Instance], removed: Iterable[str] = ()) -> Index:
        """Return the index with instances removed, added and replaced; who is unknown need not be removed."""
        change = _Change(self)
        for instance_id in removed:
            if instance_id in change.instances and instance_id not in put:
                change.take(instance_id)
        for instance_id, instance in put.items():
            change.put(instance_id, instance)
        return change.index()


class _Change:
    """An index in the making: copies what it changes, shares the rest."""

    def __init__(self, before: Index) -> None:
        self._before = before
        self.instances = dict(before.instances)
        self._slots: dict[str, int] | None = None
        self._ids = list(before.ids)
        self._free: list[int] | None = None
        self._facets: dict[str, dict[Hashable, int]] = {}
        self._prices: list[tuple[int, int]] = []
        self._digests: list[tuple[int, int]] = []
        self._all = before.all

    def put(self, instance_id: str, instance: Instance) -> None:
        old = self.instances.get(instance_id)
        slot = self._slot(instance_id) if old is None else (self._slots or self._before.slots)[instance_id]
        self.instances[instance_id] = instance
        self._flip(slot, old, instance)

    def take(self, instance_id: str) -> None:
        slot = self._own_slots().pop(instance_id)
        self._ids[slot] = ""
        if self._free is not None:
            self._free.append(slot)
        self._all ^= 1 << slot
        self._digests.append((1 << slot, digest(instance_id)))
        self._flip(slot, self.instances.pop(instance_id), None)

    def index(self) -> Index:
        before, index = self._before, Index()
        index.instances, index.all, index.ids = self.instances, self._all, tuple(self._ids)
        index.slots = before.slots if self._slots is None else self._slots
        index.facets = {**before.facets, **self._facets}
        index.ctx = self._steps("ctx", before.ctx)
        index.deprecated = self._steps("deprecated", before.deprecated)
        index.priority = self._steps("priority", before.priority)
        index.prices = before.prices.flipped(self._prices) if self._prices else before.prices
        index.digests = before.digests.flipped(self._digests) if self._digests else before.digests
        return index

    def _steps(self, facet: str, before: Steps) -> Steps:
        return Steps(self._facets[facet]) if facet in self._facets else before

    def _own_slots(self) -> dict[str, int]:
        if self._slots is None:
            self._slots = dict(self._before.slots)
        return self._slots

    def _slot(self, instance_id: str) -> int:
        """Give a slot to a new instance: a free one, else one more."""
        if self._free is None:
            holes = len(self.instances) < len(self._ids)
            self._free = [slot for slot, owner in enumerate(self._ids) if not owner] if holes else []
        slot = self._free.pop() if self._free else len(self._ids)
        self._ids[slot : slot + 1] = [instance_id]
        self._own_slots()[instance_id] = slot
        self._all |= 1 << slot
        self._digests.append((1 << slot, digest(instance_id)))
        return slot

    def _flip(self, slot: int, old: Instance | None, new: Instance | None) -> None:
        """Move a slot from the values of an instance to those of another; None has none."""
        values = set(_values(old)).symmetric_difference(_values(new))
        bit = 1 << slot
        for facet, value in values:
            sets = self._facets.get(facet)
            if sets is None:
                sets = self._facets[facet] = dict(self._before.facets.get(facet, {}))
            mask = sets.get(value, 0) ^ bit
            if mask:
                sets[value] = mask
            else:
                del sets[value]
        price = _price_left(old) ^ _price_left(new)
        if price:
            self._prices.append((bit, price))


def _values(instance: Instance | None) -> Iterator[tuple[str, Hashable]]:
    """Yield the facets of an instance with their values. Unknown windows and dates that never come are no numbers."""
    if instance is None:
        return
    for tag in instance.tags:
        yield "tag", tag
    yield "provider", instance.provider_id
    yield "kind", instance.kind
    yield "model", instance.model.casefold()
    yield "priority", instance.priority
    if instance.ctx:
        yield "ctx", instance.ctx
    if instance.deprecated_at:
        yield "deprecated", instance.deprecated_at
    if not instance.enabled:
        yield "disabled", True
    if instance.failover:
        yield "failover", True


def price(instance: Instance) -> int:
    """Return what a million tokens in and a million out cost together, in millionths of a dollar; 0 when nothing is known or due."""
    return min(round((instance.input_cost + instance.output_cost) * 1_000_000), HIGHEST_PRICE)


def _price_left(instance: Instance | None) -> int:
    return HIGHEST_PRICE - price(instance) if instance is not None else 0
