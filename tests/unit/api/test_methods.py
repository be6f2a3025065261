"""The methods, on a real engine without a transport."""

import asyncio

import pytest

from fleet.v1 import event_pb2, task_pb2
from fleetd.api.calls import Call
from fleetd.api.limits import Limits
from fleetd.errors import AlreadyExists, Conflict, InvalidArgument, NotFound, OutOfRange, WrongState

PENDING, RUNNING, COMPLETED, CANCELLED = (
    task_pb2.TASK_STATUS_PENDING,
    task_pb2.TASK_STATUS_RUNNING,
    task_pb2.TASK_STATUS_COMPLETED,
    task_pb2.TASK_STATUS_CANCELLED,
)


async def done(port, **output):
    """Submit a task and run it to its end; return its id."""
    task = await port.submit()
    lease = await port.claim()
    assert lease.task_id == task.id
    await port.report(lease, complete=output)
    return task.id


async def test_a_task_is_read_as_it_was_submitted(port):
    """T3."""
    task = await port.submit(
        "work",
        input={"text": "in"},
        labels={"a": "b"},
        tags=["t"],
        timeout={"seconds": 5},
        external_ref="ref",
    )
    read = await port("GetTask", task_id=task.id, include_input=True)
    assert (read.title, dict(read.labels), list(read.tags)) == ("work", {"a": "b"}, ["t"])
    assert (read.input.text, read.timeout.seconds, read.external_ref) == ("in", 5, "ref")
    assert read.status == PENDING
    assert not (await port("GetTask", task_id=task.id)).HasField("input")


async def test_a_repeat_returns_the_first_task_and_another_body_is_refused(port):
    """T4."""
    first = await port("SubmitTask", title="work", idempotency_key="k")
    again = await port("SubmitTask", title="work", idempotency_key="k")
    assert (first.duplicate, again.duplicate) == (False, True)
    assert again.task.id == first.task.id
    with pytest.raises(AlreadyExists) as caught:
        await port("SubmitTask", title="other", idempotency_key="k")
    assert caught.value.reason == "IDEMPOTENCY_KEY_REUSED"


async def test_each_task_of_a_batch_has_its_own_answer(port):
    """T4, S3: a bad one never sinks the others."""
    tasks = [{"title": "a"}, {"title": ""}, {"title": "c", "parent_task_id": "none"}, {"title": "d"}]
    items = (await port("SubmitTasks", tasks=tasks)).items
    assert [bool(item.task_id) for item in items] == [True, False, False, True]
    assert (items[1].error.code, [f.field for f in items[1].error.fields]) == (3, ["title"])
    assert (items[2].error.code, items[2].error.reason) == (5, "TASK_NOT_FOUND")
    assert (await port("GetTask", task_id=items[3].task_id)).title == "d"


async def test_a_batch_shows_its_tasks_when_asked_to(port):
    """T4, S5: as SubmitTask does, the first one for a repeated key."""
    first = await port.submit("a", idempotency_key="k")
    tasks = [{"title": "a", "idempotency_key": "k"}, {"title": ""}, {"title": "c", "tags": ["t"]}]
    items = (await port("SubmitTasks", tasks=tasks, return_tasks=True)).items
    assert (items[0].duplicate, items[0].task) == (True, first)
    assert not items[1].HasField("task")
    assert items[2].task == await port("GetTask", task_id=items[2].task_id)
    items = (await port("SubmitTasks", tasks=tasks)).items
    assert not any(item.HasField("task") for item in items)


async def test_tasks_that_would_make_an_answer_too_large_are_left_out(port):
    """S5, S7: who needs them asks alone."""
    large = {"title": "x", "description": "ü" * 65_536}
    items = (await port("SubmitTasks", tasks=[large] * 34, return_tasks=True)).items
    assert [item.HasField("task") for item in items] == [True] * 31 + [False] * 3
    assert all(item.task_id for item in items)


async def test_a_refused_task_of_a_batch_says_all_that_a_call_would_say(port):
    """S3, S5."""
    first = await port.submit("a", idempotency_key="k")
    await port("SetQueueLimits", kind="QUEUE_KIND_ORG", name="full", max_pending=1)
    await port.submit("x", org_id="full")
    tasks = [{"title": "b", "idempotency_key": "k"}, {"title": "y", "org_id": "full"}]
    used, full = ((item.error) for item in (await port("SubmitTasks", tasks=tasks)).items)
    assert (used.reason, used.metadata) == ("IDEMPOTENCY_KEY_REUSED", {"task_id": first.id})
    assert not used.HasField("retry_after")
    assert (full.reason, full.retry_after.seconds) == ("ORG_PENDING_LIMIT", 5)


