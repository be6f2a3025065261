"""Many callers, few calls: against a real daemon."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from fleetd_client import (
    Agent,
    AlreadyExists,
    FleetClient,
    FleetClientSync,
    InvalidArgument,
    NotFound,
    Overloaded,
    unpack,
)


def calls(daemon):
    return [line for line in daemon.log if line.get("event") == "call" and "Submit" in line["method"]]


async def outcomes(asked):
    return await asyncio.gather(*asked, return_exceptions=True)


async def stopped(daemon):
    """Stop the daemon: its log is complete then."""
    assert await daemon.stop() == 0
    return calls(daemon)


async def test_a_thousand_submissions_make_few_calls_and_stay_in_order(daemon, client):
    """S5, T4."""
    titles = [str(number) for number in range(1_000)]
    tasks = await asyncio.gather(*(client.submit(title) for title in titles))
    assert [task.title for task in tasks] == titles
    assert len({task.id for task in tasks}) == 1_000
    newest_first = [task.title async for task in client.list(page_size=1_000)]
    assert newest_first == titles[::-1]
    made = await stopped(daemon)
    assert {line["code"] for line in made} == {"OK"}
    assert len(made) == 1


async def test_callers_that_come_while_a_call_is_under_way_share_the_next(daemon, client):
    """S5: 50 callers, 20 submissions each, one after the other."""

    async def caller(number):
        return [(await client.submit(f"{number}-{turn}")).title for turn in range(20)]

    found = await asyncio.gather(*(caller(number) for number in range(50)))
    assert found == [[f"{number}-{turn}" for turn in range(20)] for number in range(50)]
    assert len(await stopped(daemon)) <= 100


async def test_a_submission_answers_the_same_in_company_and_alone(client):
    """S5, T3."""
    options = {"tags": ["t"], "labels": {"a": "b"}, "priority": "HIGH", "timeout": 5, "capabilities": ["x"]}
    alone = await client.submit("work", **options)
    shared, _ = await asyncio.gather(client.submit("work", **options), client.submit("other"))
    read = await client.get(shared.id)
    assert shared == read
    for task in (alone, shared):
        task.id = task.idempotency_key = ""
        for name in ("created_at", "updated_at", "queued_at"):
            task.ClearField(name)
    assert shared == alone


async def test_errors_land_at_the_caller_they_belong_to(client):
    """S5, S3."""
    await client.submit("first", idempotency_key="used")
    await client.set_queue_limits("org", "full", max_pending=1)
    await client.submit("x", org_id="full")
    asked = [
        client.submit("good"),
        client.submit(""),
        client.submit("second", idempotency_key="used"),
        client.submit("first", idempotency_key="used"),
        client.submit("child", parent_task_id="01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        client.submit("also good"),
    ]
    good, empty, second, first, child, also_good = await outcomes(asked)
    assert (good.title, first.title, also_good.title) == ("good", "first", "also good")
    assert isinstance(empty, InvalidArgument)
    assert [path for path, _ in empty.fields] == ["title"]
    assert isinstance(second, AlreadyExists)
    assert second.metadata == {"task_id": first.id}
    assert isinstance(child, NotFound)


async def test_a_refusal_in_company_is_the_refusal_alone(client):
    """S5, S3."""
    for options in ({"title": ""}, {"title": "x", "tags": ["", "y" * 200]}, {"title": "x", "agent_id": "?"}):
        (alone,) = await outcomes([client.submit(**options)])
        shared, _ = await outcomes([client.submit(**options), client.submit("company")])
        assert type(shared) is type(alone)
        assert vars(shared) == vars(alone)


async def test_a_full_org_holds_up_nobody_else(daemon):
    """S5, S7."""
    full = asyncio.Event()

    async def sleep(seconds):
        assert seconds >= 5
        full.set()
        await asyncio.Event().wait()

    async with FleetClient(daemon.address, sleep=sleep) as client:
        await client.set_queue_limits("org", "full", max_pending=1)
        await client.submit("x", org_id="full")
        blocked = asyncio.create_task(client.submit("y", org_id="full"))
        await full.wait()
        free = await asyncio.gather(*(client.submit(str(number)) for number in range(10)))
        assert len({task.id for task in free}) == 10
        blocked.cancel()
        await asyncio.gather(blocked, return_exceptions=True)


async def test_the_last_word_of_a_full_org_is_overloaded(daemon):
    """S5, S7."""
    async with FleetClient(daemon.address, timeout=4) as client:
        await client.set_queue_limits("org", "full", max_pending=1)
        answers = await outcomes(client.submit(str(number), org_id="full") for number in range(3))
        taken, *refused = answers
        assert taken.title == "0"
        assert all(isinstance(one, Overloaded) and one.reason == "ORG_PENDING_LIMIT" for one in refused)


async def test_a_cancelled_caller_disturbs_nobody(client):
    """S5."""
    asked = [asyncio.create_task(client.submit(str(number))) for number in range(100)]
    await asyncio.sleep(0)
    for one in asked[::2]:
        one.cancel()
    answers = await outcomes(asked)
    assert all(isinstance(one, asyncio.CancelledError) for one in answers[::2])
    assert [one.title for one in answers[1::2]] == [str(number) for number in range(1, 100, 2)]


async def test_a_daemon_that_dies_and_comes_back_takes_each_submission_once(daemon):
    """S5, T4."""
    down, back = asyncio.Event(), asyncio.Event()

    async def until_it_is_up(_seconds):
        down.set()
        await back.wait()
        # The connection has a backoff of its own: until it has tried again, every try is refused without being sent.
        await client._channel.channel_ready()

    async with FleetClient(daemon.address, timeout=120, sleep=until_it_is_up) as client:

        async def caller(number):
            return [(await client.submit(f"{number}-{turn}")).id for turn in range(20)]

        callers = [asyncio.create_task(caller(number)) for number in range(20)]
        await daemon.logged("call")
        await daemon.kill()
        await down.wait()
        await daemon.start()
        back.set()
        ids = [task_id for one in await asyncio.gather(*callers) for task_id in one]
        assert len(set(ids)) == 400
        assert {task.id async for task in client.list(page_size=1_000)} == set(ids)


async def test_threads_that_share_a_client_make_few_calls(daemon):
    """S5, S2."""

    def caller(number):
        return [client.submit(f"{number}-{turn}").title for turn in range(20)]

    with FleetClientSync(daemon.address) as client, ThreadPoolExecutor(32) as pool:
        running = asyncio.get_running_loop()
        found = await asyncio.gather(*(running.run_in_executor(pool, caller, number) for number in range(32)))
    assert found == [[f"{number}-{turn}" for turn in range(20)] for number in range(32)]
    assert len(await stopped(daemon)) <= 32 * 20 / 4


async def test_errors_find_their_thread(daemon):
    """S5, S3."""

    def caller(number):
        with pytest.raises(InvalidArgument) as caught:
            client.submit("", tags=["x"] * number)
        return client.submit(str(number), tags=[str(number)]), caught.value

    with FleetClientSync(daemon.address) as client, ThreadPoolExecutor(32) as pool:
        running = asyncio.get_running_loop()
        found = await asyncio.gather(*(running.run_in_executor(pool, caller, number) for number in range(32)))
    for number, (task, error) in enumerate(found):
        assert list(task.tags) == [str(number)]
        assert error.fields[0][0] == "title"


async def test_a_client_inside_an_agent_joins_its_calls_over_the_agents_link(daemon, running, soon):
    """S5: the callers' loop is not the connection's."""
    agent = Agent("splitter", daemon.address)

    async with FleetClient(daemon.address) as client:

        @agent.handler
        async def split(ctx):
            parts = [
                asyncio.create_task(client.submit(f"part {n}", capabilities=["part"])) for n in range(50)
            ]
            await asyncio.sleep(0)
            parts.pop().cancel()
            tasks = await asyncio.gather(
                *parts, client.submit("", capabilities=["part"]), return_exceptions=True
            )
            return [task.title for task in tasks[:-1]] + [type(tasks[-1]).__name__]

        running(agent)
        whole = await client.submit("whole")
        done = await soon(client.wait(whole.id))
    expected = [f"part {n}" for n in range(49)] + ["InvalidArgument"]
    assert unpack(done.result.output) == expected
