"""Tasks with route requirements: from their submission to the dead letters, and what services and operators do with their routes."""

from __future__ import annotations

import pytest

from fleet.v1 import dispatcher_pb2 as pb
from fleet.v1 import instance_pb2, lease_pb2, route_pb2, task_pb2
from fleetd.errors import Conflict, InvalidArgument, LeaseLost, NotFound, WrongState
from tests.unit.api.routed import CLOUD, CODING, LOCAL, SECOND

RETRY, SWITCH = route_pb2.STEP_KIND_RETRY_SAME, route_pb2.STEP_KIND_SWITCH
GIVE_UP, PROCEED = route_pb2.STEP_KIND_GIVE_UP, route_pb2.STEP_KIND_PROCEED
ERROR = instance_pb2.INSTANCE_STATE_ERROR
READY = instance_pb2.INSTANCE_STATE_READY
BLOCKED, PENDING = task_pb2.TASK_STATUS_BLOCKED, task_pb2.TASK_STATUS_PENDING
REJECTED = lease_pb2.REPORT_RESULT_REJECTED


async def submitted(port, **fields):
    return await port.submit(route=CODING, **fields)


async def shown(port, task):
    return await port("GetTask", task_id=task.id)


async def failed(port, lease, code, **fields):
    """Say that a try failed, and return the next step."""
    ack = await port.report(lease, instance_failed={"code": code, **fields})
    assert ack.result == lease_pb2.REPORT_RESULT_ACCEPTED
    return ack.next


async def test_a_task_shows_what_it_needs_and_what_was_chosen(fleet):
    """R13, T3: and its lease carries the route that was verified."""
    task = await submitted(fleet)
    assert task.route == route_pb2.RouteRequirements(
        **CODING, min_ctx=4_096, latency_class=route_pb2.LATENCY_CLASS_NORMAL
    )
    assert (task.instance, task.plan_version, task.status) == (LOCAL["id"], 1, PENDING)
    lease = await fleet.claim()
    assert (lease.route.plan_id, lease.route.plan_version) == (task.id, 1)
    assert (lease.route.instance.id, lease.route.instance.ctx) == (LOCAL["id"], 32_768)
    assert list(lease.route.fallback) == [SECOND["id"], CLOUD["id"]]
    assert [one.inflight for one in (await fleet("ListInstances")).instances] == [1, 0, 0]
    await fleet.report(lease, complete={})
    assert [one.inflight for one in (await fleet("ListInstances")).instances] == [0, 0, 0]
    done = await shown(fleet, task)
    assert (done.instance, done.plan_version) == (LOCAL["id"], 1)


async def test_a_task_without_requirements_has_no_route_and_is_never_blocked(port):
    """R13."""
    task = await port.submit()
    assert not task.HasField("route")
    assert (task.instance, task.plan_version) == ("", 0)
    for name, fields in (
        ("GetRoutePlan", {}),
        ("VerifyRoute", {}),
        ("RerouteTask", {"error_code": "503"}),
        ("OverrideRoute", {"instance": "a", "reason": "r"}),
    ):
        for kind in ("task_id", "plan_id"):
            with pytest.raises(NotFound, match="without route requirements") as caught:
                await port(name, **{kind: task.id}, **fields)
            assert caught.value.reason == "PLAN_NOT_FOUND"
    lease = await port.claim()
    assert not lease.HasField("route")
    ack = await port.report(lease, instance_failed={"code": "503"})
    assert (ack.result, ack.HasField("next")) == (REJECTED, False)
    assert "for tasks with a route" in ack.message
    with pytest.raises(NotFound, match="without route requirements"):
        await port.outcome(task_id=lease.task_id, lease_epoch=lease.lease_epoch, code="503")


async def test_empty_requirements_are_read_from_the_text(fleet):
    """R2, R13."""
    task = await fleet.submit("Write pytest tests", route={})
    assert list(task.route.needs) == ["testing"]


async def test_an_unknown_model_refuses_the_task_by_its_field(fleet):
    """R2."""
    with pytest.raises(InvalidArgument, match="nearest name is gpt-4o") as caught:
        await fleet.submit(route={"model": "gpt-4"})
    assert [path for path, _ in caught.value.fields] == ["route.model"]
    items = (
        await fleet("SubmitTasks", tasks=[{"title": "a", "route": {"model": "x"}}, {"title": "b"}])
    ).items
    assert [item.error.fields[0].field if item.error.fields else "" for item in items] == ["route.model", ""]