@pytest.mark.parametrize("count", [0, 1_001])
async def test_a_batch_holds_one_to_a_thousand_tasks(port, count):
    """T4, S7."""
    with pytest.raises(InvalidArgument, match="tasks: must have 1 to 1,000 entries"):
        await port("SubmitTasks", tasks=[{"title": "x"}] * count)


async def test_a_hopeless_task_of_a_batch_names_a_few_of_its_fields(port):
    """S7: a thousand hopeless ones must still be answered in one message."""
    (item,) = (
        await port("SubmitTasks", tasks=[{"title": "x", "tags": ["y" * (129 + n) for n in range(64)]}])
    ).items
    assert len(item.error.fields) == 9
    assert item.error.fields[8].description == "and 56 more"


@pytest.mark.parametrize(
    "method", ["GetTask", "GetTaskResult", "CancelTask", "TimeoutTask", "RetryTask", "WaitTask"]
)
async def test_an_unknown_task_is_not_found_and_an_empty_id_is_bad(port, method):
    """S3."""
    with pytest.raises(NotFound) as caught:
        await port(method, task_id="none")
    assert caught.value.reason == "TASK_NOT_FOUND"
    with pytest.raises(InvalidArgument, match="task_id: is required"):
        await port(method)


async def test_pages_hold_every_task_once_newest_first(port):
    """D7, S7."""
    ids = [(await port.submit(str(n))).id for n in range(7)]
    seen, token = [], ""
    while True:
        page = await port("ListTasks", page_size=3, page_token=token)
        seen += [task.id for task in page.tasks]
        token = page.next_page_token
        if not token:
            break
    assert seen == ids[::-1]


async def test_a_page_is_cut_where_it_would_grow_too_large(ports):
    """S7."""
    port = await ports(Limits(delivery=3_000))
    ids = [(await port.submit("x", description="y" * 1_000)).id for _ in range(5)]
    page = await port("ListTasks", page_size=5)
    assert [task.id for task in page.tasks] == ids[:2:-1]
    rest = await port("ListTasks", page_size=5, page_token=page.next_page_token)
    assert [task.id for task in rest.tasks] == ids[2:0:-1]


async def test_a_page_token_of_another_filter_is_refused(port):
    """S3."""
    for n in range(3):
        await port.submit(str(n))
    token = (await port("ListTasks", page_size=1)).next_page_token
    with pytest.raises(InvalidArgument, match="page_token"):
        await port("ListTasks", filter={"org_id": "x"}, page_token=token)


async def test_tasks_are_filtered_by_every_part(port):
    """D7."""
    wanted = await port.submit(
        "x", org_id="o", task_type="t", tags=["g"], labels={"a": "b"}, external_ref="r"
    )
    child = await port.submit("y", parent_task_id=wanted.id)
    for part in (
        {"org_id": "o"},
        {"task_type": "t"},
        {"tag": "g"},
        {"labels": {"a": "b"}},
        {"external_ref": "r"},
    ):
        assert [t.id for t in (await port("ListTasks", filter=part)).tasks] == [wanted.id], part
    assert [t.id for t in (await port("ListTasks", filter={"parent_task_id": wanted.id})).tasks] == [child.id]
    assert len((await port("ListTasks", filter={"statuses": [PENDING]})).tasks) == 2
    assert not (await port("ListTasks", filter={"statuses": [RUNNING]})).tasks


async def test_a_bad_filter_names_its_fields(port):
    """S3."""
    with pytest.raises(InvalidArgument) as caught:
        await port("ListTasks", filter={"statuses": [1, 99], "org_id": "a b"}, page_size=-1)
    assert [p for p, _ in caught.value.fields] == ["filter.statuses[1]", "filter.org_id", "page_size"]


async def test_a_task_without_input_or_lease_runs_to_its_result(port):
    """T5, T6, D6."""
    task_id = await done(port, output={"text": "out"}, artifacts=[{"name": "log", "uri": "file:log"}])
    answer = await port("GetTaskResult", task_id=task_id)
    assert (answer.result.status, answer.result.output.text) == (COMPLETED, "out")
    assert [artifact.name for artifact in answer.result.artifacts] == ["log"]
    assert answer.result.lease_epoch == 1


