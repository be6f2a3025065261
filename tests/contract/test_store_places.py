"""Places in the queue: who is next, who waits before whom, and who waits without a place."""

from __future__ import annotations

from fleetd.core.ledger import Changes
from fleetd.core.task import Status
from fleetd.store.base import Heads, LaneRow, Write
from tests.contract.place import LANE, NOW, a_new, a_task, add, change, heads, lane_ids, load, run, seqs, task


async def test_heads_come_in_order_of_place(store):
    """D3, T2: a replayed task stands behind those that came before its replay"""
    (lane,) = await lane_ids(store, LANE)
    await add(store, *(a_task(n, lane=lane, queued=True) for n in (1, 2, 3)))

    first = await task(store, "task-1")
    first.place = (await load(store)).next_task_seq
    await change(store, first)

    assert seqs(await heads(store, lane)) == [2, 3, 1]
    assert (await task(store, "task-1")).place == 4


async def test_heads_go_on_after_a_place(store):
    """D3, D10: what is not allowed to run now is passed over without being read again"""
    one, two = await lane_ids(store, LANE, LANE._replace(priority=4))
    await add(store, *(a_task(n, lane=one if n != 3 else two, queued=n != 5) for n in range(1, 8)))

    assert seqs(await heads(store, one, 2, after=1)) == [2, 4]
    assert seqs(await heads(store, one, 2, after=4)) == [6, 7]
    assert seqs(await heads(store, one, after=3)) == [4, 6, 7]
    assert await heads(store, one, after=7) == []
    assert seqs(await heads(store, two)) == [3]


async def test_a_place_given_to_a_replay_is_never_given_again(durable_place):
    """T2, D3: places and seqs are one row of numbers, also across a restart"""
    store = await durable_place.open()
    (lane,) = await lane_ids(store, LANE)
    one = a_task(1, lane=lane, queued=True)
    await add(store, one)
    one.place = (await load(store)).next_task_seq
    await change(store, one)
    assert (await load(store)).next_task_seq == 3
    await store.close()

    again = await durable_place.open()
    number = (await load(again)).next_task_seq
    await add(again, a_task(number, lane=lane, queued=True))

    assert number == 3
    assert [(one.seq, one.place) for one in await heads(again, lane)] == [(1, 2), (3, 3)]


async def test_a_task_replayed_in_the_batch_of_a_submission_takes_the_next_place(store):
    """T2"""
    (lane,) = await lane_ids(store, LANE)
    one = a_task(1, lane=lane)
    await add(store, one)
    one.place, one.queued = 3, True

    (_, found) = await run(
        store,
        Write(Changes(tasks={1: one}, new_tasks=[a_new(a_task(2, lane=lane, queued=True))])),
        Heads(lane, 9),
    )

    assert seqs(found) == [2, 1]
    assert (await load(store)).next_task_seq == 4


async def test_the_head_of_a_lane_is_the_smallest_place(store):
    """D3: after a start, as before it"""
    (lane,) = await lane_ids(store, LANE)
    await add(
        store,
        a_task(1, lane=lane, place=9, queued=True, queued_at=NOW + 99),
        a_task(2, lane=lane, place=4, queued=True, queued_at=NOW + 44),
        a_task(3, lane=lane, place=1, queued=False),
        a_task(4, lane=lane, place=6, queued=True, queued_at=NOW + 66),
    )

    assert (await store.snapshot(0)).lanes == [LaneRow(lane, LANE, 3, 4, NOW + 44)]


async def test_those_ahead_are_counted_up_to_a_limit(store):
    """D9: behind N"""
    one, two = await lane_ids(store, LANE, LANE._replace(priority=4))
    await add(store, *(a_task(n, lane=one if n != 3 else two, queued=n != 5) for n in range(1, 8)))

    assert await store.count_ahead(one, 1, 100) == 0
    assert await store.count_ahead(one, 6, 100) == 3
    assert await store.count_ahead(one, 100, 100) == 5
    assert await store.count_ahead(one, 100, 2) == 2
    assert await store.count_ahead(two, 3, 2) == 0
    assert await store.count_ahead(77, 100, 2) == 0


async def test_pending_tasks_without_a_place_and_blocked_ones_are_counted_by_org(store):
    """D10, R6: delayed and blocked tasks wait, too"""
    await add(
        store,
        a_task(1, org_id="a"),
        a_task(2, org_id="b"),
        a_task(3, org_id="a"),
        a_task(4, org_id="a", queued=True),
        *(a_task(10 + status, org_id="a", status=status) for status in Status if status != Status.PENDING),
    )
    assert (await store.snapshot(0)).delayed == {"a": 3, "b": 1}

    back = a_task(2, org_id="b", queued=True)
    await change(store, back, a_task(3, org_id="a", status=Status.CANCELLED))

    assert (await store.snapshot(0)).delayed == {"a": 2}
