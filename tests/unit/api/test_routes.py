"""Routes of services that run their own work."""

from __future__ import annotations

import asyncio

import pytest

from fleet.v1 import instance_pb2, route_pb2
from fleetd.api.calls import Call
from fleetd.api.errors import Code
from fleetd.api.limits import Limits
from fleetd.errors import Conflict, InvalidArgument, NotFound, WrongState
from tests.unit.api.routed import CLOUD, CODING, LOCAL, SECOND, refused, routed


async def test_a_route_names_the_instance_what_comes_next_and_why(fleet):
    """R3, R4, R5."""
    answer = await routed(fleet, task_id="job-1")
    plan = answer.plan
    assert (answer.selected, plan.selected) == (LOCAL["id"], LOCAL["id"])
    assert list(plan.fallback) == [SECOND["id"], CLOUD["id"]]
    assert (answer.instance.id, answer.instance.provider_id, answer.instance.ctx) == (
        LOCAL["id"],
        "ollama",
        32_768,
    )
    assert answer.instance.kind == instance_pb2.INSTANCE_KIND_LOCAL
    assert list(plan.reasons) == ["READY", "tags_match=coding", "ctx>=4096", "local_preferred"]
    assert plan.scores[LOCAL["id"]] == pytest.approx((0.5 + 0.2 + 0.1 + 0.05) / 1.25)
    assert set(plan.scores) == {LOCAL["id"], SECOND["id"], CLOUD["id"]}
    assert (plan.task_id, plan.version, plan.cause, plan.router_version) == ("job-1", 1, "routed", "v1")
    assert (plan.considered, plan.summary, plan.seed) == (3, "3/3 instances", "job-1")
    assert plan.made_at.ToMilliseconds() == fleet.clock.wall()
    assert plan.requirements == route_pb2.RouteRequirements(
        needs=["coding"], prefer=["local"], min_ctx=4_096, latency_class=route_pb2.LATENCY_CLASS_NORMAL
    )
    assert not plan.trace


async def test_what_is_not_given_is_read_from_the_text(fleet):
    """R2."""
    plan = (await fleet("RouteTask", title="Write pytest tests", description="of a large codebase")).plan
    assert set(plan.requirements.needs) == {"coding", "testing", "long_ctx"}
    assert plan.requirements.min_ctx == 8_192
    plan = (await fleet("RouteTask", title="Write pytest tests", requirements={"needs": ["Code"]})).plan
    assert list(plan.requirements.needs) == ["coding"]


async def test_an_unknown_model_names_the_nearest_and_a_known_one_goes_first(fleet):
    """R2, F1."""
    with pytest.raises(InvalidArgument, match="nearest name is gpt-4o") as caught:
        await routed(fleet, requirements={"model": "gpt-4"})
    assert [path for path, _ in caught.value.fields] == ["requirements.model"]
    assert (await routed(fleet, requirements={"model": "gpt-4o"})).selected == CLOUD["id"]


async def test_the_same_snapshot_gives_the_same_plan_to_the_byte(fleet):
    """R4."""
    plans = []
    for _ in range(2):
        plan = (await routed(fleet, seed="s", dry_run=True, trace=True)).plan
        plan.plan_id = ""
        plans.append(plan.SerializeToString(deterministic=True))
    assert plans[0] == plans[1]


async def test_a_dry_run_counts_nothing_and_keeps_nothing(fleet):
    """R4."""
    answer = await routed(fleet, dry_run=True)
    assert answer.selected == LOCAL["id"]
    with pytest.raises(NotFound):
        await fleet("GetRoutePlan", plan_id=answer.plan.plan_id)
    assert [one.inflight for one in (await fleet("ListInstances")).instances] == [0, 0, 0]
    assert (await fleet("GetRoutingStats")).routes == 0


