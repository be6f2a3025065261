"""The side port of a real daemon, called by real curl and by buf as a client of the Connect protocol."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fleetd import exit_codes
from tests.integration.daemon import Daemon

ROOT = Path(__file__).parents[3]
AGENT = ROOT / "docs" / "agents" / "agent.sh"
SECRET = "between friends"
LONG = 60.0


async def say(*arguments: str, stdin: bytes = b"") -> str:
    """Run a program to its end; return what it says."""
    process = await asyncio.create_subprocess_exec(
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate(stdin)
    return out.decode()


class Curl:
    """Calls the port of a daemon."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def __call__(self, path: str, body: object = None, *options: str) -> tuple[int, dict]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        post = () if body is None else ("--data-binary", "@-", "-H", "Content-Type: application/json")
        said = await say("curl", "-sS", "-w", "\n%{http_code}", *post, *options, self.url + path, stdin=data)
        text, _, status = said.rpartition("\n")
        return int(status), json.loads(text) if text else {}

    async def call(self, method: str, **body: object) -> dict:
        status, answer = await self(f"/fleet.v1.{method}", body)
        assert status == 200, answer
        return answer


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\n")
    made = Daemon(
        tmp_path / "data", "web.listen=127.0.0.1:0", f"webhooks.secret_file={secret}", "drain.deadline=5s"
    )
    await made.start()
    yield made
    await made.close()


@pytest.fixture
async def curl(daemon: Daemon) -> Curl:
    return Curl("http://" + (daemon.data_dir / "web-listen").read_text().strip())


async def test_an_agent_lives_by_curl_alone(curl):
    """S4, M3: submit, claim, progress, heartbeat, complete, result."""
    task = (
        await curl.call(
            "Dispatcher/SubmitTask", title="Count", requiredCapabilities=["text"], input={"text": "a b"}
        )
    )["task"]
    (lease,) = (await curl.call("Dispatcher/ClaimTasks", agentId="a", capabilities=["text"], wait="5s"))[
        "leases"
    ]
    assert (lease["taskId"], lease["input"]["text"]) == (task["id"], "a b")
    held = {"taskId": lease["taskId"], "leaseEpoch": lease["leaseEpoch"]}
    for word in ({"progress": {"percent": 50}}, {"complete": {"output": {"text": "2"}}}):
        (ack,) = (await curl.call("Dispatcher/ReportTasks", agentId="a", reports=[held | word]))["acks"]
        assert ack["result"] == "REPORT_RESULT_ACCEPTED"
        await curl.call("Health/Heartbeat", agentId="a", held=[held])
    result = (await curl.call("Dispatcher/GetTaskResult", taskId=task["id"]))["result"]
    assert (result["status"], result["output"]["text"]) == ("TASK_STATUS_COMPLETED", "2")


