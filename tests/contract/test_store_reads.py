"""What can be read from a store."""

from __future__ import annotations

import pytest

from fleetd.core.agent import Agent, AgentSpec
from fleetd.core.event import EventFilter, EventType
from fleetd.core.ledger import Changes, Due, DueKind, Minute
from fleetd.core.task import Checkpoint, Ending, Payload, Run, Spec, Status, TaskFilter
from fleetd.store.base import LaneRow, Mark, Write
from tests.contract.place import (
    LANE,
    NOW,
    a_new,
    a_task,
    add,
    all_events,
    an_event,
    change,
    lane_ids,
    mark,
    run,
    seqs,
    task,
    write,
)


async def test_a_new_store_is_empty(store):
    snapshot = await store.snapshot(0)

    assert snapshot.daemon_id
    assert (snapshot.generation, snapshot.last_batch, snapshot.last_event_seq) == (1, 0, 0)
    assert (snapshot.agents, snapshot.lanes, snapshot.live) == ([], [], [])
    assert (snapshot.counts, snapshot.totals, snapshot.minutes) == ({}, Minute(), {})
    assert (snapshot.delayed, snapshot.rules) == ({}, {})
    assert (snapshot.instances, snapshot.breakers, snapshot.blocked) == ([], [], {})
    assert (await store.last_batch(), await store.oldest_event()) == (0, 1)
    assert await store.list_audits(0, 10, "", "") == []
    assert (await store.list_tasks(TaskFilter(), 0, 10, 10)).next_before == 0
    assert await store.due(10) == []


async def test_the_snapshot_counts_each_lane_and_names_its_head(store):
    """D7, D3"""
    one, two, empty = await lane_ids(store, LANE, LANE._replace(priority=4), LANE._replace(org_id="o"))
    await add(
        store,
        a_task(1, lane=one),
        a_task(2, lane=one, queued=True, queued_at=22),
        a_task(3, lane=two, queued=True, queued_at=33),
        a_task(4, lane=one, queued=True, queued_at=11),
    )

    assert (await store.snapshot(0)).lanes == [
        LaneRow(one, LANE, 2, 2, 22),
        LaneRow(two, LANE._replace(priority=4), 1, 3, 33),
        LaneRow(empty, LANE._replace(org_id="o"), 0, 0, 0),
    ]


async def test_the_snapshot_holds_all_live_tasks_and_no_others(store):
    """T5, T7"""
    statuses = [Status.RUNNING, *Status, Status.ASSIGNED]
    tasks = [a_task(n, status=status, agent_id=f"agent-{-n % 3}") for n, status in enumerate(statuses, 1)]
    await add(store, *tasks)

    assert (await store.snapshot(0)).live == [one for one in tasks if one.live]


async def test_tasks_are_found_by_id_with_their_parts(store):
    """T3"""
    saved = Checkpoint(b"state", "s", 1, ("s",))
    await write(store, new_tasks=[a_new(a_task(1), data=b"in"), a_new(a_task(2))], checkpoints={2: saved})

    found = await store.get_tasks(["task-2", "nowhere", "task-1", "task-1"], with_parts=True)

    assert sorted(found) == ["task-1", "task-2"]
    assert found["task-1"].parts == (Spec("title of task-1"), Payload(b"in", "text/plain"), None)
    assert found["task-2"].parts == (Spec("title of task-2"), None, saved)
    assert (await store.get_tasks(["task-1"]))["task-1"].parts is None
    assert await store.get_tasks([]) == {}


async def every_page(store, wanted: TaskFilter, limit: int, examine: int) -> list[list[int]]:
    """Return the seqs of all pages of a list."""
    pages, before = [], 0
    while True:
        page = await store.list_tasks(wanted, before, limit, examine)
        assert len(page.rows) <= limit
        assert page.next_before == 0 or before == 0 or page.next_before < before, "paging must come to an end"
        pages.append(seqs(page.rows))
        if not page.next_before:
            return pages
        before = page.next_before


def flat(pages: list[list[int]]) -> list[int]:
    return [seq for page in pages for seq in page]


