"""What agents tell, through the client and against a real daemon (G6)."""

from __future__ import annotations

import asyncio
import json

from fleetd_client import (
    Agent,
    EventsRefused,
    FleetClient,
    FleetClientSync,
    TaskEvent,
    task_events,
    unpack,
)
from fleetd_client.stubs import TaskStatus

COMPLETED = TaskStatus.TASK_STATUS_COMPLETED


def contents(events):
    return [event.message.content for event in events]


async def test_a_watcher_sees_what_a_handler_tells_as_it_happens_and_how_it_ended(
    daemon, client, running, soon
):
    """G6."""
    agent = Agent("teller", daemon.address)
    seen = asyncio.Event()

    @agent.handler
    async def work(ctx):
        await ctx.emit(task_events.plan_step("s1", "running", title="Search", tool="web_search"))
        await seen.wait()
        await ctx.emit(task_events.skill_result("web_search", {"hits": 3}, duration=1.5))
        await ctx.emit(task_events.other("thought", {"text": "hm"}))
        await ctx.emit(task_events.done(usage={"inputTokens": 12}))

    task = await client.submit("Tell")
    stream = client.watch_task(task.id)
    events = []

    async def watch():
        async for event in stream:
            events.append(event)
            seen.set()

    watching = asyncio.create_task(watch())
    running(agent)
    await soon(watching)
    assert stream.finished == "COMPLETED"
    assert [task_events.kind(event) for event in events] == ["plan_step", "skill_result", "thought", "done"]
    assert [event.seq for event in events] == [1, 2, 3, 4]
    assert all(event.task_id == task.id and event.lease_epoch for event in events)
    assert (await client.get(task.id)).task_event_seq == 4
    assert [event async for event in client.list_task_events(task.id, page_size=3)] == events
    texts = [json.loads(text) async for text in client.list_task_envelopes(task.id)]
    assert [text["event"] for text in texts] == ["message", "message", "message", "done"]
    assert texts[0]["data"]["data"]["stepId"] == "s1"


async def test_plain_handlers_tell_a_great_deal_and_the_synchronous_client_reads_it(
    daemon, client, running, soon
):
    """G6, S7: more than is ever under way at once."""
    agent = Agent("teller", daemon.address)

    @agent.handler
    def work(ctx):
        for number in range(5_000):
            ctx.emit_sync(task_events.message(str(number)))

    running(agent)
    task = await client.submit("Tell")

    def watch():
        with FleetClientSync(daemon.address) as one:
            stream = one.watch_task(task.id)
            return list(stream), stream.finished

    events, finished = await soon(asyncio.to_thread(watch))
    assert finished == "COMPLETED"
    assert contents(events) == [str(number) for number in range(5_000)]


async def test_each_event_is_stored_once_and_in_order_over_deaths_of_the_daemon(daemon, running):
    """G6, T5: for the agent and for the watcher."""
    agent = Agent("teller", daemon.address)
    halted, back = asyncio.Event(), asyncio.Event()

    @agent.handler
    async def work(ctx):
        for number in range(600):
            await ctx.emit(task_events.message(str(number)))
            if number in (50, 300):
                # What was told just now is on its way, or not, when the daemon dies.
                halted.set()
                await back.wait()
                back.clear()

    running(agent)
    async with FleetClient(daemon.address) as client, asyncio.timeout(90):
        task = await client.submit("Tell")
        stream = client.watch_task(task.id)

        async def watch():
            return [event async for event in stream]

        watching = asyncio.create_task(watch())
        for _ in range(2):
            await halted.wait()
            halted.clear()
            await daemon.kill()
            await daemon.start()
            back.set()
        events = await watching
        assert stream.finished == "COMPLETED"
        assert contents(events) == [str(number) for number in range(600)]
        assert [event.seq for event in events] == list(range(1, 601))


async def test_a_bad_event_costs_nothing_but_itself(daemon, client, running, soon):
    """G6: its batch arrives, the handler is told, and goes on."""
    agent = Agent("teller", daemon.address)
    bad = TaskEvent(id="bad", plan_step={"title": "without id and status"})

    @agent.handler
    async def work(ctx):
        told = []
        for number in range(100):
            await ctx.emit(bad if number == 42 else task_events.message(str(number)))
        while not told:
            try:
                await ctx.emit(task_events.message("more"))
                await asyncio.sleep(0.05)
            except EventsRefused as refused:
                told += [event.id for event in refused.events]
        return told

    running(agent)
    task = await client.submit("Tell")
    done = await soon(client.wait(task.id))
    assert done.task.status == COMPLETED
    assert unpack(done.result.output) == ["bad"]
    found = contents([event async for event in client.list_task_events(task.id)])
    assert [one for one in found if one != "more"] == [str(number) for number in range(100) if number != 42]


async def test_a_second_run_counts_from_one_again_and_the_task_goes_on_counting(
    daemon, client, running, soon
):
    """G6."""
    agent = Agent("teller", daemon.address)

    @agent.handler
    async def work(ctx):
        await ctx.emit(task_events.message(f"run {ctx.attempt}"))
        if ctx.attempt == 1:
            raise RuntimeError("once more")

    running(agent)
    task = await client.submit("Tell", retry_policy={"initial_backoff": {"nanos": 10_000_000}})
    stream = client.watch_task(task.id)

    async def watch():
        return [event async for event in stream]

    events = await soon(watch())
    assert contents(events) == ["run 1", "run 2"]
    assert [event.seq for event in events] == [1, 2]
    assert events[0].lease_epoch < events[1].lease_epoch
    assert stream.finished == "COMPLETED"


async def test_all_tasks_are_watched_from_now_on(daemon, client, running, soon):
    """G6."""
    agent = Agent("teller", daemon.address)

    @agent.handler
    async def work(ctx):
        await ctx.emit(task_events.message(ctx.title))

    running(agent)
    before = await client.submit("before")
    await client.wait(before.id, timeout=30)
    position = [event.position async for event in client.list_task_events()][-1]

    async def first(stream):
        async for event in stream:
            return event.message.content
        return None

    looking = asyncio.create_task(first(client.watch_task("", position + 1)))
    after = await client.submit("after")
    assert await soon(looking) == "after"
    await client.wait(after.id, timeout=30)
