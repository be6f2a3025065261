"""What runs told, in the store: numbers, pages, and what leaves (G6)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fleetd.core.task import Status
from fleetd.core.task_event import TaskEvent
from fleetd.store import retention
from fleetd.store.base import Retention, Trimmed
from tests.contract.place import NOW, a_task, add, change, load, task, write

MANY = 1 << 20


def an_event(ref, seq, time=NOW, body=b"e", **fields):
    return TaskEvent(ref, f"task-{ref}", seq, 1, time, body, **fields)


async def tell(store, *events):
    await write(store, task_events=list(events))


async def numbers(store, task_id="", first=0, limit=1_000, most=MANY):
    page = await store.list_task_events(task_id, first, limit, most)
    return [(event.position, event.task_id, event.seq) for event in page.events], page.end


async def test_an_event_comes_back_as_it_was_written(store):
    """G6: byte for byte."""
    await add(store, a_task(1))
    events = [
        an_event(1, 1, body=bytes(range(256)), named=True),
        an_event(1, 2, body=b"", timed=True),
    ]
    await tell(store, *events)
    assert [event.position for event in events] == [1, 2]
    page = await store.list_task_events("task-1", 0, 10, MANY)
    assert page.events == events == (await store.list_task_events("", 0, 10, MANY)).events
    assert (page.oldest, page.last, page.end, page.status) == (1, 2, True, Status.PENDING)


@pytest.mark.parametrize("status", [Status.PENDING, Status.RUNNING])
async def test_a_task_that_changed_in_nothing_else_has_the_new_count(store, status):
    """G6: also where its row is kept in memory."""
    before = a_task(1, status=status)
    await add(store, before)
    await tell(store, *(an_event(1, seq) for seq in range(1, 41)))
    assert (await task(store, "task-1")).task_event_seq == 40
    (found,) = (await load(store, task_ids=("task-1",))).tasks
    assert (found.task_event_seq, found.version) == (40, before.version)


async def test_a_task_that_changed_besides_has_both(store):
    """G6."""
    await add(store, a_task(1, status=Status.RUNNING))
    changed = a_task(1, status=Status.RUNNING, progress=7, task_event_seq=1)
    await write(store, tasks={1: changed}, task_events=[an_event(1, 1)])
    (found,) = (await load(store, task_ids=("task-1",))).tasks
    assert found == changed == await task(store, "task-1")


async def test_pages_of_one_task_and_of_all_go_on_from_any_number(store):
    """G6: by seq, and by position."""
    await add(store, a_task(1), a_task(2))
    await tell(store, an_event(1, 1), an_event(2, 1), an_event(2, 2), an_event(1, 2))
    assert await numbers(store, "task-2") == ([(2, "task-2", 1), (3, "task-2", 2)], True)
    assert await numbers(store, "task-1", 2) == ([(4, "task-1", 2)], True)
    assert await numbers(store, "", 3) == ([(3, "task-2", 2), (4, "task-1", 2)], True)
    assert await numbers(store, "", 2, limit=2) == ([(2, "task-2", 1), (3, "task-2", 2)], False)
    assert await numbers(store, "", 5) == ([], True)


async def test_a_page_is_bounded_by_number_and_by_bytes(store):
    """S7, G6: at least one comes, however large it is."""
    await add(store, a_task(1))
    await tell(store, *(an_event(1, seq, body=b"x" * 100) for seq in range(1, 6)))
    for task_id in ("", "task-1"):
        for most, count in ((0, 1), (99, 1), (199, 1), (200, 2), (499, 4), (500, 5)):
            found, end = await numbers(store, task_id, most=most)
            assert (len(found), end) == (count, count == 5)
        assert [len((await numbers(store, task_id, limit=n))[0]) for n in (1, 4, 5, 6)] == [1, 4, 5, 5]


async def test_a_task_that_is_not_there_is_told_from_one_that_told_nothing(store):
    """G6."""
    await add(store, a_task(1))
    assert await store.list_task_events("none", 0, 10, MANY) is None
    page = await store.list_task_events("task-1", 0, 10, MANY)
    assert (page.events, page.oldest, page.last, page.end) == ([], 1, 0, True)
    page = await store.list_task_events("", 0, 10, MANY)
    assert (page.events, page.oldest, page.last, page.status) == ([], 1, 0, None)


async def test_two_events_cannot_have_one_number(store):
    """G6: whatever the rules do."""
    await add(store, a_task(1))
    await tell(store, an_event(1, 1))
    with pytest.raises(Exception, match="UNIQUE"):
        await tell(store, an_event(1, 1))
    assert (await store.snapshot(0)).last_task_event == 1


async def test_old_events_leave_oldest_first_in_small_batches(store):
    """D12, G6: what is left is everything since some position."""
    await add(store, a_task(1), a_task(2))
    await tell(store, *(an_event(1 + n % 2, 1 + n // 2, NOW + (0, 5, 1, 9)[n]) for n in range(4)))
    old = Retention(events_before=NOW + 6)
    assert await store.trim(Retention(events_before=NOW), 10) == Trimmed()
    assert await store.trim(old, 2) == Trimmed(task_events=2, more=True)
    assert await store.trim(old, 2) == Trimmed(task_events=1)
    assert await numbers(store) == ([(4, "task-2", 2)], True)
    page = await store.list_task_events("task-1", 0, 10, MANY)
    assert (page.events, page.oldest, page.last) == ([], 3, 2)
    page = await store.list_task_events("task-2", 0, 10, MANY)
    assert (page.oldest, page.last) == (2, 2)


async def test_a_position_is_never_given_again(place):
    """G6: also when every event has left."""
    store = await place.open()
    await add(store, a_task(1))
    await tell(store, an_event(1, 1), an_event(1, 2))
    await store.trim(Retention(events_before=NOW + 1), 10)
    assert (await store.list_task_events("", 0, 10, MANY)).oldest == 3
    await tell(store, an_event(1, 3))
    assert await numbers(store) == ([(3, "task-1", 3)], True)
    assert (await store.snapshot(0)).last_task_event == 3


async def test_a_task_leaves_after_its_events_which_leave_in_small_batches(store):
    """D12, G6: a run may have told a million of them; nothing of it stays behind."""
    over = {"status": Status.COMPLETED, "finished_at": NOW}
    await add(store, a_task(1, **over), a_task(2, **over), a_task(3))
    await tell(store, *(an_event(1, seq) for seq in range(1, 6)), an_event(2, 1), an_event(3, 1))
    old = Retention(tasks_before=NOW + 1)
    found = []
    while True:
        trimmed = await store.trim(old, 3)
        found.append((trimmed.tasks, trimmed.task_events))
        if not trimmed.more:
            break
    assert found == [(0, 3), (2, 3), (0, 0)]
    assert await numbers(store) == ([(7, "task-3", 1)], True)
    assert await store.list_task_events("task-1", 0, 10, MANY) is None
    # Rows are found through their task: only another one with the same seq shows what was left behind.
    await add(store, a_task(1))
    assert (await store.list_task_events("task-1", 0, 10, MANY)).events == []


async def test_a_task_whose_events_are_leaving_can_be_put_back(store):
    """D12, T2: what has left is gone, what is told then counts on."""
    await add(store, a_task(1, status=Status.DEAD_LETTER, finished_at=NOW, task_event_seq=0))
    await tell(store, *(an_event(1, seq) for seq in range(1, 4)))
    assert await store.trim(Retention(dead_before=NOW + 1), 2) == Trimmed(task_events=2, more=True)
    await change(store, a_task(1, task_event_seq=3))
    await tell(store, an_event(1, 4))
    assert await store.trim(Retention(dead_before=NOW + 1), 2) == Trimmed()
    assert await numbers(store, "task-1") == ([(3, "task-1", 3), (4, "task-1", 4)], True)


async def test_large_events_leave_fewer_at_once(store, monkeypatch):
    """D12, G6: what waits for the writer meanwhile shall not wait for a hundred mebibytes."""
    monkeypatch.setattr(retention, "BYTES", 250)
    await add(store, a_task(1, status=Status.COMPLETED, finished_at=NOW), a_task(2))
    large = [replace(an_event(1 + n % 2, 1 + n // 2), body=b"x" * 100) for n in range(8)]
    await tell(store, *large, replace(an_event(2, 5), body=b"x" * 300))
    found = []
    for limits in (Retention(tasks_before=NOW + 1), Retention(events_before=NOW + 1)):
        more = True
        while more:
            trimmed = await store.trim(limits, 500)
            more = trimmed.more
            found.append((trimmed.tasks, trimmed.task_events))
    assert found == [(0, 2), (1, 2), (0, 2), (0, 2), (0, 1)]
    assert await numbers(store) == ([], True)
