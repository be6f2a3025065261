"""Tasks with a route, from their submission to the end: planned, verified, moved on, blocked and let go (spec R4 to R13, T1, T2, F6, D10r)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from fleetd.core.breaker import BreakerKind, BreakerState
from fleetd.core.breaking import ForceBreaker, ResetBreakers
from fleetd.core.event import EventFilter
from fleetd.core.event import EventType as E
from fleetd.core.gating import SetLimits
from fleetd.core.instance import Condition, InstanceState, Kind
from fleetd.core.interventions import Retry, Update
from fleetd.core.limits import GateKey
from fleetd.core.outcome import Failure
from fleetd.core.registration import PutInstances, RemoveInstance
from fleetd.core.route import Requirements, StepKind
from fleetd.core.steering import PinTask, ReportLease, RerouteTask, VerifyTask
from fleetd.core.submission import Submission, Submit
from fleetd.core.task import Spec, Status
from fleetd.core.words import Result, WordKind
from fleetd.errors import Conflict, FleetError, InvalidArgument, LeaseLost, NotFound, Overloaded, WrongState
from tests.unit.engine.faults import FULL, UNCLEAR_NOT_WRITTEN, UNCLEAR_WRITTEN, FaultyStore
from tests.unit.engine.fleet import Fleet
from tests.unit.engine.routes import (
    ANY,
    RULES,
    breaker,
    failed,
    fleet_events,
    instance,
    load,
    put,
    register,
    route_of,
    submit,
)


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    fleet = await Fleet(RULES).open()
    yield fleet
    assert not fleet.log.errors
    await fleet.check()
    await fleet.close()


async def plans(fleet: Fleet, task_id: str) -> list[tuple[int, str, str]]:
    return [(plan.version, plan.cause, plan.selected) for plan in await fleet.store.get_plans(task_id)]


async def test_a_task_is_planned_when_it_is_taken_and_its_plan_verified_when_it_is_claimed(fleet):
    """R4, R6."""
    await register(fleet, instance("a:x", tags=("coding",)), "b:y")
    task = await submit(fleet, Requirements(("coding",)))
    assert (task.route.selected, task.route.fallback, task.route.version) == ("a:x", ("b:y",), 1)
    agent = await fleet.agent()
    offer = await agent.take()
    assert offer.route.instance.id == "a:x"
    assert (offer.route.version, offer.route.fallback, offer.route.plan_id) == (1, ("b:y",), task.id)
    assert load(fleet) == {"a:x": 1}
    assert await fleet.events(task.id) == [
        E.TASK_CREATED,
        E.TASK_ROUTED,
        E.TASK_ROUTE_VERIFIED,
        E.TASK_ASSIGNED,
    ]
    assert await fleet.payloads(task.id, E.TASK_ROUTE_VERIFIED) == [{"selected": "a:x"}]
    (routed,) = await fleet.payloads(task.id, E.TASK_ROUTED)
    assert set(routed) == {"selected", "fallback", "scores", "reasons", "router_version"}
    assert (await agent.say(offer, WordKind.COMPLETE)).result is Result.ACCEPTED
    assert load(fleet) == {}
    assert await plans(fleet, task.id) == [(1, "routed", "a:x")]


async def test_a_task_without_requirements_has_no_plan_and_is_never_blocked(fleet):
    """R13: not even when no instance is registered."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.take()
    assert offer.route is None
    assert await fleet.store.get_plans(task.id) == []
    ack = await agent.say(offer, WordKind.INSTANCE_FAILED, code="503")
    assert (ack.result, ack.next) == (Result.REJECTED, None)
    await agent.say(offer, WordKind.FAIL, code="NO_AVAILABLE_INSTANCE")
    assert await fleet.status(task.id) is Status.PENDING


async def test_an_unknown_model_refuses_the_task_and_names_the_nearest(fleet):
    """R2: and nothing is taken."""
    await register(fleet, instance("openai:gpt-4o", model="gpt-4o"))
    with pytest.raises(InvalidArgument) as refused:
        await submit(fleet, Requirements(("general",), model="gpt-4"))
    assert refused.value.fields[0][0] == "route.model"
    assert "gpt-4o" in refused.value.fields[0][1]
    assert await fleet.rows() == []


async def test_a_plan_that_is_no_longer_good_gives_way_to_its_first_good_fallback(fleet):
    """R6."""
    await register(
        fleet, instance("a:x", priority=1), instance("b:y", priority=2), instance("c:z", priority=3)
    )
    task = await submit(fleet)
    assert task.route.fallback == ("b:y", "c:z")
    await put(fleet, "a:x", InstanceState.ERROR)
    await put(fleet, "b:y", InstanceState.STOPPED)
    offer = await (await fleet.agent()).take()
    assert (offer.route.instance.id, offer.route.version) == ("c:z", 2)
    (told,) = await fleet.payloads(task.id, E.TASK_REROUTED)
    assert (told["from_instance"], told["to_instance"]) == ("a:x", "c:z")
    assert told["reason_code"] == "INSTANCE_NOT_READY"
    assert "ERROR" in told["reason_detail"]
    assert [edge.kind for _, edge in await fleet.store.lineage(task.id)] == ["route_change"]