async def test_words_climb_the_ladder_switch_on_the_same_lease_and_end_in_the_dead_letters(fleet):
    """R11, F2, F5: the entry names every try and the limit."""
    task = await submitted(fleet, max_attempts=3)
    lease = await fleet.claim()
    step = await failed(fleet, lease, "503", message="overloaded")
    assert (step.kind, step.delay.ToMilliseconds(), step.instance.id) == (RETRY, 1_000, LOCAL["id"])
    assert (await shown(fleet, task)).status == task_pb2.TASK_STATUS_RUNNING
    fleet.clock.advance(1_000)
    step = await failed(fleet, lease, "503", instance=LOCAL["id"])
    assert (step.kind, step.instance.id, step.plan_version) == (SWITCH, SECOND["id"], 2)
    now = await shown(fleet, task)
    assert (now.instance, now.plan_version, now.lease_epoch) == (SECOND["id"], 2, lease.lease_epoch)
    assert (await failed(fleet, lease, "403")).instance.id == CLOUD["id"]
    step = await failed(fleet, lease, "402")
    assert (step.kind, step.code) == (GIVE_UP, "PROVIDERS_EXHAUSTED")
    await fleet.report(lease, fail={"code": step.code, "message": step.reason})
    letter = await fleet("GetDeadLetter", id=task.id)
    assert letter.reason == "PROVIDERS_EXHAUSTED"
    assert [(one.instance, one.code) for one in letter.tries] == [
        (LOCAL["id"], "503"),
        (LOCAL["id"], "503"),
        (SECOND["id"], "AUTH"),
        (CLOUD["id"], "BILLING"),
    ]
    assert letter.tries[1].at.ToMilliseconds() - letter.tries[0].at.ToMilliseconds() == 1_000
    listed = (await fleet("ListDeadLetters", filter={"reason": "PROVIDERS_EXHAUSTED"})).dead_letters
    assert [one.id for one in listed] == [task.id]


async def test_outcomes_of_a_lease_do_the_same_for_agents_without_a_stream(fleet):
    """R11."""
    task = await submitted(fleet)
    lease = await fleet.claim()
    held = {"task_id": task.id, "lease_epoch": lease.lease_epoch}
    await fleet.report(lease, start={})
    step = await fleet.outcome(**held, code="CONN_REFUSED")
    assert (step.kind, step.instance.id, step.plan_version) == (SWITCH, SECOND["id"], 2)
    step = await fleet.outcome(**held)
    assert (step.kind, step.plan_version) == (PROCEED, 2)
    with pytest.raises(InvalidArgument) as caught:
        await fleet.outcome(plan_id=task.id, code="503")
    assert [path for path, _ in caught.value.fields] == ["plan_id"]
    assert "give task_id and lease_epoch" in caught.value.message
    await fleet.report(lease, complete={})
    with pytest.raises(LeaseLost):
        await fleet.outcome(**held, code="503")
    with pytest.raises(NotFound) as caught:
        await fleet.outcome(task_id="none", lease_epoch=1, code="503")
    assert caught.value.reason == "TASK_NOT_FOUND"
    items = (await fleet("ReportOutcomes", items=[{**held, "code": "503"}, {"task_id": "x"}])).items
    assert [item.error.reason for item in items] == ["LEASE_LOST", "FIELD_INVALID"]


async def test_what_an_agent_says_of_an_instance_nobody_registered_is_refused(fleet):
    """S7: any text could be its id."""
    task = await submitted(fleet)
    lease = await fleet.claim()
    ack = await fleet.report(lease, instance_failed={"code": "503", "instance": "ollama:qwen3-code"})
    assert (ack.result, ack.reason, ack.HasField("next")) == (REJECTED, "INSTANCE_NOT_FOUND", False)
    assert "nearest name is ollama:qwen3-coder" in ack.message
    with pytest.raises(NotFound) as caught:
        await fleet.outcome(task_id=task.id, lease_epoch=lease.lease_epoch, instance="made:up")
    assert caught.value.reason == "INSTANCE_NOT_FOUND"
    # The lease's own is heard though it was removed meanwhile, and leaves nothing behind.
    await fleet("RemoveInstance", id=LOCAL["id"])
    assert (await failed(fleet, lease, "CONN_REFUSED")).instance.id == SECOND["id"]
    assert not (await fleet("ListBreakers", all=True)).breakers


