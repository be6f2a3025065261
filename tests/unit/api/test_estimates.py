"""When a running task is expected to end (T3)."""

from typing import Any

import pytest

from tests.unit.api.port import Port

RUN = 7_000


async def start(port: Port, **fields: Any) -> Any:
    """Submit a task and start it; its lease."""
    await port.submit(**fields)
    lease = await port.claim()
    await port.report(lease, start={})
    return lease


async def run(port: Port, word: str = "complete", **fields: Any) -> None:
    """Let a task run for RUN ms."""
    lease = await start(port, **fields)
    port.clock.advance(RUN)
    await port.report(lease, **{word: {}})


async def expected(port: Port, lease: Any) -> int:
    """Return how long after its start a task is expected to end, ms; 0 when nothing is said."""
    task = await port("GetTask", task_id=lease.task_id)
    if not task.HasField("estimated_completion"):
        return 0
    return int(task.estimated_completion.ToMilliseconds() - task.started_at.ToMilliseconds())


async def test_a_guess_of_the_submitter_is_believed(port):
    """T3."""
    lease = await start(port, estimated_duration={"seconds": 4})
    assert await expected(port, lease) == 4_000


async def test_the_history_of_the_type_tells_where_the_submitter_does_not(port):
    """T3: in every answer that shows the task."""
    for _ in range(3):
        await run(port, task_type="review")
    lease = await start(port, task_type="review")
    assert await expected(port, lease) == RUN
    listed = (await port("ListTasks", filter={"statuses": [3]})).tasks
    waited = (await port("WaitTasks", task_ids=[lease.task_id], wait={})).tasks
    alone = (await port("WaitTask", task_id=lease.task_id, wait={})).task
    updated = await port(
        "UpdateTask", task_id=lease.task_id, update_mask={"paths": ["labels"]}, changes={"labels": {"a": "b"}}
    )
    for task in (*listed, *waited, alone, updated):
        assert task.estimated_completion.ToMilliseconds() == task.started_at.ToMilliseconds() + RUN


async def test_a_guess_of_the_submitter_comes_before_history(port):
    """T3."""
    for _ in range(3):
        await run(port, task_type="review")
    lease = await start(port, task_type="review", estimated_duration={"seconds": 4})
    assert await expected(port, lease) == 4_000


@pytest.mark.parametrize(
    ("before", "fields"),
    [
        (2, {"task_type": "review"}),
        (3, {"task_type": "build"}),
        (3, {"task_type": "review", "org_id": "other"}),
        (3, {}),
    ],
)
async def test_a_short_history_or_that_of_others_tells_nothing(port, before, fields):
    """T3."""
    for _ in range(before):
        await run(port, task_type="review")
    assert await expected(port, await start(port, **fields)) == 0


async def test_runs_that_failed_tell_nothing(port):
    """T3."""
    for _ in range(3):
        await run(port, "fail", task_type="review", max_attempts=1)
    assert await expected(port, await start(port, task_type="review")) == 0


async def test_nothing_is_expected_of_a_task_that_does_not_run(port):
    """T3: when it begins is not known, and when it ended is."""
    for _ in range(3):
        await run(port, task_type="review")
    waiting = await port.submit(task_type="review", run_at={"seconds": port.clock.wall() // 1_000 + 60})
    (*_, over) = (await port("ListTasks", filter={"statuses": [4]})).tasks
    assert not waiting.HasField("estimated_completion")
    assert not over.HasField("estimated_completion")
