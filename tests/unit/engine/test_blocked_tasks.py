"""Who is looked at when an instance can take work again, and when (spec T1, F6, D10r): nobody that could go is forgotten."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from fleetd.core.breaker import BreakerKind
from fleetd.core.breaking import ForceBreaker
from fleetd.core.instance import InstanceState
from fleetd.core.registration import PutInstances
from fleetd.core.route import Requirements
from fleetd.core.submission import Submission, Submit
from fleetd.core.task import Spec, Status
from fleetd.core.words import WordKind
from tests.unit.engine.faults import FULL, UNCLEAR_NOT_WRITTEN, FaultyStore
from tests.unit.engine.fleet import Fleet
from tests.unit.engine.routes import ANY, RULES, instance, put, register, submit

SEEING = Requirements(("general",), required=("vision",))


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    fleet = await Fleet(RULES).open()
    yield fleet
    assert not fleet.log.errors
    await fleet.check()
    await fleet.close()


async def statuses(fleet: Fleet, *tasks) -> list[Status]:
    return [await fleet.status(task.id) for task in tasks]


async def test_an_instance_without_a_limit_lets_every_kind_of_task_go(fleet):
    """T1: the room that it has for the tasks of one group is none that others lack."""
    await register(fleet, instance("a:x", tags=("vision",), enabled=False))
    tasks = [await submit(fleet), await submit(fleet, SEEING), await submit(fleet, Requirements(("data",)))]
    assert await statuses(fleet, *tasks) == [Status.BLOCKED] * 3
    await register(fleet, instance("a:x", tags=("vision",)))
    await fleet.settle()
    assert await statuses(fleet, *tasks) == [Status.PENDING] * 3


async def test_looks_that_are_full_come_to_the_tasks_of_every_kind():
    """T1: some hundred of one kind before two of another, ten a look."""
    fleet = await Fleet(replace(RULES, router=replace(RULES.router, blocked_look=10))).open()
    await register(fleet, instance("a:x", tags=("vision",), enabled=False))
    items = [Submission(id=f"task-{n:03}", org_id="o", spec=Spec("t"), route=ANY) for n in range(100)]
    items += [Submission(id=f"seeing-{n}", org_id="o", spec=Spec("t"), route=SEEING) for n in range(2)]
    await fleet.do(Submit(tuple(items)))
    await register(fleet, instance("a:x", tags=("vision",)))
    await fleet.settle()
    assert fleet.engine.counts[Status.PENDING] == 102
    assert not fleet.log.errors
    await fleet.check()
    await fleet.close()


@pytest.mark.parametrize("fault", [FULL, UNCLEAR_NOT_WRITTEN])
async def test_a_look_that_was_not_written_forgets_nobody(fault):
    """T1: neither when the store has no room, nor when the transaction is run again."""
    store = FaultyStore()
    fleet = await Fleet(RULES, store=store).open()
    await register(fleet, instance("a:x", enabled=False))
    task = await submit(fleet)
    future = fleet.engine.post(_enabled())
    assert await fleet.engine.step()
    future.result()
    store.faults.append(fault)
    await fleet.settle()
    await fleet.pass_time(1_000)
    assert await fleet.status(task.id) is Status.PENDING
    await fleet.check()
    await fleet.close()


async def test_a_look_that_was_refused_is_repeated_whoever_commits_meanwhile():
    """T1: a commit sets the timer of routes anew."""
    store = FaultyStore()
    fleet = await Fleet(RULES, store=store).open()
    await register(fleet, instance("a:x", enabled=False))
    task = await submit(fleet)
    fleet.engine.post(_enabled())
    assert await fleet.engine.step()
    store.faults.append(FULL)
    assert await fleet.engine.step()
    assert await fleet.status(task.id) is Status.BLOCKED
    await fleet.submit()
    await fleet.pass_time(1_000)
    assert await fleet.status(task.id) is Status.PENDING
    await fleet.check()
    await fleet.close()


async def test_a_task_that_no_agent_takes_does_not_keep_the_room_from_others(fleet):
    """T1: one that could run waits for an instance that stands idle."""
    await register(fleet, instance("a:x", max_inflight=1))
    agent = await fleet.agent()
    await submit(fleet)
    offer = await agent.start()
    lonely = await submit(fleet, required_capabilities=("nobody",))
    other = await submit(fleet)
    await agent.say(offer, WordKind.COMPLETE)
    assert await statuses(fleet, lonely, other) == [Status.PENDING, Status.BLOCKED]
    await fleet.pass_time(5_000)
    assert await statuses(fleet, lonely, other) == [Status.PENDING, Status.ASSIGNED]


async def test_a_time_that_passes_within_a_transaction_is_kept(fleet):
    """F3c, T1: the commit sets the timer anew, and what was due stays due."""
    await register(fleet, "a:x")
    await fleet.do(ForceBreaker(BreakerKind.INSTANCE, "a:x", "down", 1_000))
    await submit(fleet)
    second = await submit(fleet)
    agent = await fleet.agent(slots=2)
    await fleet.pass_time(1_000)
    await agent.start()
    assert await fleet.status(second.id) is Status.BLOCKED
    await fleet.pass_time(59_999)
    transact = fleet.store.transact

    async def slow(script):
        answer = await transact(script)
        fleet.clock.advance(2)
        return answer

    fleet.store.transact = slow
    await fleet.submit(required_capabilities=("nobody",))
    fleet.store.transact = transact
    await fleet.settle()
    assert await fleet.status(second.id) is Status.ASSIGNED


async def test_a_clock_that_is_set_forward_forgets_no_time(fleet):
    """T1: a time that has passed at once is due at once."""
    await register(fleet, "a:x")
    await fleet.do(ForceBreaker(BreakerKind.INSTANCE, "a:x", "down", 1_000))
    await submit(fleet)
    second = await submit(fleet)
    agent = await fleet.agent(slots=2)
    await fleet.pass_time(1_000)
    await agent.start()
    fleet.clock.jump_wall(600_000)
    await fleet.submit(required_capabilities=("nobody",))
    await fleet.settle()
    assert await fleet.status(second.id) is Status.ASSIGNED


async def test_instances_that_turn_ready_one_after_the_other(fleet):
    """T1: each lets those go that need it."""
    await register(fleet, instance("a:x", tags=("vision",)), "b:y")
    for each in ("a:x", "b:y"):
        await put(fleet, each, InstanceState.ERROR)
    seeing, other = await submit(fleet, SEEING), await submit(fleet)
    await put(fleet, "b:y", InstanceState.READY)
    await fleet.settle()
    assert await statuses(fleet, seeing, other) == [Status.BLOCKED, Status.PENDING]
    await put(fleet, "a:x", InstanceState.READY)
    await fleet.settle()
    assert await statuses(fleet, seeing, other) == [Status.PENDING, Status.PENDING]


def _enabled():
    """Return the command that lets the instance take work."""
    return PutInstances((instance("a:x"),))