async def test_there_is_no_result_before_the_end(port):
    """D6."""
    task = await port.submit()
    with pytest.raises(WrongState) as caught:
        await port("GetTaskResult", task_id=task.id)
    assert caught.value.reason == "TASK_NOT_FINISHED"


async def test_the_result_of_a_task_that_never_ran_comes_from_its_row(port):
    """D4, D6."""
    task = await port.submit()
    assert (await port("CancelTask", task_id=task.id, reason="no need")).status == CANCELLED
    result = (await port("GetTaskResult", task_id=task.id)).result
    assert (result.status, result.error.code, result.error.message) == (CANCELLED, "CANCELLED", "no need")


async def test_earlier_runs_are_the_history_and_not_the_result(port):
    """D6, T2."""
    task = await port.submit("work", max_attempts=2, retry_policy={"initial_backoff": {}})
    await port.report(await port.claim(), fail={"code": "AGENT_ERROR", "message": "one"})
    await port.report(await port.claim(), complete={"output": {"text": "two"}})
    answer = await port("GetTaskResult", task_id=task.id, include_history=True)
    assert (answer.result.status, answer.result.output.text, answer.result.attempt) == (COMPLETED, "two", 2)
    assert [(run.status, run.error.message) for run in answer.history] == [
        (task_pb2.TASK_STATUS_FAILED, "one")
    ]
    assert not (await port("GetTaskResult", task_id=task.id)).history


async def test_a_stale_word_is_answered_lease_lost_and_changes_nothing(port):
    """T5."""
    task = await port.submit()
    lease = await port.claim()
    await port.report(lease, release={"reason": "other things to do"})
    again = await port.claim("agent-2")
    ack = await port.report(lease, complete={})
    assert ack.result == 3
    assert (await port("GetTask", task_id=task.id)).lease_epoch == again.lease_epoch == 2


async def test_a_cancel_reaches_what_runs_as_an_order(port):
    """D4."""
    task = await port.submit()
    lease = await port.claim()
    await port.report(lease, start={})
    shown = await port("CancelTask", task_id=task.id)
    assert shown.status == RUNNING
    assert shown.HasField("cancel_requested_at")
    beat = await port("Heartbeat", agent_id="agent-1", held=[{"task_id": task.id, "lease_epoch": 1}])
    assert [(order.kind, order.task_id) for order in beat.orders] == [(1, task.id)]
    await port.report(lease, stopped={})
    assert (await port("GetTask", task_id=task.id)).status == CANCELLED


async def test_many_tasks_are_cancelled_by_id(port):
    """D4."""
    ended = await done(port)
    waiting = await port.submit()
    runs = await port.submit()
    ids = [waiting.id, ended, "none", waiting.id]
    dry = await port("CancelTasks", task_ids=ids, dry_run=True)
    assert (dry.matched, dry.cancelled, list(dry.skipped_task_ids)) == (1, 0, [ended, "none"])
    answer = await port("CancelTasks", task_ids=ids)
    assert (answer.matched, answer.cancelled, list(answer.skipped_task_ids)) == (1, 1, [ended, "none"])
    assert (await port("GetTask", task_id=runs.id)).status == PENDING


async def test_many_tasks_are_cancelled_by_filter_in_several_commands(port):
    """D4."""
    items = [{"title": "x", "org_id": "o"}] * 601
    await port("SubmitTasks", tasks=items)
    other = await port.submit()
    dry = await port("CancelTasks", filter={"org_id": "o"}, dry_run=True)
    assert (dry.matched, dry.cancelled) == (601, 0)
    answer = await port("CancelTasks", filter={"org_id": "o"})
    assert (answer.matched, answer.cancelled, answer.requested) == (601, 601, 0)
    assert (await port("CancelTasks", filter={"org_id": "o"})).matched == 0
    assert (await port("GetTask", task_id=other.id)).status == PENDING


async def test_cancelling_everything_must_be_said(port):
    """D4."""
    await port.submit()
    with pytest.raises(InvalidArgument, match="allow_all"):
        await port("CancelTasks")
    with pytest.raises(InvalidArgument, match="task_ids: must not be given together with filter"):
        await port("CancelTasks", task_ids=["x"], filter={"org_id": "o"})
    assert (await port("CancelTasks", allow_all=True)).cancelled == 1


async def test_a_filter_of_terminal_states_cancels_nothing(port):
    """D4."""
    await port.submit()
    assert (await port("CancelTasks", filter={"statuses": [COMPLETED]})).matched == 0


