"""Coming, going, losing and coming back of agents: D1, D2, T5, T7 and the restart of the daemon."""

import asyncio

import pytest

from fleetd.core.attendance import EndSession, LeaseRef, Leaving, Unregister
from fleetd.core.event import EventType
from fleetd.core.interventions import Cancel
from fleetd.core.task import Payload, Status
from fleetd.core.timers import EndOffers
from fleetd.core.words import Result, Word, WordKind
from fleetd.errors import Unavailable, WrongState
from tests.unit.engine.fleet import ref

E = EventType
DROP = 4
STRAY = Word("task-9999", 1, WordKind.START)


# another process of the same agent


async def test_another_process_takes_over_and_the_runs_of_the_old_one_go_back_at_once(fleet):
    """D1, D2, T5: the old stream is told SESSION_REPLACED, for good."""
    task = await fleet.submit()
    old = await fleet.agent()
    offer = await old.start()
    new = await fleet.agent(incarnation="process-2")
    old.read()
    assert (old.end.reason, old.end.reconnect_after) == ("SESSION_REPLACED", None)
    assert new.session.adopted == []
    again = await new.take()
    assert (again.task.id, again.lease_epoch) == (task.id, offer.lease_epoch + 1)
    row = await fleet.task(task.id)
    assert (row.losses, row.attempt) == (1, 1)
    assert (await old.say(offer, WordKind.COMPLETE)).result is Result.LEASE_LOST
    assert (await old.say(again, WordKind.COMPLETE)).result is Result.LEASE_LOST
    assert await fleet.status(task.id) is Status.ASSIGNED


async def test_a_replaced_process_that_comes_back_is_refused(fleet):
    """D1: it does not fight back."""
    await fleet.agent()
    new = await fleet.agent(incarnation="process-2")
    with pytest.raises(WrongState) as refusal:
        await fleet.agent(incarnation="process-1")
    assert refusal.value.reason == "SESSION_REPLACED"
    assert fleet.engine.sessions.get("agent-1") is new.session
    assert not new.session.outbox.ended


async def test_a_process_that_was_lost_and_then_replaced_is_refused_too(fleet):
    """D1: cut off long enough to be lost, it must not take over from its successor."""
    await fleet.agent()
    await fleet.pass_time(30_000)
    assert fleet.engine.sessions.get("agent-1") is None
    await fleet.agent(incarnation="process-2")
    with pytest.raises(WrongState):
        await fleet.agent(incarnation="process-1")


async def test_a_lost_process_may_come_back_when_nobody_replaced_it(fleet):
    """D1, T5: as a new session; its old leases are over."""
    await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.start()
    await fleet.pass_time(30_000)
    back = await fleet.agent(held=(ref(offer),))
    assert back.session.epoch == 2
    assert back.session.adopted == []
    assert (await back.take()).lease_epoch == 2


async def test_replaced_processes_are_remembered_across_a_restart(fleet):
    """D1."""
    await fleet.agent()
    await fleet.agent(incarnation="process-2")
    await fleet.restart()
    with pytest.raises(WrongState):
        await fleet.agent(incarnation="process-1")


async def test_the_list_of_replaced_processes_is_bounded(fleet):
    """D1, S7."""
    for number in range(20):
        await fleet.agent(incarnation=f"process-{number}")
    assert len(fleet.engine.agents["agent-1"].retired) == 16
    with pytest.raises(WrongState):
        await fleet.agent(incarnation="process-3")


async def test_two_processes_that_say_hello_in_one_transaction_are_told_apart(fleet):
    """D1: the later one is the agent, the earlier one is ended."""
    first, second = await fleet.runs(fleet.hello(incarnation="one"), fleet.hello(incarnation="two"))
    (end,) = first.outbox.take()
    assert end.reason == "SESSION_REPLACED"
    assert fleet.engine.sessions.get("agent-1") is second
    assert (first.epoch, second.epoch, second.incarnation) == (1, 2, "two")


# the same process again


