"""The Router through the client, against a real daemon: routes of services, instances of agents, functions run with failover (spec R, F7)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from fleetd_client import Agent, Fatal, FleetClient, FleetClientSync, GiveUp, InvalidArgument, unpack
from fleetd_client.stubs import BreakerState, Instance, TaskStatus
from tests.integration.daemon import Daemon

COMPLETED = TaskStatus.TASK_STATUS_COMPLETED
BLOCKED = TaskStatus.TASK_STATUS_BLOCKED
DEAD = TaskStatus.TASK_STATUS_DEAD_LETTER
FIRST, SECOND = "ollama:first", "ollama:second"


class Broken(Exception):
    """A model that does not answer, with the code of the error table."""

    def __init__(self, code: str) -> None:
        super().__init__(f"the model said {code}")
        self.code = code


@pytest.fixture
async def daemon(tmp_path) -> AsyncIterator[Daemon]:
    daemon = Daemon(tmp_path / "data", "router.ladder_jitter=0", "router.breaker_open_for=1s")
    await daemon.start()
    yield daemon
    await daemon.close()


@pytest.fixture
async def client(daemon: Daemon) -> AsyncIterator[FleetClient]:
    async with FleetClient(daemon.address) as client:
        results = await client.upsert_instances(
            [
                Instance(id=FIRST, tags=["coding", "fast"], ctx=32_768, max_retries=0),
                Instance(id=SECOND, tags=["coding"], ctx=32_768, max_retries=0),
            ]
        )
        assert [result.error for result in results] == ["", ""]
        yield client


NEEDS = {"needs": ["coding", "fast"]}


async def test_a_service_runs_its_own_work_with_failover(client):
    """R7, R11, F2: the loop goes on with the next instance and ends with the first success."""
    seen = []
    async for attempt in client.routed("Fix the parser", **NEEDS):
        async with attempt:
            seen.append(attempt.instance.id)
            if len(seen) == 1:
                raise ConnectionRefusedError("nobody listens")
    assert seen == [FIRST, SECOND]
    (breaker,) = await client.breakers("INSTANCE", FIRST, all=True)
    assert breaker.failure_count == 1
    stats = await client.routing_stats()
    assert (stats.routes, stats.routed, dict(stats.reroutes_by_reason)) == (1, 1, {"CONN_REFUSED": 1})
    statuses = {one.instance.id: one async for one in client.instances()}
    assert {name: one.inflight for name, one in statuses.items()} == {FIRST: 0, SECOND: 0}


async def test_a_plain_program_does_the_same(daemon, client):
    """R7: the synchronous client."""

    def work() -> list[str]:
        seen = []
        with FleetClientSync(daemon.address) as fleet:
            for attempt in fleet.routed("Fix the parser", **NEEDS):
                with attempt:
                    seen.append(attempt.instance.id)
                    if len(seen) == 1:
                        raise Broken("503")
        return seen

    assert await asyncio.to_thread(work) == [FIRST, SECOND]


async def test_what_fits_nothing_says_why(client):
    """R3, F6."""
    with pytest.raises(GiveUp, match="0/2 instances: 2 lack tag vision"):
        async with client.routed("Look at this", required=["vision"]):
            raise AssertionError("there is no instance")
    with pytest.raises(InvalidArgument, match=FIRST):
        await client.route("Fix it", model="ollama:frist")


async def test_an_agent_goes_on_with_the_next_instance(daemon, client, running):
    """R11: on the same lease, with its checkpoint; in a handler of either kind."""
    agent = Agent("coder", daemon.address, capabilities=["code"])

    @agent.handler
    async def work(ctx):
        tried = [ctx.instance.id]
        ctx.checkpoint(b"half", step_id="one")
        tried.append((await ctx.next_instance(Broken("PROCESS_EXITED"))).id)
        return tried

    @agent.handler(task_type="plain")
    def plain(ctx):
        return [ctx.instance.id, ctx.next_instance_sync(Broken("PROCESS_EXITED")).id]

    running(agent)
    for kind in ("", "plain"):
        task = await client.submit("Fix", capabilities=["code"], route=NEEDS, task_type=kind)
        assert (task.instance, task.plan_version) == (FIRST, 1)
        done = await client.wait(task.id, timeout=30)
        assert (done.task.status, done.task.attempt, done.task.plan_version) == (COMPLETED, 1, 2)
        assert unpack(done.result.output) == [FIRST, SECOND]
        plan = await client.route_plan(task.id)
        assert [(one.version, one.cause, one.selected) for one in plan.versions] == [
            (1, "routed", FIRST),
            (2, "rerouted", SECOND),
        ]


async def test_a_task_without_an_instance_waits_and_goes_on(daemon, client, running):
    """F6, T1: BLOCKED, explained, and let go when its breakers half-open."""
    agent = Agent("coder", daemon.address, capabilities=["code"])

    @agent.handler
    async def work(ctx):
        return ctx.instance.id

    running(agent)
    for name in (FIRST, SECOND):
        await client.force_breaker("INSTANCE", name, reason="maintenance", open_for=3_600)
    task = await client.submit("Fix", capabilities=["code"], route=NEEDS)
    assert task.status == BLOCKED
    told = await client.explain(task.id)
    assert told.reasons[0].code == "BLOCKED"
    assert "2 breaker_open" in told.sentence
    assert await client.reset_breakers("INSTANCE", SECOND, reason="it is back") == 1
    done = await client.wait(task.id, timeout=30)
    assert unpack(done.result.output) == SECOND


async def test_a_function_is_run_with_failover(client):
    """F7: spawned on the first instance that works."""
    seen = []

    async def spawn(instance):
        seen.append(instance.id)
        if instance.id == FIRST:
            raise Broken("CONN_REFUSED")
        return "session-1"

    result = await client.failover_call(spawn, "Fix the parser", label="coder-1", route=NEEDS)
    assert result == {"status": "spawned", "sessionKey": "session-1", "provider": "ollama"}
    assert seen == [FIRST, SECOND]
    (task,) = [one async for one in client.list()]
    assert (task.title, task.status) == ("coder-1", COMPLETED)


async def test_a_function_that_fails_everywhere_leaves_a_dead_letter_that_can_be_taken_up_again(client):
    """F7, F5: it names every try, and comes back to whoever replays it."""

    def fail(instance):
        raise Broken("CONN_REFUSED")

    result = await client.failover_call(fail, "Fix the parser", route=NEEDS, patience=10)
    assert (result["status"], result["dlq"]) == ("failed", True)
    letter = await client.dead_letter(result["task_id"])
    assert letter.reason == "PROVIDERS_EXHAUSTED"
    assert [one.instance for one in letter.tries] == [FIRST, SECOND]
    again = await client.retry_dead_letter(result["task_id"], lambda instance: instance.id)
    assert again["status"] == "spawned"
    assert not [one async for one in client.dead_letters()]


async def test_an_error_that_no_instance_mends_ends_the_call(client):
    """F7, F4."""

    async def refuse(instance):
        raise Fatal("nonsense")

    result = await client.failover_call(refuse, "Fix the parser", route=NEEDS)
    assert (result["status"], result["dlq"]) == ("failed", False)
    assert not await client.breakers(all=True)


async def test_breakers_and_instances_survive_a_restart(daemon, client):
    """F3, R1: with the time that was left; what was routed before is planned anew."""
    await client.force_breaker("INSTANCE", FIRST, reason="maintenance", open_for=3_600)
    await client.set_instance_state(SECOND, "STOPPED", reason="moved")
    task = await client.submit("Fix", capabilities=["code"], route=NEEDS)
    await daemon.kill()
    await daemon.start()
    (breaker,) = await client.breakers()
    assert (breaker.name, breaker.state) == (FIRST, BreakerState.BREAKER_STATE_OPEN)
    assert (await client.get(task.id)).status == BLOCKED
    await client.set_instance_state(SECOND, "READY")
    async with asyncio.timeout(30):
        async for event in client.watch_events(0, task_id=task.id, types=["TASK_UNBLOCKED"]):
            assert event.payload["reason"] == f"{SECOND} can take work"
            break


async def test_calls_of_many_callers_get_their_own_routes(client):
    """S5, R4: joined into batches; the load is shared."""
    await client.upsert_instances([Instance(id=f"vllm:{n}", tags=["coding"], ctx=8_192) for n in range(4)])
    answers = await asyncio.gather(
        *(
            client.route("work", required=["coding"], needs=["coding"], task_id=f"caller-{n}")
            for n in range(60)
        )
    )
    chosen = [answer.selected for answer in answers]
    counts = {name: chosen.count(name) for name in set(chosen)}
    assert max(counts.values()) - min(counts.values()) <= 1
    assert len({answer.plan.plan_id for answer in answers}) == 60
