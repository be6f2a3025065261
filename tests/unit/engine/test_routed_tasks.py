"""Tasks with a route, from their submission to the end: planned, verified, moved on, blocked and let go (spec R4 to R13, T1, T2, F6, D10r)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from fleetd.core.breaker import BreakerKind, BreakerState
from fleetd.core.breaking import ForceBreaker
from fleetd.core.event import EventFilter
from fleetd.core.event import EventType as E
from fleetd.core.instance import InstanceState, Kind
from fleetd.core.interventions import Retry
from fleetd.core.outcome import Failure
from fleetd.core.registration import PutInstances, RemoveInstance
from fleetd.core.route import Requirements, StepKind
from fleetd.core.steering import PinTask, ReportLease, RerouteTask, VerifyTask
from fleetd.core.task import Status
from fleetd.core.words import Result, WordKind
from fleetd.errors import Conflict, FleetError, InvalidArgument, LeaseLost, NotFound, WrongState
from tests.unit.engine.faults import FULL, UNCLEAR_NOT_WRITTEN, UNCLEAR_WRITTEN, FaultyStore
from tests.unit.engine.fleet import Fleet
from tests.unit.engine.routes import (
    RULES,
    breaker,
    failed,
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


async def test_an_instance_that_was_removed_is_nobodys_even_by_force(fleet):
    """R6, R8: a pin by force overrules the filters of an instance that is there."""
    await register(fleet, "a:x", instance("b:y", enabled=False))
    task = await submit(fleet)
    await fleet.do(PinTask(task.id, "b:y", fleet.clock.wall() + 60_000, force=True))
    await fleet.do(RemoveInstance("b:y"))
    assert (await (await fleet.agent()).take()).route.instance.id == "a:x"