async def test_the_agent_of_the_documentation_claims_reports_and_completes(daemon, curl):
    """S4, M3: docs/agents/agent.sh, as it stands there."""
    command = 'sed -n \'s/.*"text":"\\([a-z]*\\)".*/\\1/p\' | tr a-z A-Z | grep .'
    process = await asyncio.create_subprocess_exec(
        str(AGENT),
        curl.url,
        "sh-1",
        "text",
        command,
        stdout=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        ids = [
            (
                await curl.call(
                    "Dispatcher/SubmitTask", title="x", requiredCapabilities=["text"], maxAttempts=1, **fields
                )
            )["task"]["id"]
            for fields in ({"input": {"text": "hello"}}, {})
        ]
        answer = await curl.call("Dispatcher/WaitTasks", taskIds=ids, wait="60s")
        assert answer["satisfied"] is True
        done, failed = [(await curl.call("Dispatcher/GetTaskResult", taskId=one))["result"] for one in ids]
        assert (done["status"], done["output"]) == (
            "TASK_STATUS_COMPLETED",
            {"text": "HELLO", "contentType": "text/plain"},
        )
        assert failed["status"] == "TASK_STATUS_DEAD_LETTER"
        events = (await curl.call("Dispatcher/ListEvents", filter={"taskId": ids[0]}))["events"]
        assert "EVENT_TYPE_TASK_PROGRESS" in {event["type"] for event in events}
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        await process.wait()


async def test_what_llm_agents_are_told_works_as_it_stands_there(curl):
    """S4, M3: every command of docs/agents/SKILL.md, in its order, with the ids of this run."""
    page = (ROOT / "docs" / "agents" / "SKILL.md").read_text()
    claim, words, others = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    task = (await curl.call("Dispatcher/SubmitTask", title="x", requiredCapabilities=["code:python"]))[
        "task"
    ]["id"]

    async def run(script: str) -> list[dict]:
        script = script.replace("01M8...", task).replace('"wait": "60s"', '"wait": "0s"')
        said = await say(
            "env", f"FLEETD={curl.url}", "ME=me", "sh", "-ec", re.sub(r"\ncurl", "\necho; curl", script)
        )
        return [json.loads(line) for line in said.splitlines() if line.strip()]

    ((lease,),) = [answer["leases"] for answer in await run(claim)]
    assert (lease["taskId"], lease["leaseEpoch"]) == (task, "1")
    progress, heartbeat = await run(words)
    assert progress["acks"][0]["result"] == "REPORT_RESULT_ACCEPTED"
    assert heartbeat["leases"] == [{"taskId": task, "leaseEpoch": "1"}]
    submitted, waited = await run(others.replace("01M9...", task))
    assert submitted["task"]["parentTaskId"] == task
    assert waited["task"]["progress"] == 40
    results = []
    for line in re.findall(r'^{"taskId": "01M8...".*', page, re.MULTILINE):
        report = json.loads(line.replace("01M8...", task))
        answer = await curl.call("Dispatcher/ReportTasks", agentId="me", reports=[report])
        results.append(answer["acks"][0]["result"])
    # The first of the three ends the lease; the others are read and come too late.
    assert results == ["REPORT_RESULT_ACCEPTED", "REPORT_RESULT_LEASE_LOST", "REPORT_RESULT_LEASE_LOST"]


async def test_a_client_of_the_connect_protocol_works_without_knowing_us(curl):
    """S4: buf curl, which speaks protobuf by itself and reads the errors' details."""
    buf = shutil.which("buf", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert buf is not None, "buf comes with the dependencies for development"

    async def call(method: str, body: dict) -> dict:
        schema = str(ROOT / "proto")
        url = f"{curl.url}/fleet.v1.{method}"
        return json.loads(
            await say(buf, "curl", "--protocol", "connect", "--schema", schema, "-d", json.dumps(body), url)
        )

    task = (await call("Dispatcher/SubmitTask", {"title": "by buf"}))["task"]
    assert (await call("Dispatcher/GetTask", {"taskId": task["id"]}))["title"] == "by buf"
    error = await call("Dispatcher/GetTask", {"taskId": "none"})
    assert (error["code"], error["details"][0]["debug"]["reason"]) == ("not_found", "TASK_NOT_FOUND")


async def test_a_signed_delivery_becomes_a_task_over_the_wire(curl):
    """M6: with the secret of a file, whose last line break is none of it."""
    path = ROOT / "tests" / "data" / "forgejo" / "issues_opened.json"
    body = path.read_bytes()
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = ("-H", "X-Forgejo-Event: issues", "-H", "X-Forgejo-Delivery: d-1")
    status, answer = await curl("/webhooks/forgejo", body, *headers, "-H", f"X-Forgejo-Signature: {digest}")
    assert status == 202
    task = await curl.call("Dispatcher/GetTask", taskId=answer["task_id"])
    assert task["externalRef"] == "forgejo:acme/parser#7"
    assert (await curl("/webhooks/forgejo", body, *headers))[0] == 401


async def test_what_is_acknowledged_over_http_survives_a_kill(daemon, curl):
    """S4, T4: one engine serves both ports."""
    task = (await curl.call("Dispatcher/SubmitTask", title="kept"))["task"]
    await daemon.kill()
    await daemon.start()
    fresh = Curl("http://" + (daemon.data_dir / "web-listen").read_text().strip())
    assert (await fresh.call("Dispatcher/GetTask", taskId=task["id"]))["title"] == "kept"


async def test_a_daemon_that_drains_says_so_and_still_takes_results(daemon, curl):
    """S4, D8: readyz turns first; the port goes with the daemon, and so does its file."""
    assert await curl("/readyz") == (200, {"status": "serving"})
    await curl.call("Dispatcher/SubmitTask", title="last one")
    (lease,) = (await curl.call("Dispatcher/ClaimTasks", agentId="a"))["leases"]
    daemon.signal(signal.SIGTERM)
    await daemon.logged("draining")
    status, answer = await curl("/readyz")
    assert (status, answer["status"]) == (503, "draining")
    assert (await curl("/healthz"))[0] == 200
    assert (await curl("/fleet.v1.Dispatcher/SubmitTask", {"title": "too late"}))[0] == 503
    report = {"taskId": lease["taskId"], "leaseEpoch": lease["leaseEpoch"], "complete": {}}
    (ack,) = (await curl.call("Dispatcher/ReportTasks", agentId="a", reports=[report]))["acks"]
    assert ack["result"] == "REPORT_RESULT_ACCEPTED"
    assert await daemon.wait() == exit_codes.OK
    assert not (daemon.data_dir / "web-listen").exists()
    assert "web_failed" not in {line["event"] for line in daemon.log}


async def test_a_call_that_waits_does_not_hold_the_daemon(daemon, curl):
    """S4: a long poll is ended with words when the daemon goes."""
    task = (await curl.call("Dispatcher/SubmitTask", title="for nobody"))["task"]
    waiting = asyncio.create_task(
        curl("/fleet.v1.Dispatcher/WaitTask", {"taskId": task["id"], "wait": "600s"})
    )
    await asyncio.wait(
        {waiting}, timeout=0.5
    )  # the call is on its way: nothing outside tells when it has arrived
    assert await asyncio.wait_for(daemon.stop(), LONG) == exit_codes.OK
    status, answer = await waiting
    assert (status, answer["code"]) == (503, "unavailable")


async def test_a_port_that_is_taken_ends_the_daemon_with_its_code(tmp_path):
    """S4: the same exit code as for the other port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        said = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "fleetd", "serve", "--listen", "127.0.0.1:0", "--data-dir", str(tmp_path / "data"),
            "--set", f"web.listen={address}", stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, text = await said.communicate()
    assert said.returncode == exit_codes.BIND
    assert f"cannot listen on {address}" in text.decode()


async def test_the_port_may_be_a_unix_socket_for_its_user_alone(tmp_path):
    """S4, S6"""
    path = tmp_path / "web.sock"
    daemon = Daemon(tmp_path / "data", f"web.listen=unix:{path}")
    await daemon.start()
    try:
        assert path.stat().st_mode & 0o777 == 0o600
        said = await say("curl", "-sS", "--unix-socket", str(path), "http://fleetd/readyz")
        assert json.loads(said) == {"status": "serving"}
        assert await daemon.stop() == exit_codes.OK
        assert not path.exists()
    finally:
        await daemon.close()
