"""A daemon that drains: results still come in, also from agents whose stream broke meanwhile, and nothing new goes out (D2, S1)."""

import asyncio

import pytest

from fleetd.core.task import Status
from fleetd.core.words import Result, WordKind
from fleetd.engine.sessions import DAEMON_DRAIN
from fleetd.errors import Unavailable
from tests.unit.engine.fleet import ref


async def test_an_agent_that_comes_back_during_a_drain_delivers_what_it_holds(fleet):
    """D2, T5: and learns that the daemon is stopping."""
    agent = await fleet.agent(slots=2)
    await fleet.submit()
    offer = await agent.start()
    await fleet.detach(agent)
    fleet.engine.drain()
    waiting = await fleet.submit()
    back = await fleet.agent(held=(ref(offer),), slots=2)
    assert back.session.adopted == [ref(offer)]
    assert (await back.say(offer, WordKind.COMPLETE)).result is Result.ACCEPTED
    assert [order.order_id for order in back.orders] == [DAEMON_DRAIN]
    assert await fleet.status(waiting.id) is Status.PENDING
    await fleet.run(fleet.engine.idle())


async def test_an_agent_that_does_not_know_yet_that_its_stream_broke_takes_its_place(fleet):
    """D1, D2."""
    agent = await fleet.agent()
    await fleet.submit()
    offer = await agent.start()
    fleet.engine.drain()
    back = await fleet.agent(held=(ref(offer),))
    agent.read()
    assert agent.end is not None
    assert agent.end.reason == "RECONNECTED"
    assert (await back.say(offer, WordKind.COMPLETE)).result is Result.ACCEPTED


@pytest.mark.parametrize(("agent_id", "incarnation"), [("agent-1", "process-2"), ("agent-2", "process-1")])
async def test_whoever_holds_nothing_here_waits_for_the_next_daemon(fleet, agent_id, incarnation):
    """D1, S1: another process, which would end the session and lose its run, and an agent nobody knows."""
    agent = await fleet.agent()
    await fleet.submit()
    offer = await agent.start()
    fleet.engine.drain()
    with pytest.raises(Unavailable) as refused:
        await fleet.agent(agent_id, incarnation=incarnation)
    assert refused.value.reason == "DRAINING"
    assert (await agent.say(offer, WordKind.COMPLETE)).result is Result.ACCEPTED


async def test_an_agent_whose_session_is_over_waits_for_the_next_daemon(fleet):
    """D2: it has nothing to deliver any more."""
    agent = await fleet.agent()
    await fleet.run(fleet.engine.sessions.goodbye(agent.session, "done"))
    fleet.engine.drain()
    with pytest.raises(Unavailable):
        await fleet.agent()


async def test_an_offer_that_was_under_way_when_the_drain_began_may_be_run(fleet):
    """T6, D2: it was given before; only nothing is given after."""
    agent = await fleet.agent()
    await fleet.submit()
    offer = await agent.take()
    await fleet.detach(agent)
    fleet.engine.drain()
    back = await fleet.agent(held=(ref(offer),))
    assert (await back.say(offer, WordKind.START)).result is Result.ACCEPTED
    assert (await back.say(offer, WordKind.COMPLETE)).result is Result.ACCEPTED


async def test_after_its_last_word_the_daemon_takes_nobody_back(fleet):
    """D2: the lease survives and resumes after the restart."""
    agent = await fleet.agent()
    await fleet.submit()
    offer = await agent.start()
    fleet.engine.drain()
    fleet.engine.sessions.end_all("DRAINING", "the daemon is stopping", 1_000)
    with pytest.raises(Unavailable):
        await fleet.agent(held=(ref(offer),))
    assert fleet.engine.live_leases == 1


async def test_a_hello_that_the_last_word_overtakes_hears_it(fleet):
    """D2: nobody waits for an agent that waits for nothing."""
    agent = await fleet.agent()
    await fleet.submit()
    offer = await agent.start()
    fleet.engine.drain()
    opening = asyncio.ensure_future(fleet.hello(held=(ref(offer),)))
    await asyncio.sleep(0)
    fleet.engine.sessions.end_all("DRAINING", "the daemon is stopping", 1_000)
    session = await fleet.run(opening)
    assert session.outbox.ended
