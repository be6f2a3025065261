"""Routes of services that run their own work: planned, counted, reported, moved on; nothing of it is written but outcomes (spec R4 to R12, F2, F3)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fleetd.core.breaker import BreakerKind, BreakerState
from fleetd.core.breaking import ForceBreaker
from fleetd.core.event import EventType as E
from fleetd.core.instance import InstanceState, Kind
from fleetd.core.outcome import Advice, Failure
from fleetd.core.registration import RemoveInstance
from fleetd.core.route import Requirements, StepKind
from fleetd.core.steering import ReportRoute
from fleetd.core.task import Status
from fleetd.core.words import WordKind
from fleetd.engine.engine_options import EngineOptions
from fleetd.engine.route_ring import Kept, RouterOptions
from fleetd.engine.router import Routed
from fleetd.errors import Conflict, InvalidArgument, NotFound, WrongState
from tests.unit.engine.fleet import Fleet
from tests.unit.engine.routes import ANY, RULES, breaker, instance, put, register, submit


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    fleet = await Fleet(RULES, options=EngineOptions(router=RouterOptions(20, 3_600_000))).open()
    yield fleet
    assert not fleet.log.errors
    await fleet.check()
    await fleet.close()


def ask(fleet: Fleet, plan_id: str, requirements: Requirements = ANY, **options: Any) -> Routed:
    return fleet.engine.router.route(requirements, plan_id, **options)


def kept(fleet: Fleet, plan_id: str) -> Kept:
    found = fleet.engine.router.find(plan_id)
    assert found is not None
    return found


async def report(fleet: Fleet, plan_id: str, code: str = "", **parts: Any) -> Advice:
    failure = Failure(parts.pop("instance", ""), code, **parts)
    return await fleet.run(fleet.engine.router.report(kept(fleet, plan_id), failure))


def load(fleet: Fleet) -> dict[str, int]:
    return dict(fleet.engine.routes.outside.load)


async def test_routes_on_equal_instances_differ_by_one_at_most(fleet):
    """R4: load already assigned counts."""
    await register(fleet, *(f"p:{n}" for n in range(4)))
    chosen = Counter(ask(fleet, f"r{n}").plan.selected for n in range(18))
    assert sorted(chosen.values()) == [4, 4, 5, 5]
    assert load(fleet) == dict(chosen)


async def test_the_same_question_gets_the_same_plan(fleet):
    """R4: byte for byte, when nothing changed in between."""
    await register(fleet, *(f"p:{n}" for n in range(4)))
    first, second = (ask(fleet, "r", seed="s", dry_run=True, trace=True) for _ in range(2))
    assert first == second
    assert load(fleet) == {}
    assert fleet.engine.router.find("r") is None


async def test_routing_writes_nothing(fleet):
    """R4: plans of routes that are no task's commit nothing."""
    await register(fleet, "p:x")
    before = await fleet.store.last_batch()
    for n in range(10):
        ask(fleet, f"r{n}")
    await fleet.settle()
    assert await fleet.store.last_batch() == before


async def test_an_unknown_model_is_refused_and_the_nearest_named(fleet):
    """R2."""
    await register(fleet, instance("openai:gpt-4o", model="gpt-4o"))
    with pytest.raises(InvalidArgument, match="gpt-4o"):
        ask(fleet, "r", Requirements(("general",), model="gpt4"))
    assert fleet.engine.routes.figures.routes == 0


async def test_what_fits_nothing_is_told_with_its_reasons(fleet):
    """R3, R4, F6."""
    await register(fleet, instance("p:x", tags=("a",)))
    routed = ask(fleet, "r", Requirements(("general",), required=("b",)))
    assert (routed.plan.selected, routed.instance) == ("", None)
    assert routed.plan.summary == "0/1 instances: 1 lack tag b"
    figures = fleet.engine.routes.figures
    assert (figures.routes, figures.routed, figures.blocked) == (1, 0, 1)


async def test_a_success_ends_the_route_and_is_durable_first(fleet):
    """R11, F3."""
    await register(fleet, "p:x")
    ask(fleet, "r")
    advice = await report(fleet, "r")
    assert (advice.step.kind, advice.version) == (StepKind.PROCEED, 1)
    assert load(fleet) == {}