async def test_an_operator_ends_a_run_as_its_timeout_would(port):
    """D5."""
    task = await port.submit()
    with pytest.raises(WrongState) as caught:
        await port("TimeoutTask", task_id=task.id)
    assert caught.value.reason == "TASK_NOT_RUNNING"
    lease = await port.claim()
    await port.report(lease, start={})
    await port("TimeoutTask", task_id=task.id)
    beat = await port("Heartbeat", agent_id="agent-1", held=[{"task_id": task.id, "lease_epoch": 1}])
    assert [order.kind for order in beat.orders] == [2]


async def test_a_failed_task_is_put_back_and_a_completed_one_is_not(port):
    """T2."""
    task = await port.submit()
    await port.report(await port.claim(), fail={"code": "LOGIC_ERROR"})
    assert (await port("RetryTask", task_id=task.id)).status == PENDING
    await port.report(await port.claim(), complete={})
    with pytest.raises(WrongState) as caught:
        await port("RetryTask", task_id=task.id)
    assert caught.value.reason == "TASK_NOT_RETRYABLE"
    edges = (await port("GetTaskLineage", task_id=task.id)).edges
    assert [(edge.kind, edge.task_id) for edge in edges] == [("retry_of", task.id)]


async def test_an_update_changes_the_named_fields_at_the_expected_version(port):
    """D14."""
    task = await port.submit("old", description="kept")
    change = {"task_id": task.id, "update_mask": {"paths": ["title"]}, "changes": {"title": "new"}}
    updated = await port("UpdateTask", **change, expected_version=task.version)
    assert (updated.title, updated.description) == ("new", "kept")
    with pytest.raises(Conflict) as caught:
        await port("UpdateTask", **change, expected_version=task.version)
    assert caught.value.reason == "VERSION_MISMATCH"


async def test_lineage_shows_children_and_an_unknown_task_is_not_found(port):
    """T8."""
    parent = await port.submit()
    child = await port.submit(parent_task_id=parent.id)
    edges = (await port("GetTaskLineage", task_id=parent.id)).edges
    assert [(e.kind, e.task_id, e.from_task_id) for e in edges] == [("child_of", child.id, parent.id)]
    assert not (await port("GetTaskLineage", task_id=(await port.submit()).id)).edges
    with pytest.raises(NotFound):
        await port("GetTaskLineage", task_id="none")


async def test_a_wait_ends_with_the_task(port):
    """T8, D6."""
    task = await port.submit()
    waiting = asyncio.create_task(port("WaitTask", task_id=task.id))
    await port.report(await port.claim(), complete={"output": {"text": "out"}})
    answer = await waiting
    assert answer.terminal
    assert answer.result.output.text == "out"
    assert (await port("WaitTask", task_id=task.id)).terminal


async def test_a_wait_whose_time_is_over_tells_what_is_known(port):
    """S7."""
    task = await port.submit()
    answer = await port("WaitTask", task_id=task.id, wait={})
    assert (answer.terminal, answer.task.status) == (False, PENDING)
    near = Call(deadline=port.clock.now() + 50)
    assert not (await port("WaitTask", task_id=task.id, call=near)).terminal


@pytest.mark.parametrize("first", [True, False])
async def test_a_wait_for_many_ends_with_the_first_or_with_all(port, first):
    """D6."""
    ids = [(await port.submit(str(n))).id for n in range(2)]
    waiting = asyncio.create_task(port("WaitTasks", task_ids=[*ids, ids[0]], first=first))
    await port.report(await port.claim(), complete={})
    if not first:
        await port.report(await port.claim(), complete={})
    answer = await waiting
    assert answer.satisfied
    assert [task.id for task in answer.tasks] == [*ids, ids[0]]
    assert [task.status == COMPLETED for task in answer.tasks] == [True, not first, True]


async def test_a_wait_for_none_or_for_an_unknown_task_is_refused(port):
    """S3."""
    with pytest.raises(InvalidArgument, match="task_ids: is required"):
        await port("WaitTasks")
    with pytest.raises(NotFound):
        await port("WaitTasks", task_ids=["none"])
    with pytest.raises(InvalidArgument, match="wait: must be a duration of 0 ms to 10 min"):
        await port("WaitTask", task_id="x", wait={"seconds": 601})


