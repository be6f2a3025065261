"""Rollouts through the client, against a real daemon (G1-G5)."""

from __future__ import annotations

import asyncio

import pytest

from fleetd_client import (
    Aborted,
    Agent,
    FailedPrecondition,
    FleetClientSync,
    NotFound,
    Result,
    rollouts,
)
from fleetd_client.stubs import Instance, RolloutPhase, TaskStatus

OLD, NEW = "direct_llm", "runtime_orchestrator"
CHAT = {"name": "chat", "old_mode": {"name": OLD}, "new_mode": {"name": NEW}}


async def cause(client, org):
    decision = await client.decide_mode("chat", org_id=org, dry_run=True)
    return decision.mode, decision.cause


async def test_the_definition_decides_and_the_cause_is_told(client):
    """G1: deny list before allow list before percent before default."""
    await client.put_rollout({**CHAT, "allow_orgs": ["acme", "both"], "deny_orgs": ["both"]})
    assert await cause(client, "acme") == (NEW, "ALLOW_LIST")
    assert await cause(client, "both") == (OLD, "DENY_LIST")
    assert await cause(client, "other") == (OLD, "DEFAULT_MODE")
    await client.put_rollout({**CHAT, "percent": 100})
    assert await cause(client, "other") == (NEW, "PERCENT")
    await client.put_rollout({**CHAT, "percent": 100, "explicit_mode": OLD})
    assert await cause(client, "other") == (OLD, "EXPLICIT_MODE")
    await client.force_fallback("chat", reason="incident", duration=60)
    assert await cause(client, "other") == (OLD, "FORCED")
    with pytest.raises(NotFound):
        await client.decide_mode("chatt")


async def test_definitions_are_put_read_and_removed(client):
    """G4."""
    kept = await client.put_rollout(CHAT)
    assert (await client.get_rollout("chat")).rollout == kept
    assert [one.rollout.name for one in await client.list_rollouts()] == ["chat"]
    with pytest.raises(Aborted):
        await client.put_rollout(CHAT, expected_version=kept.version + 5)
    with pytest.raises(FailedPrecondition):
        await client.put_rollout({**CHAT, "salt": "another"})
    await client.remove_rollout("chat", reason="done")
    assert await client.list_rollouts() == []


async def test_outcomes_of_work_make_the_rollout_fall_back_and_a_reset_brings_it_back(client, soon):
    """G3, G4: with the words of the cause."""
    await client.put_rollout({**CHAT, "default_mode": NEW})

    async def work(error=None):
        async with client.mode_of("chat", org_id="acme") as choice:
            assert choice.mode == NEW
            if error is not None:
                raise error

    for number in range(10):
        if number < 4:
            await work()
        else:
            with pytest.raises(ValueError, match="broken"):
                await work(ValueError("the runtime is broken"))

    # An outcome is answered when what follows from it is durable.
    async with client.mode_of("chat", org_id="acme") as choice:
        assert (choice.mode, choice.cause) == (OLD, "AUTO_FALLBACK")
    state = (await client.get_rollout("chat")).fallback
    assert state.phase == RolloutPhase.ROLLOUT_PHASE_FALLBACK
    assert state.reason == "error rate too high: 60.00% (threshold: 50.00%)"
    metrics = (await client.rollout_metrics("chat", orgs=True)).metrics
    assert (metrics.new_mode.total, metrics.new_mode.error, metrics.old_mode.total) == (10, 6, 1)
    await client.reset_fallback("chat", reason="mended")
    assert await cause(client, "acme") == (NEW, "DEFAULT_MODE")


async def test_a_timeout_is_reported_as_one(client):
    """G5."""
    await client.put_rollout({**CHAT, "default_mode": NEW})
    with pytest.raises(TimeoutError):
        async with client.mode_of("chat"), asyncio.timeout(0.01):
            await asyncio.Event().wait()
    mode = (await client.rollout_metrics("chat")).metrics.new_mode
    assert (mode.total, mode.error, mode.timeout) == (1, 1, 1)


async def test_a_service_reports_its_shadow_and_both_sides_are_compared(client):
    """G2: the shadow counts for no fallback."""
    await client.put_rollout({**CHAT, "shadow_percent": 100})
    async with client.mode_of("chat", org_id="acme") as choice:
        assert (choice.mode, choice.shadow_mode) == (OLD, NEW)
        choice.result(size=3, digest="a")
    await choice.report_shadow("AGENT_ERROR", latency=2, size=0)
    (found,) = [one async for one in client.comparisons("chat")]
    assert (found.primary.mode, found.primary.code, found.primary.size) == (OLD, "", 3)
    assert (found.shadow.mode, found.shadow.code) == (NEW, "AGENT_ERROR")
    assert not found.same_status
    assert [one.id async for one in client.comparisons("chat", different=True)] == [found.id]
    metrics = (await client.rollout_metrics("chat")).metrics
    assert (metrics.shadow.total, metrics.new_mode.total) == (1, 0)


async def test_the_synchronous_client_does_the_same(daemon):
    """G1."""

    def work():
        with FleetClientSync(daemon.address) as one:
            one.put_rollout({**CHAT, "default_mode": NEW})
            with one.mode_of("chat") as choice:
                mode = choice.mode
            return mode, one.rollout_metrics("chat").metrics.new_mode.success

    assert await asyncio.to_thread(work) == (NEW, 1)


async def test_a_task_is_done_in_the_mode_it_was_given_and_its_shadow_beside_it(
    daemon, client, running, soon
):
    """G1, G2: mode and shadow travel with the lease; digests are compared."""
    await client.put_rollout({**CHAT, "shadow_percent": 100})
    agent = Agent("both", daemon.address, max_concurrency=2)
    seen = []

    @agent.handler
    async def work(ctx):
        seen.append((ctx.mode, ctx.shadow, ctx.rollout.cause))
        if ctx.shadow:
            ctx.digest = "same"
            return "thrown away"
        return Result("answer", digest="same")

    running(agent)
    task = await client.submit("Answer", org_id="acme", rollout="chat", session_id="s-1")
    assert (task.rollout.mode, task.rollout.rollout) == (OLD, "chat")
    done = await soon(client.wait(task.id))
    assert done.result.output.text == "answer"

    (pair,) = [one async for one in client.comparisons("chat", id=task.id)]
    await soon(client.wait(pair.shadow.id))
    (found,) = [one async for one in client.comparisons("chat", id=task.id)]
    assert found.HasField("finished_at")
    assert found.same_status
    assert found.output == 1, "EQUAL"
    assert sorted(one[:2] for one in seen) == [(OLD, False), (NEW, True)]
    shadow = await client.get(found.shadow.id)
    assert shadow.rollout.shadow_of == task.id
    assert shadow.status == TaskStatus.TASK_STATUS_COMPLETED


async def test_a_route_with_a_rollout_reports_both_at_once(client):
    """G1, R7."""
    await client.put_rollout({**CHAT, "default_mode": NEW})
    await client.upsert_instances([Instance(id="ollama:first", tags=["coding"], ctx=32_768, max_retries=0)])
    async with client.routed("Fix the parser", needs=["coding"], rollout="chat", org_id="acme") as attempt:
        assert attempt.decision.mode == NEW
    mode = (await client.rollout_metrics("chat", org_id="acme")).metrics.new_mode
    assert (mode.total, mode.success) == (1, 1)


def test_what_the_daemon_shows_can_be_put_again():
    """G4: a definition survives the way through JSON."""
    whole = rollouts.definition({**CHAT, "percent": 1.25, "fallback": {"window": "60s"}})
    assert rollouts.definition(whole) is whole