async def test_failures_climb_the_ladder_and_go_on_elsewhere(fleet):
    """F2, R7: with the load, the versions and the breakers that go with it."""
    await register(
        fleet, instance("a:x", priority=1, kind=Kind.LOCAL), instance("b:y", priority=2, kind=Kind.LOCAL)
    )
    ask(fleet, "r")
    waits = []
    for _ in range(3):
        advice = await report(fleet, "r", "503")
        assert advice.step.kind is StepKind.RETRY_SAME
        waits.append(advice.step.delay)
    assert waits == [1_000, 2_000, 4_000]
    advice = await report(fleet, "r", "503")
    assert (advice.step.kind, advice.instance.id, advice.version) == (StepKind.SWITCH, "b:y", 2)
    assert [plan.selected for plan in kept(fleet, "r").plans] == ["a:x", "b:y"]
    assert load(fleet) == {"b:y": 1}
    assert breaker(fleet, "a:x").failures == 1
    advice = await report(fleet, "r", "PROCESS_EXITED")
    while advice.step.kind is StepKind.RETRY_SAME:
        advice = await report(fleet, "r", "PROCESS_EXITED")
    assert (advice.step.kind, advice.step.code) == (StepKind.GIVE_UP, "PROVIDERS_EXHAUSTED")
    assert load(fleet) == {}
    assert fleet.engine.routes.figures.reroutes == {"503": 1}


async def test_a_provider_that_asks_for_time_gets_it(fleet):
    """F4: 429 honours Retry-After."""
    await register(fleet, "a:x")
    ask(fleet, "r")
    assert (await report(fleet, "r", "429", retry_after=7_000)).step.delay == 7_000
    assert breaker(fleet, "a:x").failures == 0


async def test_three_callers_open_a_breaker_for_the_whole_fleet(fleet):
    """F3: and the task of an agent goes elsewhere at once."""
    await register(fleet, instance("a:x", priority=1, kind=Kind.LOCAL), instance("b:y", priority=2))
    task = await submit(fleet)
    assert task.route.selected == "a:x"
    for n in range(3):
        ask(fleet, f"r{n}", name=f"caller {n}")
        await report(fleet, f"r{n}", "CONN_REFUSED")
    assert breaker(fleet, "a:x").state is BreakerState.OPEN
    assert ask(fleet, "late").plan.selected == "b:y"
    assert (await (await fleet.agent()).take()).route.instance.id == "b:y"


async def test_one_caller_alone_opens_no_breaker(fleet):
    """F3a: whatever it reports under its name."""
    await register(fleet, instance("a:x", kind=Kind.LOCAL, max_retries=0), instance("a:y", kind=Kind.LOCAL))
    for n in range(20):
        ask(fleet, f"r{n}", name="poison")
        await report(fleet, f"r{n}", "CONN_REFUSED", instance="a:x")
    assert breaker(fleet, "a:x").state is BreakerState.CLOSED


async def test_a_result_from_before_the_opening_changes_nothing(fleet):
    """F3: neither closes nor prolongs it."""
    await register(fleet, "a:x", "b:y")
    late = [ask(fleet, f"r{n}") for n in range(2)]
    slow = next(r.plan.plan_id for r in late if r.plan.selected == "a:x")
    await fleet.do(ForceBreaker(BreakerKind.INSTANCE, "a:x", "down", 60_000))
    before = breaker(fleet, "a:x")
    await report(fleet, slow)
    assert breaker(fleet, "a:x") == before


async def test_one_caller_probes_a_half_open_instance(fleet):
    """F3b: the next one gets another instance, or none."""
    await register(fleet, "a:x")
    await fleet.do(ForceBreaker(BreakerKind.INSTANCE, "a:x", "down", 1_000))
    await fleet.pass_time(1_000)
    assert breaker(fleet, "a:x").state is BreakerState.HALF_OPEN
    assert ask(fleet, "first").plan.selected == "a:x"
    second = ask(fleet, "second").plan
    assert second.selected == ""
    assert second.summary == "0/1 instances: 1 breaker_half_open"
    await report(fleet, "first")
    assert breaker(fleet, "a:x").state is BreakerState.CLOSED
    assert ask(fleet, "third").plan.selected == "a:x"


async def test_a_probe_that_nobody_reports_is_free_again(fleet):
    """F3c."""
    await register(fleet, instance("a:x", timeout=100_000))
    await fleet.do(ForceBreaker(BreakerKind.INSTANCE, "a:x", "down", 1_000))
    await fleet.pass_time(1_000)
    ask(fleet, "first")
    await fleet.pass_time(59_999)
    assert ask(fleet, "second").plan.selected == ""
    await fleet.pass_time(1)
    assert ask(fleet, "third").plan.selected == "a:x"