async def test_a_trace_tells_how_every_instance_fared_and_is_not_kept(fleet):
    """R4."""
    plan = (await routed(fleet, trace=True, requirements={**CODING, "min_ctx": 20_000})).plan
    found = {one.instance: one for one in plan.trace}
    out = found[SECOND["id"]]
    assert out.eliminated_by == "ctx"
    assert "16384" in out.observed
    assert "20000" in out.required
    best = found[LOCAL["id"]]
    assert sum(term.value for term in best.terms) == pytest.approx(best.raw_score)
    assert best.score == pytest.approx((0.5 + best.raw_score) / 1.25)
    assert best.score == plan.scores[LOCAL["id"]]
    assert {term.name: term.detail for term in best.terms}["tags"] == "coding"
    (kept,) = (await fleet("GetRoutePlan", plan_id=plan.plan_id)).versions
    assert (kept.selected, len(kept.trace)) == (LOCAL["id"], 0)


async def test_when_nothing_fits_the_plan_counts_what_removed_every_instance(fleet):
    """R4."""
    answer = await routed(fleet, requirements={"required": ["vision"]})
    assert (answer.selected, answer.HasField("instance")) == ("", False)
    plan = answer.plan
    assert [(one.filter, one.count, one.detail) for one in plan.eliminated] == [
        ("tags", 3, "lack tag vision")
    ]
    assert (plan.cause, plan.summary) == ("blocked", "0/3 instances: 3 lack tag vision")
    stats = await fleet("GetRoutingStats")
    assert (stats.routes, stats.routed, stats.blocked, stats.success_rate) == (1, 0, 1, 0.0)


async def test_fallbacks_are_as_many_as_asked_for(fleet):
    """R5."""
    assert len((await routed(fleet, fallbacks=0)).plan.fallback) == 0
    assert len((await routed(fleet, fallbacks=1)).plan.fallback) == 1
    assert len((await routed(fleet)).plan.fallback) == 2


@pytest.mark.parametrize(
    ("fields", "paths"),
    [
        (
            {"title": "x" * 501, "description": "x" * 65_537, "task_id": "x" * 129, "seed": "x" * 129},
            ["title", "description", "task_id", "seed"],
        ),
        ({"fallbacks": 11}, ["fallbacks"]),
        ({"fallbacks": -1}, ["fallbacks"]),
        ({"requirements": {"needs": ["", "a b", "x" * 129, "ok"]}}, [f"requirements.needs[{n}]" for n in range(3)]),
        ({"requirements": {"needs": ["x"] * 65, "required": ["x"] * 65, "prefer": ["local"] * 65}},
         ["requirements.needs", "requirements.required", "requirements.prefer"]),
        ({"requirements": {"required": ["\n"], "prefer": ["quick"]}}, ["requirements.required[0]", "requirements.prefer[0]"]),
        ({"requirements": {"min_ctx": -1}}, ["requirements.min_ctx"]),
        ({"requirements": {"min_ctx": 10**12 + 1, "model": "x" * 257}}, ["requirements.model", "requirements.min_ctx"]),
        ({"requirements": {"latency_class": 9}}, ["requirements.latency_class"]),
    ],
)  # fmt: skip
async def test_a_bad_route_names_its_fields(fleet, fields, paths):
    """R2, S3, S7."""
    assert await refused(fleet, "RouteTask", **fields) == paths
    assert (await fleet("GetRoutingStats")).routes == 0


async def test_a_bad_route_never_sinks_the_others(fleet):
    """S3, R4: each gets its own answer, in order."""
    good = {"task_id": "a", "requirements": CODING}
    bad = {"requirements": {"model": "gpt-4"}}
    items = (await fleet("RouteTasks", items=[good, bad, good])).items
    assert [item.route.selected for item in items] == [LOCAL["id"], "", LOCAL["id"]]
    assert [item.HasField("error") for item in items] == [False, True, False]
    error = items[1].error
    assert (error.code, error.reason, error.field) == (
        Code.INVALID_ARGUMENT,
        "FIELD_INVALID",
        "requirements.model",
    )
    assert error.message.startswith("requirements.model: no instance")
    assert not items[1].HasField("route")
    assert items[0].route.plan.task_id == "a"
    assert await refused(fleet, "RouteTasks", items=[]) == ["items"]
    assert await refused(fleet, "RouteTasks", items=[{}] * 1_001) == ["items"]


