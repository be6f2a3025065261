"""The predecessors' paths, with the bodies that docs/http-compat.md shows."""

import re
from pathlib import Path

import pytest

from fleetd.web.aliases import Aliases
from fleetd.web.runtime import Runtime
from tests.unit.web.wire import bad_fields, reason

PAGE = Path(__file__).parents[3] / "docs" / "http-compat.md"


async def ok(wire, verb, path, body=None, status=200):
    response = await (wire.client.get(path) if verb == "GET" else wire.post(path, body))
    assert response.status_code == status, response.text
    return response.json() if response.content else None


async def dispatched(wire, path="/tasks/dispatch", **fields):
    return (await ok(wire, "POST", path, {"title": "Count", **fields}, 201))["task"]


async def dequeued(wire, agent="old-agent", **fields):
    return await ok(wire, "POST", "/api/v1/tasks/dequeue", {"agent_id": agent, **fields})


@pytest.mark.parametrize("path", ["/tasks/dispatch", "/api/v1/tasks"])
async def test_a_task_is_taken(wire, path):
    """S4: answers have small_names, short enum values, numbers as numbers, and no field left out."""
    body = {
        "capabilities": ["code"],
        "priority": "HIGH",
        "execution_mode": "http_pull",
        "metadata": {"a": "b"},
    }
    task = await dispatched(wire, path, **body)
    assert (task["status"], task["priority"], task["execution_mode"]) == ("PENDING", "HIGH", "PULL")
    assert (task["version"], task["progress"], task["required_capabilities"]) == (1, 0, ["code"])
    assert task["metadata"] == {"a": "b"}
    bad = await wire.post(path, {"title": "Count", "colour": "red"})
    assert bad_fields(bad).keys() == {"colour"}


async def test_an_undecided_task_is_dequeued_and_becomes_a_pulled_one(wire):
    """M3, S4: seeds/001, dequeue: 200 with the lease, 204 when there is nothing."""
    task = await dispatched(wire, capabilities=["code"], input={"text": "a b"})
    lease = await dequeued(wire, capabilities=["code"])
    assert (lease["task_id"], lease["lease_epoch"]) == (task["id"], 1)
    assert lease["input"] == {"text": "a b", "content_type": "text/plain"}
    shown = await wire.call("GetTask", {"taskId": task["id"]})
    assert (shown["executionMode"], shown["modeSource"]) == ("EXECUTION_MODE_PULL", "MODE_SOURCE_CLAIM")
    assert await ok(wire, "POST", "/api/v1/tasks/dequeue", {"agent_id": "old-agent"}, 204) is None


async def test_a_dequeue_takes_one_task_whatever_was_asked_for(wire):
    """S4: its answer has room for one lease, and a second one would be lost."""
    for _ in range(2):
        await dispatched(wire)
    assert (await ok(wire, "POST", "/agents/register", {"agent_id": "old-agent", "max_concurrency": 5}, 201))[
        "spec"
    ]
    first = await dequeued(wire, max_tasks=5)
    second = await dequeued(wire, max_tasks=5)
    assert first["task_id"] != second["task_id"]


@pytest.mark.parametrize(
    ("said", "status", "output"),
    [
        ({}, "COMPLETED", None),
        (
            {"status": "completed", "output": "done"},
            "COMPLETED",
            {"text": "done", "content_type": "text/plain"},
        ),
        (
            {"status": "success", "output": {"n": 1}},
            "COMPLETED",
            {"text": '{"n":1}', "content_type": "application/json"},
        ),
        ({"status": "FAILED", "error": {"code": "LOGIC_ERROR", "message": "no"}}, "FAILED", None),
    ],
)
async def test_a_result_is_posted_and_read(wire, said, status, output):
    """D6, S4: GET and POST /tasks/{task_id}/result."""
    task = await dispatched(wire)
    lease = await dequeued(wire)
    path = f"/tasks/{task['id']}/result"
    early = await wire.client.get(path)
    assert (early.status_code, reason(early)) == (400, "TASK_NOT_FINISHED")
    word = {"agent_id": "old-agent", "lease_epoch": lease["lease_epoch"], **said}
    assert await ok(wire, "POST", path, word) == {"task_id": task["id"], "result": "ACCEPTED"}
    assert (await ok(wire, "POST", path, word))["result"] == "DUPLICATE"
    result = (await ok(wire, "GET", path))["result"]
    assert (result["status"], result.get("output"), result["lease_epoch"]) == (status, output, 1)
    if status == "FAILED":
        assert result["error"] == {"code": "LOGIC_ERROR", "message": "no"}


