"""The agent runtime against a real daemon."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from fleetd_client import (
    Agent,
    FailedPrecondition,
    Fatal,
    FleetClient,
    FleetClientSync,
    InvalidArgument,
    Result,
    SessionReplaced,
    content,
    unpack,
)
from fleetd_client.stubs import Artifact, EventType, TaskStatus

COMPLETED = TaskStatus.TASK_STATUS_COMPLETED
FAILED = TaskStatus.TASK_STATUS_FAILED
CANCELLED = TaskStatus.TASK_STATUS_CANCELLED
PENDING = TaskStatus.TASK_STATUS_PENDING

WORKER = Path(__file__).with_name("worker.py")


async def started(client, task_id):
    """Wait for the start of a task's run."""
    async with asyncio.timeout(30):
        async for event in client.watch_events(0, task_id=task_id):
            if event.type == EventType.EVENT_TYPE_TASK_STARTED:
                return


async def test_a_handler_runs_and_its_result_is_read_back(daemon, client, running):
    """T1, T3, D6, S2."""
    agent = Agent("coder-1", daemon.address, capabilities=["code:python"])

    @agent.handler
    async def work(ctx):
        ctx.progress(50, "half")
        return Result({"upper": ctx.text.upper()}, [Artifact(name="log", uri="file:///log", size=3)])

    running(agent)
    task = await client.submit("Shout", input="hello", capabilities=["code"])
    done = await client.wait(task.id, timeout=30)
    assert done.terminal
    assert done.task.status == COMPLETED
    assert done.task.agent_id == "coder-1"
    assert unpack(done.result.output) == {"upper": "HELLO"}
    assert done.result.artifacts[0].name == "log"
    assert (await client.result(task.id)).attempt == 1


async def test_plain_handlers_run_side_by_side_in_threads(daemon, client, running):
    """S2."""
    agent = Agent("worker", daemon.address, max_concurrency=3)
    meeting = threading.Barrier(3)

    @agent.handler
    def work(_ctx):
        meeting.wait(20)

    running(agent)
    tasks = [await client.submit("meet") for _ in range(3)]
    done = await client.wait_many([task.id for task in tasks], timeout=30)
    assert {task.status for task in done.tasks} == {COMPLETED}


async def test_a_client_inside_a_handler_shares_the_link(daemon, client, running):
    """S2: one grpc.aio loop a process."""
    agent = Agent("parent", daemon.address, max_concurrency=2)

    @agent.handler
    async def work(ctx):
        if ctx.text == "child":
            return "grown"
        async with FleetClient(daemon.address) as inner:
            child = await inner.submit("child", input="child", parent_task_id=ctx.task_id)
            done = await inner.wait(child.id, timeout=30)
            return content(done.result.output)

    running(agent)
    task = await client.submit("parent", input="parent")
    done = await client.wait(task.id, timeout=30)
    assert content(done.result.output) == b"grown"
    (edge,) = await client.lineage(task.id)
    assert edge.kind == "child_of"


async def test_fatal_is_not_retried_and_other_errors_are_with_the_last_checkpoint(daemon, client, running):
    """T2, T3."""
    agent = Agent("worker", daemon.address)

    @agent.handler(task_type="hopeless")
    async def hopeless(_ctx):
        raise Fatal("broken input")

    @agent.handler
    async def work(ctx):
        if ctx.attempt == 1:
            ctx.checkpoint(b"half", step_id="s1")
            raise OSError("disk")
        return {"from": ctx.checkpoint_data.decode(), "skipped": list(ctx.completed_steps)}

    running(agent)
    bad = await client.submit("bad", task_type="hopeless")
    done = await client.wait(bad.id, timeout=30)
    assert (done.task.status, done.task.error.code) == (FAILED, "LOGIC_ERROR")
    policy = {"initial_backoff": {"nanos": 1_000_000}}
    flaky = await client.submit("flaky", retry_policy=policy)
    done = await client.wait(flaky.id, timeout=30)
    assert unpack(done.result.output) == {"from": "half", "skipped": ["s1"]}
    first, last = await client.history(flaky.id)
    assert (first.error.message, last.attempt) == ("OSError: disk", 2)


async def test_cancel_arrives_as_cancelled_error(daemon, client, running, soon):
    """D4."""
    agent = Agent("worker", daemon.address)
    begun, cancelled = asyncio.Event(), asyncio.Event()

    @agent.handler
    async def work(_ctx):
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    running(agent)
    task = await client.submit("long")
    await soon(begun.wait())
    await client.cancel(task.id, reason="not needed")
    await soon(cancelled.wait())
    done = await client.wait(task.id, timeout=30)
    assert done.task.status == CANCELLED


