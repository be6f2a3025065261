"""The method table says everything the services say, and both clients offer all of it."""

from __future__ import annotations

import inspect

import pytest

from fleetd_client import (
    FleetClient,
    FleetClientSync,
    agents,
    deadletters,
    errors,
    host_plans,
    methods,
    queues,
    registry,
    rollouts,
    routes,
    task_watch,
    tasks,
)
from fleetd_client.methods import METHODS, Repeat
from fleetd_client.stubs import DISPATCHER, HEALTH, ROUTER

UNARY = {
    method.full_name: method
    for service in (DISPATCHER, HEALTH, ROUTER)
    for method in service.methods
    if not method.client_streaming and not method.server_streaming
}


def test_every_unary_method_of_the_services_is_in_the_table_with_its_messages():
    """S1, S2."""
    table = {f"fleet.v1.{one.service}.{one.name}": one for one in METHODS}
    assert table.keys() == UNARY.keys()
    for name, descriptor in UNARY.items():
        assert table[name].request.DESCRIPTOR is descriptor.input_type
        assert table[name].response.DESCRIPTOR is descriptor.output_type
        assert table[name].path == f"/fleet.v1.{descriptor.containing_service.name}/{descriptor.name}"


def test_every_method_of_the_table_is_used_by_a_function_of_the_clients():
    """S2."""
    source = "".join(
        inspect.getsource(module)
        for module in (tasks, agents, deadletters, queues, routes, registry, rollouts, task_watch, host_plans)
    )
    names = [name for name, value in vars(methods).items() if isinstance(value, methods.Method)]
    assert [name for name in names if f"m.{name}," not in source] == []


def public(kind):
    return {name for name in vars(kind) if not name.startswith("_")}


def test_both_clients_offer_the_same_methods_with_the_same_signatures():
    """S2."""
    assert public(FleetClient) - {"address"} == public(FleetClientSync)
    for name in public(FleetClient) - {"perform", "watch_events", "close"}:
        # What is returned may differ: an attempt is entered with `async with`, or with `with`.
        ours, theirs = (inspect.signature(getattr(kind, name)) for kind in (FleetClient, FleetClientSync))
        assert ours.parameters == theirs.parameters
        assert getattr(FleetClient, name).__doc__, f"{name} says what it does"


def test_nothing_that_would_happen_twice_is_repeated_by_itself():
    """S2, T4."""
    never = {one.name for one in METHODS if one.repeat is Repeat.NEVER}
    assert {
        "RetryTask",
        "ReplayDeadLetters",
        "TimeoutTask",
        "RestartAgent",
        "UpdateTask",
        "UnregisterAgent",
        "RerouteTask",
        "OverrideRoute",
        "RemoveInstance",
        "AssignTask",
        "RemoveHost",
        "ResetBreakers",
        "PutRollout",
        "RemoveRollout",
        "ForceFallback",
        "ResetFallback",
    } <= never
    reads = {one.name for one in METHODS if one.repeat is Repeat.SAFE}
    assert all(name.startswith(("Get", "List", "Wait", "Explain")) for name in reads)


@pytest.mark.parametrize(
    ("method", "error", "repeated"),
    [
        (methods.GET_TASK, errors.Unavailable("UNAVAILABLE", ""), True),
        (methods.SUBMIT_TASK, errors.Unavailable("UNAVAILABLE", ""), True),
        (methods.RETRY_TASK, errors.Unavailable("UNAVAILABLE", ""), False),
        (methods.DECIDE_MODE, errors.Unavailable("UNAVAILABLE", ""), True),
        (methods.RESET_FALLBACK, errors.Unavailable("UNAVAILABLE", ""), False),
        (methods.RETRY_TASK, errors.Overloaded("QUEUE_FULL", "", retry_after=0.5), True),
        (methods.GET_TASK, errors.Overloaded("RESOURCE_EXHAUSTED", "too large"), False),
        (methods.GET_TASK, errors.DeadlineExceeded("DEADLINE_EXCEEDED", ""), False),
        (methods.GET_TASK, errors.Internal("INTERNAL", ""), False),
    ],
)
def test_a_call_is_repeated_only_where_that_is_safe(method, error, repeated):
    """S2, S7."""
    assert method.may_repeat(error) is repeated
