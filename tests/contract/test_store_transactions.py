"""What a transaction of a store does: all of it, or nothing."""

from __future__ import annotations

from copy import copy
from dataclasses import fields

import pytest

from fleetd.core.agent import Agent, AgentOrder, AgentSpec, SessionKind
from fleetd.core.event import EventFilter, EventType
from fleetd.core.ledger import Changes, Due, DueKind, Edge, Keys, Minute
from fleetd.core.rollout import Cause, TaskRollout
from fleetd.core.route import LatencyClass, Requirements, TaskRoute, Try
from fleetd.core.task import (
    Artifact,
    Checkpoint,
    Ending,
    Mode,
    ModeSource,
    Order,
    Payload,
    Priority,
    RetryPolicy,
    Run,
    Spec,
    Status,
    Task,
)
from fleetd.store.base import Intern, Load, Mark, Write
from tests.contract.place import (
    LANE,
    a_new,
    a_task,
    add,
    all_events,
    an_event,
    change,
    heads,
    lane_ids,
    load,
    mark,
    parts,
    run,
    seqs,
    task,
    write,
)

FULL_SPEC = Spec(
    title="Ünïcode, 'quotes', \"more\" and a NUL: \x00",
    description="two\nlines",
    metadata={"k": "v", "": "empty key"},
    tags=("a", "b"),
    labels={"team.name": "blue $ [0]"},
    required_capabilities=("code:rust",),
    estimated_duration=5,
    schedule_to_start=6,
    traceparent="00-abc",
)


FULL_ROUTE = TaskRoute(
    requirements=Requirements(
        ("coding", "tool use"), ("cheap",), 32_000, LatencyClass.BATCH, ("vision",), "ünï/model"
    ),
    version=1,
    selected="openai:gpt-4o",
    fallback=("local:llama", "openai:mini"),
    made_at=2,
    summary="why: 'quotes' and a NUL: \x00",
    pin="local:llama",
    pinned_until=3,
    forced=True,
    instance="local:llama",
    epochs=(0, 4),
    retries=5,
    tried=("a:b", "c:d"),
    tries=(Try("a:b", "RATE_LIMITED", 6), Try("c:d", "", 0)),
    above=7,
    retry_at=8,
)


def a_full_task(seq: int) -> Task:
    """Return a task with no field at its default."""
    return Task(
        seq=seq,
        id=f"full-{seq}",
        org_id="org",
        task_type="type",
        status=Status.RUNNING,
        priority=Priority.URGENT,
        lane=7,
        place=25,
        queued=True,
        mode=Mode.PULL,
        mode_source=ModeSource.CLAIM,
        lease_epoch=3,
        agent_id="agent",
        session_epoch=4,
        accepted=True,
        order=Order.TIMEOUT,
        order_at=5,
        ending=Ending.RELEASED,
        attempt=6,
        max_attempts=7,
        losses=8,
        replays=26,
        dead_reason="POISON",
        progress=9,
        progress_message="half way",
        progress_at=10,
        version=11,
        events=12,
        created_at=13,
        updated_at=14,
        queued_at=15,
        run_at=16,
        assigned_at=17,
        started_at=18,
        finished_at=19,
        cancel_requested_at=20,
        deadline=21,
        start_by=22,
        timeout=23,
        due=24,
        error_code="CODE",
        error_message="message",
        retry=RetryPolicy(1, 1.5, 3, 0.25),
        reserved_agent="reserved",
        exclusive=True,
        parent_id="parent",
        external_ref="ref",
        idempotency_key="key",
        body_hash=b"\x00\xff",
        route=copy(FULL_ROUTE),
        blocked=-(2**63),
        task_event_base=3,
        task_event_seq=5,
        rollout=TaskRollout("chat", "new", Cause.PERCENT, 7, trial=True, shadow=True, other="task-0"),
    )


def a_run(seq: int, epoch: int, **fields) -> Run:
    values = {
        "agent_id": "a",
        "attempt": epoch,
        "ending": Ending.COMPLETED,
        "status": Status.COMPLETED,
        **fields,
    }
    return Run(task_seq=seq, lease_epoch=epoch, **values)


