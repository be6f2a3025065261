"""A stock gRPC client without proto files: lists, describes and calls over reflection, with JSON that is pleasant to type."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

BUF = Path(sys.executable).with_name("buf")


async def buf(daemon, *arguments: str) -> str:
    """Run `buf curl` against the daemon; return what it prints."""
    process = await asyncio.create_subprocess_exec(
        BUF,
        "curl",
        "--protocol",
        "grpc",
        "--http2-prior-knowledge",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return out.decode() + err.decode()


async def test_reflection_lists_the_three_services_and_the_standard_ones(daemon):
    """S1."""
    listed = (await buf(daemon, "--list-services", f"http://{daemon.address}")).split()
    assert {"fleet.v1.Dispatcher", "fleet.v1.Health", "fleet.v1.Router"} <= set(listed)
    assert {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"} <= set(listed)


async def test_reflection_lists_and_describes_the_methods(daemon):
    """S1."""
    listed = (await buf(daemon, "--list-methods", f"http://{daemon.address}")).split()
    assert {
        "fleet.v1.Dispatcher/SubmitTask",
        "fleet.v1.Dispatcher/Claim",
        "fleet.v1.Health/ListAgents",
    } <= set(listed)


async def test_plain_json_submits_and_reads_a_task(daemon):
    """S1, T3: defaults are filled in, nothing but a title is required."""
    url = f"http://{daemon.address}/fleet.v1.Dispatcher"
    data = '{"title": "Count words", "input": {"text": "a b c"}, "priority": "PRIORITY_HIGH"}'
    task = json.loads(await buf(daemon, "-d", data, f"{url}/SubmitTask"))["task"]
    assert task["status"] == "TASK_STATUS_PENDING"
    assert task["orgId"] == "default"
    data = json.dumps({"task_id": task["id"], "include_input": True})
    read = json.loads(await buf(daemon, "-d", data, f"{url}/GetTask"))
    assert read["title"] == "Count words"
    assert read["input"] == {"text": "a b c", "contentType": "text/plain"}


async def test_a_bad_request_names_every_bad_field(daemon):
    """S3."""
    data = '{"title": "", "max_attempts": 1000, "retry_policy": {"multiplier": 0.5}}'
    answer = await buf(daemon, "-d", data, f"http://{daemon.address}/fleet.v1.Dispatcher/SubmitTask")
    assert "invalid_argument" in answer
    for field in ("title", "max_attempts", "retry_policy.multiplier"):
        assert field in answer


async def test_plain_json_adds_an_instance_and_routes_to_it(daemon):
    """S1, R4."""
    url = f"http://{daemon.address}/fleet.v1.Router"
    data = '{"instances": [{"id": "ollama:qwen3-coder", "tags": ["coding"], "ctx": 32768}]}'
    results = json.loads(await buf(daemon, "-d", data, f"{url}/UpsertInstances"))["results"]
    assert results == [{"id": "ollama:qwen3-coder"}]
    data = '{"title": "Fix the parser", "requirements": {"needs": ["coding"]}}'
    answer = json.loads(await buf(daemon, "-d", data, f"{url}/RouteTask"))
    assert answer["selected"] == "ollama:qwen3-coder"
    assert answer["plan"]["summary"] == "1/1 instances"


async def test_the_standard_health_service_answers_for_each_service(daemon):
    """S1."""
    for service in ("", "fleet.v1.Dispatcher", "fleet.v1.Health", "fleet.v1.Router"):
        data = json.dumps({"service": service})
        answer = await buf(daemon, "-d", data, f"http://{daemon.address}/grpc.health.v1.Health/Check")
        assert json.loads(answer) == {"status": "SERVING"}, service