@pytest.mark.parametrize(("item", "items", "turns"), [({}, 64, 4), ({"requirements": {"model": "x"}}, 8, 8)])
async def test_others_get_their_turn_while_many_are_routed(fleet, item, items, turns):
    """S7: looking for the name nearest to an unknown one takes as long as many routes."""
    batch = asyncio.create_task(fleet("RouteTasks", items=[item] * items))
    seen = 0
    while not batch.done():
        seen += 1
        await asyncio.sleep(0)
    assert seen > turns


async def test_what_does_not_fit_into_one_answer_is_not_routed(ports):
    """S7: the answer stays below what a client reads."""
    port = await ports(Limits(delivery=2_000))
    await port.instances(LOCAL)
    items = (await port("RouteTasks", items=[{"title": "work"}] * 10)).items
    errors = [item.error for item in items if item.HasField("error")]
    assert 0 < len(errors) < 10
    assert {(error.code, error.reason) for error in errors} == {(Code.RESOURCE_EXHAUSTED, "ANSWER_FULL")}
    assert (await port("GetRoutingStats")).routes == 10 - len(errors)


async def test_a_good_plan_is_verified_and_a_worse_one_is_rerouted(fleet):
    """R6."""
    plan = (await routed(fleet, task_id="job")).plan
    for name in ({"plan_id": plan.plan_id}, {"task_id": "job"}):
        answer = await fleet("VerifyRoute", **name)
        assert (answer.event, answer.instance.id) == ("TASK_ROUTE_VERIFIED", LOCAL["id"])
        assert answer.plan == plan
    await fleet("SetInstanceState", id=LOCAL["id"], state=instance_pb2.INSTANCE_STATE_STOPPED)
    answer = await fleet("VerifyRoute", plan_id=plan.plan_id)
    assert (answer.event, answer.instance.id, answer.plan.version) == ("TASK_REROUTED", SECOND["id"], 2)
    assert (answer.plan.cause, answer.plan.requirements) == ("rerouted", plan.requirements)
    for instance in (SECOND, CLOUD):
        await fleet("RemoveInstance", id=instance["id"])
    answer = await fleet("VerifyRoute", plan_id=plan.plan_id)
    assert (answer.event, answer.plan.selected) == ("TASK_ROUTE_BLOCKED", "")
    assert not answer.HasField("instance")
    stats = await fleet("GetRoutingStats")
    assert (stats.verifies, stats.reroutes, dict(stats.reroutes_by_reason)) == (
        4,
        1,
        {"INSTANCE_NOT_READY": 1},
    )
    assert stats.failover_frequency == 0.25


async def test_a_stale_version_is_refused_by_every_method(fleet):
    """R10."""
    plan_id = (await routed(fleet)).plan.plan_id
    await fleet("RerouteTask", plan_id=plan_id, error_code="TIMEOUT", plan_version=1)
    for name, fields in (
        ("VerifyRoute", {}),
        ("RerouteTask", {"error_code": "TIMEOUT"}),
        ("OverrideRoute", {"instance": SECOND["id"], "reason": "r"}),
    ):
        with pytest.raises(Conflict) as caught:
            await fleet(name, plan_id=plan_id, plan_version=1, **fields)
        assert caught.value.reason == "PLAN_VERSION_MISMATCH"
        assert caught.value.metadata == {"plan_version": "2"}
        assert await refused(fleet, name, plan_id=plan_id, plan_version=-1, **fields) == ["plan_version"]