async def test_every_field_of_a_task_comes_back_as_it_was_written(store):
    """T3"""
    full = a_full_task(1)
    plain = {name for name in Task.__slots__ if getattr(full, name) == getattr(Task(seq=0, id=""), name)}
    assert not plain, "every field must differ from its default, or this test does not look at it"
    route = full.route
    plain = {name for name in TaskRoute.__slots__ if getattr(route, name) == getattr(TaskRoute(None), name)}
    plain |= {
        name
        for name in Requirements._fields
        if getattr(route.requirements, name) == getattr(Requirements(), name)
    }
    assert not plain, "nor may one of its route or its requirements"
    await write(store, new_tasks=[a_new(full, FULL_SPEC, b"input")])

    row = (await store.get_tasks(["full-1"], with_parts=True))["full-1"]

    assert row.task == full
    assert row.spec == FULL_SPEC
    assert row.parts.input == Payload(b"input", "text/plain")
    assert row.parts.checkpoint is None
    for name in (
        "status",
        "priority",
        "mode",
        "mode_source",
        "order",
        "ending",
        "queued",
        "accepted",
        "exclusive",
    ):
        assert type(getattr(row.task, name)) is type(getattr(full, name))
    assert type(row.task.route.requirements.latency_class) is LatencyClass
    assert row.task.route.forced is True


async def test_a_loaded_task_has_a_route_of_its_own(store):
    """T8, R5: what a command changes and takes back must not show in the next transaction, also for live tasks, which are kept"""
    full = a_full_task(1)
    await write(store, new_tasks=[a_new(full)])
    for _ in range(2):
        (found,) = (await load(store, task_ids=("full-1",))).tasks
        assert found == full
        found.route.version = 99


async def test_a_task_without_requirements_has_no_route_and_can_lose_one(store):
    """R13"""
    await add(store, a_task(1), a_task(2, route=copy(FULL_ROUTE)))
    assert (await task(store, "task-1")).route is None

    await change(store, a_task(1, route=TaskRoute(Requirements())), a_task(2))

    assert (await task(store, "task-1")).route == TaskRoute(Requirements())
    assert (await task(store, "task-2")).route is None


async def test_an_update_writes_every_field_but_those_that_name_the_task(store):
    """T2, T3"""
    first = a_task(
        1, org_id="org", task_type="type", created_at=13, exclusive=True, retry=RetryPolicy(1, 1.5, 3, 0.25)
    )
    first.parent_id, first.external_ref, first.idempotency_key, first.body_hash = (
        "parent",
        "ref",
        "key",
        b"\x00\xff",
    )
    first.rollout = a_full_task(1).rollout
    await add(store, first)
    full = a_full_task(1)
    full.id = first.id
    # Decided once, when it was submitted.
    full.rollout = first.rollout

    await change(store, full)

    assert await task(store, first.id) == full


async def test_a_script_that_raises_changes_nothing(store):
    """T8: state and event live or die together"""
    await add(store, a_task(1))
    before = await store.snapshot(0)

    def script():
        yield Intern([LANE])
        yield Write(
            Changes(new_tasks=[a_new(a_task(2))], events=[an_event(ref=2)], due=[Due(1, DueKind.START, 2)])
        )
        yield Mark(9, 1, Minute(submitted=1), {Status.PENDING: 1})
        raise KeyError("a defect")

    with pytest.raises(KeyError, match="a defect"):
        await store.transact(script)

    assert await store.snapshot(0) == before
    assert await store.get_tasks(["task-2"]) == {}
    assert await store.due(10) == []
    assert await all_events(store, EventFilter()) == []
    assert (await load(store)).next_task_seq == 2


async def test_a_script_sees_what_it_wrote_before(store):
    def script():
        (lane,) = yield Intern([LANE])
        yield Write(Changes(new_tasks=[a_new(a_task(1, lane=lane, queued=True))]))
        loaded = yield Load(Keys(task_ids=("task-1",)))
        return loaded

    loaded = await store.transact(script)

    assert seqs(loaded.tasks) == [1]
    assert loaded.next_task_seq == 2


