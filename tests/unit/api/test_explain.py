"""ExplainTask, and its page in the handbook (spec D9)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fleet.v1 import dispatcher_pb2 as pb
from fleet.v1 import task_pb2
from fleetd.core import explain
from fleetd.errors import InvalidArgument, NotFound

DOCS = Path(__file__).parents[3] / "docs" / "explain.md"


async def why(port, task_id):
    answer = await port("ExplainTask", task_id=task_id)
    assert answer.sentence
    assert answer.reasons
    return answer


async def test_a_task_nobody_can_serve_says_so_with_numbers(port):
    """D9, D3."""
    task = await port.submit(required_capabilities=["gpu"])
    answer = await why(port, task.id)
    assert (answer.task_id, answer.status) == (task.id, task_pb2.TASK_STATUS_PENDING)
    (reason,) = answer.reasons
    assert (reason.code, dict(reason.numbers)) == ("NO_CAPABLE_AGENT", {"agents": 0, "able": 0})
    assert "gpu" in answer.sentence
    assert answer.unschedulable_since.ToMilliseconds() == port.clock.wall()


async def test_a_pause_a_limit_and_the_place_in_the_queue_are_told_together(port):
    """D9, D10."""
    await port("RegisterAgent", agent={"agent_id": "a", "max_concurrency": 4})
    await port("SetQueueLimits", kind=pb.QUEUE_KIND_ORG, name="default", max_running=1)
    tasks = [await port.submit(str(n)) for n in range(3)]
    await port.claim("a")
    answer = await why(port, tasks[2].id)
    first, *_, last = answer.reasons
    assert (first.code, dict(first.numbers)) == ("ORG_LIMIT", {"running": 1, "limit": 1})
    assert (last.code, last.numbers["ahead"]) == ("BEHIND", 1)
    assert not answer.HasField("unschedulable_since")
    await port("PauseQueue", kind=pb.QUEUE_KIND_ORG, name="default", reason="budget")
    answer = await why(port, tasks[1].id)
    assert answer.reasons[0].code == "ORG_PAUSED"
    assert "budget" in answer.sentence


async def test_a_delayed_task_tells_when(port):
    """D9."""
    await port("RegisterAgent", agent={"agent_id": "a"})
    at = port.clock.wall() // 1_000 + 60
    task = await port.submit(run_at={"seconds": at})
    reasons = {reason.code: reason for reason in (await why(port, task.id)).reasons}
    assert reasons["DELAYED"].numbers["run_at"] == at * 1_000
    assert reasons["DELAYED"].numbers["milliseconds"] == 60_000


async def test_a_task_that_runs_or_ended_is_explained_too(port):
    """D9."""
    task = await port.submit()
    lease = await port.claim()
    assert [reason.code for reason in (await why(port, task.id)).reasons] == ["OFFERED"]
    await port.report(lease, start={})
    assert [reason.code for reason in (await why(port, task.id)).reasons] == ["RUNNING"]
    await port.report(lease, complete={})
    answer = await why(port, task.id)
    assert answer.reasons[0].code == "FINISHED"
    assert "COMPLETED" in answer.sentence


async def test_an_unknown_task_is_not_explained(port):
    """D9, S3."""
    with pytest.raises(NotFound):
        await port("ExplainTask", task_id="none")
    with pytest.raises(InvalidArgument, match="task_id: is required"):
        await port("ExplainTask")


def test_the_handbook_has_a_line_for_every_code():
    """D9."""
    source = Path(explain.__file__).read_text()
    found = re.findall(r'Reason\(\s*f?"([A-Z_]+|\{kind\.upper\(\)\}_[A-Z]+)"', source)
    codes = {code.replace("{kind.upper()}", kind) for code in found for kind in ("ORG", "CAPABILITY")}
    listed = re.findall(r"^\| ([A-Z_]+) \|", DOCS.read_text(), re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert set(listed) == codes
    assert len(codes) >= 19
