"""What is old leaves the store, and nothing else does."""

from __future__ import annotations

import pytest

from fleetd.core.event import EventFilter
from fleetd.core.ledger import Audit, Due, DueKind, Edge, TaskPlan
from fleetd.core.task import TERMINAL, Checkpoint, Ending, Run, Spec, Status, TaskFilter
from fleetd.store.base import Retention, Trimmed
from tests.contract.place import (
    LANE,
    NOW,
    a_new,
    a_plan,
    a_task,
    add,
    all_events,
    an_event,
    change,
    lane_ids,
    load,
    mark,
    parts,
    seqs,
    task,
    write,
)

ALL = Retention(NOW + 10**9, NOW + 10**9, NOW + 10**9, NOW + 10**9)


def an_old(seq: int, status: Status = Status.COMPLETED, finished_at: int = NOW, **fields):
    return a_task(seq, status=status, finished_at=finished_at, **fields)


async def stored(store) -> list[int]:
    return sorted(seqs((await store.list_tasks(TaskFilter(), 0, 1_000, 1_000)).rows))


async def test_terminal_tasks_leave_when_their_time_has_passed(store):
    """D12: dead letters and discarded ones are kept for a time of their own"""
    tasks = [an_old(2 * status, status) for status in Status]
    younger = [an_old(2 * status + 1, status, NOW + 1) for status in Status]
    await add(store, *tasks, *younger)
    over = {2 * Status.COMPLETED, 2 * Status.FAILED, 2 * Status.CANCELLED}
    dead = {2 * Status.DEAD_LETTER, 2 * Status.DISCARDED}
    everything = {one.seq for one in tasks + younger}

    assert await store.trim(Retention(), 100) == Trimmed()
    assert await store.trim(Retention(tasks_before=NOW), 100) == Trimmed()
    assert await store.trim(Retention(tasks_before=NOW + 1), 100) == Trimmed(tasks=3)
    assert set(await stored(store)) == everything - over
    assert await store.trim(Retention(dead_before=NOW + 1), 100) == Trimmed(tasks=2)
    assert set(await stored(store)) == everything - over - dead
    await store.trim(ALL, 100)
    assert {one.task.status for one in (await store.list_tasks(TaskFilter(), 0, 99, 99)).rows} == set(
        Status
    ) - TERMINAL


async def test_a_task_leaves_with_everything_that_belongs_to_it(store):
    """D12, D6, R5: specs, inputs, checkpoints, results, plans, lineage and things to do later"""
    for seq in (1, 2):
        await write(
            store,
            new_tasks=[a_new(an_old(seq, due=DueKind.REPLAY), Spec("t", tags=("x",)), b"input")],
            checkpoints={seq: Checkpoint(b"state", "s", 1)},
            runs=[
                Run(
                    task_seq=seq,
                    lease_epoch=e,
                    agent_id="a",
                    attempt=e,
                    ending=Ending.COMPLETED,
                    status=Status.COMPLETED,
                )
                for e in (1, 2)
            ],
            due=[Due(NOW, DueKind.REPLAY, seq)],
            edges=[Edge(seq, "retry_of", f"task-{seq}", NOW, "")],
            plans=[TaskPlan(seq, a_plan(f"task-{seq}", version)) for version in (1, 2)],
        )
    young = an_old(2, finished_at=NOW + 5, due=DueKind.REPLAY)
    await change(store, young)

    assert await store.trim(Retention(tasks_before=NOW + 1), 100) == Trimmed(tasks=1)

    assert await store.get_tasks(["task-1"], with_parts=True) == {}
    assert await store.get_runs("task-1") == await store.lineage("task-1") == []
    loaded = await load(
        store, task_ids=("task-1",), specs=("task-1",), checkpoints=("task-1",), runs=(("task-1", 1),)
    )
    assert (loaded.tasks, loaded.specs, loaded.checkpoints, loaded.runs) == ([], {}, {}, {})
    assert sorted(await parts(store, 1, 2)) == [2]
    assert await store.due(10) == [Due(NOW, DueKind.REPLAY, 2)]
    kept = (await store.get_tasks(["task-2"], with_parts=True))["task-2"]
    assert kept.task == young
    assert kept.parts.input.data == b"input"
    assert kept.parts.checkpoint == Checkpoint(b"state", "s", 1)
    assert len(await store.get_runs("task-2")) == 2
    assert len(await store.lineage("task-2")) == 1
    assert len(await store.get_plans("task-2")) == 2
    # A plan is found through its task: only another one with the same seq shows what was left behind.
    await add(store, a_task(1))
    assert await store.get_plans("task-1") == []


