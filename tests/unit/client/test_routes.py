"""What the clients ask the Router."""

from __future__ import annotations

from datetime import timedelta

import pytest

from fleetd_client import (
    Aborted,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    errors,
    registry,
    routes,
    task,
)
from fleetd_client import stubs as s
from fleetd_client.errors import FleetError, from_route_item
from fleetd_client.requirements import requirements


def asked(plan):
    """The first request of a plan."""
    return next(plan).request


def answered(plan, *responses):
    """The result of a plan that makes as many calls as there are responses."""
    next(plan)
    for response in responses[:-1]:
        plan.send(response)
    with pytest.raises(StopIteration) as done:
        plan.send(responses[-1])
    return done.value.value


def test_a_route_travels_with_every_part():
    """R2, R4: what is not given is left to the daemon, no fallback is not the default of fallbacks."""
    request = asked(
        routes.route(
            "Mend the parser",
            description="it hangs",
            task_id="t",
            needs=["coding"],
            prefer=("local",),
            min_ctx=8192,
            latency_class="fast",
            required=["vision"],
            model="ollama:llama3",
            seed="s",
            fallbacks=0,
            trace=True,
            dry_run=True,
        )
    )
    wanted = request.requirements
    assert (request.title, request.description, request.task_id) == ("Mend the parser", "it hangs", "t")
    assert (list(wanted.needs), list(wanted.prefer), list(wanted.required)) == (
        ["coding"],
        ["local"],
        ["vision"],
    )
    assert (wanted.min_ctx, wanted.model) == (8192, "ollama:llama3")
    assert wanted.latency_class == s.LatencyClass.LATENCY_CLASS_FAST
    assert (request.seed, request.trace, request.dry_run) == ("s", True, True)
    assert request.HasField("fallbacks")
    bare = asked(routes.route("Mend the parser"))
    assert not bare.HasField("requirements")
    assert not bare.HasField("fallbacks")


def test_an_option_that_a_route_does_not_have_is_named():
    """S3."""
    with pytest.raises(TypeError, match="a route has no 'neds', but needs"):
        routes.to_route("t", neds=["coding"])


def test_a_task_is_submitted_with_what_it_needs_of_an_instance():
    """R2, R13: a mapping or the message; without either the task is not routed."""
    assert list(task("t", route={"needs": ["coding"], "min_ctx": 9}).route.needs) == ["coding"]
    assert task("t", route={}).HasField("route")
    assert task("t", route=s.RouteRequirements(model="gpt")).route.model == "gpt"
    assert not task("t").HasField("route")
    assert not task("t", route=None).HasField("route")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"need": ["x"]}, "route.need"),
        ({"needs": "coding"}, "route.needs"),
        ({"latency_class": "slow"}, "latency_class"),
    ],
)
def test_bad_requirements_are_refused_with_their_field(given, field):
    """R2, S3."""
    with pytest.raises(InvalidArgument) as raised:
        requirements(given)
    assert raised.value.fields[0][0] == field


def test_many_routes_get_their_own_answers_over_several_calls():
    """R4, S7: at most a thousand a call."""
    plan = routes.route_many(routes.to_route(str(number)) for number in range(1_001))
    first = s.RouteTasksResponse(
        items=[s.RouteTasksItem(route=s.RouteTaskResponse(selected=str(number))) for number in range(1_000)]
    )
    bad = s.RouteItemError(
        reason="FIELD_INVALID", message="requirements.model: unknown", field="requirements.model"
    )
    found = answered(plan, first, s.RouteTasksResponse(items=[s.RouteTasksItem(error=bad)]))
    assert [one.route.selected for one in found[:1_000]] == [str(number) for number in range(1_000)]
    assert found[1_000].route is None
    assert found[1_000].error.fields == (("requirements.model", "unknown"),)


def test_outcomes_travel_with_every_part_and_bring_the_next_step():
    """R11, F2."""
    request = asked(
        routes.report_outcome(
            plan_id="p",
            task_id="t",
            lease_epoch=3,
            instance="a:b",
            code="503",
            message="overloaded",
            latency=timedelta(milliseconds=1500),
            retry_after=2,
        )
    )
    assert (request.plan_id, request.task_id, request.lease_epoch, request.instance) == ("p", "t", 3, "a:b")
    assert (request.code, request.message) == ("503", "overloaded")
    assert (request.latency.seconds, request.latency.nanos, request.retry_after.seconds) == (
        1,
        500_000_000,
        2,
    )
    step = s.NextStep(kind=s.StepKind.STEP_KIND_SWITCH)
    assert answered(routes.report_outcome(plan_id="p"), s.ReportOutcomeResponse(next=step)) == step
    lost = s.RouteItemError(reason="PLAN_NOT_FOUND", message="no plan p")
    found = answered(
        routes.report_outcomes([routes.outcome(plan_id="p"), routes.outcome(plan_id="q")]),
        s.ReportOutcomesResponse(items=[s.ReportOutcomesItem(next=step), s.ReportOutcomesItem(error=lost)]),
    )
    assert (found[0].next, found[0].error) == (step, None)
    assert (found[1].next, type(found[1].error)) == (None, NotFound)


@pytest.mark.parametrize(
    "make",
    [
        routes.verify_route,
        lambda *ids, **more: routes.reroute(*ids, error_code="TIMEOUT", **more),
        lambda *ids, **more: routes.override_route(*ids, instance="a", reason="r", **more),
        routes.route_plan,
    ],
)
def test_a_plan_is_named_by_its_task_or_by_its_id(make):
    """R6, R7, R8, R10."""
    assert asked(make("t")).task_id == "t"
    assert asked(make(plan_id="p")).plan_id == "p"
    for ids, more in (((), {}), (("t",), {"plan_id": "p"})):
        with pytest.raises(InvalidArgument, match="either this or plan_id"):
            make(*ids, **more)