async def test_a_plan_older_than_its_greatest_age_is_made_anew(fleet):
    """R6: a better instance that came meanwhile gets the task; a plan of that age is good."""
    await register(fleet, "a:x")
    first, second = await submit(fleet), await submit(fleet)
    await register(fleet, instance("b:y", priority=1))
    await fleet.pass_time(60_000)
    agent = await fleet.agent(slots=1)
    offer = await agent.take()
    assert (offer.task.id, offer.route.instance.id) == (first.id, "a:x")
    await fleet.pass_time(1)
    await agent.say(offer, WordKind.COMPLETE)
    offer = await agent.take()
    assert (offer.task.id, offer.route.instance.id) == (second.id, "b:y")
    (told,) = await fleet.payloads(second.id, E.TASK_REROUTED)
    assert told["reason_code"] == "PLAN_STALE"


async def test_without_an_instance_the_task_is_blocked_and_says_when_it_is_looked_at_again(fleet):
    """R6, T1, F6."""
    await register(fleet, "a:x")
    await fleet.do(ForceBreaker(BreakerKind.INSTANCE, "a:x", "maintenance", 90_000))
    task = await submit(fleet)
    assert task.status is Status.BLOCKED
    until = fleet.clock.wall() + 90_000
    (told,) = await fleet.payloads(task.id, E.TASK_ROUTE_BLOCKED)
    assert told == {"reason": "0/1 instances: 1 breaker_open", "retry_at": until}
    agent = await fleet.agent()
    await fleet.pass_time(89_999)
    agent.read()
    assert not agent.offers
    await fleet.pass_time(1)
    offer = await agent.take()
    assert offer.route.instance.id == "a:x"
    assert await fleet.events(task.id) == [
        E.TASK_CREATED,
        E.TASK_ROUTE_BLOCKED,
        E.TASK_UNBLOCKED,
        E.TASK_ROUTED,
        E.TASK_ASSIGNED,
    ]
    kinds = [kind for kind, _ in await fleet_events(fleet, E.BREAKER_OPENED, E.BREAKER_HALF_OPEN)]
    assert kinds == [E.BREAKER_OPENED, E.BREAKER_HALF_OPEN]


async def test_a_task_that_waits_for_an_agent_is_blocked_when_its_instances_go(fleet):
    """R6: at its claim; the agent gets the next task instead."""
    await register(fleet, "a:x")
    task, other = await submit(fleet), await fleet.submit()
    await put(fleet, "a:x", InstanceState.ERROR)
    agent = await fleet.agent()
    assert (await agent.take()).task.id == other.id
    assert await fleet.status(task.id) is Status.BLOCKED
    await fleet.check()


@pytest.mark.parametrize("what", ["state", "new instance", "definition", "pin"])
async def test_blocked_tasks_go_on_when_an_instance_can_take_them(fleet, what):
    """T1: an instance turns READY, appears, changes, or an operator pins one."""
    await register(fleet, instance("a:x", enabled=what != "definition"))
    if what != "definition":
        await put(fleet, "a:x", InstanceState.ERROR)
    task = await submit(fleet)
    assert await fleet.status(task.id) is Status.BLOCKED
    if what == "state":
        await put(fleet, "a:x", InstanceState.READY)
    elif what == "new instance":
        await register(fleet, "b:y")
    elif what == "definition":
        await register(fleet, "a:x")
    else:
        until = fleet.clock.wall() + 60_000
        await fleet.do(PinTask(task.id, "a:x", until, "ann", force=True))
    await fleet.settle()
    assert await fleet.status(task.id) is Status.PENDING
    assert E.TASK_UNBLOCKED in await fleet.events(task.id)
    offer = await (await fleet.agent()).take()
    assert offer.route.instance.id == ("b:y" if what == "new instance" else "a:x")


async def test_one_free_place_lets_one_blocked_task_go(fleet):
    """D10r, T1: in the order of their places, and nobody is woken for nothing."""
    await register(fleet, instance("a:x", max_inflight=1))
    agent = await fleet.agent(slots=10)
    tasks = [await submit(fleet) for _ in range(5)]
    assert load(fleet) == {"a:x": 1}
    assert [await fleet.status(task.id) for task in tasks[1:]] == [Status.BLOCKED] * 4
    for number, task in enumerate(tasks):
        offer = await agent.take()
        assert offer.task.id == task.id
        await agent.say(offer, WordKind.COMPLETE)
        woken = [len(await fleet.payloads(each.id, E.TASK_UNBLOCKED)) for each in tasks]
        assert woken == [0] + [1] * min(4, number + 1) + [0] * max(0, 3 - number)
    assert load(fleet) == {}


async def test_blocked_tasks_of_other_needs_are_asked_for_themselves(fleet):
    """T1: one that can go does not wait behind one that cannot."""
    await register(fleet, instance("a:x", tags=("vision",), enabled=False))
    blind = await submit(fleet, Requirements(("general",), required=("hearing",)))
    seeing = await submit(fleet, Requirements(("general",), required=("vision",)))
    await register(fleet, instance("a:x", tags=("vision",)))
    await fleet.settle()
    assert [await fleet.status(each.id) for each in (blind, seeing)] == [Status.BLOCKED, Status.PENDING]


async def test_more_blocked_tasks_than_are_looked_at_in_one_go_all_go_on():
    """T1: in one transaction after the other."""
    fleet = await Fleet(replace(RULES, router=replace(RULES.router, blocked_look=10))).open()
    await register(fleet, instance("a:x", enabled=False))
    items = tuple(Submission(id=f"task-{n:03}", org_id="o", spec=Spec("t"), route=ANY) for n in range(35))
    await fleet.do(Submit(items))
    assert fleet.engine.counts[Status.BLOCKED] == 35
    await register(fleet, "a:x")
    await fleet.settle()
    assert fleet.engine.counts[Status.PENDING] == 35
    assert not fleet.log.errors
    await fleet.check()
    await fleet.close()


