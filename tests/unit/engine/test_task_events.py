"""What runs tell, from the word to the store: G6."""

from dataclasses import replace

from fleetd.core.interventions import Cancel
from fleetd.core.task import Status
from fleetd.core.task_event import Told
from fleetd.core.words import Result, WordKind
from fleetd.engine.retention import RetentionOptions, sweep
from fleetd.store.sqlite import SqliteStore
from tests.unit.engine.fleet import Fleet, ref


def told(*names):
    return tuple(Told(name.encode()) for name in names)


async def tell(agent, offer, first, *names):
    return await agent.say(offer, WordKind.EVENTS, first=first, events=told(*names))


async def kept(fleet, task_id="", first=0):
    """Return (seq, body) of a task's events, (position, body) of all."""
    page = await fleet.store.list_task_events(task_id, first, 1_000, 1 << 30)
    assert page.end
    return [(event.seq if task_id else event.position, event.body.decode()) for event in page.events]


async def running(fleet, number=1, **parts):
    task = await fleet.submit(**parts)
    agent = await fleet.agent(f"agent-{number}")
    return task, agent, await agent.start()


async def test_events_are_numbered_in_the_order_in_which_they_were_told(fleet):
    """G6."""
    task, agent, offer = await running(fleet)
    assert (await tell(agent, offer, 1, "a", "b")).result is Result.ACCEPTED
    assert (await tell(agent, offer, 3, "c")).result is Result.ACCEPTED
    assert await kept(fleet, task.id) == [(1, "a"), (2, "b"), (3, "c")]
    assert (await fleet.task(task.id)).task_event_seq == 3


async def test_events_imply_that_the_run_began(fleet):
    """G6, T6."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.take()
    assert (await tell(agent, offer, 1, "a")).result is Result.ACCEPTED
    row = await fleet.task(task.id)
    assert (row.status, row.attempt, row.task_event_seq) == (Status.RUNNING, 1, 1)


async def test_a_repeat_is_a_duplicate_and_an_overlap_adds_what_is_new(fleet):
    """G6: each event is stored once."""
    task, agent, offer = await running(fleet)
    await tell(agent, offer, 1, "a", "b")
    assert (await tell(agent, offer, 1, "a", "b")).result is Result.DUPLICATE
    assert (await tell(agent, offer, 2, "b")).result is Result.DUPLICATE
    assert (await tell(agent, offer, 2, "b", "c", "d")).result is Result.ACCEPTED
    assert await kept(fleet, task.id) == [(1, "a"), (2, "b"), (3, "c"), (4, "d")]


async def test_a_gap_is_rejected_and_the_expected_number_is_named(fleet):
    """G6: the lease stands, and the run can go on where it should have."""
    task, agent, offer = await running(fleet)
    await tell(agent, offer, 1, "a", "b")
    ack = await tell(agent, offer, 4, "d")
    assert (ack.result, ack.reason) == (Result.REJECTED, "EVENTS_MISSING")
    assert ack.message == "events.first: must be 3, the number of the next event of this lease, not 4"
    assert await kept(fleet, task.id) == [(1, "a"), (2, "b")]
    assert (await tell(agent, offer, 3, "c", "d")).result is Result.ACCEPTED


async def test_a_gap_does_not_begin_the_run(fleet):
    """G6: what is refused changes nothing."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.take()
    assert (await tell(agent, offer, 2, "b")).result is Result.REJECTED
    assert await fleet.status(task.id) is Status.ASSIGNED


async def test_words_of_one_message_are_heard_in_their_order(fleet):
    """G6: events, and then the end of the run, in one transaction."""
    task, agent, offer = await running(fleet)
    answers = await fleet.together(
        agent.saying(offer, WordKind.EVENTS, first=1, events=told("a")),
        agent.saying(offer, WordKind.EVENTS, first=2, events=told("b")),
        agent.saying(offer, WordKind.COMPLETE),
        agent.saying(offer, WordKind.EVENTS, first=3, events=told("c")),
    )
    assert [ack.result for (ack,) in answers] == [
        Result.ACCEPTED,
        Result.ACCEPTED,
        Result.ACCEPTED,
        Result.LEASE_LOST,
    ]
    assert await kept(fleet, task.id) == [(1, "a"), (2, "b")]
    assert await fleet.status(task.id) is Status.COMPLETED


async def test_another_attempt_goes_on_counting_and_begins_its_own_numbers_with_one(fleet):
    """G6: event k of a lease has seq base + k."""
    task, agent, offer = await running(fleet)
    await tell(agent, offer, 1, "a", "b")
    await agent.say(offer, WordKind.FAIL, code="AGENT_ERROR")
    await fleet.pass_time(1_000)
    again = await agent.start()
    assert again.lease_epoch == 2
    ack = await tell(agent, again, 3, "no")
    assert (ack.result, ack.reason) == (Result.REJECTED, "EVENTS_MISSING")
    assert "must be 1" in ack.message
    assert (await tell(agent, again, 1, "c")).result is Result.ACCEPTED
    assert (await tell(agent, again, 1, "c")).result is Result.DUPLICATE
    page = await fleet.store.list_task_events(task.id, 0, 100, 1 << 20)
    assert [(event.seq, event.lease_epoch) for event in page.events] == [(1, 1), (2, 1), (3, 2)]


async def test_a_stale_lease_tells_nothing(fleet):
    """G6, T5: the fence judges events as every word."""
    task, agent, offer = await running(fleet)
    await tell(agent, offer, 1, "a")
    await agent.say(offer, WordKind.RELEASE)
    other = await fleet.agent("agent-2")
    await fleet.settle()
    agent.read()
    holder = agent if agent.offers else other
    again = await holder.start()
    for first in (1, 2):
        late = await agent.say(ref(offer), WordKind.EVENTS, first=first, events=told("late"))
        assert (late.result, late.reason) == (Result.LEASE_LOST, "LEASE_LOST")
    stranger = other if holder is agent else agent
    assert (await tell(stranger, again, 1, "no")).result is Result.LEASE_LOST
    assert await kept(fleet, task.id) == [(1, "a")]