async def test_a_script_that_yields_nothing_returns_its_result(store):
    def script():
        return 42
        yield

    assert await store.transact(script) == 42


async def test_the_store_goes_on_after_a_script_that_raised(store):
    """S7"""

    def script():
        yield Write(Changes(new_tasks=[a_new(a_task(1))]))
        raise KeyError

    with pytest.raises(KeyError):
        await store.transact(script)
    await add(store, a_task(1))

    assert seqs((await load(store, task_seqs=(1,))).tasks) == [1]


async def test_a_second_task_with_the_same_key_is_refused_whole(store):
    """T4: idempotency keys are unique within an org"""
    await add(
        store,
        a_task(1, idempotency_key="k"),
        a_task(2, org_id="other", idempotency_key="k"),
        a_task(3),
        a_task(4),
    )

    with pytest.raises(Exception, match="UNIQUE"):
        await add(store, a_task(5), a_task(6, idempotency_key="k"))

    assert seqs((await load(store, task_seqs=(1, 2, 3, 4, 5, 6))).tasks) == [1, 2, 3, 4]
    assert seqs((await load(store, idempotency=(("default", "k"), ("nobody", "k")))).tasks) == [1]


async def test_a_key_stays_taken_when_its_task_is_over(store):
    """T4: the first task answers for its key as long as it is kept"""
    await add(store, a_task(1, idempotency_key="k", status=Status.COMPLETED, body_hash=b"hash"))

    (found,) = (await load(store, idempotency=(("default", "k"),))).tasks

    assert found.body_hash == b"hash"


@pytest.mark.parametrize("status", [Status.PENDING, Status.ASSIGNED, Status.RUNNING, Status.BLOCKED])
async def test_an_external_reference_belongs_to_one_unfinished_task(store, status):
    """T4"""
    await add(store, a_task(1, external_ref="r", status=status))
    assert seqs((await load(store, external_refs=(("default", "r"),))).tasks) == [1]

    with pytest.raises(Exception, match="UNIQUE"):
        await add(store, a_task(2, external_ref="r"))


@pytest.mark.parametrize(
    "status", [Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.DEAD_LETTER, Status.DISCARDED]
)
async def test_an_external_reference_is_free_when_its_task_is_over(store, status):
    """T4"""
    await add(store, a_task(1, external_ref="r", status=status))
    assert (await load(store, external_refs=(("default", "r"),))).tasks == []

    await add(store, a_task(2, external_ref="r"))

    assert seqs((await load(store, external_refs=(("default", "r"),))).tasks) == [2]


async def test_one_write_may_hand_an_external_reference_on(store):
    """T2, T4: whatever the order in which the rows were touched"""
    old, dead = a_task(1, external_ref="r"), a_task(2, external_ref="s", status=Status.DEAD_LETTER)
    holder = a_task(3, external_ref="s")
    await add(store, old, dead, holder)
    old.status, dead.status, holder.status = Status.CANCELLED, Status.PENDING, Status.COMPLETED
    over, heir = a_task(5, external_ref="t", status=Status.CANCELLED), a_task(4, external_ref="r")
    new = [a_new(heir), a_new(a_task(6, external_ref="t")), a_new(over)]

    await write(store, tasks={2: dead, 1: old, 3: holder}, new_tasks=new)

    wanted = (("default", "r"), ("default", "s"), ("default", "t"))
    assert sorted(seqs((await load(store, external_refs=wanted)).tasks)) == [2, 4, 6]


async def test_loading_by_several_keys_names_a_task_once(store):
    await add(
        store,
        a_task(1, idempotency_key="k", external_ref="r", status=Status.RUNNING, agent_id="a"),
        a_task(2),
    )

    loaded = await load(
        store,
        task_ids=("task-1", "nowhere", "task-2"),
        task_seqs=(1, 99),
        idempotency=(("default", "k"),),
        external_refs=(("default", "r"),),
        held_by=("a",),
    )

    assert sorted(seqs(loaded.tasks)) == [1, 2]


