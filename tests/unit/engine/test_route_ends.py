"""Ends of routes that meet something else: a failed commit, another command, another thread, another caller (spec R6 to R11, F3, F4, T1, T5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from fleetd.core.breaker import BreakerKind, BreakerRules, BreakerState
from fleetd.core.breaking import ForceBreaker
from fleetd.core.event import EventType as E
from fleetd.core.instance import InstanceState, Kind
from fleetd.core.interventions import Cancel
from fleetd.core.outcome import Failure
from fleetd.core.registration import RemoveInstance, SetState
from fleetd.core.route import Requirements, StepKind
from fleetd.core.settings import RouterRules, Rules
from fleetd.core.steering import PinTask, VerifyTask
from fleetd.core.submission import Submission, Submit
from fleetd.core.task import Spec, Status
from fleetd.core.words import WordKind
from fleetd.engine.route_timers import GROUPS_LOOKED
from fleetd.errors import Conflict
from tests.unit.engine.faults import FULL, UNCLEAR_NOT_WRITTEN, FaultyStore
from tests.unit.engine.fleet import Fleet
from tests.unit.engine.routes import (
    ANY,
    HOUR,
    RULES,
    breaker,
    failed,
    instance,
    put,
    register,
    route_of,
    submit,
)


class WatchedStore(FaultyStore):
    """
    Something may happen while a transaction is on its way, on the event loop: `early` runs once before the script looks at anything, `late` once before
    the engine learns of the commit.
    """

    def __init__(self) -> None:
        super().__init__()
        self.early: Callable[[], Any] | None = None
        self.late: Callable[[], Any] | None = None

    async def transact(self, script: Callable[[], Any]) -> Any:
        early, self.early = self.early, None
        if early is not None:
            early()
        answer = await super().transact(script)
        late, self.late = self.late, None
        if late is not None:
            late()
        return answer


@pytest.fixture
async def store() -> WatchedStore:
    return WatchedStore()


@pytest.fixture
async def fleet(store: WatchedStore) -> AsyncIterator[Fleet]:
    fleet = await Fleet(RULES, store=store).open()
    yield fleet
    assert not fleet.log.errors
    await fleet.check()
    await fleet.close()


@pytest.mark.parametrize("fault", [FULL, UNCLEAR_NOT_WRITTEN])
async def test_a_look_at_blocked_tasks_that_was_not_written_is_taken_again(fleet, store, fault):
    """T1: what the look let go is BLOCKED again, and must be found again."""
    task = await submit(fleet)
    assert await fleet.status(task.id) is Status.BLOCKED
    store.faults.extend(["", fault])
    await register(fleet, "a:x")
    await fleet.pass_time(1_000)
    assert not store.faults
    assert await fleet.status(task.id) is Status.PENDING


async def test_a_blocked_task_that_goes_while_it_is_looked_at_hides_no_other(fleet):
    """T1: one free place, and the first who waits for it is cancelled in the same transaction."""
    await register(fleet, instance("a:x", max_inflight=1))
    await put(fleet, "a:x", InstanceState.ERROR)
    first, second = await submit(fleet), await submit(fleet)
    fleet.engine.route_timers._looking = True
    await put(fleet, "a:x", InstanceState.READY)
    fleet.engine.route_timers._looking = False
    cancelled = fleet.engine.post(Cancel((first.id,)))
    fleet.engine.route_timers.look()
    await fleet.settle()
    assert cancelled.result()
    assert await fleet.status(first.id) is Status.CANCELLED
    assert await fleet.status(second.id) is Status.PENDING


async def test_a_place_that_is_freed_while_a_task_is_being_blocked_is_not_overlooked(fleet, store):
    """T1: the transaction that blocks does not know yet what the event loop just counted."""
    await register(fleet, instance("a:x", tags=("t",), max_inflight=1), "b:y")
    router = fleet.engine.router
    router.route(Requirements(("general",), model="a:x"), "r", name="r")
    kept = router.find("r")
    assert kept is not None
    assert kept.instance == "a:x"
    store.early = lambda: router.pin(kept, "b:y", fleet.clock.wall() + HOUR, force=False)
    task = await submit(fleet, Requirements(("general",), required=("t",)))
    assert await fleet.status(task.id) is Status.PENDING


async def test_a_time_to_look_again_that_passes_during_a_transaction_is_not_missed(fleet, store):
    """F3c, T1: the probe's lease ends while something else is being written."""
    await register(fleet, "a:x")
    await fleet.do(ForceBreaker(BreakerKind.INSTANCE, "a:x", "down", 1_000))
    await submit(fleet)
    await submit(fleet)
    agent = await fleet.agent(slots=2)
    await fleet.pass_time(1_000)
    first = await agent.start()
    await fleet.pass_time(59_999)
    store.late = lambda: fleet.clock.advance(1)
    await fleet.submit("something else", required_capabilities=("none",))
    second = await agent.start()
    assert second.task.id != first.task.id