async def test_a_list_pages_newest_first(store):
    """T3"""
    await add(store, *(a_task(n) for n in range(1, 8)))

    assert await every_page(store, TaskFilter(), 3, 100) == [[7, 6, 5], [4, 3, 2], [1]]
    assert await every_page(store, TaskFilter(), 7, 7) == [[7, 6, 5, 4, 3, 2, 1]]


async def test_a_page_looks_at_a_bounded_number_of_tasks(store):
    """S7: a rare match costs more pages, never a long read"""
    await add(store, *(a_task(n, task_type="rare" if n in (2, 9) else "") for n in range(1, 11)))
    wanted = TaskFilter(task_type="rare")

    assert await every_page(store, wanted, 5, 4) == [[9], [], [2]]
    assert await every_page(store, wanted, 1, 4) == [[9], [], [2]]
    assert await every_page(store, wanted, 5, 10) == [[9, 2]]


async def test_a_page_does_not_move_when_tasks_arrive(store):
    await add(store, *(a_task(n) for n in range(1, 6)))
    page = await store.list_tasks(TaskFilter(), 0, 2, 100)
    await add(store, a_task(6), a_task(7))

    assert seqs((await store.list_tasks(TaskFilter(), page.next_before, 2, 100)).rows) == [3, 2]


DEAD = frozenset({Status.DEAD_LETTER})
LISTED = [
    a_task(
        1,
        org_id="o",
        status=Status.FAILED,
        agent_id="a",
        task_type="x",
        created_at=NOW,
        error_code="LOGIC_ERROR",
    ),
    a_task(
        2,
        org_id="o",
        status=Status.DEAD_LETTER,
        agent_id="b",
        created_at=NOW + 10,
        error_code="AGENT_ERROR",
        dead_reason="ATTEMPTS_EXHAUSTED",
        finished_at=NOW + 100,
    ),
    a_task(3, status=Status.RUNNING, agent_id="a", parent_id="task-1", created_at=NOW + 20),
    a_task(4, status=Status.ASSIGNED, agent_id="b", external_ref="r", created_at=NOW + 30),
    a_task(
        5, status=Status.COMPLETED, agent_id="a", parent_id="task-1", external_ref="q", created_at=NOW + 40
    ),
    a_task(6, org_id="o", status=Status.PENDING, external_ref="r", created_at=NOW + 50),
    a_task(7, status=Status.FAILED, agent_id="a", task_type="x", created_at=NOW + 60),
    a_task(8, status=Status.BLOCKED, created_at=NOW + 70),
    a_task(
        9,
        status=Status.DEAD_LETTER,
        created_at=NOW + 80,
        error_code="AGENT_LOST",
        dead_reason="POISON",
        finished_at=NOW + 200,
    ),
]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (TaskFilter(), [9, 8, 7, 6, 5, 4, 3, 2, 1]),
        (TaskFilter(statuses=frozenset({Status.PENDING})), [6]),
        (TaskFilter(statuses=frozenset({Status.COMPLETED})), [5]),
        (TaskFilter(statuses=frozenset({Status.RUNNING})), [3]),
        (TaskFilter(statuses=frozenset({Status.RUNNING, Status.ASSIGNED})), [4, 3]),
        (TaskFilter(statuses=frozenset({Status.RUNNING, Status.ASSIGNED}), agent_id="a"), [3]),
        (TaskFilter(statuses=frozenset({Status.FAILED})), [7, 1]),
        (
            TaskFilter(statuses=frozenset({Status.FAILED, Status.DEAD_LETTER, Status.BLOCKED})),
            [9, 8, 7, 2, 1],
        ),
        (TaskFilter(statuses=frozenset({Status.FAILED, Status.PENDING})), [7, 6, 1]),
        (TaskFilter(org_id="o"), [6, 2, 1]),
        (TaskFilter(agent_id="a"), [7, 5, 3, 1]),
        (TaskFilter(task_type="x"), [7, 1]),
        (TaskFilter(task_type="x", org_id="o"), [1]),
        (TaskFilter(created_after=NOW + 20, created_before=NOW + 50), [5, 4, 3]),
        (TaskFilter(parent_id="task-1"), [5, 3]),
        (TaskFilter(parent_id="task-1", statuses=frozenset({Status.RUNNING})), [3]),
        (TaskFilter(external_ref="r"), [6, 4]),
        (TaskFilter(external_ref="r", org_id="o"), [6]),
        (TaskFilter(external_ref="q", parent_id="task-1"), [5]),
        (TaskFilter(external_ref="nothing"), []),
        (TaskFilter(error_code="AGENT_ERROR"), [2]),
        (TaskFilter(statuses=DEAD), [9, 2]),
        (TaskFilter(statuses=DEAD, error_code="AGENT_LOST"), [9]),
        (TaskFilter(statuses=DEAD, dead_reason="ATTEMPTS_EXHAUSTED"), [2]),
        (TaskFilter(dead_reason="POISON", org_id="default"), [9]),
        (TaskFilter(statuses=DEAD, finished_after=NOW + 100), [9, 2]),
        (TaskFilter(statuses=DEAD, finished_after=NOW + 101), [9]),
        (TaskFilter(statuses=DEAD, finished_before=NOW + 200), [2]),
        (TaskFilter(finished_before=NOW + 201), [9, 2]),
        (TaskFilter(finished_after=NOW + 100, finished_before=NOW + 101), [2]),
    ],
)
async def test_a_list_is_filtered_by_every_field(store, wanted, found):
    """T3, F5: status, org, agent, type, times, parent, reference and error; the same however small the pages are"""
    await add(store, *LISTED)

    assert await every_page(store, wanted, 100, 1_000) == [found]
    for limit, examine in ((1, 1), (1, 3), (2, 2), (3, 100)):
        assert flat(await every_page(store, wanted, limit, examine)) == found