async def test_held_by_finds_live_leases_only(store):
    """T5, D2"""
    statuses = list(Status)
    await add(store, *(a_task(n, status=status, agent_id="a") for n, status in enumerate(statuses, 1)))
    await add(
        store,
        a_task(20, status=Status.RUNNING, agent_id="b"),
        a_task(21, status=Status.RUNNING, agent_id="c"),
    )

    found = (await load(store, held_by=("a", "c", "nobody"))).tasks

    assert sorted(found_one.seq for found_one in found) == [Status.ASSIGNED, Status.RUNNING, 21]


async def test_specs_checkpoints_and_runs_are_loaded_by_task_id(store):
    """T5, T6"""
    saved = Checkpoint(b"\x00state", "step-2", 77, ("step-1", "step-2"))
    over = a_run(1, 1)
    await write(
        store, new_tasks=[a_new(a_task(1), FULL_SPEC), a_new(a_task(2))], checkpoints={1: saved}, runs=[over]
    )

    loaded = await load(
        store,
        specs=("task-1", "nowhere"),
        checkpoints=("task-1", "task-2"),
        runs=(("task-1", 1), ("task-1", 2), ("x", 1)),
    )

    assert loaded.tasks == []
    assert loaded.specs == {1: FULL_SPEC}
    assert loaded.checkpoints == {1: saved}
    assert loaded.runs == {("task-1", 1): over}


async def test_a_later_spec_and_checkpoint_replace_the_earlier(store):
    """D14, T3"""
    await write(store, new_tasks=[a_new(a_task(1))], checkpoints={1: Checkpoint(b"old", "a", 1)})
    later = Checkpoint(b"new", "b", 2, ("a", "b"))

    await write(store, specs={1: FULL_SPEC}, checkpoints={1: later})

    assert (await parts(store, 1, 2))[1] == (FULL_SPEC, None, later)


async def test_a_spec_changed_in_the_write_that_inserts_its_task_is_kept(store):
    await write(store, new_tasks=[a_new(a_task(1))], specs={1: FULL_SPEC})

    assert (await parts(store, 1))[1].spec == FULL_SPEC


async def test_heads_are_the_oldest_queued_tasks_of_the_lane(store):
    """T5, D3: first in, first out within a lane"""
    one, two = await lane_ids(store, LANE, LANE._replace(priority=4))
    await add(store, *(a_task(n, lane=one if n % 2 else two, queued=n != 3) for n in range(1, 10)))

    assert seqs(await heads(store, one, 2)) == [1, 5]
    assert seqs(await heads(store, one)) == [1, 5, 7, 9]
    assert seqs(await heads(store, two)) == [2, 4, 6, 8]
    assert await heads(store, 99) == []


async def test_a_task_that_comes_back_gets_its_old_place(store):
    """T5"""
    (lane,) = await lane_ids(store, LANE)
    tasks = [a_task(n, lane=lane, queued=True) for n in (1, 2, 3)]
    await add(store, *tasks)
    tasks[0].queued, tasks[0].status = False, Status.ASSIGNED
    await change(store, tasks[0])
    assert seqs(await heads(store, lane)) == [2, 3]

    tasks[0].queued, tasks[0].status = True, Status.PENDING
    await change(store, tasks[0])

    assert seqs(await heads(store, lane)) == [1, 2, 3]


async def test_a_lane_has_one_id_for_ever(store):
    """D3"""
    other = LANE._replace(agent="a")
    first = await lane_ids(store, LANE, other, LANE)

    assert first[0] == first[2] != first[1]
    assert await lane_ids(store, other, LANE._replace(capabilities=()), LANE) == [first[1], 3, first[0]]


