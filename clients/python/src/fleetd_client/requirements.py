"""What a task needs of a model instance, as callers write it: a RouteRequirements, or a mapping with its names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict, cast

from fleetd_client import stubs as s
from fleetd_client.errors import InvalidArgument
from fleetd_client.words import number


class RouteNeeds(TypedDict, total=False):
    """What a task needs of an instance; what is not given is taken from its title and description."""

    needs: Iterable[
        str
    ]  # tags that count: coding, frontend, backend, data, testing, long_ctx, general, or any other
    prefer: Iterable[str]  # local, cloud, fast, cheap
    min_ctx: int  # tokens
    latency_class: str | int  # NORMAL, FAST, BATCH
    required: Iterable[str]  # tags without which an instance is not eligible
    model: str  # instance id or model wanted first


NAMES = frozenset(RouteNeeds.__annotations__)


def requirements(given: RouteNeeds | s.RouteRequirements | Mapping[str, Any] | None) -> Any:
    """The message of what was given; None stays None: no routing. InvalidArgument names what a route does not know."""
    if given is None or isinstance(given, s.RouteRequirements):
        return given
    unknown = sorted(set(given) - NAMES)
    if unknown:
        right = ", ".join(RouteNeeds.__annotations__)
        raise InvalidArgument([(f"route.{name}", f"a route knows {right}") for name in unknown])
    needs = cast("RouteNeeds", given)
    return s.RouteRequirements(
        needs=_tags("needs", needs.get("needs")),
        prefer=_tags("prefer", needs.get("prefer")),
        min_ctx=needs.get("min_ctx", 0),
        latency_class=number(s.LatencyClass, "LATENCY_CLASS", needs.get("latency_class"), "latency_class"),
        required=_tags("required", needs.get("required")),
        model=needs.get("model", ""),
    )


def _tags(field: str, given: Iterable[str] | None) -> Iterable[str]:
    if isinstance(given, str):  # its letters would be tags
        raise InvalidArgument([(f"route.{field}", f"a list of tags, for instance [{given!r}]")])
    return given or ()