async def test_events_are_listed_in_pages_and_by_filter(port):
    """T8."""
    task_id = await done(port)
    await port.submit()
    page = await port("ListEvents", page_size=2)
    assert [event.seq for event in page.events] == [1, 2]
    assert (page.next_after_seq, page.end) == (2, False)
    rest = await port("ListEvents", after_seq=2)
    assert rest.end
    assert rest.events[0].seq == 3
    mine = (await port("ListEvents", filter={"task_id": task_id})).events
    assert [event.task_seq for event in mine] == list(range(1, len(mine) + 1))
    assert mine[0].type == event_pb2.EVENT_TYPE_TASK_CREATED
    assert mine[0].payload["title"] == "work"
    kinds = (await port("ListEvents", filter={"types": [event_pb2.EVENT_TYPE_TASK_COMPLETED]})).events
    assert [event.task_id for event in kinds] == [task_id]


async def test_a_bad_event_filter_names_its_fields(port):
    """S3."""
    with pytest.raises(InvalidArgument) as caught:
        await port("ListEvents", after_seq=-1, filter={"types": [99]})
    assert [path for path, _ in caught.value.fields] == ["after_seq", "filter.types[0]"]


async def test_resuming_from_before_the_log_is_out_of_range(port):
    """T8: the log's beginning is cut as retention would."""
    for n in range(3):
        await port.submit(str(n))
    await port.store._writer.run(lambda connection: connection.execute("DELETE FROM events WHERE seq <= 2"))
    with pytest.raises(OutOfRange) as caught:
        await port("ListEvents", after_seq=1)
    assert (caught.value.reason, caught.value.metadata) == ("EVENTS_TRIMMED", {"oldest_seq": "3"})
    assert [event.seq for event in (await port("ListEvents", after_seq=2)).events] == [3]
    assert [event.seq for event in (await port("ListEvents")).events] == [3]


async def test_a_position_that_was_never_reached_is_out_of_range(port):
    """T8: after a restore, a watcher would wait in silence for events that come under numbers it has passed."""
    await port.submit()
    assert (await port("ListEvents", after_seq=1)).end
    with pytest.raises(OutOfRange) as caught:
        await port("ListEvents", after_seq=2)
    assert (caught.value.reason, caught.value.metadata) == ("EVENTS_AHEAD", {"last_seq": "1"})


async def test_agents_register_and_are_listed_by_every_part(port):
    """D1."""
    agent = {"agent_id": "a", "agent_type": "t", "capabilities": ["code:rust"], "labels": {"x": "y"}}
    shown = await port("RegisterAgent", agent=agent)
    assert (shown.spec.agent_id, shown.connected, shown.status, shown.session_kind) == ("a", True, 1, 2)
    await port("RegisterAgent", agent={"agent_id": "b"})
    for part in (
        {"capability": "code"},
        {"capability": "code:rust"},
        {"agent_type": "t"},
        {"labels": {"x": "y"}},
        {"page_size": 1},
    ):
        assert [a.spec.agent_id for a in (await port("ListAgents", **part)).agents] == ["a"], part
    assert not (await port("ListAgents", connected=False)).agents
    assert not (await port("ListAgents", capability="rust")).agents
    assert len((await port("ListAgents", statuses=[1], connected=True)).agents) == 2
    first = await port("ListAgents", page_size=1)
    rest = await port("ListAgents", page_size=1, page_token=first.next_page_token)
    assert [a.spec.agent_id for a in rest.agents] == ["b"]
    assert not rest.next_page_token


async def test_a_bad_agent_names_its_fields(port):
    """D1, S3, S7."""
    agent = {"agent_id": "a b", "capabilities": ["::"], "max_concurrency": 10_001, "hostname": "h" * 256}
    with pytest.raises(InvalidArgument) as caught:
        await port("RegisterAgent", agent=agent)
    assert [path for path, _ in caught.value.fields] == [
        "agent.agent_id",
        "agent.hostname",
        "agent.capabilities[0]",
        "agent.max_concurrency",
    ]


async def test_an_agent_changes_its_capabilities_and_leaves(port):
    """D1."""
    await port.submit()
    await port.claim("a")
    shown = await port("UpdateAgentCapabilities", agent_id="a", capabilities=["x"])
    assert list(shown.spec.capabilities) == ["x"]
    assert (await port("UnregisterAgent", agent_id="a")).released_tasks == 1
    with pytest.raises(NotFound) as caught:
        await port("GetAgent", agent_id="a")
    assert caught.value.reason == "AGENT_NOT_FOUND"


