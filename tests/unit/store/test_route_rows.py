"""Values of the Router as columns."""

from __future__ import annotations

import json

from fleetd.core.instance import Condition, Instance
from fleetd.core.ledger import Registered, TaskPlan
from fleetd.core.route import LatencyClass, Requirements, TaskRoute
from fleetd.store import route_rows
from tests.contract.place import a_plan


def test_a_route_is_stored_without_what_is_unset():
    """R13: it lies on the hot row"""
    text = route_rows.route_text(TaskRoute(Requirements(("coding",)), version=1, selected="a:b"))

    assert text == (
        '{"requirements":{"needs":["coding"],"min_ctx":4096,"latency_class":1},"version":1,"selected":"a:b"}'
    )


def test_a_route_of_zeros_comes_back_as_zeros():
    """R2: what is left out is 0 or empty, whatever the defaults of a later release"""
    route = TaskRoute(Requirements(min_ctx=0, latency_class=LatencyClass.NORMAL))

    assert route_rows.route_of(route_rows.route_text(route)) == route


def test_a_route_of_a_later_release_is_read_by_what_is_known_of_it():
    """S7: a field that is added needs no migration"""
    text = '{"requirements":{"min_ctx":5,"latency_class":3,"later":1},"later":[],"epochs":[1,0]}'

    assert route_rows.route_of(text) == TaskRoute(Requirements((), (), 5, LatencyClass.BATCH), epochs=(1, 0))


def test_plans_and_definitions_are_stored_without_what_is_unset():
    """R1, R5"""
    _, _, plan = route_rows.plan_values(TaskPlan(1, a_plan("task-1", 2)))
    _, definition, *_ = route_rows.instance_values(Registered(Instance("a:b", "a"), Condition()))

    assert set(json.loads(plan)) == {"plan_id", "task_id", "selected", "requirements", "made_at", "cause"}
    assert set(json.loads(definition)) == {
        "provider_id",
        "kind",
        "priority",
        "max_retries",
        "timeout",
        "enabled",
        "source",
    }
