"""Tasks that no instance can take: BLOCKED, and what lets them go on (spec F6, R4)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from fleetd.core.breaker import BreakerKind
from fleetd.core.breaking import ForceBreaker
from fleetd.core.event import EventType as E
from fleetd.core.gating import SetLimits
from fleetd.core.instance import InstanceState
from fleetd.core.interventions import Update
from fleetd.core.limits import GateKey
from fleetd.core.route import Requirements
from fleetd.core.steering import PinTask
from fleetd.core.submission import Submission, Submit
from fleetd.core.task import Spec, Status
from fleetd.core.words import WordKind
from fleetd.errors import Overloaded
from tests.unit.engine.fleet import Fleet
from tests.unit.engine.routes import (
    ANY,
    RULES,
    fleet_events,
    instance,
    load,
    put,
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


async def test_a_delayed_task_is_looked_at_when_its_time_has_come(fleet):
    """R4, T3: it is not blocked for what is not there long before."""
    await register(fleet, instance("a:x", enabled=False))
    task = await submit(fleet, run_at=fleet.clock.wall() + 10_000)
    assert task.status is Status.PENDING
    await register(fleet, "a:x")
    agent = await fleet.agent()
    await fleet.pass_time(10_000)
    assert (await agent.take()).route.instance.id == "a:x"


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