async def test_a_resumed_session_adopts_what_is_listed_and_gives_back_the_rest(fleet):
    """T5: listed leases keep their epoch, unlisted ones are released unburnt, unknown ones are not adopted."""
    kept, dropped = await fleet.submit("kept"), await fleet.submit("dropped")
    agent = await fleet.agent(slots=2)
    first, second = await agent.start(), await agent.start()
    await fleet.detach(agent)
    unknown = LeaseRef("task-9999", 1)
    back = await fleet.agent(held=(ref(first), unknown), slots=2)
    assert back.session.adopted == [ref(first)]
    assert back.session.epoch == agent.session.epoch
    assert await fleet.status(kept.id) is Status.RUNNING
    again = await back.take()
    assert (again.task.id, again.lease_epoch) == (dropped.id, second.lease_epoch + 1)
    row = await fleet.task(dropped.id)
    assert (row.attempt, row.losses) == (0, 0)
    assert (await back.say(first, WordKind.COMPLETE)).result is Result.ACCEPTED


async def test_a_listed_offer_that_was_not_accepted_yet_is_accepted_by_the_resume(fleet):
    """T6."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.take()
    await fleet.detach(agent)
    await fleet.agent(held=(ref(offer),))
    await fleet.pass_time(6_000)
    row = await fleet.task(task.id)
    assert (row.status, row.accepted, row.lease_epoch) == (Status.ASSIGNED, True, 1)


async def test_a_reconnect_ends_the_old_stream_that_is_not_known_dead(fleet):
    """D1: RECONNECTED, and the session goes on."""
    await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.start()
    back = await fleet.agent(held=(ref(offer),))
    agent.read()
    assert agent.end.reason == "RECONNECTED"
    await fleet.detach(agent)
    assert back.session.connected
    assert (await back.say(offer, WordKind.COMPLETE)).result is Result.ACCEPTED


async def test_work_freed_by_a_reconnect_goes_to_the_new_stream(fleet):
    """T5, D1: an offer lost in the old stream comes again on the new one, not on the dead one, and is held once."""
    task = await fleet.submit()
    agent = await fleet.agent()
    await fleet.settle()
    agent.session.outbox.take()
    back = await fleet.agent()
    offer = await back.take()
    assert (offer.task.id, offer.lease_epoch) == (task.id, 2)
    assert back.session.refs() == [ref(offer)]
    assert agent.session.outbox.take()[-1].reason == "RECONNECTED"
    await fleet.check()


async def test_two_streams_of_one_process_in_one_transaction_leave_the_later_one(fleet):
    """D1."""
    await fleet.agent()
    first, second = await fleet.runs(fleet.hello(), fleet.hello())
    assert fleet.engine.sessions.get("agent-1") is second
    assert first.outbox.take()[-1].reason == "RECONNECTED"
    assert not second.outbox.ended


async def test_an_agent_that_comes_back_in_the_moment_it_would_be_lost_is_not_lost(fleet):
    """D2, T5: the hello and the end of the session meet in one transaction."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.start()
    hello = asyncio.ensure_future(fleet.hello(held=(ref(offer),)))
    await asyncio.sleep(0)
    fleet.clock.advance(30_000)
    session = await fleet.run(hello)
    assert session.adopted == [ref(offer)]
    assert not session.outbox.ended
    assert await fleet.status(task.id) is Status.RUNNING
    assert E.AGENT_LOST not in await fleet.events(agent_id="agent-1")
    await fleet.pass_time(30_000)
    assert E.AGENT_LOST in await fleet.events(agent_id="agent-1")


async def test_a_session_that_ends_in_the_transaction_of_its_hello_does_not_stand(fleet):
    """D1: unregistered or said goodbye on the old stream: nothing stays behind in memory."""
    await fleet.agent()
    hello = asyncio.ensure_future(fleet.hello())
    await asyncio.sleep(0)
    await fleet.together(EndSession("agent-1", 1, Leaving.GOODBYE))
    assert hello.result().outbox.take()[-1].reason == "SESSION_ENDED"
    assert fleet.engine.sessions.get("agent-1") is None
    hello = asyncio.ensure_future(fleet.hello())
    await asyncio.sleep(0)
    await fleet.together(Unregister("agent-1"))
    assert hello.result().outbox.ended
    assert fleet.engine.sessions.get("agent-1") is None