async def test_events_are_numbered_without_gaps_in_the_order_of_commits(store):
    """T8"""
    events = [an_event(task_seq=n) for n in range(5)]
    await write(store, events=events[:2])

    def script():
        yield Write(Changes(events=[an_event(), an_event()]))
        raise KeyError

    with pytest.raises(KeyError):
        await store.transact(script)
    await run(store, Write(Changes(events=events[2:4])), Write(Changes(events=events[4:])))

    assert seqs(events) == [1, 2, 3, 4, 5]
    assert await all_events(store, EventFilter()) == events
    assert (await store.snapshot(0)).last_event_seq == 5


async def test_an_event_comes_back_as_it_was_written(store):
    """T8"""
    event = an_event(
        EventType.BREAKER_OPENED,
        3,
        task_seq=4,
        agent_id="a",
        org_id="o",
        payload={"n": 1, "list": [1.5, None, True], "text": "ü\x00"},
    )
    await write(store, events=[event])

    assert await all_events(store, EventFilter()) == [event]


async def test_every_run_of_a_task_is_kept_and_the_first_ending_stands(store):
    """D6, T5: a result is stored once"""
    kept = a_run(
        1,
        2,
        output=Payload(b"\x00result", "application/json"),
        artifacts=(Artifact("log", "file:///log", 5, "abc"), Artifact("b", "u")),
        started_at=5,
        finished_at=9,
    )
    lost = a_run(1, 1, ending=Ending.LEASE_EXPIRED, status=Status.PENDING, error_code="C", error_message="m")
    await write(store, new_tasks=[a_new(a_task(1))], runs=[kept, lost])

    with pytest.raises(Exception, match="UNIQUE"):
        await write(store, runs=[a_run(1, 2, output=Payload(b"other", ""))])

    assert await store.get_runs("task-1") == [lost, kept]
    assert await store.get_runs("nowhere") == []


async def test_an_empty_output_is_not_the_same_as_none(store):
    """D6"""
    await write(store, new_tasks=[a_new(a_task(1))], runs=[a_run(1, 1, output=Payload(b"", ""))])

    assert (await store.get_runs("task-1"))[0].output == Payload(b"", "")


async def test_the_marker_holds_the_batch_and_sums_the_figures(store):
    """D7"""
    await mark(store, 1, 10, Minute(1, 2, 3, 4, 5, 6, 7, 8), PENDING=2)
    await mark(store, 2, 10, Minute(submitted=1), PENDING=-1, RUNNING=1)
    await mark(store, 3, 11, Minute(submitted=1))

    assert await store.last_batch() == 3
    snapshot = await store.snapshot(0)
    assert snapshot.last_batch == 3
    assert snapshot.counts == {Status.PENDING: 1, Status.RUNNING: 1}
    assert snapshot.minutes == {10: Minute(2, 2, 3, 4, 5, 6, 7, 8), 11: Minute(1)}
    assert snapshot.totals == Minute(3, 2, 3, 4, 5, 6, 7, 8)
    assert (await store.snapshot(11)).minutes == {11: Minute(1)}


async def test_agents_are_kept_changed_and_removed(store):
    """D1: the registry and its counters"""
    spec = AgentSpec("a", "type", "host", "url", ("code",), 4, {"l": "1"}, {"m": "2"}, "1.0")
    agent = Agent(
        spec=spec,
        registered_at=1,
        last_heartbeat_at=2,
        stopped=True,
        draining=True,
        error_since=3,
        status_reason="why",
        consecutive_failures=4,
        completed=5,
        failed=6,
        run_ms=7,
        order=AgentOrder.RESTART,
        order_id="o",
        order_deadline=8,
        session_open=True,
        session_epoch=9,
        session_kind=SessionKind.UNARY,
        incarnation="i",
        retired=("h", "g"),
        lease_duration=10,
    )
    # A field that does not count in comparisons lives in memory only.
    stored = [one.name for one in fields(Agent) if one.compare]
    plain = {name for name in stored if getattr(agent, name) == getattr(Agent(spec=AgentSpec("")), name)}
    assert not plain, "every field must differ from its default, or this test does not look at it"
    await write(store, agents={"a": agent, "b": Agent(spec=AgentSpec("b")), "c": Agent(spec=AgentSpec("c"))})

    back = Agent(spec=AgentSpec("c", "new"))
    await write(
        store, agents={"b": Agent(spec=AgentSpec("b"), completed=1), "c": back}, agents_removed=["c", "x"]
    )
    found = (await store.snapshot(0)).agents
    assert found == [agent, Agent(spec=AgentSpec("b"), completed=1), back]

    await write(store, agents_removed=["a"])
    assert [one.spec.agent_id for one in (await store.snapshot(0)).agents] == ["b", "c"]