async def test_a_blocked_task_waits_says_why_and_goes_on_when_an_instance_is_ready(fleet):
    """F6, T1, D9."""
    for one in (LOCAL, SECOND, CLOUD):
        await fleet("SetInstanceState", id=one["id"], state=ERROR)
    task = await submitted(fleet)
    assert (task.status, task.instance, task.plan_version) == (BLOCKED, "", 1)
    answer = await fleet("ExplainTask", task_id=task.id)
    (reason,) = answer.reasons
    assert (reason.code, dict(reason.numbers)) == ("BLOCKED", {})
    assert "0/3 instances: 3 " in answer.sentence
    await fleet("SetInstanceState", id=CLOUD["id"], state=READY)
    lease = await fleet.claim()
    assert lease.route.instance.id == CLOUD["id"]


async def test_a_task_that_waits_for_a_breaker_says_when_it_is_looked_at_again(fleet):
    """F6, D9."""
    for one in (LOCAL, SECOND, CLOUD):
        await fleet("ForceBreaker", kind=2, name=one["id"], duration={"seconds": 60})
    task = await submitted(fleet)
    assert task.status == BLOCKED
    fleet.clock.advance(15_000)
    (reason,) = (await fleet("ExplainTask", task_id=task.id)).reasons
    assert dict(reason.numbers) == {"retry_at": fleet.clock.wall() + 45_000, "milliseconds": 45_000}
    assert "looked at again in 45.0 s" in reason.text
    plan = (await fleet("GetRoutePlan", task_id=task.id)).plan
    assert plan.retry_at.ToMilliseconds() == fleet.clock.wall() + 45_000


async def test_while_all_breakers_are_open_the_run_is_told_to_end_and_the_task_waits(port):
    """F6: it does not go to the dead letters."""
    await port.instances({"id": "only:one"})
    task = await port.submit(route={})
    lease = await port.claim()
    step = await failed(port, lease, "401")
    assert (step.kind, step.code) == (GIVE_UP, "NO_AVAILABLE_INSTANCE")
    await port.report(lease, fail={"code": step.code, "message": step.reason})
    assert (await shown(port, task)).status == BLOCKED
    assert not (await port("ListDeadLetters")).dead_letters


async def test_the_plan_of_a_task_is_verified_by_either_name(fleet):
    """R6, R10."""
    task = await submitted(fleet)
    for name in ({"task_id": task.id}, {"plan_id": task.id, "plan_version": 1}):
        answer = await fleet("VerifyRoute", **name)
        assert (answer.event, answer.instance.id, answer.plan.version) == (
            "TASK_ROUTE_VERIFIED",
            LOCAL["id"],
            1,
        )
    await fleet("SetInstanceState", id=LOCAL["id"], state=ERROR)
    answer = await fleet("VerifyRoute", task_id=task.id)
    assert (answer.event, answer.instance.id) == ("TASK_REROUTED", SECOND["id"])
    assert (answer.plan.version, answer.plan.selected, answer.plan.task_id) == (2, SECOND["id"], task.id)
    for one in (SECOND, CLOUD):
        await fleet("SetInstanceState", id=one["id"], state=ERROR)
    answer = await fleet("VerifyRoute", task_id=task.id)
    assert (answer.event, answer.plan.selected, answer.plan.cause) == ("TASK_ROUTE_BLOCKED", "", "blocked")
    assert not answer.HasField("instance")
    assert (await shown(fleet, task)).status == BLOCKED


async def test_a_task_is_rerouted_and_a_run_goes_on_elsewhere(fleet):
    """R7."""
    task = await submitted(fleet)
    answer = await fleet("RerouteTask", task_id=task.id, error_code="408", error_detail="slow")
    assert (answer.event, answer.success, answer.instance.id) == ("TASK_REROUTED", True, SECOND["id"])
    assert (answer.plan.version, answer.plan.cause) == (2, "rerouted")
    lease = await fleet.claim()
    answer = await fleet("RerouteTask", plan_id=task.id, error_code="503")
    assert answer.success
    assert (await shown(fleet, task)).instance == answer.instance.id != lease.route.instance.id
    for one in (LOCAL, SECOND, CLOUD):
        await fleet("RemoveInstance", id=one["id"])
    answer = await fleet("RerouteTask", task_id=task.id, error_code="503")
    assert (answer.event, answer.success, answer.HasField("instance")) == (
        "TASK_ROUTE_BLOCKED",
        False,
        False,
    )
    (edge, *_) = [
        e for e in (await fleet("GetTaskLineage", task_id=task.id)).edges if e.kind == "route_change"
    ]
    assert edge.detail == f"{LOCAL['id']} to {SECOND['id']}: TIMEOUT"