async def test_a_reroute_never_comes_back_while_an_untried_instance_is_left(fleet):
    """R7."""
    plan_id = (await routed(fleet)).plan.plan_id
    for instance, version in ((SECOND, 2), (CLOUD, 3)):
        answer = await fleet("RerouteTask", plan_id=plan_id, error_code="503", error_detail="overloaded")
        assert (answer.event, answer.success) == ("TASK_REROUTED", True)
        assert (answer.plan.selected, answer.instance.id) == (instance["id"], instance["id"])
        assert answer.plan.version == version
    answer = await fleet("RerouteTask", plan_id=plan_id, error_code="503")
    assert (answer.event, answer.success) == ("TASK_ROUTE_BLOCKED", False)
    assert not answer.HasField("instance")
    # The plan that holds is told, not one that nobody took.
    assert (answer.plan.version, answer.plan.selected) == (3, CLOUD["id"])
    assert (await fleet("GetRoutePlan", plan_id=plan_id)).plan.version == 3


async def test_what_reroutes_are_counted_by_does_not_grow_with_the_fancy_of_callers(fleet):
    """R12, S7."""
    plan_id = (await routed(fleet)).plan.plan_id
    for number in range(2):
        await fleet("RerouteTask", plan_id=plan_id, error_code=f"mine-{number}")
    assert dict((await fleet("GetRoutingStats")).reroutes_by_reason) == {"AGENT_ERROR": 2}


async def test_an_operator_pins_a_route_and_the_previous_choice_comes_next(fleet):
    """R8, F5."""
    plan_id = (await routed(fleet)).plan.plan_id
    pinned = await fleet(
        "OverrideRoute",
        plan_id=plan_id,
        instance=CLOUD["id"],
        reason="cheaper",
        expires_after={"seconds": 60},
        call=Call(actor="ada"),
    )
    assert (pinned.selected, pinned.fallback[0], pinned.cause) == (CLOUD["id"], LOCAL["id"], "overridden")
    (line,) = (await fleet("ListAudits", action="OverrideRoute")).lines
    assert (line.actor, line.target, line.reason) == ("ada", plan_id, "cheaper")
    fleet.clock.advance(60_001)
    assert (await fleet("VerifyRoute", plan_id=plan_id)).plan.selected == LOCAL["id"]


async def test_a_pin_that_a_filter_refuses_is_told_in_the_filters_words_unless_forced(fleet):
    """R8."""
    plan_id = (await routed(fleet)).plan.plan_id
    await fleet("SetInstanceState", id=CLOUD["id"], state=instance_pb2.INSTANCE_STATE_ERROR)
    with pytest.raises(WrongState) as caught:
        await fleet("OverrideRoute", plan_id=plan_id, instance=CLOUD["id"], reason="r")
    assert caught.value.reason == "INSTANCE_NOT_ELIGIBLE"
    assert caught.value.metadata == {"instance": CLOUD["id"], "filter": "state"}
    assert "state: ERROR" in caught.value.message
    pinned = await fleet("OverrideRoute", plan_id=plan_id, instance=CLOUD["id"], reason="r", force=True)
    assert pinned.selected == CLOUD["id"]
    with pytest.raises(WrongState, match="known: not registered"):
        await fleet("OverrideRoute", plan_id=plan_id, instance="nobody", reason="r", force=True)


async def test_a_plan_is_told_with_every_version_oldest_first(fleet):
    """R10, R4."""
    plan_id = (await routed(fleet, task_id="job")).plan.plan_id
    await fleet("RerouteTask", plan_id=plan_id, error_code="TIMEOUT")
    await fleet("OverrideRoute", task_id="job", instance=LOCAL["id"], reason="r")
    answer = await fleet("GetRoutePlan", task_id="job")
    assert [(plan.version, plan.cause) for plan in answer.versions] == [
        (1, "routed"),
        (2, "rerouted"),
        (3, "overridden"),
    ]
    assert answer.plan == answer.versions[-1]