async def test_a_plain_handler_learns_of_a_timeout(daemon, client, running):
    """D5, T7: the run timeout is an order, the daemon's."""
    agent = Agent("worker", daemon.address)

    @agent.handler
    def work(ctx):
        patience = threading.Event()
        while not ctx.cancelled:
            patience.wait(0.001)
        ctx.check()

    running(agent)
    task = await client.submit("hangs", timeout=0.2, max_attempts=1)
    done = await client.wait(task.id, timeout=30)
    assert done.task.status == TaskStatus.TASK_STATUS_DEAD_LETTER
    events = [event.type async for event in client.events(task_id=task.id)]
    assert EventType.EVENT_TYPE_TASK_TIMEOUT in events


async def test_a_handler_that_blocks_its_loop_does_not_stall_heartbeats(brisk):
    """T7, D2: three lease times pass while the loop of the agent's caller stands still."""
    agent = Agent("worker", brisk.address)
    beats = set()

    @agent.handler
    async def work(_ctx):
        with FleetClientSync(brisk.address) as watcher:
            while len(beats) < 9:  # each 200 ms; three missed ones would be the end of the lease
                seen = watcher.get_agent("worker")
                assert seen.connected
                beats.add(seen.last_heartbeat_at.ToMilliseconds())

    # In a thread with a loop of its own: this one must go on reading what the daemon logs.
    run = asyncio.create_task(asyncio.to_thread(agent.run_sync))
    async with FleetClient(brisk.address) as client:
        task = await client.submit("block")
        done = await client.wait(task.id, timeout=30)
    agent.drain()
    assert await run == "finished"
    assert (done.task.status, done.task.attempt, done.task.losses) == (COMPLETED, 1, 0)


async def test_a_lease_survives_the_daemon_and_its_run_ends_well(daemon, client, running, soon):
    """T5, D1: reconnect adopts the held leases, epoch unchanged."""
    agent = Agent("worker", daemon.address)
    begun, go = asyncio.Event(), asyncio.Event()

    @agent.handler
    async def work(_ctx):
        begun.set()
        await go.wait()
        return "survived"

    running(agent)
    task = await client.submit("long")
    await soon(begun.wait())
    await started(client, task.id)
    await daemon.kill()
    await daemon.start()
    async with asyncio.timeout(30):
        async for seen in agents_connected(client):
            if seen:
                break
    go.set()
    done = await client.wait(task.id, timeout=30)
    assert (done.task.status, done.task.attempt, done.task.lease_epoch) == (COMPLETED, 1, 1)
    assert content(done.result.output) == b"survived"


async def agents_connected(client):
    """Whether an agent is connected, asked again and again."""
    while True:
        yield [agent async for agent in client.list_agents(connected=True)]


@pytest.mark.parametrize("frozen", [False, True], ids=["said while down", "sent and never acknowledged"])
async def test_a_result_is_kept_until_it_is_acknowledged(daemon, client, running, soon, frozen):
    """T5, D6."""
    agent = Agent("worker", daemon.address)
    begun, go, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @agent.handler
    async def work(_ctx):
        begun.set()
        await go.wait()
        ended.set()
        return "kept"

    running(agent)
    task = await client.submit("long")
    await soon(begun.wait())
    await started(client, task.id)
    if frozen:
        daemon.signal(signal.SIGSTOP)
    else:
        await daemon.kill()
    go.set()
    await soon(ended.wait())
    if frozen:
        await daemon.kill()
    await daemon.start()
    done = await client.wait(task.id, timeout=30)
    assert (done.task.status, done.task.attempt) == (COMPLETED, 1)
    assert content(done.result.output) == b"kept"


async def test_a_replaced_session_stops_for_good(daemon, client, running, soon):
    """D1: another process took the id; the older one cancels its handlers and does not fight back."""
    older, newer = Agent("same", daemon.address), Agent("same", daemon.address)
    begun, cancelled = asyncio.Event(), asyncio.Event()

    @older.handler
    async def hold(_ctx):
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    @newer.handler
    async def work(_ctx):
        return "newer"

    first = running(older)
    task = await client.submit("wanted")
    await soon(begun.wait())
    second = running(newer)
    with pytest.raises(SessionReplaced):
        await soon(first)
    assert cancelled.is_set()
    done = await client.wait(task.id, timeout=30)
    assert content(done.result.output) == b"newer"
    assert not second.done()


async def test_a_restart_order_ends_the_run_after_its_work(daemon, client, running, soon):
    """D2."""
    agent = Agent("worker", daemon.address)
    begun, go = asyncio.Event(), asyncio.Event()

    @agent.handler
    async def work(_ctx):
        begun.set()
        await go.wait()
        return "done"

    run = running(agent)
    task = await client.submit("long")
    await soon(begun.wait())
    await started(client, task.id)
    await client.restart_agent("worker")
    go.set()
    assert await soon(run) == "restart"
    assert (await client.get(task.id)).status == COMPLETED
    again = running(agent)
    second = await client.submit("after the restart")
    assert (await client.wait(second.id, timeout=30)).task.status == COMPLETED, "the order is not given again"
    assert not again.done()


