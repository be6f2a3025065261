"""What came of tries, told by services that run their own work."""

from __future__ import annotations

import pytest

from fleet.v1 import route_pb2
from fleetd.api.errors import Code
from fleetd.errors import NotFound
from tests.unit.api.routed import CLOUD, LOCAL, SECOND, refused, routed

RETRY, SWITCH = route_pb2.STEP_KIND_RETRY_SAME, route_pb2.STEP_KIND_SWITCH
GIVE_UP, PROCEED = route_pb2.STEP_KIND_GIVE_UP, route_pb2.STEP_KIND_PROCEED


async def test_outcomes_climb_the_ladder_then_switch_then_end(fleet):
    """R11, F2: the try after the first waits 1 s; then comes the next instance."""
    plan_id = (await routed(fleet)).plan.plan_id
    step = await fleet.outcome(plan_id=plan_id, code="503", message="overloaded")
    assert (step.kind, step.instance.id, step.delay.ToMilliseconds()) == (RETRY, LOCAL["id"], 1_000)
    assert step.plan_version == 1
    step = await fleet.outcome(plan_id=plan_id, code="503")
    assert (step.kind, step.instance.id, step.plan_version) == (SWITCH, SECOND["id"], 2)
    step = await fleet.outcome(plan_id=plan_id, code="401", instance=SECOND["id"])
    assert (step.kind, step.instance.id, step.plan_version) == (SWITCH, CLOUD["id"], 3)
    step = await fleet.outcome(plan_id=plan_id)
    assert (step.kind, step.plan_version, step.code) == (PROCEED, 3, "")
    assert (await fleet("GetRoutePlan", plan_id=plan_id)).plan.selected == CLOUD["id"]


async def test_a_retry_after_is_waited_out(fleet):
    """F2, F4."""
    plan_id = (await routed(fleet)).plan.plan_id
    step = await fleet.outcome(
        plan_id=plan_id, code="503", retry_after={"seconds": 7}, latency={"seconds": 1}
    )
    assert (step.kind, step.delay.ToMilliseconds()) == (RETRY, 7_000)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("401", "AUTH"),
        ("403", "AUTH"),
        ("402", "BILLING"),
        ("400", "BAD_REQUEST"),
        ("422", "BAD_REQUEST"),
        ("408", "TIMEOUT"),
        ("503", "503"),
    ],
)
async def test_statuses_are_told_by_the_names_the_error_table_has(port, status, code):
    """F4."""
    await port.instances({"id": "only:one", "max_retries": 0})
    plan_id = (await port("RouteTask", title="work")).plan.plan_id
    step = await port.outcome(plan_id=plan_id, code=status)
    assert f"{code}" in step.reason
    if code == "BAD_REQUEST":
        assert (step.kind, step.code) == (GIVE_UP, "BAD_REQUEST")
    else:
        (breaker, _) = (await port("ListBreakers", all=True)).breakers
        assert breaker.last_error == code


async def test_while_no_instance_is_available_the_work_ends_with_the_code_that_makes_it_wait(port):
    """F6."""
    await port.instances({"id": "only:one"})
    plan_id = (await port("RouteTask", title="work")).plan.plan_id
    step = await port.outcome(plan_id=plan_id, code="AUTH", message="key revoked")
    assert (step.kind, step.code, step.HasField("instance")) == (GIVE_UP, "NO_AVAILABLE_INSTANCE", False)
    assert "half-opens" in step.reason
    plan = (await port("GetRoutePlan", plan_id=plan_id)).plan
    assert (plan.cause, plan.selected, step.plan_version) == ("blocked", "", plan.version)
    assert plan.retry_at.ToMilliseconds() == port.clock.wall() + 1_800_000
    with pytest.raises(NotFound) as caught:
        await port.outcome(plan_id=(await port("RouteTask", title="more")).plan.plan_id, code="503")
    assert caught.value.reason == "INSTANCE_NOT_FOUND"


async def test_an_error_that_concerns_no_instance_says_proceed(fleet):
    """F4."""
    plan_id = (await routed(fleet)).plan.plan_id
    step = await fleet.outcome(plan_id=plan_id, code="my handler raised")
    assert (step.kind, step.code) == (PROCEED, "AGENT_ERROR")
    assert not (await fleet("ListBreakers", all=True)).breakers


