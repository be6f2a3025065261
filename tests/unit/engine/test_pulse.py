"""A daemon that was suspended while the clock went on: nobody is given up for a silence that was its own (T7, D2)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from fleetd.core.agent import AgentSpec
from fleetd.core.event import EventType
from fleetd.core.interventions import Cancel
from fleetd.core.settings import Rules
from fleetd.core.task import Order, Status
from fleetd.core.words import Result, WordKind
from tests.unit.engine.fleet import Agent, Fleet, ref
from tests.unit.engine.loop import VirtualLoop

TTL = 30_000
ASLEEP = 10 * 60_000
E = EventType


@pytest.fixture
async def watched(fleet: Fleet) -> AsyncIterator[Fleet]:
    """A fleet whose engine notices gaps; what passes in small steps is none."""
    fleet.engine.pulse.start()
    yield fleet
    fleet.engine.pulse.stop()


async def live(fleet: Fleet, milliseconds: int) -> None:
    """Let the daemon run for so long."""
    while milliseconds:
        step = min(milliseconds, 1_000)
        milliseconds -= step
        await fleet.pass_time(step)


def suspensions(fleet: Fleet) -> list[int]:
    return [fields["milliseconds"] for event, fields in fleet.log.warnings if event == "suspended"]


async def test_a_suspended_daemon_gives_every_agent_a_full_ttl_to_be_heard(watched):
    """D2: the session timer is due long before the heartbeat that waits in the socket is read."""
    agent = await watched.agent()
    await watched.submit()
    offer = await agent.start()
    await watched.pass_time(ASLEEP)
    await live(watched, TTL - 1)
    assert suspensions(watched) == [ASLEEP]
    await agent.ping(ref(offer))
    assert (await agent.say(offer, WordKind.COMPLETE)).result is Result.ACCEPTED
    assert E.AGENT_LOST not in await watched.events(agent_id="agent-1")


async def test_an_agent_that_stays_silent_after_it_is_lost(watched):
    """D2: the fresh TTL is one TTL."""
    await watched.agent()
    await watched.pass_time(ASLEEP)
    await live(watched, TTL - 1)
    assert watched.engine.sessions.get("agent-1") is not None
    await live(watched, 1)
    assert watched.engine.sessions.get("agent-1") is None


async def test_the_gap_is_noticed_at_whatever_moment_it_ends(watched):
    """D2: also when the session had all but a moment of its time left."""
    await watched.agent()
    await live(watched, 20_000)
    await watched.pass_time(TTL - 20_000)
    await live(watched, TTL - 1)
    assert watched.engine.sessions.get("agent-1") is not None


async def test_a_run_timeout_that_passed_in_a_suspension_waits_for_the_result(watched):
    """T7: results that wait in agents come first."""
    agent = await watched.agent()
    task = await watched.submit(timeout=60_000)
    offer = await agent.start()
    await watched.pass_time(ASLEEP)
    assert (await watched.task(task.id)).order is Order.NONE
    await agent.ping(ref(offer))
    await live(watched, TTL - 1)
    assert (await watched.task(task.id)).order is Order.NONE
    await agent.ping(ref(offer))
    await live(watched, 1)
    assert (await watched.task(task.id)).order is Order.TIMEOUT


async def test_a_run_timeout_far_away_stays_where_it_was(watched):
    """T7: nothing is put off but what would come too soon."""
    agent = await watched.agent()
    task = await watched.submit(timeout=2 * ASLEEP)
    offer = await agent.start()
    await watched.pass_time(ASLEEP)
    for _ in range(ASLEEP // 10_000):
        assert (await watched.task(task.id)).order is Order.NONE
        await agent.ping(ref(offer))
        await live(watched, 10_000)
    assert (await watched.task(task.id)).order is Order.TIMEOUT


async def test_an_offer_that_nobody_could_accept_in_a_suspension_stands(watched):
    """T6."""
    agent = await watched.agent()
    await watched.submit()
    offer = await agent.take()
    await watched.pass_time(ASLEEP)
    await live(watched, TTL - 1)
    assert (await agent.say(offer, WordKind.START)).result is Result.ACCEPTED


async def test_an_order_that_nobody_could_confirm_in_a_suspension_stands(watched):
    """T7: stop_grace."""
    agent = await watched.agent()
    task = await watched.submit()
    offer = await agent.start()
    await watched.do(Cancel((task.id,)))
    await watched.pass_time(ASLEEP)
    await live(watched, TTL - 1)
    assert await watched.status(task.id) is Status.RUNNING
    assert (await agent.say(offer, WordKind.STOPPED)).result is Result.ACCEPTED


async def test_a_deadline_that_passed_in_a_suspension_waits_for_the_result(watched):
    """T3, T7."""
    agent = await watched.agent()
    task = await watched.submit(deadline=watched.clock.wall() + 60_000)
    offer = await agent.start()
    await watched.pass_time(ASLEEP)
    await live(watched, TTL - 1)
    assert (await watched.task(task.id)).order is Order.NONE
    assert (await agent.say(offer, WordKind.COMPLETE)).result is Result.ACCEPTED


async def test_an_agent_whose_stream_is_found_broken_after_it_has_the_full_ttl_to_come_back(watched):
    """D2: its connection ended because the daemon did not answer, and it waits between two tries."""
    agent = await watched.agent()
    await watched.submit()
    offer = await agent.start()
    await watched.pass_time(ASLEEP)
    await watched.detach(agent)
    await live(watched, TTL - 1)
    back = await watched.agent(held=(ref(offer),))
    assert (await back.say(offer, WordKind.COMPLETE)).result is Result.ACCEPTED


async def test_a_hello_that_waited_while_the_daemon_stood_still_takes_nothing_of_the_ttl(watched):
    """D2: its agent has given that stream up long ago, and its end is found after it."""
    agent = await watched.agent()
    await watched.submit()
    offer = await agent.start()
    await watched.pass_time(ASLEEP)
    stale = await watched.agent(held=(ref(offer),))
    await watched.detach(stale)
    await live(watched, TTL - 1)
    back = await watched.agent(held=(ref(offer),))
    assert (await back.say(offer, WordKind.COMPLETE)).result is Result.ACCEPTED


async def test_a_stream_that_breaks_long_after_a_suspension_has_one_interval(watched):
    """D2."""
    agent = await watched.agent()
    await watched.pass_time(ASLEEP)
    await live(watched, TTL - 5_000)
    await agent.ping()
    await live(watched, 10_000)
    await watched.detach(agent)
    await live(watched, 10_000)
    assert watched.engine.sessions.get("agent-1") is None


async def test_a_unary_agent_keeps_its_lease_over_a_suspension(watched):
    """D2, M3: for the duration it asked for."""
    task = await watched.submit()
    claim = watched.engine.unary.claim("u", "1", (), 1, 0, 60_000, "r")
    (offer,) = (await watched.run(claim)).offers
    await watched.pass_time(ASLEEP)
    await live(watched, 59_999)
    answer = await watched.run(watched.engine.unary.heartbeat("u", "1", [ref(offer)], []))
    assert answer.leases == [ref(offer)]
    assert await watched.status(task.id) is Status.ASSIGNED


async def test_half_a_heartbeat_is_no_gap(watched):
    """D2: a pause that short is what three heartbeats are for."""
    await watched.agent()
    for _ in range(5):
        await watched.pass_time(5_000)
    assert suspensions(watched) == []
    await watched.pass_time(5_000)
    assert watched.engine.sessions.get("agent-1") is None


@pytest.mark.parametrize("jump", [-ASLEEP, ASLEEP])
async def test_a_jump_of_the_wall_clock_is_no_gap(watched, jump):
    """D2: no lease lives longer for it, none shorter."""
    await watched.agent()
    await live(watched, 20_000)
    watched.clock.jump_wall(jump)
    await live(watched, TTL - 20_000 - 1)
    assert watched.engine.sessions.get("agent-1") is not None
    await live(watched, 1)
    assert watched.engine.sessions.get("agent-1") is None
    assert suspensions(watched) == []


async def test_an_engine_that_is_stepped_notices_no_gap(fleet):
    """D2: its owner lets it run when he wants; the simulation jumps from timer to timer."""
    await fleet.agent()
    await fleet.pass_time(ASLEEP)
    assert suspensions(fleet) == []
    assert fleet.engine.sessions.get("agent-1") is None


# the engine's own loop, in virtual time


def in_virtual_time(story: Callable[[Fleet], Awaitable[None]], rules: Rules | None = None) -> Fleet:
    """Let a story happen to a fleet whose engine runs by itself; whatever waits, waits no time at all."""
    fleet = Fleet(rules or Rules())

    async def tell() -> None:
        await fleet.store.open()
        await fleet.engine.recover()
        fleet.engine.start()
        try:
            await story(fleet)
        finally:
            await fleet.close()

    with asyncio.Runner(loop_factory=lambda: VirtualLoop(fleet.clock)) as runner:
        runner.run(tell())
    return fleet


async def connected(fleet: Fleet) -> Agent:
    return Agent(fleet, await fleet.engine.sessions.hello(AgentSpec("agent-1"), "1", ()))


async def until_lost(fleet: Fleet) -> int:
    """Wait until the agent is given up; return how long that took, ms."""
    since = fleet.clock.now()
    while fleet.engine.sessions.get("agent-1") is not None:
        await asyncio.sleep(0.1)
        assert fleet.clock.now() < since + ASLEEP, "the agent is never given up"
    return fleet.clock.now() - since


def test_an_idle_loop_that_slept_as_long_as_it_asked_for_notices_no_gap():
    """D2: nothing happens for a day, then a silent agent is lost in its time."""

    async def story(fleet: Fleet) -> None:
        await asyncio.sleep(86_400)
        await connected(fleet)
        assert await until_lost(fleet) == pytest.approx(TTL, abs=200)

    assert suspensions(in_virtual_time(story)) == []


def test_a_loop_that_did_not_run_notices_it_before_anything_expires():
    """D2: the process stood still at an arbitrary moment, here in the middle of a callback."""

    async def story(fleet: Fleet) -> None:
        await connected(fleet)
        await asyncio.sleep(12)
        fleet.clock.advance(ASLEEP)
        assert await until_lost(fleet) == pytest.approx(TTL, abs=200)

    (gap,) = suspensions(in_virtual_time(story))
    assert ASLEEP <= gap <= ASLEEP + 1_000