async def test_things_to_do_later_come_in_order_of_time(store):
    """T3, T7"""
    entries = [
        Due(30, DueKind.START, 1),
        Due(10, DueKind.DEADLINE, 2),
        Due(20, DueKind.START, 3),
        Due(10, DueKind.START, 4),
    ]
    await write(store, due=entries)

    assert await store.due(3) == [entries[3], entries[1], entries[2]]
    assert len(await store.due(10)) == 4


async def test_things_to_do_later_are_forgotten_by_kind(store):
    """T3, T7"""
    await write(
        store, due=[Due(1, DueKind.START, 1), Due(2, DueKind.DEADLINE, 1), Due(3, DueKind.START_BY, 1)]
    )

    await write(store, due_done=[(1, DueKind.START | DueKind.DEADLINE), (7, DueKind.START)])

    assert await store.due(10) == [Due(3, DueKind.START_BY, 1)]


async def test_of_several_times_for_one_thing_the_last_counts(store):
    """T3, D14: a task submitted and moved to a later time in one batch starts at the later time"""
    delayed = a_task(1, due=DueKind.START)
    await write(
        store,
        new_tasks=[a_new(delayed)],
        due=[Due(10, DueKind.START, 1), Due(99, DueKind.START, 1)],
        due_done=[(1, DueKind.START)],
    )
    assert await store.due(10) == [Due(99, DueKind.START, 1)]

    await write(store, tasks={1: delayed}, due=[Due(50, DueKind.START, 1)], due_done=[(1, DueKind.START)])
    assert await store.due(10) == [Due(50, DueKind.START, 1)]


async def test_what_was_planned_and_dropped_in_one_write_is_not_kept(store):
    """T3: a task submitted and claimed in one batch needs no reservation any more"""
    await write(
        store,
        new_tasks=[a_new(a_task(1, due=DueKind.DEADLINE))],
        due=[Due(10, DueKind.RESERVATION, 1), Due(20, DueKind.DEADLINE, 1)],
        due_done=[(1, DueKind.RESERVATION)],
    )

    assert await store.due(10) == [Due(20, DueKind.DEADLINE, 1)]


async def test_lineage_is_found_from_both_ends(store):
    """T8: lineage"""
    child, retry = Edge(2, "child_of", "task-1", 5, ""), Edge(1, "retry_of", "task-1", 6, "lease 3")
    await write(store, new_tasks=[a_new(a_task(1)), a_new(a_task(2)), a_new(a_task(3))], edges=[child, retry])

    assert await store.lineage("task-1") == [("task-2", child), ("task-1", retry)]
    assert await store.lineage("task-2") == [("task-2", child)]
    assert await store.lineage("task-3") == await store.lineage("nowhere") == []


async def test_a_command_may_read_the_heads_of_lanes(store):
    """M2: so many beyond a place, of each lane; what was read for another reason comes once"""
    code, test = await lane_ids(store, LANE, LANE._replace(capabilities=("test",)))
    lanes = [code, code, test, code, code, test]
    await add(store, *[a_task(n + 1, lane=lane, queued=True) for n, lane in enumerate(lanes)])
    await change(store, a_task(2, lane=code, status=Status.CANCELLED))

    found = await load(store, heads=((code, 1, 1), (test, 0, 9)), task_ids=("task-6", "task-5"))

    assert sorted(seqs(found.tasks)) == [3, 4, 5, 6]