async def test_a_child_remembers_a_parent_that_left(store):
    """D12, T8: lineage"""
    await write(
        store,
        new_tasks=[a_new(an_old(1)), a_new(a_task(2, parent_id="task-1"))],
        edges=[Edge(2, "child_of", "task-1", NOW, "")],
    )

    await store.trim(ALL, 100)

    assert await store.lineage("task-2") == [("task-2", Edge(2, "child_of", "task-1", NOW, ""))]


async def test_a_key_and_a_reference_are_free_when_their_task_left(store):
    """D12, T4"""
    await add(store, an_old(1, idempotency_key="k", external_ref="r"))
    await store.trim(ALL, 100)

    await add(store, a_task(2, id="task-1", idempotency_key="k", external_ref="r"))

    assert seqs((await load(store, idempotency=(("default", "k"),))).tasks) == [2]


async def test_a_batch_takes_the_oldest_tasks_first_and_says_when_there_is_more(store):
    """D12: small batches, off the hot path"""
    ages = [5, 3, 9, 1, 7]
    await add(store, *(an_old(seq, finished_at=NOW + age) for seq, age in enumerate(ages, 1)))
    await add(store, an_old(6, Status.DEAD_LETTER), an_old(7, Status.DISCARDED))

    found = []
    while True:
        trimmed = await store.trim(ALL, 2)
        found.append(await stored(store))
        if not trimmed.more:
            break

    assert found == [[1, 3, 5, 6, 7], [3, 6, 7], [7], []]


async def test_a_replayed_dead_letter_stays(store):
    """D12, T2: only what is terminal now leaves"""
    (lane,) = await lane_ids(store, LANE)
    await add(store, an_old(1, Status.DEAD_LETTER))
    await change(store, a_task(1, lane=lane, queued=True, replays=1))

    assert await store.trim(ALL, 100) == Trimmed()
    assert (await task(store, "task-1")).replays == 1


async def test_events_leave_from_the_old_end_without_gaps(store):
    """D12, T8: what is left is everything since some seq, even when the clock once went back"""
    ages = [1, 2, 9, 3, 10]
    events = [an_event(time=NOW + age) for age in ages]
    await write(store, events=events)

    assert await store.trim(Retention(events_before=NOW + 5), 100) == Trimmed(events=2)
    assert await all_events(store, EventFilter()) == events[2:]
    assert await store.oldest_event() == 3
    assert await store.trim(Retention(events_before=NOW + 5), 100) == Trimmed()
    assert await store.trim(Retention(events_before=NOW + 10), 1) == Trimmed(events=1, more=True)
    assert await store.trim(Retention(events_before=NOW + 10), 2) == Trimmed(events=1)
    assert seqs(await all_events(store, EventFilter())) == [5]


async def test_an_emptied_log_begins_with_the_next_event(store):
    """D12, T8: a watcher that comes from before it is told that it missed something"""
    await write(store, new_tasks=[a_new(a_task(1))], events=[an_event(ref=1) for _ in range(3)])

    assert await store.trim(ALL, 3) == Trimmed(events=3, more=True)

    assert await store.oldest_event() == 4
    page = await store.list_events(EventFilter(), 3, 10, 10)
    assert (page.events, page.position, page.end) == ([], 3, True)
    later = an_event(ref=1)
    await write(store, events=[later])
    assert (later.seq, await store.oldest_event()) == (4, 4)
    assert await all_events(store, EventFilter(task_id="task-1")) == [later]