async def test_a_lease_that_ends_in_the_transaction_of_a_resume_is_not_held(fleet):
    """T5, T6."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.take()
    hello = asyncio.ensure_future(fleet.hello(held=()))
    await asyncio.sleep(0)
    await fleet.together(EndOffers(((task.id, offer.lease_epoch),)), Cancel((task.id,)))
    assert hello.result().refs() == []
    assert await fleet.status(task.id) is Status.CANCELLED


async def test_a_hello_whose_caller_went_away_leaves_a_session_without_a_stream(fleet):
    """D2: it gets no work, and is lost after one interval."""
    hello = asyncio.ensure_future(fleet.hello())
    await asyncio.sleep(0)
    hello.cancel()
    await fleet.settle()
    assert not fleet.engine.sessions.get("agent-1").connected
    task = await fleet.submit()
    assert await fleet.status(task.id) is Status.PENDING
    await fleet.pass_time(10_000)
    assert fleet.engine.sessions.get("agent-1") is None


# leaving and being lost


async def test_an_agent_that_says_goodbye_gives_its_leases_back_unburnt(fleet):
    """D2, T5."""
    task = await fleet.submit()
    agent = await fleet.agent()
    await agent.start()
    await fleet.run(fleet.engine.sessions.goodbye(agent.session, "upgrade"))
    row = await fleet.task(task.id)
    assert (row.status, row.attempt, row.losses) == (Status.PENDING, 0, 0)
    events = await fleet.events(agent_id="agent-1")
    assert E.AGENT_LOST not in events
    assert E.AGENT_STATUS in events
    agent.read()
    assert agent.end.reason == "GOODBYE"


async def test_a_broken_stream_has_one_interval_to_return(fleet):
    """D2: then AGENT_LOST and its tasks go back to the queue."""
    task = await fleet.submit()
    agent = await fleet.agent()
    await agent.start()
    await fleet.detach(agent)
    await fleet.pass_time(9_999)
    assert await fleet.status(task.id) is Status.RUNNING
    await fleet.pass_time(1)
    row = await fleet.task(task.id)
    assert (row.status, row.losses, row.error_code) == (Status.PENDING, 1, "AGENT_LOST")
    assert E.AGENT_LOST in await fleet.events(agent_id="agent-1")
    assert E.TASK_LEASE_EXPIRED in await fleet.events(task.id)


async def test_a_detached_agent_gets_no_work(fleet):
    """D2."""
    agent = await fleet.agent()
    await fleet.detach(agent)
    task = await fleet.submit()
    assert await fleet.status(task.id) is Status.PENDING
    back = await fleet.agent()
    assert (await back.take()).task.id == task.id


async def test_a_frozen_agent_is_lost_after_three_missed_heartbeats(fleet):
    """D2, T7: its stream stands, but nobody speaks."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.start()
    await fleet.pass_time(10_000)
    await agent.ping(ref(offer))
    await fleet.pass_time(29_999)
    assert await fleet.status(task.id) is Status.RUNNING
    await fleet.pass_time(1)
    assert (await fleet.task(task.id)).error_code == "AGENT_LOST"
    agent.read()
    assert (agent.end.reason, agent.end.reconnect_after) == ("HEARTBEAT_MISSED", 0)
    assert (await agent.say(offer, WordKind.COMPLETE)).result is Result.LEASE_LOST


async def test_the_row_of_a_lost_agent_tells_when_it_was_heard_last(fleet):
    """D1: the last heartbeat survives the session."""
    agent = await fleet.agent()
    await fleet.pass_time(10_000)
    await agent.ping()
    heard = fleet.clock.wall()
    await fleet.pass_time(30_000)
    assert fleet.engine.agents["agent-1"].last_heartbeat_at == heard


