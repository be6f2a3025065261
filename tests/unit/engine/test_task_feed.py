"""Watchers of what runs tell: G6. What they may hold is bounded, and nobody loses an event without being told."""

import pytest

from fleetd.core.task_event import TaskEvent
from fleetd.engine import task_feed
from fleetd.engine.task_feed import TaskFeed


def an_event(position, task_id="task", size=10):
    return TaskEvent(1, task_id, position, 1, 0, b"x" * size, position=position)


@pytest.fixture
def feed():
    return TaskFeed()


def positions(events):
    return [event.position for event in events]


def test_a_watcher_of_a_task_gets_that_task_and_a_watcher_of_all_gets_all(feed):
    """G6."""
    one, everything = feed.subscribe("one"), feed.subscribe("")
    feed.publish([an_event(1, "one"), an_event(2, "two"), an_event(3, "one")])
    assert positions(one.take(1 << 20)) == [1, 3]
    assert positions(everything.take(1 << 20)) == [1, 2, 3]
    assert feed.last == 3


def test_who_left_costs_nothing(feed):
    """G6, S7."""
    subscriptions = [feed.subscribe("one"), feed.subscribe("")]
    for subscription in subscriptions:
        subscription.leave()
    feed.publish([an_event(1, "one")])
    assert feed.last == 1
    assert not feed._all
    assert not feed._by_task
    assert [subscription.take(100) for subscription in subscriptions] == [[], []]


@pytest.mark.parametrize(("limit", "value"), [("EVENTS", 3), ("BYTES", 30)])
def test_a_live_watcher_that_does_not_keep_up_is_cut(feed, monkeypatch, limit, value):
    """G6, S7: by number and by bytes; what waited is let go."""
    monkeypatch.setattr(task_feed, limit, value)
    subscription = feed.subscribe("")
    assert subscription.go_live()
    feed.publish(map(an_event, range(1, 4)))
    assert not subscription.cut
    feed.publish([an_event(4)])
    assert subscription.cut
    feed.publish([an_event(5)])
    assert subscription.take(1 << 20) == []


@pytest.mark.parametrize(("limit", "value"), [("EVENTS", 3), ("BYTES", 30)])
def test_a_watcher_that_catches_up_reads_on_in_the_store(feed, monkeypatch, limit, value):
    """G6: what found no room is there as well."""
    monkeypatch.setattr(task_feed, limit, value)
    subscription = feed.subscribe("")
    feed.publish(map(an_event, range(1, 5)))
    assert subscription.take(1 << 20) == []
    assert not subscription.go_live()
    feed.publish([an_event(5)])
    assert subscription.go_live()
    assert positions(subscription.take(1 << 20)) == [5]
    assert not subscription.cut


def test_what_was_taken_makes_room(feed, monkeypatch):
    """G6, S7: a watcher that keeps up is never cut, however much comes."""
    monkeypatch.setattr(task_feed, "EVENTS", 3)
    monkeypatch.setattr(task_feed, "BYTES", 30)
    subscription = feed.subscribe("")
    subscription.go_live()
    for position in range(1, 20):
        feed.publish([an_event(2 * position - 1), an_event(2 * position)])
        assert positions(subscription.take(10)) == [2 * position - 1]
        assert positions(subscription.take(10)) == [2 * position]
    assert not subscription.cut


def test_one_event_fits_however_large_it_is(feed, monkeypatch):
    """G6: else no watcher would ever see it."""
    monkeypatch.setattr(task_feed, "BYTES", 30)
    subscription = feed.subscribe("")
    subscription.go_live()
    feed.publish([an_event(1, size=31)])
    assert positions(subscription.take(10)) == [1]
    assert not subscription.cut


async def test_whoever_waits_learns_of_events_and_ends(feed):
    """G6."""
    subscription = feed.subscribe("task")
    feed.publish([an_event(1)])
    await subscription.ready()
    subscription.take(1 << 20)
    feed.ended("task")
    await subscription.ready()
    assert subscription.ended
    feed.close()
    assert subscription.closed
    assert feed.subscribe("").closed


def test_so_many_are_taken_at_once_and_no_more(feed):
    """G6: a message of the smallest events has a bound, too."""
    subscription = feed.subscribe("")
    feed.publish(map(an_event, range(1, 6)))
    assert [positions(subscription.take(1 << 20, 2)) for _ in range(4)] == [[1, 2], [3, 4], [5], []]
