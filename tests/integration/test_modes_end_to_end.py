"""From an issue or an order to a result, over real parts: forge deliveries, the daemon, sshd, agents (spec M1 to M7, M5a, S4)."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from fleetd import exit_codes
from fleetd_client import Agent, FleetClient, content
from fleetd_client import stubs as s
from tests.integration.cli.conftest import Fleetctl, happened
from tests.integration.daemon import Daemon
from tests.integration.hosts.sshd import Sshd

LIMIT = 60.0
"""Seconds for what should happen at once on a busy machine: a limit, not a wait."""
DELIVERIES = Path(__file__).parents[1] / "data" / "forgejo"
SECRET = "between friends"

Running = Callable[[Agent], None]


@pytest.fixture
async def sshd(tmp_path: Path) -> AsyncIterator[Sshd]:
    sshd = Sshd(tmp_path / "sshd")
    try:
        await sshd.start()
        yield sshd
    finally:
        await sshd.stop()


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    """A daemon that takes deliveries, has no hosts yet, and never leaves a task to agents by itself."""
    (tmp_path / "secret").write_text(SECRET)
    daemon = Daemon(
        tmp_path / "data",
        "web.listen=127.0.0.1:0",
        f"webhooks.secret_file={tmp_path / 'secret'}",
        f"hosts.markers={tmp_path / 'markers'}",
        "modes.undecided_for=1h",
    )
    try:
        yield await daemon.start()
    finally:
        await daemon.close()


@pytest.fixture
async def client(daemon: Daemon) -> AsyncIterator[FleetClient]:
    async with FleetClient(daemon.address) as client:
        yield client


@pytest.fixture
async def web(daemon: Daemon) -> AsyncIterator[httpx.AsyncClient]:
    """Speaks to the side port."""
    url = "http://" + (daemon.data_dir / "web-listen").read_text().strip()
    async with httpx.AsyncClient(base_url=url, timeout=LIMIT, trust_env=False) as web:
        yield web


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    """Runs agents until the test is over."""
    runs: list[asyncio.Task[str]] = []
    yield lambda agent: runs.append(asyncio.create_task(agent.run(signals=False)))
    for run in runs:
        run.cancel()
    await asyncio.gather(*runs, return_exceptions=True)


async def add(client: FleetClient, host_id: str, command: list[str], *capabilities: str, **host: Any) -> None:
    """Add a host with one agent, and wait until it gets work."""
    agent = {"type": "sh", "command": command, "capabilities": capabilities}
    (added,) = await client.upsert_hosts([{"id": host_id, "agents": [agent], **host}])
    assert not added.fields
    async with asyncio.timeout(LIMIT):
        async for event in client.watch_events(0, types=["HOST_STATE"]):
            if (event.payload["host"], event.payload["state"]) == (host_id, "ONLINE"):
                return


async def deliver(
    web: httpx.AsyncClient, forge: str, delivery: str, name: str, **issue: Any
) -> tuple[int, dict[str, Any]]:
    """Post an event about an issue as a forge does, with other words in it; return status and answer."""
    payload = json.loads((DELIVERIES / f"{name}.json").read_text())
    payload["issue"] |= issue
    body = json.dumps(payload).encode()
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/json",
        f"X-{forge}-Event": "issues",
        f"X-{forge}-Delivery": delivery,
        f"X-{forge}-Signature": digest,
        "X-Hub-Signature-256": f"sha256={digest}",
    }
    answer = await web.post(f"/webhooks/{forge.lower()}", content=body, headers=headers)
    return answer.status_code, answer.json()


def mode(task: s.Task) -> tuple[str, str]:
    """Return how a task is run, and who decided it."""
    names = s.ExecutionMode.Name(task.execution_mode), s.ModeSource.Name(task.mode_source)
    return names[0].removeprefix("EXECUTION_MODE_"), names[1].removeprefix("MODE_SOURCE_")


async def events(client: FleetClient, task_id: str, kind: str) -> list[dict[str, Any]]:
    """Return what the events of a kind say about a task."""
    return [dict(event.payload) async for event in client.events(types=[kind], task_id=task_id)]


async def test_an_issue_of_a_forge_is_worked_on_by_a_command_over_ssh_that_gets_its_text_as_it_is(
    daemon, client, web, sshd, tmp_path
):
    """M1, M2, M5, M5a, M6, S4: labels make the task, the dispatcher decides, no shell reads a word, and a delivery that comes again is the same task."""
    work, known_hosts = tmp_path / "work", tmp_path / "known_hosts"
    work.mkdir()
    known_hosts.write_text(sshd.known_hosts())
    way_and_text = ["sh", "-c", 'echo "$SSH_CONNECTION"; cat']
    login = {"port": sshd.port, "user": sshd.user, "key_file": str(sshd.key_file)}
    where = {"hostname": "127.0.0.1", "known_hosts": str(known_hosts), "work_dir": str(work)}
    await add(client, "build-1", way_and_text, "code:rust", "review", **login, **where)

    # Wherever a shell may stand when it reads this: in the home directory the file would not be found.
    touch = f"touch {tmp_path}/pwned"
    title = f"'; {touch}; ' \"$({touch})\" `{touch}` {{prompt}} %s \\"
    body = f"$({touch})\n`{touch}`\r\n\"; {touch} #\n'; {touch}\n\n\\\n$'\\x00' ${{IFS}} !! \0 é 🦀\nEOF\n.\n{touch}\n&& {touch}"
    hostile = {"title": title, "body": body}
    status, answer = await deliver(web, "Forgejo", "d-1", "issues_opened_without_label", **hostile)
    assert (status, "task_id" in answer) == (202, False)
    status, answer = await deliver(web, "Forgejo", "d-2", "issues_labeled", **hostile)
    assert status == 202, answer
    task_id = answer["task_id"]

    done = await client.wait(task_id, timeout=LIMIT)
    assert s.TaskStatus.Name(done.task.status) == "TASK_STATUS_COMPLETED", done.task.error
    way, _, text = content(done.result.output).partition(b"\n")
    assert text == f"{title}\n\n{body}".encode()
    assert way.split()[2:] == [b"127.0.0.1", str(sshd.port).encode()]
    assert list(tmp_path.rglob("*pwned*")) == []
    assert mode(done.task) == ("SSH_CLI", "AUTO")
    assert (done.task.host_id, done.task.agent_id) == ("build-1", "host:build-1/sh")
    assert await events(client, task_id, "EXECUTION_MODE_DECIDED") == [
        {"execution_mode": "SSH_CLI", "source": "AUTO", "cause": "host:build-1/sh has a free slot"}
    ]

    assert await deliver(web, "Forgejo", "d-2", "issues_labeled", **hostile) == (202, answer)
    assert [task.id async for task in client.list()] == [task_id]
    assert await daemon.stop() == exit_codes.OK


async def test_an_issue_that_no_host_can_work_on_is_claimed_by_an_agent_that_can(
    daemon, client, web, running, tmp_path
):
    """M1, M2, M3, M6, S4: it stays UNDECIDED until the claim, which makes it PULL; the other agent and the host are passed over."""
    await add(client, "here", ["cat"], "docs", hostname="localhost", work_dir=str(tmp_path))
    words = {"title": "Parser fails", "body": "on an empty file"}
    status, answer = await deliver(web, "Gitea", "d-1", "issues_opened", **words)
    assert status == 202, answer
    task_id = answer["task_id"]
    waiting = await client.get(task_id)
    assert s.TaskStatus.Name(waiting.status) == "TASK_STATUS_PENDING"
    assert mode(waiting)[0] == "UNDECIDED"
    assert s.Priority.Name(waiting.priority) == "PRIORITY_HIGH"
    assert waiting.external_ref == "gitea:acme/parser#7"

    for name, capability in (("writer", "docs"), ("coder", "code:rust")):
        agent = Agent(name, daemon.address, capabilities=[capability])
        agent.handler(lambda ctx, name=name: {"by": name, "title": ctx.title, "text": ctx.description})
        running(agent)
        await happened(client, "AGENT_REGISTERED", agent_id=name)
    done = await client.wait(task_id, timeout=LIMIT)
    assert s.TaskStatus.Name(done.task.status) == "TASK_STATUS_COMPLETED", done.task.error
    assert mode(done.task) == ("PULL", "CLAIM")
    assert (done.task.agent_id, done.task.host_id, done.task.lease_epoch) == ("coder", "", 1)
    (assigned,) = await events(client, task_id, "TASK_ASSIGNED")
    assert assigned["execution_mode"] == "PULL"
    assert await events(client, task_id, "EXECUTION_MODE_DECIDED") == []

    stored = await web.post("/fleet.v1.Dispatcher/GetTaskResult", json={"taskId": task_id})
    output = stored.json()["result"]["output"]
    assert json.loads(output["text"]) == {"by": "coder", "title": "Parser fails", "text": "on an empty file"}
    assert await daemon.stop() == exit_codes.OK


async def test_a_task_that_was_assigned_is_run_by_that_agent_while_others_that_are_free_pass_it_over(
    daemon, client, running, tmp_path
):
    """M1, M4, M7: neither the other agent, which is free first, nor a host that comes up gets it."""
    gates = {"first": asyncio.Event(), "second": asyncio.Event()}
    ran = []

    def agent(name: str) -> Agent:
        agent = Agent(name, daemon.address, capabilities=["work"])

        @agent.handler
        async def work(ctx):
            ran.append((name, ctx.title))
            if ctx.title == "busy":
                await gates[name].wait()
            return f"{name} did it"

        return agent

    for name in gates:
        running(agent(name))
        busy = await client.submit("busy", capabilities=["work"])
        await happened(client, "TASK_STARTED", task_id=busy.id)
    task = await client.submit("wanted", input="x", capabilities=["work"])
    assert mode(task)[0] == "UNDECIDED"
    said = await Fleetctl(daemon.address)("tasks", "assign", task.id, "second", "--mode", "PULL")
    assert said.code == 0, said.err
    assert mode(await client.get(task.id)) == ("PULL", "EXPLICIT")

    # Younger tasks that the others get tell that they were free and passed it over.
    await add(client, "here", ["cat"], "work", hostname="localhost", work_dir=str(tmp_path))
    for_host = await client.submit("for a host", input="x", capabilities=["work"], execution_mode="SSH_CLI")
    assert (await client.wait(for_host.id, timeout=LIMIT)).task.host_id == "here"
    gates["first"].set()
    younger = await client.submit("younger", capabilities=["work"], execution_mode="PULL")
    assert (await client.wait(younger.id, timeout=LIMIT)).task.agent_id == "first"
    assert s.TaskStatus.Name((await client.get(task.id)).status) == "TASK_STATUS_PENDING"

    gates["second"].set()
    done = await client.wait(task.id, timeout=LIMIT)
    assert content((await client.result(task.id)).output) == b"second did it"
    assert (done.task.agent_id, done.task.host_id, done.task.attempt) == ("second", "", 1)
    assert mode(done.task) == ("PULL", "EXPLICIT")
    assert await events(client, task.id, "EXECUTION_MODE_DECIDED") == []
    assert ran == [("first", "busy"), ("second", "busy"), ("first", "younger"), ("second", "wanted")]
    assert await daemon.stop() == exit_codes.OK