async def test_without_a_plan_only_the_breakers_learn(fleet):
    """F3: shared by the whole fleet, whoever routes."""
    for _ in range(3):
        step = await fleet.outcome(instance=LOCAL["id"], code="CONN_REFUSED")
        assert step.kind in (SWITCH, GIVE_UP, RETRY)
    for _ in range(2):
        await fleet.outcome(instance=LOCAL["id"], code="AUTH")
    (breaker, provider) = (await fleet("ListBreakers")).breakers
    assert {breaker.name, provider.name} == {LOCAL["id"], "ollama"}
    assert (await routed(fleet)).selected == SECOND["id"]
    with pytest.raises(NotFound, match="nearest name is ollama:qwen3-coder") as caught:
        await fleet.outcome(instance="ollama:qwen3-code", code="503")
    assert caught.value.reason == "INSTANCE_NOT_FOUND"


async def test_an_instance_that_no_route_had_and_nobody_registered_is_refused(fleet):
    """S7: any text could be its id."""
    plan_id = (await routed(fleet)).plan.plan_id
    with pytest.raises(NotFound) as caught:
        await fleet.outcome(plan_id=plan_id, instance="made:up", code="503")
    assert caught.value.reason == "INSTANCE_NOT_FOUND"
    # One of its own that was removed meanwhile is heard, and leaves nothing behind.
    await fleet("RemoveInstance", id=LOCAL["id"])
    step = await fleet.outcome(plan_id=plan_id, instance=LOCAL["id"], code="CONN_REFUSED")
    assert (step.kind, step.instance.id) == (SWITCH, SECOND["id"])
    assert not (await fleet("ListBreakers", all=True)).breakers


async def test_a_success_gives_the_place_on_the_instance_back(port):
    """R12: capacity is counted until the work is reported, or twice its timeout has passed."""
    await port.instances({"id": "one:place", "max_inflight": 1, "timeout": {"seconds": 5}})
    first = (await port("RouteTask", title="work")).plan
    assert [one.inflight for one in (await port("ListInstances")).instances] == [1]
    full = (await port("RouteTask", title="work")).plan
    assert (full.selected, [one.filter for one in full.eliminated]) == ("", ["capacity"])
    assert (await port.outcome(plan_id=first.plan_id)).kind == PROCEED
    assert [one.inflight for one in (await port("ListInstances")).instances] == [0]
    assert (await port("RouteTask", title="work")).selected == "one:place"
    port.clock.advance(10_001)
    # Nobody reported it: it is taken for over before the next one is planned.
    assert (await port("RouteTask", title="work")).selected == "one:place"


async def test_a_bad_outcome_names_its_fields(fleet):
    """S3, R11."""
    assert await refused(fleet, "ReportOutcome", code="503") == ["instance"]
    assert await refused(fleet, "ReportOutcome", task_id="t", code="503") == ["lease_epoch"]
    assert await refused(fleet, "ReportOutcome", task_id="t", plan_id="p", lease_epoch=1) == ["task_id"]
    paths = await refused(
        fleet, "ReportOutcome", plan_id="x" * 129, instance="x" * 257, code="x" * 129,
        retry_after={"seconds": 86_401}, latency={"seconds": -1},
    )  # fmt: skip
    assert paths == ["plan_id", "instance", "code", "retry_after", "latency"]
    assert await refused(fleet, "ReportOutcome", task_id="x" * 129, lease_epoch=1) == ["task_id"]


async def test_outcomes_are_answered_in_order_and_a_bad_one_never_sinks_the_others(fleet):
    """R11, S3: those of one plan begin where the one before left it."""
    one, two = [(await routed(fleet)).plan.plan_id for _ in range(2)]
    items = (
        await fleet(
            "ReportOutcomes",
            items=[
                {"plan_id": one, "code": "503"},
                {"plan_id": "unknown"},
                {"plan_id": two},
                {"plan_id": one, "code": "503"},
                {"code": "503"},
            ],
        )
    ).items
    assert [item.next.kind for item in items] == [RETRY, 0, PROCEED, SWITCH, 0]
    assert [item.error.reason for item in items] == ["", "PLAN_NOT_FOUND", "", "", "FIELD_INVALID"]
    assert [item.error.code for item in items] == [0, Code.NOT_FOUND, 0, 0, Code.INVALID_ARGUMENT]
    assert items[4].error.field == "instance"
    assert await refused(fleet, "ReportOutcomes", items=[]) == ["items"]
    assert await refused(fleet, "ReportOutcomes", items=[{}] * 1_001) == ["items"]