async def test_the_third_loss_of_a_task_is_poison(fleet):
    """T9: it goes to the dead letters, whatever attempts remain; POISON wins over ATTEMPTS_EXHAUSTED."""
    for attempts in (10, 3):
        task = await fleet.submit(max_attempts=attempts)
        for number in range(3):
            agent = await fleet.agent(f"agent-{attempts}-{number}")
            await agent.start()
            await fleet.pass_time(30_000)
        row = await fleet.task(task.id)
        assert (row.status, row.losses, row.attempt) == (Status.DEAD_LETTER, 3, 3)
        (payload,) = await fleet.payloads(task.id, E.TASK_DEAD_LETTERED)
        assert payload["reason"] == "POISON"


async def test_a_loss_that_uses_up_the_attempts_ends_in_the_dead_letters(fleet):
    """F4, T2: AGENT_LOST is retried only while attempts last."""
    task = await fleet.submit(max_attempts=1)
    agent = await fleet.agent()
    await agent.start()
    await fleet.pass_time(30_000)
    row = await fleet.task(task.id)
    assert (row.status, row.error_code, row.losses) == (Status.DEAD_LETTER, "AGENT_LOST", 1)


async def test_a_cancelled_run_ends_with_its_agent(fleet):
    """T2, D4: CANCELLED when its lease ends."""
    task = await fleet.submit()
    agent = await fleet.agent()
    await agent.start()
    await fleet.do(Cancel((task.id,)))
    await fleet.detach(agent)
    await fleet.pass_time(10_000)
    assert await fleet.status(task.id) is Status.CANCELLED


async def test_an_accepted_run_that_never_started_is_not_a_loss(fleet):
    """T9: losses are counted while RUNNING."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.take()
    await agent.say(offer, WordKind.ACCEPT)
    await fleet.pass_time(30_000)
    row = await fleet.task(task.id)
    assert (row.status, row.losses, row.attempt) == (Status.PENDING, 0, 0)


async def test_an_end_that_is_meant_for_an_older_session_changes_nothing(fleet):
    """D1."""
    await fleet.agent()
    new = await fleet.agent(incarnation="process-2")
    assert await fleet.do(EndSession("agent-1", 1, Leaving.LOST)) == 0
    assert fleet.engine.sessions.get("agent-1") is new.session


@pytest.mark.parametrize("jump", [86_400_000, -86_400_000])
async def test_a_jump_of_the_wall_clock_expires_no_lease_no_offer_and_no_run(fleet, jump):
    """T7, D2: and afterwards all of them still work."""
    running, offered = await fleet.submit(timeout=25_000), await fleet.submit()
    agent = await fleet.agent(slots=2)
    run = await agent.start()
    await agent.take()
    fleet.clock.jump_wall(jump)
    await fleet.settle()
    assert await fleet.status(running.id) is Status.RUNNING
    assert await fleet.status(offered.id) is Status.ASSIGNED
    assert fleet.engine.sessions.get("agent-1") is agent.session
    await fleet.pass_time(5_000)
    assert (await fleet.task(offered.id)).lease_epoch == 2
    again = await agent.take()
    await agent.say(again, WordKind.START)
    await agent.ping(ref(run), ref(again))
    await fleet.pass_time(20_000)
    assert E.TASK_TIMEOUT in await fleet.events(running.id)
    await fleet.pass_time(10_000)
    assert fleet.engine.sessions.get("agent-1") is None


# heartbeats


async def test_a_beacon_lists_the_leases_and_the_pace(fleet):
    """D2, T5."""
    await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.start()
    beacon = await agent.ping(ref(offer))
    assert beacon.leases == [ref(offer)]
    assert (beacon.heartbeat_interval, beacon.lease_ttl) == (10_000, 30_000)


async def test_a_lease_that_only_the_agent_knows_is_dropped_by_order(fleet):
    """T5: level-triggered, repeated with every heartbeat."""
    await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.start()
    stale = LeaseRef(offer.task.id, offer.lease_epoch + 5)
    await agent.ping(ref(offer), LeaseRef("task-9999", 3))
    await agent.ping(ref(offer), LeaseRef("task-9999", 3))
    assert [(o.kind, o.task_id, o.lease_epoch) for o in agent.orders] == [(DROP, "task-9999", 3)] * 2
    await agent.ping(stale)
    assert (agent.orders[-1].kind, agent.orders[-1].lease_epoch) == (DROP, stale.lease_epoch)


async def test_an_accepted_lease_that_the_agent_does_not_list_is_released(fleet):
    """T5: unburnt."""
    task = await fleet.submit()
    agent = await fleet.agent()
    await agent.start()
    await agent.ping()
    again = await agent.take()
    assert (again.task.id, again.lease_epoch) == (task.id, 2)
    row = await fleet.task(task.id)
    assert (row.attempt, row.losses) == (0, 0)


async def test_an_offer_on_its_way_is_not_repaired(fleet):
    """T6: a heartbeat may cross it."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.take()
    await agent.ping()
    assert (await fleet.task(task.id)).lease_epoch == 1
    assert (await agent.say(offer, WordKind.START)).result is Result.ACCEPTED