async def test_the_versions_of_a_route_are_bounded(fleet):
    """S7."""
    plan_id = (await routed(fleet)).plan.plan_id
    for number in range(120):
        instance = (SECOND, CLOUD)[number % 2]["id"]
        await fleet("OverrideRoute", plan_id=plan_id, instance=instance, reason="r")
    versions = (await fleet("GetRoutePlan", plan_id=plan_id)).versions
    assert [plan.version for plan in versions] == list(range(22, 122))


async def test_a_route_lives_for_an_hour(fleet):
    """R4."""
    plan_id = (await routed(fleet, task_id="job")).plan.plan_id
    fleet.clock.advance(3_600_001)
    for name, fields in (
        ("GetRoutePlan", {}),
        ("VerifyRoute", {}),
        ("RerouteTask", {"error_code": "503"}),
        ("OverrideRoute", {"instance": SECOND["id"], "reason": "r"}),
        ("ReportOutcome", {}),
    ):
        with pytest.raises(NotFound) as caught:
            await fleet(name, plan_id=plan_id, **fields)
        assert (caught.value.reason, caught.value.metadata) == ("PLAN_NOT_FOUND", {"plan_id": plan_id})
    with pytest.raises(NotFound):
        await fleet("GetRoutePlan", task_id="job")


@pytest.mark.parametrize("name", ["GetRoutePlan", "VerifyRoute", "RerouteTask", "OverrideRoute"])
async def test_a_route_is_named_by_exactly_one_id(fleet, name):
    """S3."""
    extra = {
        "RerouteTask": {"error_code": "503"},
        "OverrideRoute": {"instance": SECOND["id"], "reason": "r"},
    }.get(name, {})
    assert await refused(fleet, name, **extra) == ["task_id"]
    assert await refused(fleet, name, **extra, task_id="a", plan_id="b") == ["task_id"]
    assert await refused(fleet, name, **extra, plan_id="x" * 129) == ["plan_id"]
    # A name is no plan's id.
    await routed(fleet, task_id="job")
    with pytest.raises(NotFound):
        await fleet(name, **extra, plan_id="job")


async def test_what_changes_a_route_names_its_bad_fields(fleet):
    """R7, R8, S3."""
    assert await refused(fleet, "RerouteTask", task_id="a") == ["error_code"]
    assert await refused(fleet, "RerouteTask", task_id="a", error_code="x" * 129) == ["error_code"]
    assert await refused(fleet, "OverrideRoute", task_id="a") == ["instance", "reason"]
    paths = await refused(
        fleet, "OverrideRoute", task_id="a", instance="x" * 257, reason="x" * 1_001, expires_after={"seconds": 0}
    )  # fmt: skip
    assert paths == ["instance", "reason", "expires_after"]
    paths = await refused(
        fleet, "OverrideRoute", task_id="a", instance="i", reason="r", expires_after={"seconds": 30 * 86_400 + 1}
    )  # fmt: skip
    assert paths == ["expires_after"]
    assert not (await fleet("ListAudits", action="OverrideRoute")).lines


async def test_figures_of_routing_are_told(fleet):
    """R12."""
    since = fleet.clock.wall()
    for _ in range(3):
        await routed(fleet)
    await routed(fleet, requirements={"required": ["vision"]})
    fleet.clock.advance(600_000)
    await fleet("SetInstanceState", id=LOCAL["id"], state=instance_pb2.INSTANCE_STATE_ERROR)
    fleet.clock.advance(200_000)
    stats = await fleet("GetRoutingStats")
    assert (stats.routes, stats.routed, stats.success_rate) == (4, 3, 0.75)
    assert stats.since.ToMilliseconds() == since
    providers = {one.provider_id: one for one in stats.providers}
    assert list(providers) == ["ollama", "openai", "vllm"]
    assert (providers["ollama"].instances, providers["ollama"].ready) == (1, 0)
    assert providers["ollama"].ready_ratio_1h == pytest.approx(0.75)
    assert (providers["openai"].ready, providers["openai"].ready_ratio_24h) == (1, 1.0)