async def test_reroutes_of_tasks_are_counted_by_codes_of_the_error_table(fleet):
    """R12, S7: what is counted by code does not grow with the fancy of callers."""
    task = await submitted(fleet)
    for number in range(2):
        assert (await fleet("RerouteTask", task_id=task.id, error_code=f"mine-{number}")).success
    stats = await fleet("GetRoutingStats")
    assert dict(stats.reroutes_by_reason) == {"AGENT_ERROR": 2}
    events = (await fleet("ListEvents", filter={"task_id": task.id, "types": [5]})).events
    assert [event.payload["reason_code"] for event in events] == ["mine-0", "mine-1"]


async def test_a_task_is_pinned_and_its_lease_goes_there(fleet):
    """R8."""
    task = await submitted(fleet)
    pinned = await fleet("OverrideRoute", task_id=task.id, instance=CLOUD["id"], reason="compare")
    assert (pinned.selected, pinned.fallback[0], pinned.cause) == (CLOUD["id"], LOCAL["id"], "overridden")
    assert (pinned.plan_id, pinned.version) == (task.id, 2)
    assert (await fleet.claim()).route.instance.id == CLOUD["id"]
    versions = (await fleet("GetRoutePlan", plan_id=task.id)).versions
    assert [(plan.version, plan.cause) for plan in versions][:2] == [(1, "routed"), (2, "overridden")]


async def test_what_cannot_be_done_to_the_route_of_a_task_says_why(fleet):
    """R8, R10."""
    task = await submitted(fleet)
    await fleet("SetInstanceState", id=CLOUD["id"], state=ERROR)
    with pytest.raises(WrongState, match="state: ERROR") as caught:
        await fleet("OverrideRoute", task_id=task.id, instance=CLOUD["id"], reason="r")
    assert caught.value.reason == "INSTANCE_NOT_ELIGIBLE"
    for name, fields in (
        ("VerifyRoute", {}),
        ("RerouteTask", {"error_code": "503"}),
        ("OverrideRoute", {"instance": LOCAL["id"], "reason": "r"}),
    ):
        with pytest.raises(Conflict) as stale:
            await fleet(name, task_id=task.id, plan_version=7, **fields)
        assert stale.value.reason == "PLAN_VERSION_MISMATCH"
    await fleet("CancelTask", task_id=task.id)
    with pytest.raises(WrongState) as caught:
        await fleet("VerifyRoute", task_id=task.id)
    assert caught.value.reason == "TASK_FINISHED"


async def test_a_task_that_may_not_run_yet_has_no_plan_when_nothing_fits(port):
    """R4."""
    task = await port.submit(route={}, run_at={"seconds": port.clock.wall() // 1_000 + 60})
    assert (task.status, task.plan_version) == (PENDING, 0)
    with pytest.raises(NotFound, match="has no plan yet") as caught:
        await port("GetRoutePlan", task_id=task.id)
    assert caught.value.reason == "PLAN_NOT_FOUND"


async def test_a_route_may_be_asked_for_on_behalf_of_a_task_without_one(fleet):
    """R4: the name of a route may be the id of a task."""
    task = await fleet.submit()
    plan = (await fleet("RouteTask", task_id=task.id, title="work")).plan
    assert (await fleet("GetRoutePlan", task_id=task.id)).plan == plan
    routed = await submitted(fleet)
    await fleet("RouteTask", task_id=routed.id, title="work")
    assert (await fleet("GetRoutePlan", task_id=routed.id)).plan.plan_id == routed.id


async def test_a_repeated_key_with_other_requirements_is_another_task(fleet):
    """T4."""
    first = await fleet("SubmitTask", pb.SubmitTaskRequest(title="a", idempotency_key="k", route=CODING))
    again = await fleet("SubmitTask", pb.SubmitTaskRequest(title="a", idempotency_key="k", route=CODING))
    assert (again.duplicate, again.task.id) == (True, first.task.id)
    (item,) = (await fleet("SubmitTasks", tasks=[{"title": "a", "idempotency_key": "k"}])).items
    assert item.error.reason == "IDEMPOTENCY_KEY_REUSED"
