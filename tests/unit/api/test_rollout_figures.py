"""Figures of rollouts: of both modes, of orgs, and against targets (spec G5, G7)."""

from __future__ import annotations

from typing import Any

from tests.unit.api.rollouts import (
    NEW,
    OLD,
    decide,
    metrics,
    put,
    report,
)

# figures


async def test_timeouts_overlap_successes_and_errors(port):
    """G5: total = success + error; average over all"""
    await put(port)
    decision = await decide(port)
    await report(port, decision, ms=1_000)
    await report(port, decision, ms=300_001)
    await report(port, decision, "TIMEOUT", ms=2_000)
    await report(port, decision, "503", ms=1_000)
    shown = (await metrics(port)).metrics
    mode = shown.new_mode
    assert (mode.mode, mode.total, mode.success, mode.error, mode.timeout) == (NEW, 4, 2, 2, 2)
    assert (mode.error_rate, mode.timeout_rate) == (0.5, 0.5)
    assert mode.avg_latency.ToMilliseconds() == 304_001 // 4
    assert 300_001 <= mode.p95_latency.ToMilliseconds() <= 300_001 * 1.05
    assert (shown.old_mode.mode, shown.old_mode.total, shown.window.ToSeconds()) == (OLD, 0, 300)
    assert not shown.old_mode.HasField("avg_latency")


async def test_targets_are_met_or_missed_and_trigger_nothing(port):
    """G7: the sample"""
    targets = {
        "avg_latency": {"seconds": 3},
        "p95_latency": {"seconds": 5},
        "error_rate": 0.05,
        "timeout_rate": 0.02,
    }
    await put(port, targets=targets)
    decision = await decide(port)
    for number in range(20):
        await report(port, decision, "503" if number < 2 else "", ms=2_900 if number else 9_000)
    await port.engine.turn()
    shown = (await metrics(port)).metrics
    found = {each.name: (each.target, each.met) for each in shown.new_mode.targets}
    assert found == {
        "avg_latency": (3_000, False),
        "p95_latency": (5_000, True),
        "error_rate": (0.05, False),
        "timeout_rate": (0.02, True),
    }
    assert not shown.old_mode.targets
    assert not shown.fallback.fallback


async def test_figures_of_orgs_are_their_own(port):
    """G5"""
    await put(port)
    for org, number in (("b", 2), ("a", 1)):
        decision = await decide(port, org)
        for _ in range(number):
            await report(port, decision)
    answer = await metrics(port, orgs=True)
    assert [(each.org_id, each.new_mode.total) for each in answer.orgs] == [("a", 1), ("b", 2)]
    one = await metrics(port, org_id="b")
    assert (one.metrics, list(one.orgs)) == (answer.orgs[1], [])
    port.clock.advance(400_000)
    assert list((await metrics(port, orgs=True)).orgs) == []


async def test_figures_of_an_org_tell_the_fallback_that_holds_for_it(port):
    """G5: an org whose work gets the old mode is never said to be well because it is the whole rollout that fell back"""
    await put(port)

    async def told_of(org_id: str) -> tuple[bool, str, str]:
        """Return what is told of an org, having compared it with what its work gets."""
        shown = (await metrics(port, org_id=org_id)).metrics
        assert (shown.org_id, shown.fallback.fallback) == (org_id, (await decide(port, org_id)).mode == OLD)
        return shown.fallback.fallback, shown.fallback.org_id, shown.fallback.reason

    async def force(org_id: str = "", **more: Any) -> None:
        await port("ForceFallback", rollout="chat", org_id=org_id, reason=f"by {org_id or 'all'}", **more)

    assert await told_of("acme") == (False, "acme", "")
    await force()
    assert await told_of("acme") == (True, "", "by all")
    await force("acme")
    assert await told_of("acme") == (True, "acme", "by acme")
    await force(off=True)
    assert await told_of("acme") == (True, "acme", "by acme")
    assert await told_of("other") == (False, "", "")
    await port("ResetFallback", rollout="chat", reason="over")
    assert await told_of("acme") == (True, "acme", "by acme")
    await force("acme", off=True)
    assert await told_of("acme") == (False, "acme", "")
    decision = await decide(port, "other")
    for _ in range(10):
        await report(port, decision, "500")
    assert await told_of("acme") == await told_of("other")
    assert (await told_of("acme"))[:2] == (True, "")