async def test_a_running_task_goes_on_with_the_next_instance_on_the_same_lease(fleet):
    """R7, R11: refused connections are not tried again while there is another instance; the checkpoint stays."""
    await register(fleet, instance("a:x", kind=Kind.LOCAL, priority=1), instance("b:y", priority=2))
    task = await submit(fleet)
    agent = await fleet.agent()
    offer = await agent.start()
    await agent.say(offer, WordKind.CHECKPOINT, data=b"half", step_id="one")
    advice = await failed(agent, offer, "CONN_REFUSED")
    assert (advice.step.kind, advice.step.delay, advice.instance.id) == (StepKind.SWITCH, 0, "b:y")
    assert advice.version == 2
    assert load(fleet) == {"b:y": 1}
    assert breaker(fleet, "a:x").failures == 1
    (told,) = await fleet.payloads(task.id, E.TASK_REROUTED)
    assert told["reason_code"] == "CONN_REFUSED"
    await agent.say(offer, WordKind.COMPLETE)
    after = await fleet.task(task.id)
    assert (after.status, after.attempt, after.lease_epoch) == (Status.COMPLETED, 1, 1)
    assert load(fleet) == {}
    assert [t.code for t in after.route.tries] == ["CONN_REFUSED"]


async def test_the_ladder_tries_the_same_instance_three_times_before_the_next(fleet):
    """F2: after 1, 2 and 4 s; one strike for the exhausted call (F3)."""
    await register(fleet, instance("a:x", kind=Kind.LOCAL, priority=1), instance("b:y", priority=2))
    await submit(fleet)
    agent = await fleet.agent()
    offer = await agent.start()
    steps = []
    for _ in range(4):
        advice = await failed(agent, offer, "503")
        steps.append((advice.step.kind, advice.step.delay, advice.instance.id))
        assert breaker(fleet, "a:x").failures == (1 if advice.instance.id == "b:y" else 0)
    assert steps == [
        (StepKind.RETRY_SAME, 1_000, "a:x"),
        (StepKind.RETRY_SAME, 2_000, "a:x"),
        (StepKind.RETRY_SAME, 4_000, "a:x"),
        (StepKind.SWITCH, 0, "b:y"),
    ]


async def test_a_run_never_returns_to_an_instance_it_gave_up(fleet):
    """R7: while an untried one is eligible; then the providers are exhausted, and the dead letter names every try (F2)."""
    await register(fleet, *(instance(f"p{n}:x", priority=n, kind=Kind.LOCAL) for n in range(4)))
    task = await submit(fleet, max_attempts=5)
    agent = await fleet.agent()
    offer = await agent.start()
    seen = ["p0:x"]
    while (advice := await failed(agent, offer, "PROCESS_EXITED")).instance is not None:
        seen.append(advice.instance.id)
    # The last one that is left is tried by the ladder.
    assert seen == [*(f"p{n}:x" for n in range(4)), "p3:x", "p3:x", "p3:x"]
    assert (advice.step.kind, advice.step.code) == (StepKind.GIVE_UP, "PROVIDERS_EXHAUSTED")
    await agent.say(offer, WordKind.FAIL, code=advice.step.code, message="nothing is left")
    after = await fleet.task(task.id)
    assert (after.status, after.dead_reason, after.attempt) == (
        Status.DEAD_LETTER,
        "PROVIDERS_EXHAUSTED",
        1,
    )
    assert [each.instance for each in after.route.tries] == seen
    assert load(fleet) == {}


async def test_a_run_that_finds_no_instance_is_blocked_unburnt_with_its_checkpoint(fleet):
    """T2, F6: RUNNING, PENDING and BLOCKED in one transaction; the next run goes on from the checkpoint."""
    await register(fleet, instance("a:x", kind=Kind.LOCAL))
    task = await submit(fleet, max_attempts=1)
    agent = await fleet.agent()
    offer = await agent.start()
    await agent.say(offer, WordKind.CHECKPOINT, data=b"half", step_id="one")
    await fleet.do(ForceBreaker(BreakerKind.INSTANCE, "a:x", "down", 60_000))
    advice = await failed(agent, offer, "CONN_REFUSED")
    assert (advice.step.kind, advice.step.code) == (StepKind.BLOCK, "NO_AVAILABLE_INSTANCE")
    await agent.say(offer, WordKind.FAIL, code="NO_AVAILABLE_INSTANCE")
    after = await fleet.task(task.id)
    assert (after.status, after.attempt, after.agent_id) == (Status.BLOCKED, 0, "agent-1")
    assert load(fleet) == {}
    await fleet.pass_time(60_000)
    offer = await agent.take()
    assert offer.checkpoint.data == b"half"
    assert offer.attempt == 1
    assert (await agent.say(offer, WordKind.COMPLETE)).result is Result.ACCEPTED


async def test_an_agent_that_says_there_is_no_instance_although_there_is_one_comes_back_later(fleet):
    """F6: not at once, or it would come back as often as it can say so."""
    await register(fleet, "a:x")
    task = await submit(fleet)
    agent = await fleet.agent()
    offer = await agent.start()
    await agent.say(offer, WordKind.FAIL, code="NO_AVAILABLE_INSTANCE")
    after = await fleet.task(task.id)
    assert (after.status, after.attempt, after.queued) == (Status.PENDING, 0, False)
    await fleet.pass_time(1_000)
    assert (await agent.take()).task.id == task.id