async def test_a_result_and_a_heartbeat_without_its_lease_may_cross(fleet):
    """T5, D6: the heartbeat that no longer lists the lease does not release what was completed."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.start()
    saying = asyncio.ensure_future(agent.say(offer, WordKind.COMPLETE))
    await asyncio.sleep(0)
    await agent.ping()
    await saying
    assert await fleet.status(task.id) is Status.COMPLETED


async def test_a_heartbeat_of_a_stream_that_is_over_does_nothing(fleet):
    """D1."""
    old = await fleet.agent()
    await fleet.agent(incarnation="process-2")
    old.read()
    fleet.engine.sessions.ping(old.session, 1, [LeaseRef("task-9999", 3)], [])
    await fleet.settle()
    assert old.session.outbox.take() == [old.end]


async def test_the_interval_grows_with_the_fleet(fleet):
    """D2: max(10 s, agents / 500 s), at most 60 s."""
    pace = fleet.rules.heartbeat
    assert [pace(n) for n in (1, 5_000, 10_000, 30_000, 1_000_000)] == [
        10_000,
        10_000,
        20_000,
        60_000,
        60_000,
    ]


async def test_an_agent_that_never_reads_its_acknowledgements_is_ended(fleet):
    """S7: the outbox is bounded."""
    agent = await fleet.agent()
    agent.session.outbox._limit = 3
    for _ in range(4):
        fleet.engine.sessions.post_words(agent.session, (STRAY,))
        await fleet.settle()
    agent.read()
    assert (agent.end.reason, agent.end.reconnect_after) == ("OUTBOX_OVERFLOW", 1_000)


async def test_a_stream_that_was_taken_over_is_not_heard_any_more(fleet):
    """D2, G6: what was said there is said again on the new one, and may have been mended meanwhile."""
    task = await fleet.submit()
    old = await fleet.agent()
    offer = await old.start()
    new = await fleet.agent(held=(ref(offer),))
    fleet.engine.sessions.post_words(old.session, old.saying(offer, WordKind.COMPLETE).words)
    await fleet.settle()
    assert await fleet.status(task.id) is Status.RUNNING
    await new.say(offer, WordKind.COMPLETE)
    assert await fleet.status(task.id) is Status.COMPLETED


async def test_one_stream_may_have_only_so_many_messages_in_the_engine(fleet):
    """S7."""
    agent = await fleet.agent()
    for _ in range(16):
        fleet.engine.sessions.post_words(agent.session, (STRAY,))
    room = asyncio.ensure_future(agent.session.room())
    await asyncio.sleep(0)
    assert not room.done()
    await fleet.settle()
    await room


# a restart of the daemon


async def test_after_a_restart_every_live_lease_gets_a_full_fresh_ttl(fleet):
    """T7, D2: agents that never return are lost after it."""
    task = await fleet.submit()
    agent = await fleet.agent()
    await agent.start()
    await fleet.pass_time(29_000)
    await fleet.restart()
    await fleet.pass_time(29_999)
    assert await fleet.status(task.id) is Status.RUNNING
    await fleet.pass_time(1)
    row = await fleet.task(task.id)
    assert (row.status, row.error_code) == (Status.PENDING, "AGENT_LOST")


async def test_a_result_delivered_after_a_restart_is_accepted(fleet):
    """D6, T5: the agent resumes with its lease and the epoch is unchanged."""
    task = await fleet.submit(timeout=10_000, deadline=fleet.clock.wall() + 20_000)
    agent = await fleet.agent()
    offer = await agent.start()
    await fleet.restart()
    await fleet.pass_time(25_000)
    assert await fleet.status(task.id) is Status.RUNNING
    back = await fleet.agent(held=(ref(offer),))
    assert back.session.adopted == [ref(offer)]
    ack = await back.say(offer, WordKind.COMPLETE, output=Payload(b"42", "text/plain"))
    assert ack.result is Result.ACCEPTED
    assert await fleet.status(task.id) is Status.COMPLETED
    await fleet.pass_time(100_000)
    assert await fleet.status(task.id) is Status.COMPLETED


async def test_run_timers_and_deadlines_wait_for_the_ttl_after_a_restart(fleet):
    """T6, T7, D5: results that wait in agents come first."""
    agent = await fleet.agent(slots=4)
    run = await fleet.submit("run", timeout=5_000)
    late = await fleet.submit("late", deadline=fleet.clock.wall() + 5_000)
    held = [await agent.start(), await agent.start()]
    await fleet.restart()
    fleet.clock.advance(20_000)
    await fleet.settle()
    back = await fleet.agent(held=tuple(map(ref, held)))
    await fleet.pass_time(9_999)
    for task in (run, late):
        assert E.TASK_TIMEOUT not in await fleet.events(task.id)
    await fleet.pass_time(1)
    for task in (run, late):
        assert E.TASK_TIMEOUT in await fleet.events(task.id)
    back.read()
    assert {order.task_id for order in back.orders} == {run.id, late.id}


async def test_an_offer_survives_a_restart_and_is_taken_back_after_the_ttl(fleet):
    """T6."""
    task = await fleet.submit()
    await fleet.agent()
    await fleet.settle()
    await fleet.restart()
    await fleet.pass_time(29_999)
    assert await fleet.status(task.id) is Status.ASSIGNED
    await fleet.pass_time(1)
    row = await fleet.task(task.id)
    assert (row.status, row.attempt) == (Status.PENDING, 0)


async def test_an_order_survives_a_restart(fleet):
    """D4, T7: it is told again to the agent that resumes, and its grace ends the lease."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.start()
    await fleet.do(Cancel((task.id,)))
    await fleet.restart()
    back = await fleet.agent(held=(ref(offer),))
    back.read()
    assert [(order.kind, order.task_id) for order in back.orders] == [(1, task.id)]
    for _ in range(3):
        await fleet.pass_time(10_000)
        await back.ping(ref(offer))
    assert await fleet.status(task.id) is Status.CANCELLED


async def test_waiting_tasks_survive_a_restart_in_their_order(fleet):
    """T3, D3."""
    tasks = [await fleet.submit() for _ in range(5)]
    await fleet.restart()
    agent = await fleet.agent(slots=5)
    await fleet.settle()
    agent.read()
    assert [offer.task.id for offer in agent.offers] == [task.id for task in tasks]


async def test_a_daemon_that_drains_gives_no_work_and_refuses_new_sessions(fleet):
    """D2: it takes results until it stops, and tells every agent."""
    await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.start()
    fleet.engine.drain()
    task = await fleet.submit()
    idle = asyncio.ensure_future(fleet.engine.idle())
    agent.read()
    assert agent.orders[-1].order_id == "daemon-drain"
    with pytest.raises(Unavailable):
        await fleet.agent("agent-2")
    assert not idle.done()
    assert (await agent.say(offer, WordKind.COMPLETE)).result is Result.ACCEPTED
    assert await fleet.status(task.id) is Status.PENDING
    await idle