async def test_a_list_is_filtered_by_tag_and_labels(store):
    """T3"""
    await add(store, a_task(1), spec=Spec("t", tags=("a", "b"), labels={"team.x": "blue", 'q"': "1"}))
    await add(store, a_task(2), spec=Spec("t", tags=("ab",), labels={"team.x": "red"}))
    await add(store, a_task(3), spec=Spec("blue", metadata={"team.x": "blue"}))

    async def found(**wanted):
        return flat(await every_page(store, TaskFilter(**wanted), 10, 10))

    assert await found(tag="a") == [1]
    assert await found(tag="ab") == [2]
    assert await found(labels={"team.x": "blue"}) == [1]
    assert await found(labels={"team.x": "blue", 'q"': "1"}) == [1]
    assert await found(labels={"team.x": "blue", 'q"': "2"}) == []
    assert await found(tag="b", labels={"team.x": "red"}) == []


async def add_events(store):
    """Write ten events: of two tasks, two agents, two types."""
    kinds = [EventType.TASK_CREATED, EventType.TASK_STARTED]
    await add(store, a_task(1), a_task(2))
    events = [
        an_event(
            kinds[n % 2],
            1 + n % 3 if n % 3 < 2 else 0,
            agent_id="ab"[n % 2],
            org_id="op"[n > 5],
            time=NOW + n,
        )
        for n in range(10)
    ]
    await write(store, events=events)
    return events


@pytest.mark.parametrize(
    "wanted",
    [
        EventFilter(),
        EventFilter(task_id="task-1"),
        EventFilter(task_id="task-2", agent_id="a"),
        EventFilter(task_id="nowhere"),
        EventFilter(agent_id="a"),
        EventFilter(org_id="p"),
        EventFilter(types=frozenset({EventType.TASK_STARTED})),
        EventFilter(types=frozenset({EventType.TASK_STARTED, EventType.TASK_CREATED}), task_id="task-1"),
        EventFilter(after=NOW + 3, before=NOW + 7),
    ],
)
async def test_events_are_filtered_as_the_watchers_filter_them(store, wanted):
    """T8: by task, agent, org, type and time; listing and watching agree, whatever the size of the pages"""
    events = await add_events(store)
    expected = [event for event in events if wanted.matches(event)]

    assert await all_events(store, wanted) == expected
    for limit, examine in ((1, 1), (2, 3), (3, 2), (100, 100)):
        found, position, end = [], 0, False
        while not end:
            page = await store.list_events(wanted, position, limit, examine)
            assert len(page.events) <= limit
            assert page.end or page.position > position
            found, position, end = found + page.events, page.position, page.end
        assert found == expected
        assert position == 10