async def test_too_small_a_context_asks_for_a_larger_one_and_ends_without(fleet):
    """F4: CONTEXT_EXCEEDED goes to a larger context only, else the task FAILED; no breaker counts it."""
    await register(
        fleet, instance("a:x", ctx=8_000, priority=1), instance("b:y", ctx=9_000), instance("c:z", ctx=0)
    )
    task = await submit(fleet)
    agent = await fleet.agent()
    offer = await agent.start()
    advice = await failed(agent, offer, "CONTEXT_EXCEEDED")
    assert (advice.step.kind, advice.instance.id) == (StepKind.SWITCH, "b:y")
    advice = await failed(agent, offer, "CONTEXT_EXCEEDED")
    assert (advice.step.kind, advice.step.code) == (StepKind.GIVE_UP, "CONTEXT_EXCEEDED")
    await agent.say(offer, WordKind.FAIL, code="CONTEXT_EXCEEDED")
    assert await fleet.status(task.id) is Status.FAILED
    assert not fleet.engine.routes.all_breakers()
    await fleet.do(Retry(task.id, "with a shorter text"))
    assert (await agent.take()).route.instance.id == "a:x"


@pytest.mark.parametrize("code", ["POLICY", "BAD_REQUEST", "LOGIC_ERROR", "CANCELLED"])
async def test_what_no_instance_can_mend_counts_for_no_breaker(fleet, code):
    """F3, F4: a caller's mistake."""
    await register(fleet, "a:x", "b:y")
    await submit(fleet)
    agent = await fleet.agent()
    offer = await agent.start()
    advice = await failed(agent, offer, code)
    assert (advice.step.kind, advice.step.code) == (StepKind.GIVE_UP, code)
    assert not fleet.engine.routes.all_breakers()


async def test_a_run_that_fails_by_its_instance_begins_again_elsewhere(fleet):
    """F4: the attempt is burnt, the instance is struck, the next lease gets another one."""
    await register(fleet, instance("a:x", priority=1, kind=Kind.LOCAL), instance("b:y", priority=2))
    task = await submit(fleet)
    agent = await fleet.agent()
    offer = await agent.start()
    await agent.say(offer, WordKind.FAIL, code="503", message="overloaded")
    assert breaker(fleet, "a:x").failures == 1
    await fleet.pass_time(1_000)
    offer = await agent.take()
    assert (offer.attempt, offer.route.instance.id) == (2, "b:y")
    assert (await fleet.task(task.id)).error_code == "503"


async def test_later_tasks_return_to_an_instance_that_recovered(fleet):
    """R9."""
    await register(fleet, instance("a:x", priority=1, kind=Kind.LOCAL), instance("b:y", priority=2))
    await put(fleet, "a:x", InstanceState.ERROR)
    assert (await submit(fleet)).route.selected == "b:y"
    await put(fleet, "a:x", InstanceState.READY)
    assert (await submit(fleet)).route.selected == "a:x"


async def test_an_operator_pins_a_task_for_a_while(fleet):
    """R8: the previous choice becomes the first fallback; afterwards the best one gets it again."""
    await register(fleet, *(instance(f"p{n}:x", priority=n) for n in range(3)))
    task = await submit(fleet)
    until = fleet.clock.wall() + 10_000
    steered = await fleet.do(PinTask(task.id, "p2:x", until, "ann"))
    assert (steered.task.route.selected, steered.task.route.fallback[0]) == ("p2:x", "p0:x")
    assert await fleet.payloads(task.id, E.TASK_ROUTE_OVERRIDDEN) == [
        {"previous_instance": "p0:x", "new_instance": "p2:x", "actor": "ann"}
    ]
    agent = await fleet.agent()
    offer = await agent.start()
    assert offer.route.instance.id == "p2:x"
    await agent.say(offer, WordKind.FAIL, code="AGENT_ERROR")
    await fleet.pass_time(70_000)
    assert (await agent.take()).route.instance.id == "p0:x"


async def test_an_instance_that_is_not_eligible_is_pinned_by_force_alone(fleet):
    """R8: refused with the filter's own words."""
    await register(fleet, "a:x", instance("b:y", enabled=False))
    task = await submit(fleet)
    until = fleet.clock.wall() + 60_000
    with pytest.raises(WrongState) as refused:
        await fleet.do(PinTask(task.id, "b:y", until))
    assert refused.value.reason == "INSTANCE_NOT_ELIGIBLE"
    assert "disabled" in refused.value.message
    for force in (False, True):
        with pytest.raises(WrongState, match="not registered"):
            await fleet.do(PinTask(task.id, "nobody", until, force=force))
    await fleet.do(PinTask(task.id, "b:y", until, force=True))
    assert (await (await fleet.agent()).take()).route.instance.id == "b:y"


async def test_a_version_that_is_not_the_present_one_changes_nothing(fleet):
    """R10: a pin and a verification cannot overwrite each other."""
    await register(fleet, "a:x", "b:y")
    task = await submit(fleet)
    until = fleet.clock.wall() + 60_000
    other = "b:y" if task.route.selected == "a:x" else "a:x"
    await fleet.do(PinTask(task.id, other, until, plan_version=1))
    for command in (
        PinTask(task.id, "a:x", until, plan_version=1),
        VerifyTask(task.id, 1),
        RerouteTask(task.id, Failure("", "503"), 1),
    ):
        with pytest.raises(Conflict) as refused:
            await fleet.do(command)
        assert refused.value.reason == "PLAN_VERSION_MISMATCH"
        assert refused.value.metadata == {"plan_version": "2"}
    assert (await route_of(fleet, task.id)).selected == other