async def numbers(store) -> list[int]:
    """Return the ids of the audit log, oldest first."""
    return [line.id for line in reversed(await store.list_audits(0, 1_000, "", ""))]


def an_audit(age: int, target: str = "agent/a") -> Audit:
    return Audit(NOW + age, "op:kim", "DrainAgent", target, "why")


async def test_lines_of_the_audit_log_leave_from_the_old_end_without_gaps(store):
    """D12, F5: in small batches, even when the clock once went back"""
    await write(store, audits=[an_audit(age) for age in (1, 2, 9, 3, 10)])

    assert await store.trim(Retention(), 100) == Trimmed()
    assert await store.trim(Retention(NOW + 99, NOW + 99, NOW + 99), 100) == Trimmed()
    assert await store.trim(Retention(audits_before=NOW + 1), 100) == Trimmed()
    assert await store.trim(Retention(audits_before=NOW + 5), 1) == Trimmed(audits=1, more=True)
    assert await numbers(store) == [2, 3, 4, 5]
    assert await store.trim(Retention(audits_before=NOW + 5), 100) == Trimmed(audits=1)
    assert await numbers(store) == [3, 4, 5]
    assert await store.trim(Retention(audits_before=NOW + 10), 100) == Trimmed(audits=2)
    (line,) = await store.list_audits(0, 10, "", "agent/a")
    assert (line.id, line.at) == (5, NOW + 10)


async def test_a_line_of_the_audit_log_never_gets_the_number_of_one_that_left(store):
    """D12, F5: people quote the numbers, and pages go by them"""
    await write(store, audits=[an_audit(0), an_audit(1)])
    while (await store.trim(ALL, 1)).more:
        pass

    await write(store, audits=[an_audit(2, "agent/b")])

    (line,) = await store.list_audits(0, 10, "", "agent/b")
    assert line.id == 3
    assert 1 not in await numbers(store)


async def test_what_was_counted_stays_counted(store):
    """D12, D7: terminal counts are of all that ever ended"""
    await add(store, an_old(1))
    await mark(store, 1, COMPLETED=1)
    before = await store.snapshot(0)

    await store.trim(ALL, 100)

    assert await store.snapshot(0) == before
    assert (await load(store)).next_task_seq == 2


async def test_dead_letters_are_counted_as_they_are_now(store):
    """F8, D12: those that were replayed, discarded, or left with their time are none any more"""
    await add(store, *(an_old(seq, Status.DEAD_LETTER, NOW + seq) for seq in range(1, 8)))
    await add(store, an_old(8), an_old(9, Status.DISCARDED), a_task(10))
    assert await store.count_dead_letters(100) == 7
    assert await store.count_dead_letters(7) == 7
    assert await store.count_dead_letters(3) == 3
    assert await store.count_dead_letters(0) == 0

    (lane,) = await lane_ids(store, LANE)
    await change(store, a_task(6, lane=lane, queued=True), an_old(7, Status.DISCARDED))
    await store.trim(Retention(dead_before=NOW + 3), 100)

    assert await store.count_dead_letters(100) == 3


@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_what_left_stays_away_after_a_restart(durable_place, limit):
    """D12"""
    store = await durable_place.open()
    await write(
        store,
        new_tasks=[a_new(an_old(seq)) for seq in (1, 2, 3)],
        events=[an_event(ref=1), an_event(ref=2)],
    )
    while (await store.trim(ALL, limit)).more:
        pass
    await store.close()

    again = await durable_place.open()

    assert await stored(again) == []
    assert await again.oldest_event() == 3
