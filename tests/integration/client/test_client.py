"""The clients against a real daemon."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest

import fleetd_client
from fleetd_client import (
    Aborted,
    Agent,
    AlreadyExists,
    FailedPrecondition,
    FleetClient,
    FleetClientSync,
    InvalidArgument,
    NotFound,
    task,
)
from fleetd_client.stubs import Priority, TaskStatus
from tests.integration.daemon import Daemon

README = Path(fleetd_client.__file__).parents[2] / "README.md"


async def test_the_quick_start_of_the_readme_does_what_it_says(daemon):
    """S2."""
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code.replace("127.0.0.1:50051", daemon.address),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await asyncio.wait_for(process.communicate(), 60)
    assert (out, errors) == (b"3 words\n", b"")


async def test_a_repeated_submission_returns_the_first_task(client):
    """T4."""
    first = await client.submit("once", idempotency_key="k")
    assert (await client.submit("once", idempotency_key="k")).id == first.id
    with pytest.raises(AlreadyExists) as raised:
        await client.submit("else", idempotency_key="k")
    assert raised.value.reason == "IDEMPOTENCY_KEY_REUSED"


async def test_a_batch_answers_for_each_item(client):
    """T4, S3."""
    good, bad = await client.submit_many([task("good"), task("")])
    assert good.task_id
    assert good.error is None
    assert isinstance(bad.error, InvalidArgument)
    assert bad.error.fields[0][0].endswith("title")


async def test_errors_arrive_as_types_with_reasons(client):
    """S3, T2, D14."""
    with pytest.raises(NotFound) as unknown:
        await client.get("01ARZ3NDEKTSV4RRFFQ69G5FAV")
    assert unknown.value.reason == "TASK_NOT_FOUND"
    with pytest.raises(InvalidArgument) as bad:
        await client.submit("t", labels={"k" * 200: "v"})
    assert bad.value.fields
    waiting = await client.submit("waits")
    with pytest.raises(FailedPrecondition) as early:
        await client.result(waiting.id)
    assert early.value.reason == "TASK_NOT_FINISHED"
    with pytest.raises(Aborted) as stale:
        await client.update(waiting.id, expected_version=99, title="new")
    assert stale.value.reason == "VERSION_MISMATCH"


async def test_a_task_is_updated_listed_cancelled_and_counted(client):
    """D14, D4, D7."""
    waiting = await client.submit("waits", tags=["x"])
    changed = await client.update(waiting.id, title="renamed", priority="urgent")
    assert (changed.title, changed.priority) == ("renamed", Priority.PRIORITY_URGENT)
    assert [one.id async for one in client.list(tag="x", statuses=["PENDING"])] == [waiting.id]
    assert (await client.queue_status()).all.pending == 1
    assert (await client.cancel_many(tag="x", dry_run=True)).matched == 1
    assert (await client.cancel(waiting.id)).status == TaskStatus.TASK_STATUS_CANCELLED
    assert (await client.wait(waiting.id)).terminal
    assert (await client.status()).writable
    assert (await client.agent_load()).total == 0


async def test_a_list_walks_over_pages(client):
    """D7, S7."""
    submitted = await client.submit_many(task(f"t{number}") for number in range(7))
    listed = [one.id async for one in client.list(page_size=3)]
    assert sorted(listed) == sorted(one.task_id for one in submitted)


async def test_a_wait_that_is_over_says_so(client):
    """T1."""
    waiting = await client.submit("waits")
    assert not (await client.wait(waiting.id, timeout=0.01)).terminal
    assert not (await client.wait_many([waiting.id], timeout=0.01)).satisfied


async def test_a_watch_goes_on_over_a_restart_of_the_daemon_without_a_gap(daemon, client):
    """T8."""
    seen = []
    second = None
    async with asyncio.timeout(60):
        first = await client.submit("before")
        async for event in client.watch_events(0, types=["TASK_CREATED"]):
            seen.append(event.task_id)
            if len(seen) == 2:
                break
            await daemon.kill()
            await daemon.start()
            second = await client.submit("after")
    assert seen == [first.id, second.id]


async def test_a_submission_survives_a_restart_of_the_daemon(daemon):
    """T4, S2: repeated under one key until it is taken, once."""
    refused, up = asyncio.Event(), asyncio.Event()

    async def until_it_is_up(_seconds):
        refused.set()
        await up.wait()
        await patient._channel.channel_ready()

    async with FleetClient(daemon.address, sleep=until_it_is_up) as patient:
        await patient.status()
        await daemon.kill()
        submitting = asyncio.create_task(patient.submit("patient"))
        await refused.wait()
        await daemon.start()
        up.set()
        taken = await asyncio.wait_for(submitting, 30)
        assert [one.id async for one in patient.list()] == [taken.id]


async def test_a_client_outlives_the_agent_whose_link_it_shares(daemon):
    """S2."""
    agent, begun = Agent("worker", daemon.address), asyncio.Event()

    @agent.handler
    async def work(_ctx):
        begun.set()

    run = asyncio.create_task(agent.run(signals=False))
    async with FleetClient(daemon.address) as first:
        await first.submit("begin")
        await asyncio.wait_for(begun.wait(), 30)
    async with FleetClient(daemon.address) as client:
        waiting = await client.submit("nobody's", capabilities=["none"])
        wait = asyncio.create_task(client.wait(waiting.id, timeout=30))
        assert (await client.status()).connected_agents == 1
        agent.drain()
        assert await run == "finished"
        await client.cancel(waiting.id)
        assert (await wait).terminal


async def test_the_synchronous_client_speaks_to_the_same_daemon(daemon):
    """S2."""

    def use():
        with FleetClientSync(daemon.address) as client:
            submitted = client.submit("plain", priority="LOW")
            assert next(iter(client.list())).id == submitted.id
            assert next(iter(client.watch_events(0))).task_id == submitted.id
            assert client.cancel(submitted.id).status == TaskStatus.TASK_STATUS_CANCELLED
            with pytest.raises(NotFound):
                client.get_agent("nobody")

    await asyncio.to_thread(use)


async def test_a_unix_socket_serves_as_an_address(tmp_path):
    """S1."""
    daemon = Daemon(tmp_path / "data", listen=f"unix:{tmp_path}/fleetd.sock")
    await daemon.start()
    try:
        async with FleetClient(daemon.address) as client:
            assert (await client.status()).writable
    finally:
        await daemon.close()