async def test_calls_that_fail_together_do_not_all_probe_one_half_open_instance(fleet):
    """F3b: their failures meet in one transaction, and each is told where to go by what the others took."""
    await register(
        fleet,
        instance("a:x", kind=Kind.LOCAL, priority=1, max_retries=0),
        instance("b:y", priority=2, kind=Kind.LOCAL),
    )
    router = fleet.engine.router
    wanted = Requirements(("general",), model="a:x")
    routes = [router.route(wanted, f"r{n}", name=f"r{n}") for n in range(4)]
    assert {each.plan.selected for each in routes} == {"a:x"}
    await fleet.do(ForceBreaker(BreakerKind.INSTANCE, "b:y", "down", 1_000))
    await fleet.pass_time(1_000)
    assert breaker(fleet, "b:y").state is BreakerState.HALF_OPEN
    found = [router.find(f"r{n}") for n in range(4)]
    answers = await fleet.runs(*[router.report(each, Failure("a:x", "CONN_REFUSED")) for each in found])
    assert Counter(each.step.kind for each in answers) == {StepKind.SWITCH: 1, StepKind.BLOCK: 3}
    assert dict(fleet.engine.routes.outside.load) == {"b:y": 1}


async def test_calls_that_fail_together_spread_over_what_is_left(fleet):
    """R4, D10r."""
    await register(
        fleet,
        instance("a:x", kind=Kind.LOCAL, max_retries=0),
        *(instance(f"b{n}:y", kind=Kind.LOCAL, max_inflight=2) for n in range(3)),
    )
    router = fleet.engine.router
    wanted = Requirements(("general",), model="a:x")
    for n in range(8):
        router.route(wanted, f"r{n}", name="one")
    found = [router.find(f"r{n}") for n in range(8)]
    answers = await fleet.runs(*[router.report(each, Failure("a:x", "CONN_REFUSED")) for each in found])
    assert Counter(each.step.kind for each in answers) == {StepKind.SWITCH: 6, StepKind.BLOCK: 2}
    assert dict(fleet.engine.routes.outside.load) == {"b0:y": 2, "b1:y": 2, "b2:y": 2}


async def test_an_override_during_a_report_is_not_overwritten(fleet, store):
    """R10: every version is there once, and the pin holds."""
    await register(fleet, instance("a:x", kind=Kind.LOCAL, max_retries=0), "b:y", "c:z")
    router = fleet.engine.router
    router.route(Requirements(("general",), model="a:x"), "r")
    kept = router.find("r")
    assert kept is not None
    store.late = lambda: router.pin(kept, "c:z", fleet.clock.wall() + HOUR, force=False)
    advice = await fleet.run(router.report(kept, Failure("a:x", "CONN_REFUSED")))
    assert (advice.step.kind, advice.step.instance) == (StepKind.SWITCH, "c:z")
    assert advice.instance is not None
    assert advice.instance.id == "c:z"
    assert [plan.version for plan in kept.plans] == [1, 2, 3]
    assert advice.version == 3


async def test_a_reroute_that_an_override_overtook_is_refused(fleet, store):
    """R10."""
    await register(fleet, "a:x", "b:y", "c:z")
    router = fleet.engine.router
    router.route(Requirements(("general",), model="a:x"), "r")
    kept = router.find("r")
    assert kept is not None
    store.late = lambda: router.pin(kept, "c:z", fleet.clock.wall() + HOUR, force=False)
    with pytest.raises(Conflict):
        await fleet.run(router.reroute(kept, Failure("", "CONN_REFUSED"), 1))
    assert kept.plan.selected == "c:z"