async def test_a_stopped_agent_stays_connected_and_works_again_after_a_start(daemon, client, running):
    """D2."""
    agent = Agent("worker", daemon.address)

    @agent.handler
    async def work(_ctx):
        return "done"

    running(agent)
    first = await client.submit("first")
    await client.wait(first.id, timeout=30)
    await client.stop_agent("worker")
    second = await client.submit("second")
    assert (await client.get_agent("worker")).connected
    assert (await client.get(second.id)).status == PENDING
    await client.start_agent("worker")
    assert (await client.wait(second.id, timeout=30)).task.status == COMPLETED


async def test_a_run_that_its_caller_cancels_hands_its_leases_back(daemon, client, running, soon):
    """D2, T2: released, no attempt burnt."""
    agent = Agent("worker", daemon.address)
    begun = asyncio.Event()

    @agent.handler
    async def work(_ctx):
        begun.set()
        await asyncio.Event().wait()

    run = running(agent)
    task = await client.submit("long")
    await soon(begun.wait())
    await started(client, task.id)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await soon(run)
    back = await client.get(task.id)
    assert (back.status, back.attempt) == (PENDING, 0)


async def test_without_the_daemon_exclusive_runs_stop_and_others_work_on(brisk, running, soon):
    """D2: self-fencing, from the sending of the last acknowledged heartbeat."""
    agent = Agent("worker", brisk.address, max_concurrency=2)
    begun, fenced, uncertain = asyncio.Semaphore(0), asyncio.Event(), asyncio.Event()

    @agent.handler(task_type="exclusive")
    async def exclusive(ctx):
        begun.release()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if not ctx.lease_certain:
                fenced.set()
            raise

    @agent.handler
    async def other(ctx):
        begun.release()
        assert ctx.lease_certain
        await fenced.wait()
        if not ctx.lease_certain and not ctx.cancelled:
            uncertain.set()

    running(agent)
    async with FleetClient(brisk.address) as client:
        await client.submit("mine alone", task_type="exclusive", exclusive=True)
        await client.submit("anybody's")
        await soon(begun.acquire())
        await soon(begun.acquire())
        brisk.signal(signal.SIGSTOP)
        await soon(uncertain.wait())
        brisk.signal(signal.SIGCONT)


async def test_an_agent_the_daemon_refuses_ends_with_the_reason(daemon, client, running, soon):
    """D1, S3: no reconnect can mend a bad name, nor being sent away."""
    bad = Agent("no spaces allowed", daemon.address)
    bad.handler(lambda ctx: None)
    with pytest.raises(InvalidArgument) as refused:
        await soon(running(bad))
    assert refused.value.fields[0][0].endswith("agent_id")
    good = Agent("worker", daemon.address)
    good.handler(lambda ctx: None)
    run = running(good)
    task = await client.submit("first")
    await client.wait(task.id, timeout=30)
    await client.unregister_agent("worker")
    with pytest.raises(FailedPrecondition) as sent_away:
        await soon(run)
    assert sent_away.value.reason == "UNREGISTERED"


@pytest.fixture
async def worker(daemon, client, tmp_path):
    """An agent process that runs a task and waits at its gate."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    arguments = [str(WORKER), daemon.address, "worker", str(gate)]
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    task = await client.submit("at the gate")
    async with asyncio.timeout(30):
        async for event in client.watch_events(0, task_id=task.id):
            if event.type == EventType.EVENT_TYPE_TASK_PROGRESS:
                break
    yield process, task, gate
    if process.returncode is None:
        process.kill()
    await process.communicate()


async def test_sigterm_drains_finish_say_goodbye(client, worker, soon):
    """D2: the run ends well, and the agent is not lost."""
    process, task, gate = worker
    process.send_signal(signal.SIGTERM)
    await asyncio.to_thread(gate.write_text, "finished in peace")
    out, _ = await soon(process.communicate())
    assert (out, process.returncode) == (b"finished\n", 0)
    done = await client.wait(task.id, timeout=30)
    assert content(done.result.output) == b"finished in peace"
    events = {event.type async for event in client.events()}
    assert EventType.EVENT_TYPE_AGENT_LOST not in events


async def test_a_second_sigterm_hands_back_what_runs(client, worker, soon):
    """D2, T2: even a handler that does not listen keeps nobody."""
    process, task, _ = worker
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    await soon(process.communicate())
    assert process.returncode == 0
    back = await client.get(task.id)
    assert (back.status, back.attempt, back.losses) == (PENDING, 0, 0)