async def test_verifying_and_rerouting_by_hand(fleet):
    """R6, R7: by services that run the fleet's tasks themselves."""
    await register(fleet, instance("a:x", priority=1), instance("b:y", priority=2))
    task = await submit(fleet)
    assert (await fleet.do(VerifyTask(task.id))).event is E.TASK_ROUTE_VERIFIED
    steered = await fleet.do(RerouteTask(task.id, Failure("", "CONN_REFUSED", "port 80"), 1))
    assert (steered.event, steered.success, steered.instance.id) == (E.TASK_REROUTED, True, "b:y")
    steered = await fleet.do(RerouteTask(task.id, Failure("", "CONN_REFUSED")))
    assert (steered.event, steered.success) == (E.TASK_ROUTE_BLOCKED, False)
    await put(fleet, "b:y", InstanceState.ERROR)
    steered = await fleet.do(VerifyTask(task.id))
    assert (steered.event, steered.instance.id) == (E.TASK_REROUTED, "a:x")
    await put(fleet, "a:x", InstanceState.ERROR)
    assert (await fleet.do(VerifyTask(task.id))).event is E.TASK_ROUTE_BLOCKED
    assert await fleet.status(task.id) is Status.BLOCKED
    await put(fleet, "a:x", InstanceState.READY)
    await fleet.settle()
    assert await fleet.status(task.id) is Status.PENDING


async def test_a_run_is_rerouted_by_hand_on_its_lease(fleet):
    """R7, R11."""
    await register(fleet, instance("a:x", priority=1), instance("b:y", priority=2))
    task = await submit(fleet)
    agent = await fleet.agent()
    await agent.start()
    assert (await fleet.do(VerifyTask(task.id))).event is E.TASK_ROUTE_VERIFIED
    steered = await fleet.do(RerouteTask(task.id, Failure("", "TIMEOUT")))
    assert (steered.event, steered.instance.id) == (E.TASK_REROUTED, "b:y")
    assert load(fleet) == {"b:y": 1}


async def test_an_outcome_counts_on_a_lease_that_stands_only(fleet):
    """R11, T5: for agents without a stream; the lease is the fence."""
    await register(fleet, instance("a:x", priority=1, kind=Kind.LOCAL), instance("b:y", priority=2))
    task = await submit(fleet)
    agent = await fleet.agent()
    offer = await agent.take()
    advice = await fleet.do(ReportLease(task.id, offer.lease_epoch, Failure("", "CONN_REFUSED")))
    assert advice.instance.id == "b:y"
    assert await fleet.status(task.id) is Status.RUNNING
    advice = await fleet.do(ReportLease(task.id, offer.lease_epoch, Failure("", "")))
    assert advice.step.kind is StepKind.PROCEED
    for epoch in (offer.lease_epoch - 1, offer.lease_epoch + 1):
        with pytest.raises(LeaseLost):
            await fleet.do(ReportLease(task.id, epoch, Failure("", "503")))
    with pytest.raises(NotFound):
        await fleet.do(ReportLease("nobody", 1, Failure("", "503")))
    await agent.say(offer, WordKind.COMPLETE)
    with pytest.raises(LeaseLost):
        await fleet.do(ReportLease(task.id, offer.lease_epoch, Failure("", "503")))


async def test_one_task_alone_opens_no_breaker(fleet):
    """F3a: however often it fails; a second one's failures do."""
    await register(fleet, instance("a:x", kind=Kind.LOCAL, max_retries=0))
    first = await submit(fleet, max_attempts=50)
    agent = await fleet.agent()
    for _ in range(20):
        offer = await agent.start()
        assert offer.task.id == first.id
        await agent.say(offer, WordKind.FAIL, code="500")
        await fleet.pass_time(60_000)
    assert breaker(fleet, "a:x").state is BreakerState.CLOSED
    await agent.say(await agent.start(), WordKind.FAIL, code="LOGIC_ERROR")
    second = await submit(fleet)
    offer = await agent.start()
    assert offer.task.id == second.id
    await agent.say(offer, WordKind.FAIL, code="500")
    assert breaker(fleet, "a:x").state is BreakerState.OPEN


async def test_one_run_tries_a_half_open_instance_and_closes_its_breaker(fleet):
    """F3, F3b, R9: the others wait, or go elsewhere."""
    await register(fleet, "a:x")
    await fleet.do(ForceBreaker(BreakerKind.INSTANCE, "a:x", "down", 1_000))
    tasks = [await submit(fleet) for _ in range(3)]
    agent = await fleet.agent(slots=3)
    await fleet.pass_time(1_000)
    offer = await agent.start()
    agent.read()
    assert not agent.offers
    assert sorted([await fleet.status(each.id) for each in tasks]) == sorted(
        [Status.RUNNING, Status.BLOCKED, Status.BLOCKED]
    )
    await agent.say(offer, WordKind.COMPLETE)
    assert breaker(fleet, "a:x").state is BreakerState.CLOSED
    for _ in range(2):
        await agent.say(await agent.take(), WordKind.COMPLETE)
    assert [kind for kind, _ in await fleet_events(fleet, E.BREAKER_CLOSED)] == [E.BREAKER_CLOSED]


async def test_a_probe_that_is_handed_back_is_anothers(fleet):
    """F3c: a run that ends without a word about the instance does not keep others from trying it."""
    await register(fleet, "a:x")
    await fleet.do(ForceBreaker(BreakerKind.INSTANCE, "a:x", "down", 1_000))
    await submit(fleet)
    await submit(fleet)
    agent = await fleet.agent(slots=2)
    await fleet.pass_time(1_000)
    offer = await agent.start()
    await agent.say(offer, WordKind.RELEASE)
    assert (await agent.take()).route.instance.id == "a:x"


