"""
Scores: how well an eligible instance suits (spec R3).

Scores are counted in nine-millionths: the coarsest unit in which every term is a whole number when latencies are whole microseconds, so
that equal scores are equal. To add a term, write a Scorer and put it into SCORERS: its `levels` split a set by the term's value, its
`units` tell one instance's value, its `detail` what that came from. Latency is the one term with a value for nearly each instance; it is
read from a column instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from heapq import heapify, heappop, heappush, heapreplace
from typing import NamedTuple

from fleetd.core.conditions import QUICKEST, SLOWEST, quickness
from fleetd.core.inquiry import Inquiry
from fleetd.core.instance import Condition, Instance, Kind
from fleetd.core.route import LatencyClass, Requirements, ScoreTerm

UNIT = 9_000_000
NEED = UNIT * 20 // 100
CTX_KNOWN, CTX_UNKNOWN = UNIT * 10 // 100, UNIT * 2 // 100
PREFERRED, CLOUD_OTHERWISE = UNIT * 5 // 100, -UNIT * 2 // 100
PER_MICROSECOND = UNIT * 10 // 100 // 450_000
"""Latency gives 0.1 at 50 ms and nothing at 500 ms: two units a microsecond."""
HALVED_BELOW = SLOWEST - 200_000
"""Quickness of an instance that takes 200 ms."""

# Every route asks for them, and a member of an enum costs a look-up by its name.
_LOCAL, _CLOUD = Kind.LOCAL, Kind.CLOUD
_BATCH, _FAST = LatencyClass.BATCH, LatencyClass.FAST

Level = tuple[int, int]
"""(units, instances)"""


class Scorer(NamedTuple):
    """One term of the score. `levels(inquiry, set)` covers the set, which is not empty, with parts that do not overlap; None for latency."""

    name: str
    levels: Callable[[Inquiry, int], Sequence[Level]] | None
    units: Callable[[Inquiry, Instance, Condition], int]
    detail: Callable[[Inquiry, Instance, Condition], str]


def score(inquiry: Inquiry, instance: Instance) -> int:
    """Return the raw score of an instance in units."""
    condition = inquiry.registry.condition(instance.id)
    return sum([scorer.units(inquiry, instance, condition) for scorer in SCORERS])


def terms(inquiry: Inquiry, instance: Instance) -> tuple[ScoreTerm, ...]:
    """Return the terms of an instance's score, to six decimals; their sum is its raw score."""
    condition = inquiry.registry.condition(instance.id)
    return tuple(
        ScoreTerm(
            scorer.name,
            round(scorer.units(inquiry, instance, condition) / UNIT, 6),
            scorer.detail(inquiry, instance, condition),
        )
        for scorer in SCORERS
    )