async def test_a_route_whose_probe_has_ended_is_not_moved_beside_the_probe_of_another(fleet):
    """F3b."""
    long = {"timeout": 100_000}
    await register(fleet, instance("a:x", priority=1, **long), instance("a:y", priority=2, **long))
    await fleet.do(ForceBreaker(BreakerKind.PROVIDER, "a", "down", 1_000))
    await fleet.pass_time(1_000)
    assert ask(fleet, "first").plan.selected == "a:x"
    await register(fleet, instance("b:z", priority=3))
    await fleet.pass_time(60_000)
    assert ask(fleet, "other").plan.selected.startswith("a:")
    routed = await fleet.run(
        fleet.engine.router.reroute(kept(fleet, "first"), Failure("", "INSTANCE_NOT_READY"))
    )
    assert routed.plan.selected == "b:z"


async def test_a_route_that_nobody_reports_is_over_after_a_while(fleet):
    """R4: two timeouts of its instance; a blocked task gets the place."""
    await register(fleet, instance("a:x", max_inflight=1, timeout=30_000))
    ask(fleet, "r")
    await fleet.settle()
    task = await submit(fleet)
    assert task.status is Status.BLOCKED
    agent = await fleet.agent()
    await fleet.pass_time(59_999)
    agent.read()
    assert not agent.offers
    await fleet.pass_time(1)
    assert (await agent.take()).task.id == task.id
    assert load(fleet) == {"a:x": 1}


async def test_work_of_services_and_of_tasks_share_the_places_of_an_instance(fleet):
    """D10r."""
    await register(fleet, instance("a:x", max_inflight=2))
    ask(fleet, "r")
    agent = await fleet.agent(slots=5)
    first, second = await submit(fleet), await submit(fleet)
    assert [await fleet.status(each.id) for each in (first, second)] == [Status.ASSIGNED, Status.BLOCKED]
    assert ask(fleet, "full").plan.summary == "0/1 instances: 1 at max_inflight"
    await report(fleet, "r")
    await fleet.settle()
    assert await fleet.status(second.id) is Status.ASSIGNED
    for _ in range(2):
        await agent.say(await agent.take(), WordKind.COMPLETE)
    assert load(fleet) == {}


async def test_verifying_says_what_became_of_a_plan(fleet):
    """R6."""
    await register(
        fleet, instance("a:x", priority=1), instance("b:y", priority=2), instance("c:z", priority=3)
    )
    router = fleet.engine.router
    ask(fleet, "r")
    assert router.verify(kept(fleet, "r"), 1).event is E.TASK_ROUTE_VERIFIED
    await put(fleet, "a:x", InstanceState.ERROR)
    routed = router.verify(kept(fleet, "r"))
    assert (routed.event, routed.plan.selected, routed.plan.version) == (E.TASK_REROUTED, "b:y", 2)
    assert load(fleet) == {"b:y": 1}
    for each in ("b:y", "c:z"):
        await put(fleet, each, InstanceState.ERROR)
    routed = router.verify(kept(fleet, "r"))
    assert (routed.event, routed.plan.selected) == (E.TASK_ROUTE_BLOCKED, "")
    assert load(fleet) == {}
    await put(fleet, "a:x", InstanceState.READY)
    assert router.verify(kept(fleet, "r")).plan.selected == "a:x"
    assert fleet.engine.routes.figures.verifies == 4


async def test_a_plan_older_than_its_greatest_age_is_made_anew(fleet):
    """R6."""
    await register(fleet, instance("a:x", priority=2))
    ask(fleet, "r")
    await register(fleet, instance("b:y", priority=1))
    await fleet.pass_time(60_000)
    assert fleet.engine.router.verify(kept(fleet, "r")).plan.selected == "a:x"
    await fleet.pass_time(1)
    assert fleet.engine.router.verify(kept(fleet, "r")).plan.selected == "b:y"


async def test_rerouting_never_returns_to_what_was_tried(fleet):
    """R7: and comes to an end."""
    await register(fleet, *(instance(f"p{n}:x", priority=n, kind=Kind.LOCAL) for n in range(3)))
    ask(fleet, "r")
    seen = []
    for version in range(1, 3):
        routed = await fleet.run(
            fleet.engine.router.reroute(kept(fleet, "r"), Failure("", "TIMEOUT"), version)
        )
        seen.append(routed.plan.selected)
    assert seen == ["p1:x", "p2:x"]
    routed = await fleet.run(fleet.engine.router.reroute(kept(fleet, "r"), Failure("", "TIMEOUT")))
    assert (routed.event, routed.instance) == (E.TASK_ROUTE_BLOCKED, None)
    assert [breaker(fleet, f"p{n}:x").failures for n in range(3)] == [1, 1, 1]


async def test_another_provider_comes_first_after_a_provider_wide_error(fleet):
    """R5, F4."""
    await register(
        fleet, instance("a:x", priority=1), instance("a:y", priority=2), instance("b:z", priority=3)
    )
    ask(fleet, "r")
    routed = await fleet.run(fleet.engine.router.reroute(kept(fleet, "r"), Failure("", "AUTH")))
    assert routed.plan.selected == "b:z"


