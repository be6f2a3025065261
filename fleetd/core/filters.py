"""
Filters: which instances are eligible at all (spec R1, R3, D10r). Cheap ones come first.

A filter is two functions: one tells which instances of a set it removes, in parts with words for each, the other tells of one instance
what the filter saw and what it wanted. To add one, write the two and put them into FILTERS.

Filters at the head of FILTERS that say how long their answer lasts are asked once for a registry and requirements, those before the first one that looks at
requirements once for a registry, all others for each route.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from operator import attrgetter
from typing import NamedTuple

from fleetd.core.breaker import BreakerKind, BreakerState
from fleetd.core.inquiry import Inquiry
from fleetd.core.instance import Instance, InstanceState

Parts = Sequence[tuple[int, str]]
"""(instances, why) pairs. Instances outside the set that was given are no matter; of several parts the first one counts."""

ELIGIBLE = (InstanceState.READY, InstanceState.DEGRADED)
"""States in which an instance gets work, the better one first."""
IDLE = tuple((state, state.name) for state in InstanceState if state not in ELIGIBLE)


Moment = Callable[[Inquiry], Hashable]
"""What of an inquiry an answer depends on, besides registry and requirements."""


def ALWAYS(inquiry: Inquiry) -> None:  # noqa: N802 - a constant to whoever makes a filter
    """Say that an answer depends on registry and requirements alone."""


class Filter(NamedTuple):
    """
    `removes(inquiry, set)`: who goes. `saw(inquiry, instance)`: (observed, required) of one who went.

    `lasts`: while what it returns is equal, the same registry and the same requirements remove the same instances with the same words. None: that may
    change with every route. `asks`: whether it looks at the requirements.
    """

    name: str
    removes: Callable[[Inquiry, int], Parts]
    saw: Callable[[Inquiry, Instance], tuple[str, str]]
    lasts: Moment | None = None
    asks: bool = True


class Removal(NamedTuple):
    """Instances that one filter removed, and why."""

    filter: Filter
    mask: int
    detail: str


def sift(inquiry: Inquiry, mask: int, filters: Sequence[Filter] | None = None) -> tuple[int, list[Removal]]:
    """Return the instances of a set that pass all filters (or those given), and what removed the others."""
    removals = []
    for each in FILTERS if filters is None else filters:
        for part, detail in each.removes(inquiry, mask):
            gone = part & mask
            if gone:
                mask ^= gone
                removals.append(Removal(each, gone, detail))
    return mask, removals


def sift_unasked(inquiry: Inquiry) -> tuple[int, list[Removal]]:
    """Return which of all instances pass the lasting filters that ask for no requirements, and what removed the others: equal while `moment` is."""
    return sift(inquiry, inquiry.index.all, FILTERS[:UNASKED])


def sift_lasting(inquiry: Inquiry, mask: int) -> tuple[int, list[Removal]]:
    """Return which of those that `sift_unasked` left pass all lasting filters, and what removed the rest: equal while `moment` is."""
    return sift(inquiry, mask, FILTERS[UNASKED:LASTING])


def sift_passing(inquiry: Inquiry, mask: int) -> tuple[int, list[Removal]]:
    """Return which of those that the lasting filters left pass all others, and what removed the rest."""
    return sift(inquiry, mask, FILTERS[LASTING:])


def moment(inquiry: Inquiry) -> Hashable:
    """Return what the answers of the lasting filters depend on, besides registry and requirements."""
    return tuple([lasts(inquiry) for lasts in MOMENTS])


def _disabled(inquiry: Inquiry, mask: int) -> Parts:
    disabled = inquiry.index.having("disabled", True)
    return ((disabled, "disabled"),) if disabled else ()


def _saw_disabled(inquiry: Inquiry, instance: Instance) -> tuple[str, str]:
    return "disabled", "enabled"


def _locked(inquiry: Inquiry, mask: int) -> Parts:
    locked = inquiry.registry.conditions.locked
    return ((locked, "no_credentials"),) if locked else ()


def _saw_locked(inquiry: Inquiry, instance: Instance) -> tuple[str, str]:
    return "no_credentials", f"{instance.credential} must exist"


def _deprecated(inquiry: Inquiry, mask: int) -> Parts:
    return ((_out_of_date(inquiry), "deprecated"),)


def _out_of_date(inquiry: Inquiry) -> int:
    return inquiry.index.deprecated.below(inquiry.now + 1)


def _saw_deprecated(inquiry: Inquiry, instance: Instance) -> tuple[str, str]:
    return f"deprecated at {instance.deprecated_at}", f"later than {inquiry.now}"


def _idle(inquiry: Inquiry, mask: int) -> Parts:
    return inquiry.registry.conditions.by_state(IDLE)


def _saw_idle(inquiry: Inquiry, instance: Instance) -> tuple[str, str]:
    condition = inquiry.registry.condition(instance.id)
    why = f" ({condition.reason})" if condition.reason else ""
    return f"{condition.state.name}{why}", " or ".join(state.name for state in ELIGIBLE)


def _broken(inquiry: Inquiry, mask: int) -> Parts:
    registry = inquiry.registry
    return (
        (registry.open_providers | registry.open_instances, "breaker_open"),
        (inquiry.held, "breaker_half_open"),
    )


def _saw_broken(inquiry: Inquiry, instance: Instance) -> tuple[str, str]:
    seen = []
    for key in (BreakerKind.PROVIDER, instance.provider_id), (BreakerKind.INSTANCE, instance.id):
        kind, name = key
        view = inquiry.registry.breaker(kind, name)
        if view.state is BreakerState.OPEN:
            seen.append(f"{kind.name.lower()}:{name} OPEN until {view.retry_at}")
        elif key in inquiry.probes:
            seen.append(f"{kind.name.lower()}:{name} HALF_OPEN, probed until {inquiry.probes[key]}")
    return ", ".join(seen), "CLOSED, or HALF_OPEN with its probe free"


def _untagged(inquiry: Inquiry, mask: int) -> Parts:
    index = inquiry.index
    return [(mask & ~index.having("tag", tag), f"lack tag {tag}") for tag in inquiry.requirements.required]


def _saw_untagged(inquiry: Inquiry, instance: Instance) -> tuple[str, str]:
    return ",".join(instance.tags), ",".join(inquiry.requirements.required)


def _small(inquiry: Inquiry, mask: int) -> Parts:
    least = inquiry.requirements.min_ctx
    return ((inquiry.index.ctx.below(least), f"ctx<{least}"),)


def _saw_small(inquiry: Inquiry, instance: Instance) -> tuple[str, str]:
    return f"ctx={instance.ctx}", f"ctx>={inquiry.requirements.min_ctx}, or unknown"


def _not_larger(inquiry: Inquiry, mask: int) -> Parts:
    """Remove what is not known to be larger than a window that did not suffice (F4, CONTEXT_EXCEEDED)."""
    above = inquiry.above
    if not above:
        return ()
    ctx = inquiry.index.ctx
    return ((mask & ~(ctx.known & ~ctx.below(above + 1)), f"ctx not above {above}"),)


def _saw_not_larger(inquiry: Inquiry, instance: Instance) -> tuple[str, str]:
    return f"ctx={instance.ctx or 'unknown'}", f"ctx>{inquiry.above}"


def _full(inquiry: Inquiry, mask: int) -> Parts:
    full = inquiry.load.full
    return ((full, "at max_inflight"),) if full else ()


def _saw_full(inquiry: Inquiry, instance: Instance) -> tuple[str, str]:
    return f"{inquiry.load.get(instance.id, 0)} in flight", f"fewer than {instance.max_inflight}"


def _tried(inquiry: Inquiry, mask: int) -> Parts:
    """Remove what was tried, while anything else is left (R7)."""
    tried = inquiry.tried
    return ((tried, "tried"),) if tried and mask & ~tried else ()


def _saw_tried(inquiry: Inquiry, instance: Instance) -> tuple[str, str]:
    return "tried", "untried, while there is one"


_held, _above = attrgetter("held"), attrgetter("above")

FILTERS = (
    Filter("enabled", _disabled, _saw_disabled, ALWAYS, asks=False),
    Filter("credentials", _locked, _saw_locked, ALWAYS, asks=False),
    Filter("deprecated", _deprecated, _saw_deprecated, _out_of_date, asks=False),
    Filter("state", _idle, _saw_idle, ALWAYS, asks=False),
    Filter("breaker", _broken, _saw_broken, _held, asks=False),
    Filter("tags", _untagged, _saw_untagged, ALWAYS),
    Filter("ctx", _small, _saw_small, ALWAYS),
    Filter("larger_ctx", _not_larger, _saw_not_larger, _above),
    Filter("capacity", _full, _saw_full),
    Filter("tried", _tried, _saw_tried),
)
LASTING = next((place for place, each in enumerate(FILTERS) if each.lasts is None), len(FILTERS))
"""How many filters, from the first one, give an answer that lasts; one that stands behind another that does not is asked each time."""
UNASKED = next((place for place, each in enumerate(FILTERS[:LASTING]) if each.asks), LASTING)
"""How many of those, from the first one, need no requirements."""
MOMENTS = tuple(
    each.lasts for each in FILTERS[:LASTING] if each.lasts is not None and each.lasts is not ALWAYS
)
