"""
Two hosts, one of them by SSH, run a program that knows nothing of fleetd; one is taken away while it works, an operator assigns, and an issue of
a forge becomes a task.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
from collections import Counter
from contextlib import aclosing
from typing import Any

import httpx
from scene import Order, Scene
from stage import PROGRAMS, ROOT, SECRET

from fleet.v1.task_pb2 import ExecutionMode, ModeSource, Task, TaskStatus
from fleetd_client import unpack

DESK, RACK = "desk", "rack"
# What a shell would make of these is to be seen nowhere.
POSTERS = ("Harbour", "Night Train", "$(touch pwned)", "'; touch pwned; echo '`touch pwned`")
AT_ONCE = 2
WAIT_SECONDS = 20.0
REASON = "a new disk"
DELIVERY = ROOT / "tests" / "data" / "forgejo" / "issues_opened.json"


async def play(scene: Scene) -> None:
    client, stage = scene.client, scene.stage
    login = await stage.start_sshd()
    hosts = [_host(scene, DESK, hostname="localhost"), _host(scene, RACK, **login)]
    results = await client.upsert_hosts(hosts)
    scene.orders.append(Order("UpsertHosts", f"{DESK}, {RACK}", ""))
    problems = [violation.description for result in results for violation in result.fields]
    how = "by SSH" if login["hostname"] != "localhost" else "here too, for sshd or fleetd[ssh] is missing"
    scene.saw("UpsertHosts", f"{DESK}: this machine; {RACK}: {how}", "; ".join(problems))
    for name in (DESK, RACK):
        await _became(scene, name, "ONLINE")
    scene.did("HOST_STATE", "both passed their first check: ONLINE")

    ids = [(await client.submit("paint a poster", input=text, capabilities=["paint"])).id for text in POSTERS]
    moved = await _two_layers(scene, ids)
    await client.set_host_state(RACK, "STOPPED", reason=REASON)
    scene.ordered("SetHostState", RACK, f"{RACK} is taken away while it paints", f"STOPPED: {REASON}")
    ended = await client.wait_many(ids, timeout=WAIT_SECONDS)
    for text, task in zip(POSTERS, ended.tasks, strict=True):
        result = unpack((await client.result(task.id)).output) or {}
        scene.saw("WaitTasks", *_told(text, task, result, moved=task.id in moved))
    executed = list(stage.scratch.rglob("pwned"))
    scene.saw(
        "their texts",
        "arrived as they are; no shell read them",
        f"{executed} was expected not to be there" if executed else "",
    )

    task = await client.submit("proofread", input="Harbor", capabilities=["proofread"])
    scene.did("SubmitTask", "a task that nobody here can do")
    await scene.fleetctl("tasks", "assign", task.id, DESK, "--mode", "ssh_cli", "--force")
    scene.orders.append(Order("AssignTask", task.id, f"{DESK} (forced)"))
    done = (await client.wait(task.id, timeout=WAIT_SECONDS)).task
    right = (done.host_id, _mode(done)) == (DESK, "SSH_CLI (explicit)")
    scene.saw(
        "WaitTask",
        f"{_status(done)} on {done.host_id}, {_mode(done)}",
        "" if right else f"{DESK} was expected",
    )

    status, answer = await _deliver(scene, "A poster for the fair")
    problem = "" if status == 202 else f"202 was expected: {answer}"
    scene.saw("POST /webhooks", f"a signed issue with the label agent:paint: {status}", problem)
    done = (await client.wait(answer["task_id"], timeout=WAIT_SECONDS)).task
    right = (_status(done), done.host_id) == ("COMPLETED", DESK)
    scene.saw(
        "WaitTask",
        f"{_status(done)} on {done.host_id}: {done.title}",
        "" if right else "it was expected to be painted",
    )
    shown = await scene.fleetctl("hosts", "list")
    scene.saw(
        "fleetctl hosts", f"{RACK} is out, and why", "" if REASON in shown else "the reason was expected"
    )


def _host(scene: Scene, name: str, **where: Any) -> dict[str, Any]:
    folder = scene.stage.scratch / f"work-{name}"
    folder.mkdir()
    agent = {
        "type": "painter",
        "command": [sys.executable, str(PROGRAMS / "painter.py")],
        "capabilities": ["paint"],
        "max_concurrency": AT_ONCE,
        "parser": "json_lines",
        # The mark of the stage, which the environment of the daemon does not give: what is left over would be found.
        "env": {"HOST": name, "DEMO_SCRATCH": str(scene.stage.scratch)},
    }
    return {"id": name, "work_dir": str(folder), "agents": [agent], **where}


async def _became(scene: Scene, name: str, state: str) -> None:
    async with aclosing(scene.client.watch_events(0, types=["HOST_STATE"])) as events:
        async for event in events:
            if (event.payload["host"], event.payload["state"]) == (name, state):
                return


async def _two_layers(scene: Scene, ids: list[str]) -> set[str]:
    """Wait until both that RACK paints have two layers; return them."""
    layers: Counter[str] = Counter()
    async with aclosing(scene.client.watch_events(0, types=["TASK_CHECKPOINTED"])) as events:
        async for event in events:
            layers[event.task_id] += event.task_id in ids and event.agent_id.startswith(f"host:{RACK}/")
            deep = {task_id for task_id, number in layers.items() if number >= 2}
            if len(deep) == AT_ONCE:
                return deep
    raise AssertionError


def _told(text: str, task: Task, result: dict[str, Any], *, moved: bool) -> tuple[str, str]:
    layers = result.get("layers_before", 0)
    said = f"{_status(task)}: {text}, {_mode(task)}"
    said += f", from layer {layers} on {result.get('host')}" if moved else f", on {result.get('host')}"
    right = (
        _status(task) == "COMPLETED"
        and (result.get("text"), result.get("host")) == (text, DESK)
        and task.attempt == 1
        and (layers >= 2) == moved
        and _mode(task) == "SSH_CLI (auto)"
    )
    return said, "" if right else f"its text, by {DESK} and in one attempt was expected"


def _status(task: Task) -> str:
    return TaskStatus.Name(task.status).removeprefix("TASK_STATUS_")


def _mode(task: Task) -> str:
    mode = ExecutionMode.Name(task.execution_mode).removeprefix("EXECUTION_MODE_")
    return f"{mode} ({ModeSource.Name(task.mode_source).removeprefix('MODE_SOURCE_').lower()})"


async def _deliver(scene: Scene, title: str) -> tuple[int, dict[str, Any]]:
    """Post an issue as Forgejo does."""
    payload = json.loads(DELIVERY.read_text())
    payload["issue"] |= {"title": title, "body": "", "labels": [{"name": "agent:paint"}]}
    body = json.dumps(payload).encode()
    headers = {
        "Content-Type": "application/json",
        "X-Forgejo-Event": "issues",
        "X-Forgejo-Delivery": "the-first",
        "X-Forgejo-Signature": hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest(),
    }
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.post(f"{scene.stage.web}/webhooks/forgejo", content=body, headers=headers)
    return answer.status_code, answer.json()