def display(units: int) -> float:
    """Return the score that people are shown, to six decimals."""
    # In whole millionths, rounded to the nearest: (0.5 + units / UNIT) / 1.25 is this many 45ths of one, so that none lies in the middle.
    return ((units + UNIT // 2) * 4 + 22) // 45 / 1_000_000


class ByScore:
    """Splits sets by raw score, and remembers the scores it met."""

    __slots__ = ("_inquiry", "_met")

    def __init__(self, inquiry: Inquiry) -> None:
        self._inquiry = inquiry
        self._met: list[Level] = []

    def units(self, slot: int) -> int:
        """Return the raw score of an instance."""
        for units, part in self._met:
            if part >> slot & 1:
                return units
        index = self._inquiry.index
        return score(self._inquiry, index.instances[index.ids[slot]])

    def shown(self, slots: Sequence[int]) -> list[float]:
        """Return the display scores of instances."""
        scores, same, score = [], 0, 0.0
        for slot in slots:
            if not same >> slot & 1:
                # Neighbours in a plan mostly share their score.
                for units, same in self._met:  # noqa: B007 - the part that has it, for the next one
                    if same >> slot & 1:
                        break
                else:
                    units, same = self.units(slot), 1 << slot
                score = display(units)
            scores.append(score)
        return scores

    def split(self, mask: int) -> Iterator[int]:
        """
        Yield the parts of a set that have the same raw score, the highest first.

        Instances that agree in all terms but latency make a class. A heap holds for every class a bound that none of its instances
        exceeds; the quickest are taken out of a class when its bound comes to the top, so that only classes that matter are looked into.
        """
        inquiry = self._inquiry
        requirements, conditions = inquiry.requirements, inquiry.registry.conditions
        column, quick = conditions.quickness, conditions.quick
        most = _latency_units(requirements, SLOWEST - QUICKEST)
        if not most:
            quick = 0
        # (−bound, is it exact, number, units but latency, instances)
        heap: list[tuple[int, bool, int, int, int]] = [
            (-units - most, False, number, units, part)
            if part & quick
            else (-units, True, number, units, part)
            for number, (units, part) in enumerate(_classes(inquiry, mask))
        ]
        heapify(heap)
        number = len(heap)
        while heap:
            bound, exact, _, units, part = heap[0]
            if exact:
                heappop(heap)
                while heap and heap[0][0] == bound:
                    part |= heappop(heap)[4]
                self._met.append((-bound, part))
                yield part
                continue
            ahead, quickest = column.highest(part)
            bound = -units - _latency_units(requirements, ahead)
            heapreplace(heap, (bound, True, number, units, quickest))
            rest = part ^ quickest
            if rest & quick:
                heappush(heap, (bound + 1, False, number + 1, units, rest))
            elif rest:
                heappush(heap, (-units, True, number + 1, units, rest))
            number += 2


def _classes(inquiry: Inquiry, mask: int) -> Sequence[Level]:
    """Split a set by all terms but latency; the parts do not overlap, but may have the same units."""
    shared = 0
    classes: Sequence[Level] = ()
    for levels_of in LEVELS:
        levels = levels_of(inquiry, mask)
        if len(levels) == 1:
            shared += levels[0][0]
        elif not classes:
            classes = [level for level in levels if level[1]]
        else:
            classes = [
                (units + more, both)
                for units, part in classes
                for more, level in levels
                if (both := part & level)
            ]
    if not classes:
        return ((shared, mask),)
    return [(units + shared, part) for units, part in classes] if shared else classes


def _tag_levels(inquiry: Inquiry, mask: int) -> Sequence[Level]:
    """Count matched needs for all instances at once: after each need, those that have it move up by one."""
    counted = [mask]
    for need in inquiry.requirements.needs:
        having = inquiry.index.having("tag", need) & mask
        if having:
            counted.append(0)
            for count in range(len(counted) - 1, 0, -1):
                moved = counted[count - 1] & having
                counted[count] |= moved
                counted[count - 1] ^= moved
    return [(count * NEED, part) for count, part in enumerate(counted) if part]


def matched(inquiry: Inquiry, instance: Instance) -> list[str]:
    """Return the needs that an instance meets."""
    tags = instance.tags
    return [need for need in inquiry.requirements.needs if need in tags]


def _tag_units(inquiry: Inquiry, instance: Instance, condition: Condition) -> int:
    return NEED * len(matched(inquiry, instance))


def _tag_detail(inquiry: Inquiry, instance: Instance, condition: Condition) -> str:
    return ",".join(matched(inquiry, instance))


def _ctx_levels(inquiry: Inquiry, mask: int) -> Sequence[Level]:
    known = mask & inquiry.index.ctx.known
    if known == mask:
        return ((CTX_KNOWN, mask),)
    return ((CTX_KNOWN, known), (CTX_UNKNOWN, mask ^ known))


def _ctx_units(inquiry: Inquiry, instance: Instance, condition: Condition) -> int:
    return CTX_KNOWN if instance.ctx else CTX_UNKNOWN


def _ctx_detail(inquiry: Inquiry, instance: Instance, condition: Condition) -> str:
    return f"{instance.ctx}" if instance.ctx else "unknown"


def _latency_units(requirements: Requirements, microseconds: int) -> int:
    """Return the term of an instance that is so much quicker than the slowest that counts."""
    if requirements.latency_class is _BATCH:
        return 0
    units = microseconds * PER_MICROSECOND
    if requirements.latency_class is _FAST and microseconds < HALVED_BELOW:
        units //= 2
    return units * 2 if "fast" in requirements.prefer else units


def _quickness_units(inquiry: Inquiry, instance: Instance, condition: Condition) -> int:
    return _latency_units(inquiry.requirements, quickness(condition))


def _latency_detail(inquiry: Inquiry, instance: Instance, condition: Condition) -> str:
    return "unknown" if condition.latency is None else f"{condition.latency:g} ms"


def _kind_levels(inquiry: Inquiry, mask: int) -> Sequence[Level]:
    having = inquiry.index.having
    return [
        (units, part)
        for kind, units in _kinds(inquiry.requirements.prefer)
        if (part := having("kind", kind) & mask)
    ]


@lru_cache(64)
def _kinds(prefer: tuple[str, ...]) -> tuple[tuple[Kind, int], ...]:
    return tuple((kind, _kind(prefer, kind)) for kind in Kind)


def _kind_units(inquiry: Inquiry, instance: Instance, condition: Condition) -> int:
    return _kind(inquiry.requirements.prefer, instance.kind)


def _kind(prefer: tuple[str, ...], kind: Kind) -> int:
    if preferred(prefer, kind):
        return PREFERRED
    return 0 if kind is _LOCAL else CLOUD_OTHERWISE


def preferred(prefer: tuple[str, ...], kind: Kind) -> bool:
    """Tell whether the place where an instance runs is a preferred one; paid ones never are."""
    return (kind is _LOCAL and "local" in prefer) or (kind is _CLOUD and "cloud" in prefer)


def _kind_detail(inquiry: Inquiry, instance: Instance, condition: Condition) -> str:
    return instance.kind.name.lower()


SCORERS = (
    Scorer("tags", _tag_levels, _tag_units, _tag_detail),
    Scorer("ctx", _ctx_levels, _ctx_units, _ctx_detail),
    Scorer("latency", None, _quickness_units, _latency_detail),
    Scorer("preference", _kind_levels, _kind_units, _kind_detail),
)
LEVELS = tuple(scorer.levels for scorer in SCORERS if scorer.levels is not None)
