"""Watchers of events and waiters for tasks: T8, S7."""

import asyncio

from fleetd.core.event import Event, EventFilter, EventType
from fleetd.core.interventions import Cancel
from fleetd.core.words import WordKind
from fleetd.engine.feed import BUFFER, Feed

E = EventType


def event(seq, **parts):
    return Event(
        **{"type": E.TASK_CREATED, "time": 1_000 + seq, "task_id": "t", "org_id": "o", "seq": seq, **parts}
    )


async def test_a_watcher_gets_what_it_wants_in_order():
    """T8: by task, agent, org, type and time."""
    feed = Feed()
    events = [
        event(1),
        event(2, task_id="u"),
        event(3, agent_id="a"),
        event(4, org_id="p"),
        event(5, type=E.TASK_COMPLETED),
    ]
    cases = {
        EventFilter(): [1, 2, 3, 4, 5],
        EventFilter(task_id="t"): [1, 3, 4, 5],
        EventFilter(agent_id="a"): [3],
        EventFilter(org_id="o"): [1, 2, 3, 5],
        EventFilter(types=frozenset({E.TASK_COMPLETED})): [5],
        EventFilter(after=1_002, before=1_005): [2, 3, 4],
        EventFilter(task_id="u", agent_id="a"): [],
    }
    subscriptions = {wanted: feed.subscribe(wanted) for wanted in cases}
    feed.publish(events)
    for wanted, seqs in cases.items():
        got, overflowed = subscriptions[wanted].take()
        assert [one.seq for one in got] == seqs, wanted
        assert not overflowed


async def test_a_slow_watcher_is_told_that_it_missed_something():
    """T8, S7: its buffer is bounded; it reads on from the store and goes on."""
    feed = Feed()
    slow, quick = feed.subscribe(EventFilter()), feed.subscribe(EventFilter())
    feed.publish(event(n) for n in range(BUFFER))
    assert len(quick.take()[0]) == BUFFER
    feed.publish([event(BUFFER), event(BUFFER + 1)])
    assert slow.take() == ([], True)
    assert [one.seq for one in quick.take()[0]] == [BUFFER, BUFFER + 1]
    feed.publish([event(BUFFER + 2)])
    assert [one.seq for one in slow.take()[0]] == [BUFFER + 2]


async def test_a_watcher_waits_until_there_is_something():
    """T8."""
    feed = Feed()
    subscription = feed.subscribe(EventFilter(task_id="t"))
    waiting = asyncio.ensure_future(subscription.ready())
    feed.publish([event(1, task_id="u")])
    await asyncio.sleep(0)
    assert not waiting.done()
    feed.publish([event(2)])
    await waiting
    subscription.take()
    assert not subscription._event.is_set()


async def test_closed_watchers_leave_nothing_behind():
    """S7."""
    feed = Feed()
    subscriptions = [feed.subscribe(EventFilter()), feed.subscribe(EventFilter(task_id="t"))]
    watch = feed.watch_tasks(["t", "u", "t"])
    for one in (*subscriptions, watch):
        one.close()
        one.close()
    feed.publish([event(1)])
    feed.finished("t")
    assert [one.take() for one in subscriptions] == [([], False)] * 2
    assert (feed._all, feed._by_task, feed._watches) == ({}, {}, {})


async def test_whoever_waits_for_tasks_hears_of_each_that_ends(fleet):
    """T8, D4: after the commit, once each."""
    tasks = [await fleet.submit() for _ in range(3)]
    watch = fleet.engine.feed.watch_tasks([tasks[0].id, tasks[1].id])
    other = fleet.engine.feed.watch_tasks([tasks[1].id])
    waiting = asyncio.ensure_future(watch.next())
    agent = await fleet.agent()
    await agent.say(await agent.start(), WordKind.COMPLETE)
    assert await waiting == tasks[0].id
    await fleet.do(Cancel((tasks[1].id,)))
    agent.read()
    if agent.offers:
        await agent.say(agent.offers.pop(), WordKind.STOPPED)
    assert await watch.next() == tasks[1].id
    assert await other.next() == tasks[1].id


async def test_live_events_and_the_stored_log_are_the_same(fleet):
    """T8: seq is total and in commit order; a watcher that resumes misses nothing."""
    subscription = fleet.engine.feed.subscribe(EventFilter())
    for _ in range(3):
        await fleet.submit()
    agent = await fleet.agent(slots=3)
    for _ in range(3):
        await agent.say(await agent.start(), WordKind.COMPLETE)
    live, _ = subscription.take()
    page = await fleet.store.list_events(EventFilter(), 0, 1_000, 1_000)
    assert live == page.events
    assert [one.seq for one in live] == list(range(1, len(live) + 1))
    half = await fleet.store.list_events(EventFilter(), 7, 1_000, 1_000)
    assert half.events == live[7:]