async def test_a_probe_that_never_reports_ends_by_itself(fleet):
    """F3c."""
    await register(fleet, "a:x")
    await fleet.do(ForceBreaker(BreakerKind.INSTANCE, "a:x", "down", 1_000))
    await submit(fleet)
    await submit(fleet)
    agent = await fleet.agent(slots=2)
    await fleet.pass_time(1_000)
    first = await agent.start()
    await fleet.pass_time(59_999)
    agent.read()
    assert not agent.offers
    await fleet.pass_time(1)
    second = await agent.start()
    assert second.task.id != first.task.id


async def test_a_delayed_task_is_looked_at_when_its_time_has_come(fleet):
    """R4, T3: it is not blocked for what is not there long before."""
    await register(fleet, instance("a:x", enabled=False))
    task = await submit(fleet, run_at=fleet.clock.wall() + 10_000)
    assert task.status is Status.PENDING
    await register(fleet, "a:x")
    agent = await fleet.agent()
    await fleet.pass_time(10_000)
    assert (await agent.take()).route.instance.id == "a:x"


async def test_an_instance_that_was_removed_is_nobodys_any_more(fleet):
    """R1, R6: what runs on it goes on."""
    await register(fleet, "a:x")
    running, waiting = await submit(fleet), await submit(fleet)
    agent = await fleet.agent()
    offer = await agent.start()
    await fleet.do(RemoveInstance("a:x"))
    assert (await agent.say(offer, WordKind.COMPLETE)).result is Result.ACCEPTED
    await fleet.settle()
    assert [await fleet.status(each.id) for each in (running, waiting)] == [
        Status.COMPLETED,
        Status.BLOCKED,
    ]
    assert load(fleet) == {}


async def test_a_restart_loses_nothing_of_routes(tmp_path):
    """F3, R12: instances, breakers with their remaining time, what runs where, and what waits for what."""
    fleet = await Fleet(RULES, path=str(tmp_path / "fleet.db")).open()
    await register(fleet, instance("a:x", max_inflight=1), instance("b:y", enabled=False))
    agent = await fleet.agent(slots=5)
    running = await submit(fleet)
    offer = await agent.start()
    waiting = await submit(fleet)
    blind = await submit(fleet, Requirements(("general",), required=("vision",)))
    await fleet.do(ForceBreaker(BreakerKind.PROVIDER, "b", "unpaid", 60_000))
    await fleet.pass_time(10_000)
    await fleet.restart()
    await fleet.check()
    assert load(fleet) == {"a:x": 1}
    assert len(fleet.engine.routes.outside.registry) == 2
    assert breaker(fleet, "b", BreakerKind.PROVIDER).state is BreakerState.OPEN
    agent = await fleet.agent(slots=5, held=((running.id, offer.lease_epoch),))
    await fleet.pass_time(49_999)
    assert breaker(fleet, "b", BreakerKind.PROVIDER).state is BreakerState.OPEN
    await fleet.pass_time(1)
    assert breaker(fleet, "b", BreakerKind.PROVIDER).state is BreakerState.HALF_OPEN
    await agent.say(offer, WordKind.COMPLETE)
    assert (await agent.take()).task.id == waiting.id
    assert await fleet.status(blind.id) is Status.BLOCKED
    assert not fleet.log.errors
    await fleet.check()
    await fleet.close()


async def test_what_waits_is_looked_at_after_a_restart(tmp_path):
    """T1: whatever became free in the moment of the crash."""
    fleet = await Fleet(RULES, path=str(tmp_path / "fleet.db")).open()
    await register(fleet, instance("a:x", max_inflight=1))
    agent = await fleet.agent(slots=5)
    await submit(fleet)
    offer = await agent.start()
    waiting = await submit(fleet)
    assert await fleet.status(waiting.id) is Status.BLOCKED
    fleet.engine.route_timers.look = lambda: None  # the crash comes before the daemon looks
    await agent.say(offer, WordKind.COMPLETE)
    assert await fleet.status(waiting.id) is Status.BLOCKED
    await fleet.restart()
    await fleet.settle()
    assert await fleet.status(waiting.id) is Status.PENDING
    await fleet.close()


async def test_the_org_limit_counts_blocked_tasks_too(fleet):
    """D10: or an org could fill the store with tasks that nothing can run."""
    await register(fleet, instance("a:x", enabled=False))
    await fleet.do(SetLimits(GateKey("org", "o"), max_pending=2))
    await submit(fleet, org_id="o")
    await submit(fleet, org_id="o")
    with pytest.raises(Overloaded):
        await submit(fleet, org_id="o")
    await fleet.restart()
    with pytest.raises(Overloaded):
        await submit(fleet, org_id="o")
    await register(fleet, "a:x")
    agent = await fleet.agent()
    await agent.say(await agent.take(), WordKind.COMPLETE)
    await submit(fleet, org_id="o")


async def test_a_catalogue_that_is_read_again_replaces_what_it_defined(fleet):
    """R1: what it no longer names leaves; conditions of the others stay, and instances from elsewhere."""
    await register(fleet, instance("rpc:x"))
    first = (instance("f:x", source="file"), instance("f:y", source="file"))
    await fleet.do(PutInstances(first, only="file"))
    await put(fleet, "f:x", InstanceState.STOPPED)
    await fleet.do(
        PutInstances(
            (instance("f:x", source="file", priority=5), instance("f:z", source="file")), only="file"
        )
    )
    registry = fleet.engine.routes.outside.registry
    assert registry.ids() == ("f:x", "f:z", "rpc:x")
    assert registry.condition("f:x").state is InstanceState.STOPPED
    assert registry.get("f:x").priority == 5


