"""
The order among eligible instances (spec R3, R5): a list of splits.

A split takes a set and yields its parts, the better ones first; what stays together is left to the next split. The last one leaves nothing
together. Parts are made when they are asked for: the best six of thousands cost six.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from fleetd.core.inquiry import Inquiry
from fleetd.core.instance import InstanceState
from fleetd.core.scores import ByScore
from fleetd.core.spread import Spread

Split = Callable[[int], Iterator[int]]

_DEGRADED = (
    InstanceState.DEGRADED
)  # every route asks for it, and a member of an enum costs a look-up by its name
NO_NEEDS = ((), ("general",))
"""Needs that ask for nothing."""


def ranking(
    inquiry: Inquiry, middle: list[Split], seed: str, *, pinned: str = "", avoid_provider: str = ""
) -> list[Split]:
    """
    Return the splits in order: the pinned instance; other providers than the one to avoid; `middle`, the lasting ones; load; hash of
    seed and instance.
    """
    index = inquiry.index
    splits: list[Split] = []
    if pinned:
        splits.append(partial(_first, index.mask((pinned,))))
    if avoid_provider:
        splits.append(partial(_last, index.having("provider", avoid_provider)))
    splits += [*middle, inquiry.load.split, Spread(seed, index.digests, index.ids).split]
    return splits


def lasting(inquiry: Inquiry, by_score: ByScore, wanted: int) -> list[Split]:
    """
    Return the splits that depend on registry and requirements alone, in order: wanted ones; READY before DEGRADED; raw score; priority (before the score
    when a failover list is all there is to go by); price when cheap is preferred.
    """
    index = inquiry.index
    splits: list[Split] = []
    if wanted:
        splits.append(partial(_first, wanted))
    degraded = inquiry.registry.conditions.in_state(_DEGRADED)
    if degraded:
        splits.append(partial(_last, degraded))
    value, priority = by_score.split, index.priority.split
    if index.priority.single:
        splits.append(value)
    else:
        splits += (priority, value) if by_priority(inquiry) else (value, priority)
    if "cheap" in inquiry.requirements.prefer:
        splits.append(index.prices.split)
    return splits


def by_priority(inquiry: Inquiry) -> bool:
    """Tell whether priority decides: there is a failover list, and the task needs nothing in particular (R3, F1)."""
    requirements = inquiry.requirements
    return (
        not requirements.required
        and requirements.needs in NO_NEEDS
        and inquiry.index.having("failover", True) != 0
    )


def ranked(mask: int, splits: list[Split]) -> Iterator[int]:
    """Yield the slots of a set, the best first; the last split leaves nothing together."""
    for part in parts(mask, splits):
        yield part.bit_length() - 1


def parts(mask: int, splits: list[Split]) -> Iterator[int]:
    """Yield the parts of a set that no split takes apart, the best first."""
    # One split inside the other; generators within generators would hand every part up through all of them.
    open_splits = [splits[0](mask)]
    while open_splits:
        depth = len(open_splits)
        last = depth == len(splits)
        for part in open_splits[-1]:
            if last or part == 1 << part.bit_length() - 1:
                yield part
            else:
                open_splits.append(splits[depth](part))
                break
        else:
            open_splits.pop()


def _first(better: int, mask: int) -> Iterator[int]:
    part = mask & better
    if part:
        yield part
    if part != mask:
        yield mask ^ part


def _last(worse: int, mask: int) -> Iterator[int]:
    part = mask & worse
    if part != mask:
        yield mask ^ part
    if part:
        yield part
