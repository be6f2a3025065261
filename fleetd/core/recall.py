"""
What a registry remembers of requirements that it was asked for: the part of a route that depends on these two alone.

Nothing of it may hold the registry, or anything that does: a registry must go as soon as nobody uses it. Two threads may ask one registry: what they put in
is whole and equal, so that it does not matter whose stays.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from functools import partial
from typing import NamedTuple

from fleetd.core.filters import Removal, moment, sift_lasting, sift_unasked
from fleetd.core.inquiry import Inquiry
from fleetd.core.instance import Kind
from fleetd.core.ranking import Split, lasting, parts
from fleetd.core.registry import Registry
from fleetd.core.route import Elimination
from fleetd.core.scores import ByScore
from fleetd.errors import InvalidArgument

REMEMBERED = 512
"""Requirements that one registry remembers, a few kilobytes each with thousands of instances; one more, and it begins anew."""
PARTS = 16
"""Parts of an order that are remembered; what lies behind them is put in order each time."""
CHOSEN = 32
"""Instances whose reasons to be selected are remembered."""

_CLOUD = Kind.CLOUD  # every route asks for it, and a member of an enum costs a look-up by its name


class Order:
    """
    A set in the order of the lasting splits. `parts` are the first of those that they make of it, with their display scores, as far as somebody asked:
    a part cut down to a smaller set leaves that set in the same order.
    """

    __slots__ = ("all", "parts")

    def __init__(self, mask: int) -> None:
        self.all = mask
        self.parts: tuple[tuple[int, float], ...] = ()

    def split(self, behind: Split, by_score: ByScore, mask: int) -> Iterator[int]:
        """Yield the parts of a set that lies within this one, the best first; `behind` makes those that are not remembered."""
        known = self.parts
        for part, _ in known:
            some = part & mask
            if some:
                yield some
                mask ^= some
                if not mask:
                    return
        if len(known) < PARTS:
            rest = self.all
            for part, _ in known:
                rest ^= part
            for part in behind(rest):
                known = self.parts = (*known, (part, by_score.shown((part.bit_length() - 1,))[0]))
                some = part & mask
                if some:
                    yield some
                    mask ^= some
                    if not mask:
                        return
                if len(known) == PARTS:
                    break
        yield from behind(mask)


class Unasked(NamedTuple):
    """What the filters say that look at no requirements: who is left, and what removed the others, in detail and in numbers."""

    mask: int
    removals: list[Removal]
    eliminated: tuple[Elimination, ...]


class Recalled:
    """
    What one registry says to some requirements whoever asks: the instances that pass the lasting filters, and those of them in a cloud; what removed the
    others, in detail and in numbers; which instances the wanted model means.

    `order` and `by_cloud` are those two sets in order, from the second time on that somebody asks: to remember an order costs more than to make it
    once. `summary` is that of a route from which nothing else was removed, "" until the first one; `reasons` speak for an instance, by slot.
    """

    __slots__ = (
        "by_cloud",
        "cloud",
        "eligible",
        "eliminated",
        "order",
        "reasons",
        "removals",
        "summary",
        "wanted",
    )

    def __init__(self, inquiry: Inquiry, unasked: Unasked, wanted: int) -> None:
        self.wanted = wanted
        self.eligible, removals = sift_lasting(inquiry, unasked.mask)
        self.removals, self.eliminated = unasked.removals, unasked.eliminated
        if removals:
            self.removals = [*self.removals, *removals]
            self.eliminated += eliminations(removals)
        self.cloud = self.eligible & inquiry.index.having("kind", _CLOUD)
        self.summary = ""
        self.reasons: dict[int, tuple[str, ...]] = {}
        self.order: Order | None = None

    def again(self) -> None:
        """Begin to remember the orders."""
        self.by_cloud = Order(self.cloud)
        self.order = Order(self.eligible)

    def splits(self, inquiry: Inquiry, by_score: ByScore) -> tuple[list[Split], list[Split]]:
        """Return the lasting splits for sets of eligible instances, and for sets of those of them in a cloud."""
        order = self.order
        if order is None:
            made = lasting(inquiry, by_score, self.wanted)
            return made, made
        behind = partial(_behind, inquiry, by_score, self.wanted)
        return [partial(order.split, behind, by_score)], [partial(self.by_cloud.split, behind, by_score)]

    def shown(self, by_score: ByScore, slots: list[int]) -> list[float]:
        """Return the display scores of instances."""
        if self.order is None:
            return by_score.shown(slots)
        scores, same, score = [], 0, 0.0
        for slot in slots:
            if not same >> slot & 1:
                for order in (self.order, self.by_cloud):
                    for same, score in order.parts:  # noqa: B007 - the part that has it, for the next one
                        if same >> slot & 1:
                            break
                    else:
                        continue
                    break
                else:
                    score, same = by_score.shown((slot,))[0], 1 << slot
            scores.append(score)
        return scores


def recall(inquiry: Inquiry) -> Recalled:
    """
    Return what the registry says to the requirements, remembered or found.

    Raises:
        InvalidArgument: the wanted model is no instance, provider or model that is known.
    """
    registry, requirements, at = inquiry.registry, inquiry.requirements, moment(inquiry)
    key = requirements, at
    recalled = registry.recalled.get(key)
    if recalled is None:
        wanted = 0
        if requirements.model:
            wanted = registry.meant(requirements.model)
            if not wanted:
                raise _unknown(registry, requirements.model)
        unasked = registry.unasked.get(at) or _unasked(inquiry, at)
        if len(registry.recalled) >= REMEMBERED:
            registry.recalled.clear()
        recalled = registry.recalled[key] = Recalled(inquiry, unasked, wanted)
    elif recalled.order is None:
        recalled.again()
    return recalled


def _unasked(inquiry: Inquiry, at: Hashable) -> Unasked:
    memory = inquiry.registry.unasked
    if len(memory) >= REMEMBERED:
        memory.clear()
    mask, removals = sift_unasked(inquiry)
    unasked = memory[at] = Unasked(mask, removals, eliminations(removals))
    return unasked


def eliminations(removals: list[Removal]) -> tuple[Elimination, ...]:
    """Return removals in numbers."""
    return tuple([Elimination(each.filter.name, each.mask.bit_count(), each.detail) for each in removals])


def _behind(inquiry: Inquiry, by_score: ByScore, wanted: int, mask: int) -> Iterator[int]:
    return parts(mask, lasting(inquiry, by_score, wanted)) if mask else iter(())


def _unknown(registry: Registry, model: str) -> InvalidArgument:
    nearest = registry.nearest(model)
    hint = f"the nearest name is {nearest}" if nearest else "no name is like it"
    return InvalidArgument(
        [("requirements.model", f"no instance, provider or model is called {model}; {hint}")]
    )