async def test_a_result_needs_the_number_of_its_lease(wire):
    """T5: a late result must not end somebody else's run."""
    task = await dispatched(wire)
    lease = await dequeued(wire)
    path = f"/tasks/{task['id']}/result"
    assert bad_fields(await wire.post(path, {"agent_id": "old-agent"})).keys() == {"lease_epoch"}
    stale = await wire.post(path, {"agent_id": "old-agent", "lease_epoch": lease["lease_epoch"] + 1})
    assert (stale.status_code, reason(stale)) == (400, "LEASE_LOST")
    unknown = await wire.post(
        path, {"agent_id": "a", "lease_epoch": 1, "colour": 1, "status": "DONE", "error": 5}
    )
    assert bad_fields(unknown).keys() == {"colour", "status", "error"}
    bad = {"agent_id": "old-agent", "lease_epoch": 1, "artifacts": [{"name": ""}]}
    assert (await wire.post(path, bad)).status_code == 400


async def test_tasks_are_cancelled_and_timed_out(wire):
    """D4, D5, S4"""
    task = await dispatched(wire)
    body = {"task_id": task["id"], "reason": "no more"}
    assert (await ok(wire, "POST", "/tasks/cancel", body))["status"] == "CANCELLED"
    again = await wire.post("/tasks/cancel", body)
    assert (again.status_code, reason(again)) == (400, "TASK_NOT_CANCELLABLE")
    assert (await wire.post("/tasks/cancel", {"task_id": "none"})).status_code == 404
    running = await dispatched(wire)
    await dequeued(wire)
    assert (await ok(wire, "POST", f"/tasks/{running['id']}/timeout", {}))["id"] == running["id"]


async def test_a_task_is_assigned(wire):
    """M4, S4: to a registered agent; 404 for an unknown one, 400 for a task that runs."""
    task = await dispatched(wire)
    path = f"/api/v1/tasks/{task['id']}/assign"
    unknown = await wire.post(path, {"agent_id": "nobody"})
    assert (unknown.status_code, reason(unknown)) == (404, "AGENT_NOT_FOUND")
    await ok(wire, "POST", "/agents/register", {"agent_id": "worker-1", "capabilities": ["code"]}, 201)
    body = {
        "agent_id": "worker-1",
        "execution_mode": "http_pull",
        "reason": "it knows the repository",
        "force": True,
    }
    assigned = await ok(wire, "POST", path, body)
    assert (assigned["status"], assigned["reserved_for"]) == ("PENDING", "worker-1")
    wrong = await wire.post(path, {"agent_id": "worker-1", "execution_mode": "ssh_cli"})
    assert wrong.status_code == 400
    lease = await ok(wire, "POST", "/api/v1/tasks/dequeue", {"agent_id": "worker-1"})
    assert lease["task_id"] == task["id"]
    running = await wire.post(path, {"agent_id": "worker-1"})
    assert (running.status_code, reason(running)) == (400, "TASK_NOT_ASSIGNABLE")


async def test_an_agent_registers_lives_and_leaves(wire):
    """D1, D2, S4: names of agents may hold slashes and colons."""
    body = {
        "agent_id": "team/coder:1",
        "type": "coder",
        "capabilities": ["code"],
        "max_concurrent_tasks": 2,
        "endpoint": "http://x",
    }
    agent = await ok(wire, "POST", "/agents/register", body, 201)
    assert agent["spec"]["max_concurrency"] == 2
    assert (agent["status"], agent["spec"]["agent_type"]) == ("IDLE", "coder")
    assert (await ok(wire, "GET", "/agents/team/coder:1/status"))["connected"] is True
    beat = await ok(wire, "POST", "/agents/team/coder:1/heartbeat", {})
    assert beat["leases"] == []
    for query, number in (
        ("", 1),
        ("?status=IDLE&connected=true", 1),
        ("?status=running", 0),
        ("?capability=code", 1),
    ):
        assert len((await ok(wire, "GET", f"/agents{query}"))["agents"]) == number
    assert bad_fields(await wire.client.get("/agents?colour=red")).keys() == {"colour"}
    restarted = await ok(wire, "POST", "/agents/team/coder:1/restart", {"reason": "new version"})
    assert restarted["spec"]["agent_id"] == "team/coder:1"
    gone = await wire.client.delete("/agents/team/coder:1")
    assert gone.status_code == 200
    assert (await wire.client.get("/agents/team/coder:1/status")).status_code == 404