async def test_events_end_where_nothing_more_is_known(store):
    """T8: a watcher goes on from the position and misses nothing"""
    await add_events(store)

    page = await store.list_events(EventFilter(agent_id="nobody"), 4, 10, 3)
    assert (page.events, page.position, page.end) == ([], 7, False)
    page = await store.list_events(EventFilter(agent_id="nobody"), 7, 10, 3)
    assert (page.events, page.position, page.end) == ([], 10, True)
    page = await store.list_events(EventFilter(), 10, 10, 10)
    assert (page.events, page.position, page.end) == ([], 10, True)

    await write(store, events=[an_event()])
    assert seqs((await store.list_events(EventFilter(), page.position, 10, 10)).events) == [11]
    assert await store.oldest_event() == 1


async def test_status_tells_what_the_store_is(store):
    """D7"""
    before = await store.status()
    await write(store, new_tasks=[a_new(a_task(1), data=b"x" * 500_000)])
    after = await store.status()

    assert before.engine == after.engine == "sqlite"
    assert after.bytes > before.bytes + 400_000


async def test_reading_a_store_that_is_not_open_says_so(place):
    store = place.make()

    with pytest.raises(Exception, match="is not open"):
        await store.due(1)
    with pytest.raises(Exception, match="is not open"):
        await mark(store, 1)


async def test_a_store_may_be_closed_twice_or_without_having_been_opened(place):
    await place.make().close()
    store = await place.open()
    await store.close()
    await store.close()


async def test_a_store_opened_again_holds_what_was_written(durable_place):
    """T8, D1, D6: nothing acknowledged is missing after a restart"""
    store = await durable_place.open()
    (lane,) = await lane_ids(store, LANE)
    over = Run(task_seq=2, lease_epoch=1, agent_id="a", attempt=1, ending=Ending.FAILED, status=Status.FAILED)
    await run(
        store,
        Write(
            Changes(
                new_tasks=[
                    a_new(a_task(1, lane=lane, queued=True, due=DueKind.DEADLINE)),
                    a_new(a_task(2, status=Status.RUNNING)),
                ],
                events=[an_event(ref=1), an_event(ref=2)],
                due=[Due(5, DueKind.DEADLINE, 1)],
                runs=[over],
                agents={"a": Agent(spec=AgentSpec("a"))},
            )
        ),
        Mark(7, 3, Minute(submitted=2), {Status.PENDING: 1, Status.RUNNING: 1}),
    )
    before, tasks = await store.snapshot(0), await store.get_tasks(["task-1", "task-2"], with_parts=True)
    await store.close()

    store = await durable_place.open()
    after = await store.snapshot(0)

    assert after.generation == before.generation + 1
    for name in (
        "daemon_id",
        "last_batch",
        "last_event_seq",
        "agents",
        "lanes",
        "live",
        "counts",
        "totals",
        "minutes",
    ):
        assert getattr(after, name) == getattr(before, name)
    assert await store.get_tasks(["task-1", "task-2"], with_parts=True) == tasks
    assert await store.due(10) == [Due(5, DueKind.DEADLINE, 1)]
    assert await store.get_runs("task-2") == [over]
    assert seqs(await all_events(store, EventFilter())) == [1, 2]


async def test_every_start_is_a_new_generation_of_the_same_daemon(durable_place):
    """T5, S7: nobody takes an older start for the present one"""
    found = []
    for _ in range(3):
        store = await durable_place.open()
        found.append(await store.snapshot(0))
        await store.close()

    assert [one.generation for one in found] == [1, 2, 3]
    assert len({one.daemon_id for one in found}) == 1


async def test_the_marker_is_seen_by_a_new_connection(place):
    """T8: an unclear commit is decided by what another connection sees"""
    store = await place.open()
    for batch in (1, 2):
        await mark(store, batch)
        assert await store.last_batch() == batch


async def test_a_task_reads_as_its_last_commit_left_it(store):
    one = a_task(1)
    await add(store, one)
    for progress in (10, 50):
        one.progress = progress
        await change(store, one)
        assert (await task(store, "task-1")).progress == progress