@pytest.mark.parametrize(
    ("method", "kind", "status", "draining"),
    [("DrainAgent", 5, 1, True), ("StopAgent", 7, 4, False), ("RestartAgent", 9, 1, False)],
)
async def test_an_order_goes_to_the_agent_until_it_is_confirmed(port, method, kind, status, draining):
    """D2."""
    await port("RegisterAgent", agent={"agent_id": "a"})
    shown = await port(method, agent_id="a", deadline={"seconds": 5}, reason="why")
    assert (shown.status, shown.draining, shown.status_reason) == (status, draining, "why")
    (order,) = (await port("Heartbeat", agent_id="a")).orders
    assert (order.kind, order.reason) == (kind, "why")
    assert order.deadline.ToMilliseconds() == port.clock.wall() + 5_000
    await port("Heartbeat", agent_id="a", confirmed_orders=[order.order_id])
    await port.engine.turn()
    assert not [o for o in (await port("Heartbeat", agent_id="a")).orders if o.kind == kind and kind != 9]


@pytest.mark.parametrize(("stop", "start"), [("DrainAgent", "UndrainAgent"), ("StopAgent", "StartAgent")])
async def test_a_resting_agent_gets_no_work_until_it_is_told_to_work_again(port, stop, start):
    """D2."""
    await port("RegisterAgent", agent={"agent_id": "a"})
    await port(stop, agent_id="a")
    await port.submit()
    assert not (await port("ClaimTasks", agent_id="a")).leases
    await port(start, agent_id="a")
    assert (await port("ClaimTasks", agent_id="a")).leases


async def test_a_claim_repeated_with_its_request_id_returns_the_same_leases(port):
    """T5, D1."""
    for n in range(2):
        await port.submit(str(n))
    first = await port("ClaimTasks", agent_id="a", max_tasks=1, request_id="r")
    again = await port("ClaimTasks", agent_id="a", max_tasks=1, request_id="r")
    assert [lease.task_id for lease in first.leases] == [lease.task_id for lease in again.leases]


async def test_a_claim_returns_what_fits_into_one_answer_and_hands_the_rest_back(ports):
    """S7, T5."""
    port = await ports(Limits(delivery=3_000))
    ids = [(await port.submit(str(n), input={"data": b"x" * 1_000})).id for n in range(4)]
    answer = await port("ClaimTasks", agent_id="a", max_tasks=4)
    assert [lease.task_id for lease in answer.leases] == ids[:2]
    for task_id in ids[2:]:
        task = await port("GetTask", task_id=task_id)
        assert (task.status, task.attempt) == (PENDING, 0)


async def test_a_bad_claim_names_its_fields(port):
    """S3, S7."""
    with pytest.raises(InvalidArgument) as caught:
        await port("ClaimTasks", max_tasks=1_001, wait={"seconds": 61}, lease_duration={"nanos": 1})
    assert [path for path, _ in caught.value.fields] == ["agent_id", "max_tasks", "wait", "lease_duration"]


async def test_load_and_workload_are_real_numbers(port):
    """D7."""
    await port("RegisterAgent", agent={"agent_id": "agent-1", "max_concurrency": 4})
    await done(port)
    await port.submit()
    await port.report(await port.claim(), fail={"code": "AGENT_ERROR"})
    held = await port.submit()
    await port.claim()
    load = await port("GetAgentLoad")
    assert (load.total, load.running, load.idle, load.connected, load.leases, load.capacity) == (
        1,
        1,
        0,
        1,
        1,
        4,
    )
    (work,) = (await port("GetAgentWorkload", agent_id="agent-1")).agents
    assert (work.completed, work.failed, work.error_rate) == (1, 1, 0.5)
    assert list(work.current_task_ids) == [held.id]
    assert work.last_heartbeat_at.ToMilliseconds() == port.clock.wall()
    assert len((await port("GetAgentWorkload")).agents) == 1


async def test_the_queue_tells_what_waits_and_what_happened(port):
    """D7."""
    await done(port)
    await port.submit()
    port.clock.advance(5_000)
    status = await port("GetQueueStatus")
    assert (status.all.pending, status.all.completed, status.all.submitted) == (1, 1, 2)
    assert status.last_hour.completed == 1
    assert status.oldest_wait.seconds == 5


async def test_the_status_is_that_of_the_daemon(port):
    """D7."""
    await port.submit()
    status = await port("GetStatus")
    assert (status.version, status.store, status.writable, status.state) == ("1.2.3", "sqlite", True, 2)
    assert (status.queue_limit, status.last_event_seq) == (10_000, 1)
    assert status.time.ToMilliseconds() == port.clock.wall()