async def test_a_failure_that_is_told_twice_changes_nothing_the_second_time(fleet):
    """T5, R7: the acknowledgement was lost; the run is elsewhere, and the repeat does not send it back or on."""
    await register(fleet, *(instance(name, kind=Kind.LOCAL) for name in ("a:x", "b:y", "c:z")))
    task = await submit(fleet, Requirements(("general",), model="a:x"))
    agent = await fleet.agent()
    offer = await agent.start()
    first = await failed(agent, offer, "CONN_REFUSED", "a:x")
    assert first.step.kind is StepKind.SWITCH
    route = await route_of(fleet, task.id)
    for code in ("CONN_REFUSED", "TIMEOUT"):
        again = await failed(agent, offer, code, "a:x")
        assert (again.step.kind, again.instance, again.version) == (StepKind.SWITCH, first.instance, 2)
    assert await route_of(fleet, task.id) == route
    assert breaker(fleet, "a:x").failures == 1
    assert len(await fleet.payloads(task.id, E.TASK_REROUTED)) == 1


async def test_an_outcome_that_is_reported_twice_changes_nothing_the_second_time(fleet):
    """R7, F3: whoever asks again gets the same answer."""
    await register(fleet, *(instance(name, kind=Kind.LOCAL, max_retries=0) for name in ("a:x", "b:y", "c:z")))
    router = fleet.engine.router
    router.route(Requirements(("general",), model="a:x"), "r")
    kept = router.find("r")
    first = await fleet.run(router.report(kept, Failure("a:x", "TIMEOUT")))
    again = await fleet.run(router.report(kept, Failure("a:x", "TIMEOUT")))
    assert (again.step.kind, again.instance, again.version) == (
        StepKind.SWITCH,
        first.instance,
        first.version,
    )
    assert breaker(fleet, "a:x").failures == 1
    assert len(kept.plans) == 2


async def test_an_instance_that_was_removed_is_run_on_by_nobody_however_it_was_pinned(fleet):
    """R6, R8: force overrules filters, not that there must be an instance."""
    await register(fleet, "a:x", "b:y")
    await put(fleet, "b:y", InstanceState.ERROR)
    task = await submit(fleet)
    await fleet.do(PinTask(task.id, "b:y", fleet.clock.wall() + HOUR, force=True))
    fleet.engine.router.route(ANY, "r")
    kept = fleet.engine.router.find("r")
    fleet.engine.router.pin(kept, "b:y", fleet.clock.wall() + HOUR, force=True)
    await fleet.do(RemoveInstance("b:y"))
    assert (await (await fleet.agent()).take()).route.instance.id == "a:x"
    assert fleet.engine.router.verify(kept).plan.selected == "a:x"


async def test_a_forced_pin_that_has_expired_verifies_no_run(fleet):
    """R8: after its hour the filters count again."""
    await register(fleet, "a:x", "b:y")
    await put(fleet, "b:y", InstanceState.ERROR)
    task = await submit(fleet)
    await fleet.do(PinTask(task.id, "b:y", fleet.clock.wall() + 1_000, force=True))
    agent = await fleet.agent()
    assert (await agent.start()).route.instance.id == "b:y"
    assert (await fleet.do(VerifyTask(task.id))).event is E.TASK_ROUTE_VERIFIED
    await fleet.pass_time(1_000)
    steered = await fleet.do(VerifyTask(task.id))
    assert (steered.event, steered.instance.id) == (E.TASK_REROUTED, "a:x")


async def test_one_route_without_a_name_opens_no_breaker_by_itself():
    """F3a: with a strike for each attempt, too."""
    breakers = BreakerRules(per_attempt=True)
    fleet = await Fleet(Rules(router=RouterRules(ladder_jitter=0.0, breakers=breakers))).open()
    await register(fleet, instance("a:x", kind=Kind.LOCAL), instance("a:y", kind=Kind.LOCAL))
    router = fleet.engine.router
    router.route(Requirements(("general",), model="a:x"), "r")
    kept = router.find("r")
    for _ in range(4):
        await fleet.run(router.report(kept, Failure("a:x", "TIMEOUT")))
    assert breaker(fleet, "a:x").failures == 4
    assert breaker(fleet, "a:x").state is BreakerState.CLOSED
    await fleet.check()
    await fleet.close()


async def test_a_context_that_nothing_is_known_to_exceed_ends_the_task(fleet):
    """F4: CONTEXT_EXCEEDED is not tried again on the same instance, whose window nobody knows."""
    await register(fleet, instance("a:x", ctx=0))
    task = await submit(fleet)
    agent = await fleet.agent()
    offer = await agent.start()
    await agent.say(offer, WordKind.FAIL, code="CONTEXT_EXCEEDED")
    assert await fleet.status(task.id) is Status.FAILED