async def test_pinning_a_route(fleet):
    """R8, R10."""
    await register(
        fleet, instance("a:x", priority=1), instance("b:y", priority=2), instance("c:z", enabled=False)
    )
    router = fleet.engine.router
    ask(fleet, "r")
    until = fleet.clock.wall() + 60_000
    routed = router.pin(kept(fleet, "r"), "b:y", until, force=False, plan_version=1)
    assert (routed.plan.selected, routed.plan.fallback[0], routed.plan.cause) == ("b:y", "a:x", "overridden")
    with pytest.raises(Conflict):
        router.pin(kept(fleet, "r"), "a:x", until, force=False, plan_version=1)
    with pytest.raises(WrongState, match="disabled"):
        router.pin(kept(fleet, "r"), "c:z", until, force=False)
    assert router.pin(kept(fleet, "r"), "c:z", until, force=True).plan.selected == "c:z"
    assert router.verify(kept(fleet, "r")).plan.selected == "c:z"
    assert load(fleet) == {"c:z": 1}


async def test_only_so_many_routes_are_remembered(fleet):
    """R4: the oldest leaves; its work counts no more."""
    await register(fleet, "a:x")
    for n in range(25):
        ask(fleet, f"r{n}", name=f"name {n}")
    router = fleet.engine.router
    assert [router.find(f"r{n}") is None for n in (4, 5)] == [True, False]
    assert [router.find(f"name {n}") is None for n in (4, 5)] == [True, False]
    assert load(fleet) == {"a:x": 20}
    await fleet.pass_time(3_600_000)
    assert router.find("r24") is None
    assert load(fleet) == {}


async def test_an_outcome_without_a_route_teaches_the_breakers_alone(fleet):
    """F3: for calls that were not routed here."""
    await register(fleet, instance("a:x", kind=Kind.LOCAL), "b:y")
    for _ in range(3):
        await fleet.do(ReportRoute(Failure("a:x", "CONN_REFUSED")))
    assert breaker(fleet, "a:x").state is BreakerState.OPEN
    await fleet.pass_time(300_000)
    await fleet.do(ReportRoute(Failure("a:x", "")))
    assert breaker(fleet, "a:x").state is BreakerState.CLOSED


async def test_a_plan_without_an_instance_has_nothing_to_report(fleet):
    """R4."""
    ask(fleet, "r")
    with pytest.raises(NotFound):
        await report(fleet, "r", "503")


async def test_an_instance_without_a_probe_follows_its_breaker(fleet):
    """R1, R9: DEGRADED while that is open; READY from the half-opening on, or nobody would try it."""
    await register(fleet, instance("a:x", priority=1, kind=Kind.LOCAL), instance("b:y", priority=2))
    registry = lambda: fleet.engine.routes.outside.registry  # noqa: E731
    for _ in range(3):
        await fleet.do(ReportRoute(Failure("a:x", "PROCESS_EXITED")))
    assert registry().condition("a:x").state is InstanceState.DEGRADED
    assert "PROCESS_EXITED" in registry().condition("a:x").reason
    await fleet.pass_time(300_000)
    assert registry().condition("a:x").state is InstanceState.READY
    assert ask(fleet, "r").plan.selected == "a:x"


async def test_a_route_that_left_the_ring_while_it_was_reported_is_counted_nowhere(fleet):
    """R4: nobody would notice that it vanished, and its instance would be busy for ever."""
    await register(fleet, instance("a:x", priority=1, kind=Kind.LOCAL), instance("b:y", priority=2))
    ask(fleet, "old")
    reporting = fleet.engine.router.report(kept(fleet, "old"), Failure("a:x", "CONN_REFUSED"))
    task = asyncio.ensure_future(reporting)
    await asyncio.sleep(0)
    for number in range(20):
        ask(fleet, f"new-{number}")
    assert fleet.engine.router.find("old") is None
    assert (await fleet.run(task)).instance.id == "b:y"
    for number in range(20):
        await report(fleet, f"new-{number}")
    assert load(fleet) == {}


async def test_an_instance_that_was_removed_is_no_routes_even_by_force(fleet):
    """R6, R8."""
    await register(fleet, "a:x", "b:y")
    ask(fleet, "r")
    fleet.engine.router.pin(kept(fleet, "r"), "b:y", fleet.clock.wall() + 60_000, force=True)
    await fleet.do(RemoveInstance("b:y"))
    assert fleet.engine.router.verify(kept(fleet, "r")).instance.id == "a:x"
