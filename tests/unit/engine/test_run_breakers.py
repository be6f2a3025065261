"""Runs and the breakers of their instances: what counts, and who tries a half-open one (spec F3, F3a to F3c, F4)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from fleetd.core.breaker import BreakerKind, BreakerState
from fleetd.core.breaking import ForceBreaker, ResetBreakers
from fleetd.core.event import EventType as E
from fleetd.core.instance import Condition, InstanceState, Kind
from fleetd.core.outcome import Failure
from fleetd.core.route import StepKind
from fleetd.core.steering import PinTask, ReportLease, RerouteTask
from fleetd.core.task import Status
from fleetd.core.words import Result, WordKind
from fleetd.errors import NotFound
from tests.unit.engine.fleet import Fleet
from tests.unit.engine.routes import (
    ANY,
    RULES,
    breaker,
    failed,
    fleet_events,
    instance,
    load,
    register,
    submit,
)


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    fleet = await Fleet(RULES).open()
    yield fleet
    assert not fleet.log.errors
    await fleet.check()
    await fleet.close()


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