async def test_a_larger_context_behind_an_open_breaker_is_waited_for(fleet):
    """F4, F6."""
    await register(fleet, instance("a:x", ctx=8_192), instance("b:y", ctx=131_072))
    await fleet.do(ForceBreaker(BreakerKind.INSTANCE, "b:y", "down", 60_000))
    task = await submit(fleet)
    agent = await fleet.agent()
    offer = await agent.start()
    await agent.say(offer, WordKind.FAIL, code="CONTEXT_EXCEEDED")
    await fleet.pass_time(1_000)
    assert await fleet.status(task.id) is Status.BLOCKED
    await fleet.pass_time(60_000)
    assert (await agent.take()).route.instance.id == "b:y"


async def test_a_task_that_needs_more_context_is_not_let_go_for_less(fleet):
    """T1: it would be BLOCKED again at once, and let go again, without end."""
    await register(fleet, instance("a:x", ctx=8_192), instance("b:y", ctx=131_072))
    await fleet.do(ForceBreaker(BreakerKind.INSTANCE, "b:y", "down", 60_000))
    task = await submit(fleet)
    agent = await fleet.agent()
    offer = await agent.start()
    await agent.say(offer, WordKind.FAIL, code="CONTEXT_EXCEEDED")
    await fleet.pass_time(1_000)
    before = await fleet.events(task.id)
    for state in (InstanceState.DEGRADED, InstanceState.READY):
        await put(fleet, "a:x", state)
    assert await fleet.events(task.id) == before
    await fleet.restart()
    await fleet.settle()
    assert await fleet.events(task.id) == before


async def test_a_latency_that_was_noted_does_not_undo_a_state(fleet):
    """T8, R1: a state changes by a commit with its event alone."""
    await register(fleet, "a:x")
    notes, registry = fleet.engine.instance_notes, fleet.engine.routes.outside.registry
    ready = registry.condition("a:x")
    notes.note("a:x", ready)
    fleet.engine.post(SetState("a:x", InstanceState.ERROR, "by hand"))
    batch, fleet.engine._between = fleet.engine._between, []
    await fleet.settle()
    fleet.engine._between = batch
    await fleet.settle()
    assert fleet.engine.routes.outside.registry.condition("a:x").state is InstanceState.ERROR


async def test_tasks_of_many_needs_are_looked_at_a_few_needs_at_a_time(fleet):
    """T1: every one of them asks for something else, and one look does not ask for all; each goes in the end."""
    count = 2 * GROUPS_LOOKED + 10
    needs = [Requirements(("general",), min_ctx=1_000 + n) for n in range(count)]
    await fleet.do(
        Submit(
            tuple(
                Submission(f"t-{n:04}", "default", Spec("work"), route=each) for n, each in enumerate(needs)
            )
        )
    )
    assert len(fleet.engine.routes.groups) == count
    before = await fleet.store.last_batch()
    await register(fleet, "a:x")
    assert await fleet.store.last_batch() >= before + 4
    assert {task.status for task in await fleet.rows()} == {Status.PENDING}
    assert not fleet.engine.routes.groups


async def test_a_look_that_failed_is_made_up_for_by_the_next_commit(fleet, store):
    """T1: which also puts the timer right that was to repeat it."""
    task = await submit(fleet)
    store.faults.extend(["", FULL])
    await register(fleet, "a:x")
    assert await fleet.status(task.id) is Status.BLOCKED
    await fleet.submit("something else")
    await fleet.pass_time(1_000)
    assert await fleet.status(task.id) is Status.PENDING


async def test_a_breaker_is_not_open_for_ever_because_the_clock_was_set_back(fleet):
    """F3, F3c: a machine that starts with yesterday's time."""
    await register(fleet, "a:x")
    await fleet.do(ForceBreaker(BreakerKind.INSTANCE, "a:x", "down", 60_000))
    fleet.clock.jump_wall(-24 * HOUR)
    await fleet.restart()
    await fleet.pass_time(59_999)
    assert breaker(fleet, "a:x").state is BreakerState.OPEN
    await fleet.pass_time(1)
    assert breaker(fleet, "a:x").state is BreakerState.HALF_OPEN