def test_an_override_and_a_reroute_carry_the_version_they_were_made_for():
    """R8, R10."""
    request = asked(
        routes.override_route("t", instance="a:b", reason="why", expires_after=60, force=True, plan_version=2)
    )
    assert (request.instance, request.reason, request.force, request.plan_version) == ("a:b", "why", True, 2)
    assert request.expires_after.seconds == 60
    request = asked(routes.reroute("t", error_code="TIMEOUT", error_detail="30 s", plan_version=4))
    assert (request.error_code, request.error_detail, request.plan_version) == ("TIMEOUT", "30 s", 4)


def test_instances_are_listed_page_by_page_and_changed_by_name():
    """R1."""
    request = asked(registry.instance_page("p1", provider_id="ollama", states=["ready", 3], tag="coding"))
    assert (request.provider_id, request.tag, request.page_token) == ("ollama", "coding", "p1")
    assert list(request.states) == [
        s.InstanceState.INSTANCE_STATE_READY,
        s.InstanceState.INSTANCE_STATE_DEGRADED,
    ]
    page = answered(
        registry.instance_page(None),
        s.ListInstancesResponse(instances=[s.InstanceStatus(inflight=1)], next_page_token="p2"),
    )
    assert ([one.inflight for one in page.items], page.following) == ([1], "p2")
    request = asked(registry.set_instance_state("a:b", "stopped", reason="r"))
    assert (request.id, request.state, request.reason) == ("a:b", s.InstanceState.INSTANCE_STATE_STOPPED, "r")
    assert answered(registry.remove_instance("a:b"), s.RemoveInstanceResponse(registry_version=7)) == 7
    refused = s.InstanceResult(id="a:c", error="ctx must not be negative")
    put = registry.upsert_instances([s.Instance(id="a:b"), s.Instance(id="a:c", ctx=-1)])
    found = answered(put, s.UpsertInstancesResponse(results=[s.InstanceResult(id="a:b"), refused]))
    assert [one.error for one in found] == ["", "ctx must not be negative"]


def test_a_catalogue_is_given_as_bytes_text_or_path(tmp_path):
    """R1."""
    file = tmp_path / "providers.json"
    file.write_text('{"providers": []}')
    for given in (file, '{"providers": []}', b'{"providers": []}'):
        request = asked(registry.import_catalogue("providers", given, dry_run=True))
        assert (request.data, request.dry_run) == (b'{"providers": []}', True)
        assert request.format == s.CatalogueFormat.CATALOGUE_FORMAT_PROVIDERS
    with pytest.raises(InvalidArgument, match="format: one of PROVIDERS, LITELLM, FAILOVER"):
        registry.import_catalogue("yaml", b"")


def test_breakers_are_listed_reset_and_forced():
    """F3."""
    request = asked(registry.breakers("provider", "openai", all=True))
    assert (request.kind, request.name, request.all) == (s.BreakerKind.BREAKER_KIND_PROVIDER, "openai", True)
    assert asked(registry.breakers()).kind == 0
    assert answered(registry.reset_breakers(reason="r"), s.ResetBreakersResponse(reset=4)) == 4
    request = asked(registry.force_breaker("instance", "a:b", reason="r", open_for=90))
    assert (request.kind, request.name, request.reason, request.duration.seconds) == (2, "a:b", "r", 90)
    assert not asked(registry.force_breaker("instance", "a:b")).HasField("duration")


@pytest.mark.parametrize(
    ("reason", "field", "kind"),
    [
        ("FIELD_INVALID", "items[0].min_ctx", InvalidArgument),
        ("FIELD_INVALID", "", InvalidArgument),
        ("INSTANCE_NOT_FOUND", "", NotFound),
        ("PLAN_VERSION_MISMATCH", "", Aborted),
        ("INSTANCE_NOT_ELIGIBLE", "", FailedPrecondition),
        ("SOMETHING_NEW", "", FleetError),
    ],
)
def test_a_refused_item_of_the_router_becomes_the_error_of_a_call_alone(reason, field, kind):
    """S3, S5."""
    error = from_route_item(s.RouteItemError(reason=reason, message="words", field=field))
    assert (type(error), error.reason, error.message) == (
        kind,
        reason,
        f"{field}: words" if field else "words",
    )


def test_a_refused_item_that_carries_its_code_is_the_error_of_a_call_of_its_own():
    """S3, S5."""
    late = from_route_item(
        s.RouteItemError(
            reason="NEW", message="busy", code=8, retry_after={"seconds": 2, "nanos": 500_000_000}
        )
    )
    assert (type(late), late.retry_after) == (errors.Overloaded, 2.5)
    bad = from_route_item(
        s.RouteItemError(reason="FIELD_INVALID", message="instance: is required", code=3, field="instance")
    )
    assert isinstance(bad, errors.InvalidArgument)
    assert bad.fields == (("instance", "is required"),)
    lost = from_route_item(s.RouteItemError(reason="LEASE_LOST", message="over", code=9))
    assert isinstance(lost, errors.LeaseLost)


def test_an_item_for_which_there_was_no_room_is_asked_for_again_by_itself():
    """S7: nothing was done for it."""
    full = from_route_item(s.RouteItemError(reason="ANSWER_FULL", message="ask again", code=8))
    assert type(full) is FleetError