async def test_figures_are_shown(wire):
    """D7, D9, S4"""
    await dispatched(wire)
    await dequeued(wire)
    assert (await ok(wire, "GET", "/agents/load"))["running"] == 1
    assert (await ok(wire, "GET", "/agents/workload"))["agents"][0]["agent_id"] == "old-agent"
    assert (await ok(wire, "GET", "/tasks/queue/status"))["all"]["submitted"] == 1
    assert (await ok(wire, "GET", "/status"))["state"] == "SERVING"


async def test_bodies_are_json_or_nothing(wire):
    """S4, S6: a form of another site's page is no JSON, and would need no leave of the browser."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    response = await wire.client.post("/tasks/dispatch", content=b"title=a", headers=form)
    assert response.status_code == 415
    await dispatched(wire)
    assert (await wire.client.post("/agents/none/restart")).status_code == 404


async def test_every_alias_is_in_the_documentation_and_the_other_way_round(wire):
    """S4: docs/http-compat.md."""
    routes = [*Aliases(wire.web).routes(), *Runtime(wire.web, "chat").routes()]
    paths = {(next(iter(route.methods - {"HEAD"})), route.path) for route in routes}
    table = PAGE.read_text().partition("## Bodies")[0]
    told = re.findall(r"`(GET|POST|DELETE) (/[^`]*)`", table)
    assert {(verb, path.replace(":path", "")) for verb, path in paths} == set(told)


async def told(wire, lease, *events):
    report = {
        "task_id": lease["task_id"],
        "lease_epoch": lease["lease_epoch"],
        "events": {"first": 1, "events": list(events)},
    }
    answer = await wire.call("ReportTasks", {"agent_id": "old-agent", "reports": [report]})
    assert answer["acks"][0]["result"] == "REPORT_RESULT_ACCEPTED", answer


async def test_what_is_nested_too_deep_to_be_read_again_is_refused(wire):
    """G6, S7: one such event, once stored, would hide the events of all tasks."""
    await dispatched(wire)
    lease = await dequeued(wire)
    word = {"task_id": lease["task_id"], "lease_epoch": lease["lease_epoch"]}
    answers = []
    for levels in range(20, 60):
        data = {}
        for _ in range(levels):
            data = {"a": data}
        event = {"message": {"data": data}}
        report = word | {"events": {"first": 1 + answers.count(200), "events": [event]}}
        body = {"agent_id": "old-agent", "reports": [report]}
        answers.append((await wire.post("/fleet.v1.Dispatcher/ReportTasks", body)).status_code)
    assert answers == sorted(answers)
    assert {200, 400} == set(answers)
    page = await ok(wire, "GET", f"/api/v1/tasks/{lease['task_id']}/events")
    assert len(page["events"]) == answers.count(200)


async def test_what_a_run_tells_is_read_as_json_events(wire):
    """G6, S4: a page at a time, from a seq."""
    await dispatched(wire)
    lease = await dequeued(wire)
    step = {"planStep": {"stepId": "s", "status": "running"}, "id": "i", "timestamp": "2024-01-01T00:00:00Z"}
    await told(wire, lease, step, {"heartbeat": {}}, {"done": {"sessionId": "x"}})
    path = f"/api/v1/tasks/{lease['task_id']}/events"
    page = await ok(wire, "GET", f"{path}?page_size=1")
    inner = {
        "id": "i",
        "type": "plan_step",
        "data": {"stepId": "s", "status": "running"},
        "timestamp": "2024-01-01T00:00:00Z",
    }
    assert page == {"events": [{"event": "message", "data": inner}], "next_from_seq": 2, "end": False}
    page = await ok(wire, "GET", f"{path}?from_seq=2")
    assert [event["event"] for event in page["events"]] == ["heartbeat", "done"]
    assert (page["next_from_seq"], page["end"]) == (4, True)
    assert await ok(wire, "GET", f"{path}?from_seq=4") == {"events": [], "next_from_seq": 4, "end": True}
    await ok(wire, "GET", "/api/v1/tasks/none/events", status=404)
    bad = await wire.client.get(f"{path}?page_size=1001&colour=red")
    assert bad_fields(bad).keys() == {"colour"}
