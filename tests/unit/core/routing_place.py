"""What the tests of routing have in common: instances in short, and a look at them."""

from __future__ import annotations

from fleetd.core.inquiry import Inquiry
from fleetd.core.instance import Condition, Instance, provider_of
from fleetd.core.registry import Registry
from fleetd.core.route import Requirements
from fleetd.core.routing import route

NOW = 1_800_000_000_000


def instance(instance_id, **parts):
    return Instance(
        **{"id": instance_id, "provider_id": provider_of(instance_id), "ctx": 32_768, "model": "m", **parts}
    )


def registry(*instances, **conditions):
    """Register instances; all READY but those whose condition is given by the part of their id after the colon."""
    put = {each.id: (each, conditions.get(each.id.partition(":")[2], Condition())) for each in instances}
    return Registry().with_instances(put)


def inquiry(known, requirements=Requirements(), load=None, probing=None, **more):  # noqa: B008 - immutable
    return Inquiry(known, requirements, NOW, load or {}, probing or {}, **more)


def plan(known, requirements=Requirements(), **more):  # noqa: B008 - immutable
    return route(
        known, requirements, **{"plan_id": "p", "task_id": "t", "now": NOW, "load": {}, "probing": {}, **more}
    )