async def test_an_instance_that_nobody_registered_is_nobodys_fault(fleet):
    """F3, R11: breakers are kept for what there is; the lease stands."""
    await register(fleet, instance("openai:gpt-4o"))
    task = await submit(fleet)
    agent = await fleet.agent()
    offer = await agent.take()
    ack = await agent.say(offer, WordKind.INSTANCE_FAILED, code="503", instance="openai:gpt-4")
    assert (ack.result, ack.reason) == (Result.REJECTED, "INSTANCE_NOT_FOUND")
    assert "the nearest name is openai:gpt-4o" in ack.message
    for code in ("", "503"):
        with pytest.raises(NotFound):
            await fleet.do(ReportLease(task.id, offer.lease_epoch, Failure("openai:gpt-4", code)))
    assert await fleet.status(task.id) is Status.ASSIGNED
    assert not fleet.engine.routes.all_breakers()


async def test_a_try_elsewhere_counts_where_it_was(fleet):
    """R11: an agent that went to another instance by itself says so; the lease stays where it is while that one can go on."""
    await register(
        fleet, instance("a:x", priority=1, kind=Kind.LOCAL), instance("b:y", priority=2, kind=Kind.LOCAL)
    )
    await submit(fleet)
    agent = await fleet.agent()
    offer = await agent.start()
    advice = await failed(agent, offer, "CONN_REFUSED", "b:y")
    assert advice.instance.id == "a:x"
    assert (breaker(fleet, "a:x").failures, breaker(fleet, "b:y").failures) == (0, 1)
    assert load(fleet) == {"a:x": 1}


@pytest.mark.parametrize("fault", [FULL, UNCLEAR_NOT_WRITTEN, UNCLEAR_WRITTEN])
async def test_a_transaction_that_fails_leaves_the_book_of_routes_as_it_was(fault):
    """R4, F3: load, breakers, probes and instances; and one that may have been written counts once."""
    store = FaultyStore()
    fleet = await Fleet(RULES, store=store).open()
    await register(
        fleet, instance("a:x", kind=Kind.LOCAL, priority=1), instance("b:y", priority=2, max_inflight=1)
    )
    agent = await fleet.agent(slots=3)
    await submit(fleet)
    offer = await agent.start()
    store.faults.append(fault)
    try:
        advice = await fleet.do(ReportLease(offer.task.id, offer.lease_epoch, Failure("", "CONN_REFUSED")))
        assert advice.instance.id == "b:y"
    except FleetError:
        assert fault is FULL
    wrote = fault is not FULL
    assert breaker(fleet, "a:x").failures == wrote
    assert load(fleet) == ({"b:y": 1} if wrote else {"a:x": 1})
    store.faults.append(fault)
    try:
        await fleet.do(ForceBreaker(BreakerKind.INSTANCE, "a:x", "down", 60_000))
    except FleetError:
        assert not wrote
    assert breaker(fleet, "a:x").state is (BreakerState.OPEN if wrote else BreakerState.CLOSED)
    await fleet.check()
    await fleet.close()


async def test_a_verification_by_hand_is_counted_on_the_row(fleet):
    """T8: the events of a task are numbered without a gap, and none twice."""
    await register(fleet, "a:x")
    task = await submit(fleet)
    await fleet.do(VerifyTask(task.id))
    agent = await fleet.agent()
    await agent.start()
    await fleet.do(VerifyTask(task.id))
    await fleet.do(VerifyTask(task.id))
    events = (await fleet.store.list_events(EventFilter(task_id=task.id), 0, 100, 100_000)).events
    assert [event.task_seq for event in events] == list(range(1, len(events) + 1))
    assert (await fleet.task(task.id)).events == len(events)


async def test_a_report_that_is_repeated_moves_the_run_once(fleet):
    """R7, R11: its answer was lost; the second one says where the run is counted, and strikes nobody."""
    await register(
        fleet,
        instance("a:x", priority=1, kind=Kind.LOCAL),
        instance("b:y", priority=2, kind=Kind.LOCAL, max_inflight=1),
        instance("c:z", priority=3, kind=Kind.LOCAL),
    )
    await submit(fleet)
    agent = await fleet.agent()
    offer = await agent.start()
    for _ in range(2):
        advice = await failed(agent, offer, "CONN_REFUSED", "a:x")
        assert (advice.step.kind, advice.instance.id, advice.version) == (StepKind.SWITCH, "b:y", 2)
        assert load(fleet) == {"b:y": 1}
        assert breaker(fleet, "a:x").failures == 1


async def test_a_run_that_tries_a_provider_takes_its_probe_along(fleet):
    """F3b: to another instance of the provider; nobody else is let through meanwhile."""
    await register(
        fleet, instance("a:x", priority=1, kind=Kind.LOCAL), instance("a:y", priority=2, kind=Kind.LOCAL)
    )
    await fleet.do(ForceBreaker(BreakerKind.PROVIDER, "a", "down", 1_000))
    first, second = await submit(fleet), await submit(fleet)
    agent = await fleet.agent(slots=2)
    await fleet.pass_time(1_000)
    offer = await agent.start()
    assert offer.task.id == first.id
    advice = await failed(agent, offer, "CONN_REFUSED")
    assert (advice.step.kind, advice.instance.id) == (StepKind.SWITCH, "a:y")
    assert await fleet.status(second.id) is Status.BLOCKED
    await agent.say(offer, WordKind.COMPLETE)
    assert breaker(fleet, "a", BreakerKind.PROVIDER).state is BreakerState.CLOSED
    assert (await agent.take()).task.id == second.id