async def test_a_repeat_after_the_end_of_the_lease_is_no_lost_lease(fleet):
    """G6: an agent that lost the answers says events and result again; nothing of it is lost, and nothing new counts."""
    task, agent, offer = await running(fleet)
    await tell(agent, offer, 1, "a", "b")
    await agent.say(offer, WordKind.COMPLETE)
    assert (await tell(agent, offer, 1, "a", "b")).result is Result.DUPLICATE
    assert (await tell(agent, offer, 2, "b", "c")).result is Result.LEASE_LOST
    assert await kept(fleet, task.id) == [(1, "a"), (2, "b")]


async def test_events_count_while_a_cancel_waits_for_the_end_of_the_run(fleet):
    """G6, T7: the run still goes on."""
    task, agent, offer = await running(fleet)
    await fleet.do(Cancel((task.id,)))
    assert (await tell(agent, offer, 1, "a")).result is Result.ACCEPTED
    assert await kept(fleet, task.id) == [(1, "a")]


async def test_events_are_no_change_of_the_task(fleet):
    """G6: its version is what an update is compared with."""
    task, agent, offer = await running(fleet)
    before = await fleet.task(task.id)
    fleet.clock.advance(5_000)
    await tell(agent, offer, 1, "a")
    assert await fleet.task(task.id) == replace(before, task_event_seq=1)


async def test_a_change_in_the_transaction_of_events_keeps_both(fleet):
    """G6: the row is written whole, with the new count."""
    task, agent, offer = await running(fleet)
    await fleet.together(
        agent.saying(offer, WordKind.EVENTS, first=1, events=told("a")),
        agent.saying(offer, WordKind.PROGRESS, percent=50),
        agent.saying(offer, WordKind.EVENTS, first=2, events=told("b")),
    )
    row = await fleet.task(task.id)
    assert (row.progress, row.task_event_seq) == (50, 2)
    assert (await tell(agent, offer, 3, "c")).result is Result.ACCEPTED


async def test_positions_are_total_over_all_tasks_and_each_task_keeps_its_order(fleet):
    """G6: several agents at once."""
    runs = [await running(fleet, number) for number in range(1, 5)]
    commands = [
        agent.saying(offer, WordKind.EVENTS, first=first, events=told(f"{number}.{first}"))
        for first in range(1, 4)
        for number, (_, agent, offer) in enumerate(runs)
    ]
    await fleet.together(*commands)
    everything = await kept(fleet)
    assert [position for position, _ in everything] == list(range(1, 13))
    assert [body for _, body in everything] == [f"{n}.{first}" for first in range(1, 4) for n in range(4)]
    for number, (task, _, _) in enumerate(runs):
        assert await kept(fleet, task.id) == [(seq, f"{number}.{seq}") for seq in range(1, 4)]


async def test_a_restart_keeps_the_numbering(tmp_path):
    """G6: of the lease, of the task, and of all."""
    fleet = await Fleet(store=SqliteStore(tmp_path / "f.db", inline=True)).open()
    task, agent, offer = await running(fleet)
    await tell(agent, offer, 1, "a", "b")
    await fleet.store.close()
    await fleet.store.open()
    await fleet.restart()
    assert fleet.engine.task_feed.last == 2
    agent = await fleet.agent(held=(ref(offer),))
    assert (await tell(agent, offer, 2, "b", "c")).result is Result.ACCEPTED
    assert await kept(fleet, task.id) == await kept(fleet) == [(1, "a"), (2, "b"), (3, "c")]
    await fleet.check()
    await fleet.close()


async def test_large_events_count_among_the_bytes_of_a_batch(fleet):
    """S7, G6: a transaction stays bounded."""
    _, agent, offer = await running(fleet)
    big = agent.saying(offer, WordKind.EVENTS, first=1, events=(Told(b"x" * 3_000_000),))
    batch = fleet.engine.batch
    await fleet.together(*[big] * 4)  # 3 MB each, of 4 MiB that one batch may have: the second one fills it
    assert fleet.engine.batch == batch + 2


async def test_events_are_kept_as_long_as_the_other_events():
    """D12, G6."""
    fleet = await Fleet().open()
    task, agent, offer = await running(fleet)
    await tell(agent, offer, 1, "a", "b")
    fleet.clock.advance(1_000)
    await agent.say(offer, WordKind.EVENTS, first=3, events=told("c"))
    fleet.clock.advance(7 * 86_400_000 - 500)
    gone = await sweep(fleet.engine, RetentionOptions(tasks=0))
    assert gone.task_events == 2
    assert await kept(fleet, task.id) == [(3, "c")]
    assert (await fleet.task(task.id)).task_event_seq == 3
    await fleet.close()


async def test_the_next_lease_of_the_same_transaction_begins_after_what_was_told(fleet):
    """G6: told, handed back and given anew in one commit."""
    task, agent, offer = await running(fleet)
    await fleet.together(
        agent.saying(offer, WordKind.EVENTS, first=1, events=told("a", "b")),
        agent.saying(offer, WordKind.RELEASE),
    )
    again = await agent.take()
    row = await fleet.task(task.id)
    assert (again.lease_epoch, row.task_event_base, row.task_event_seq) == (2, 2, 2)
    assert (await tell(agent, again, 1, "c")).result is Result.ACCEPTED
    assert await kept(fleet, task.id) == [(1, "a"), (2, "b"), (3, "c")]