async def test_a_probe_that_has_ended_is_not_taken_along(fleet):
    """F3b: the breaker opened again meanwhile, and half-opens in the transaction in which the run is handed back and begins anew."""
    await register(fleet, "a:x")
    await fleet.do(ForceBreaker(BreakerKind.INSTANCE, "a:x", "down", 1_000))
    first, second = await submit(fleet), await submit(fleet)
    agent = await fleet.agent(slots=2)
    await fleet.pass_time(1_000)
    offer = await agent.start()
    await fleet.do(ForceBreaker(BreakerKind.INSTANCE, "a:x", "down", 70_000))
    fleet.clock.advance(70_000)
    fleet.engine.post(agent.saying(offer, WordKind.RELEASE))
    offer = await agent.take()
    assert offer.task.id == first.id
    assert not agent.offers
    assert await fleet.status(second.id) is Status.BLOCKED


async def test_a_run_whose_probe_has_ended_is_not_moved_beside_the_probe_of_another(fleet):
    """F3b: it took longer than the lease of its probe; another caller tries the provider now."""
    long = {"timeout": 100_000}
    await register(fleet, instance("a:x", priority=1, **long), instance("a:y", priority=2, **long))
    await fleet.do(ForceBreaker(BreakerKind.PROVIDER, "a", "down", 1_000))
    await fleet.pass_time(1_000)
    task = await submit(fleet)
    await (await fleet.agent()).start()
    assert load(fleet) == {"a:x": 1}
    await register(fleet, instance("b:z", priority=3))
    await fleet.pass_time(60_000)
    assert fleet.engine.router.route(ANY, "other").plan.selected.startswith("a:")
    steered = await fleet.do(RerouteTask(task.id, Failure("", "INSTANCE_NOT_READY")))
    assert (steered.event, steered.instance.id) == (E.TASK_REROUTED, "b:z")


async def test_an_instance_that_was_removed_is_nobodys_even_by_force(fleet):
    """R6, R8: a pin by force overrules the filters of an instance that is there."""
    await register(fleet, "a:x", instance("b:y", enabled=False))
    task = await submit(fleet)
    await fleet.do(PinTask(task.id, "b:y", fleet.clock.wall() + 60_000, force=True))
    await fleet.do(RemoveInstance("b:y"))
    assert (await (await fleet.agent()).take()).route.instance.id == "a:x"


async def test_a_latency_that_was_measured_before_a_breaker_opened_changes_no_state(fleet):
    """R1: the probe looked while the transaction was under way."""
    await register(fleet, "a:x")
    transact = fleet.store.transact

    async def probed(script):
        answer = await transact(script)
        fleet.engine.instance_notes.note("a:x", Condition(InstanceState.READY, latency=12.0))
        return answer

    fleet.store.transact = probed
    await fleet.do(ForceBreaker(BreakerKind.INSTANCE, "a:x", "down", 60_000))
    fleet.store.transact = transact
    await fleet.settle()
    condition = fleet.engine.routes.outside.registry.condition("a:x")
    assert condition.state is InstanceState.DEGRADED


async def test_what_a_reset_forgets_is_forgotten_in_the_store(fleet):
    """F3: the last error of a breaker that has closed by itself, too."""
    await register(fleet, "a:x")
    await fleet.do(ForceBreaker(BreakerKind.INSTANCE, "a:x", "down", 60_000))
    assert await fleet.do(ResetBreakers(BreakerKind.INSTANCE, "a:x")) == 1
    await fleet.do(ForceBreaker(BreakerKind.INSTANCE, "a:x", "down", 1_000))
    await submit(fleet)
    agent = await fleet.agent()
    await fleet.pass_time(1_000)
    await agent.say(await agent.start(), WordKind.COMPLETE)
    assert breaker(fleet, "a:x").last_error == "forced open: down"
    assert await fleet.do(ResetBreakers()) == 0
    assert breaker(fleet, "a:x").last_error == ""


async def test_a_task_that_is_pinned_by_force_goes_where_somebody_else_tries(fleet):
    """R8: past a half-open breaker whose probe is held."""
    await register(fleet, "a:x", instance("b:y", priority=1))
    await fleet.do(ForceBreaker(BreakerKind.INSTANCE, "b:y", "down", 1_000))
    await fleet.pass_time(1_000)
    first, second = await submit(fleet), await submit(fleet)
    agent = await fleet.agent()
    offer = await agent.start()
    assert (offer.task.id, offer.route.instance.id) == (first.id, "b:y")
    await fleet.do(PinTask(second.id, "b:y", fleet.clock.wall() + 60_000, force=True))
    other = await fleet.agent("agent-2")
    offer = await other.take()
    assert (offer.task.id, offer.route.instance.id) == (second.id, "b:y")


async def test_the_time_of_a_blocked_task_comes_once(fleet):
    """T1, T3: it comes while the task waits for an instance, and the wall clock is set back before there is one."""
    await register(fleet, instance("a:x", enabled=False))
    task = await submit(fleet)
    await fleet.do(Update(task.id, {"run_at": fleet.clock.wall() + 10_000}))
    await fleet.pass_time(10_000)
    fleet.clock.jump_wall(-600_000)
    await register(fleet, "a:x")
    await fleet.settle()
    agent = await fleet.agent()
    assert (await agent.take()).task.id == task.id
