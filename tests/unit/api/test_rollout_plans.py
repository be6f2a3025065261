"""Plans that are made with a rollout: the decision beside the route, and what came of both (spec G1, G2, G3, G5)."""

from __future__ import annotations

from typing import Any

import pytest

from fleet.v1 import rollout_pb2 as pb
from fleetd.errors import InvalidArgument, NotFound, Unavailable
from tests.unit.api.port import Port
from tests.unit.api.rollouts import NEW, OLD, decide, metrics, new_total, put, report, state, told
from tests.unit.api.routed import CLOUD, LOCAL, SECOND, refused

# plans


@pytest.fixture
async def chat(fleet: Port) -> Port:
    """Three instances, and a rollout whose work all gets the new mode."""
    await put(fleet)
    return fleet


async def route(port: Port, **more: Any) -> Any:
    fields = {
        "title": "fix the parser",
        "requirements": {"needs": ["coding"], "prefer": ["local"]},
        "rollout": {"rollout": "chat", "org_id": "acme"},
    }
    return await port("RouteTask", **{**fields, **more})


async def test_the_outcome_of_a_plan_counts_once_and_only_when_the_work_is_over(chat):
    """G3, R11: tries that go on at another instance are no outcome of the mode"""
    answer = await route(chat)
    plan_id = answer.plan.plan_id
    assert (answer.decision.decision_id, answer.decision.mode) == (plan_id, NEW)
    await chat.outcome(plan_id=plan_id, code="503")
    await chat.outcome(plan_id=plan_id, code="503")
    await chat.outcome(plan_id=plan_id, code="401", instance=SECOND["id"])
    assert await new_total(chat) == (0, 0)
    chat.clock.advance(3_000)
    await chat.outcome(plan_id=plan_id)
    assert await new_total(chat) == (1, 0)
    assert (await metrics(chat)).metrics.new_mode.avg_latency.ToMilliseconds() == 3_000
    await chat.outcome(plan_id=plan_id)
    await chat.outcome(plan_id=plan_id, code="BAD_REQUEST", instance=CLOUD["id"])
    assert await new_total(chat) == (1, 0)


async def test_an_outcome_of_a_plan_that_was_not_taken_counts_when_it_is_told_again(chat, monkeypatch):
    """G3: once"""
    plan_id = (await route(chat)).plan.plan_id

    async def refuse(*_: Any) -> None:
        raise Unavailable("STORE_FULL", "there is no room")

    with monkeypatch.context() as patch:
        patch.setattr(chat.engine.rollouts, "report", refuse)
        with pytest.raises(Unavailable):
            await chat.outcome(plan_id=plan_id)
    for _ in range(2):
        await chat.outcome(plan_id=plan_id)
    assert await new_total(chat) == (1, 0)


async def test_work_that_took_several_tries_took_as_long_as_all_of_them(chat):
    """G5: the latency that is reported is that of the last try"""
    plan_id = (await route(chat)).plan.plan_id
    chat.clock.advance(3_000)
    await chat.outcome(plan_id=plan_id, code="CONN_REFUSED", latency={"seconds": 3})
    chat.clock.advance(2_000)
    await chat.outcome(plan_id=plan_id, latency={"seconds": 2})
    assert await new_total(chat) == (1, 0)
    assert (await metrics(chat)).metrics.new_mode.avg_latency.ToMilliseconds() == 5_000


async def test_a_plan_that_gives_up_is_an_error_of_its_mode(chat):
    """G3"""
    plan_id = (await route(chat)).plan.plan_id
    await chat.outcome(plan_id=plan_id, code="BAD_REQUEST", latency={"seconds": 2})
    assert await new_total(chat) == (1, 1)
    assert (await metrics(chat)).metrics.new_mode.avg_latency.ToMilliseconds() == 2_000


async def test_a_cancelled_plan_says_nothing_of_its_mode(chat):
    """G3, F4"""
    plan_id = (await route(chat)).plan.plan_id
    await chat.outcome(plan_id=plan_id, code="CANCELLED")
    decision = await decide(chat)
    await report(chat, decision, "CANCELLED")
    assert await new_total(chat) == (0, 0)


async def test_a_plan_without_a_rollout_tells_none(chat):
    plan_id = (await route(chat, rollout=None)).plan.plan_id
    await chat.outcome(plan_id=plan_id)
    assert await new_total(chat) == (0, 0)
    # Taken and dropped, nobody would ever know that it counts for nothing.
    told = {"rollout": "chat", "mode": NEW, "epoch": 1}
    assert await refused(chat, "ReportOutcome", plan_id=plan_id, rollout=told) == ["rollout"]


async def test_a_plan_whose_rollout_is_gone_is_reported_all_the_same(chat):
    """G1, R11: what came of the instance counts"""
    plan_id = (await route(chat)).plan.plan_id
    await chat("RemoveRollout", name="chat")
    await chat.outcome(plan_id=plan_id)


async def test_a_route_that_is_refused_holds_no_place_and_no_trial(chat):
    """G2: whatever is wrong with it"""
    await put(chat, default_mode=OLD, shadow_percent=100, shadow_limit=1)
    for _ in range(3):
        with pytest.raises(InvalidArgument):
            await route(chat, requirements={"model": "unheard-of"})
    answer = await route(chat)
    assert answer.decision.shadow_mode == NEW
    assert (await route(chat)).decision.shadow_mode == ""


async def test_both_halves_of_a_plan_are_compared(chat):
    """G2: the shadow is told with the plan, and concerns no instance"""
    await put(chat, default_mode=OLD, shadow_percent=100, shadow_limit=1)
    plan_id = (await route(chat)).plan.plan_id
    for _ in range(2):
        step = await chat.outcome(
            plan_id=plan_id,
            code="503",
            rollout={"shadow": True, "decision_id": plan_id},
            latency={"seconds": 4},
        )
    assert (await chat("ListBreakers", all=True)).breakers == []
    assert step.plan_version == 1
    assert (await decide(chat)).shadow_mode == NEW
    await chat.outcome(plan_id=plan_id, rollout={"size": 7, "digest": "x"}, latency={"seconds": 1})
    (found,) = (await chat("ListComparisons", rollout="chat")).comparisons
    assert (found.id, found.primary.id, found.org_id) == (plan_id, plan_id, "acme")
    assert (found.primary.mode, found.primary.size, found.primary.latency.ToSeconds()) == (OLD, 7, 1)
    assert (found.shadow.mode, found.shadow.code, found.shadow.latency.ToSeconds()) == (NEW, "503", 4)
    assert (found.same_status, found.output) == (False, pb.EQUALITY_UNSPECIFIED)
    shown = (await metrics(chat)).metrics
    assert (shown.old_mode.total, shown.new_mode.total, shown.shadow.total) == (1, 0, 1)


async def test_a_shadow_that_was_cancelled_gives_its_place_back(chat):
    """G2"""
    await put(chat, default_mode=OLD, shadow_percent=100, shadow_limit=1)
    plan_id = (await route(chat)).plan.plan_id
    await chat.outcome(plan_id=plan_id, code="CANCELLED", rollout={"shadow": True, "decision_id": plan_id})
    assert (await decide(chat)).shadow_mode == NEW


async def test_a_shadow_that_was_never_decided_is_refused(chat):
    plan_id = (await route(chat)).plan.plan_id
    fields = {"plan_id": plan_id, "rollout": {"shadow": True, "decision_id": plan_id}}
    assert await refused(chat, "ReportOutcome", **fields) == ["rollout.shadow"]


async def test_a_batch_of_routes_decides_each(chat):
    """G1, S5"""
    item = {"title": "work", "rollout": {"rollout": "chat", "org_id": "acme"}}
    bad = {"title": "work", "rollout": {"rollout": "chta"}}
    answers = (await chat("RouteTasks", items=[item, bad, {"title": "work"}])).items
    assert answers[0].route.decision.mode == NEW
    assert answers[1].error.reason == "ROLLOUT_NOT_FOUND"
    assert not answers[2].route.HasField("decision")


async def test_outcomes_of_a_batch_count_each(chat):
    """G3, S5"""
    decision = await decide(chat)
    item = {"rollout": told(decision), "code": "AGENT_ERROR", "latency": {}}
    bad = {"rollout": told(decision, mode="unknown"), "latency": {}}
    answers = (await chat("ReportOutcomes", items=[item] * 10 + [bad])).items
    assert [bool(each.error.reason) for each in answers] == [False] * 10 + [True]
    await chat.engine.turn()
    assert (await state(chat)).fallback


async def test_an_outcome_may_tell_an_instance_and_a_mode_together(chat):
    """G3, R7"""
    decision = await decide(chat)
    await chat("ReportOutcome", instance=LOCAL["id"], code="CONN_REFUSED", rollout=told(decision), latency={})
    assert await new_total(chat) == (1, 1)
    assert any(each.name == LOCAL["id"] for each in (await chat("ListBreakers", all=True)).breakers)
    with pytest.raises(NotFound):
        await chat("ReportOutcome", instance="no:such", code="503", rollout=told(decision), latency={})
    assert await new_total(chat) == (1, 1)


async def test_a_shadow_that_names_its_instance_concerns_it_no_more_than_others(chat):
    """G2, F3: no breaker is struck for work on the side"""
    await put(chat, default_mode=OLD, shadow_percent=100)
    decision = await decide(chat)
    for _ in range(5):
        side = told(decision, mode=NEW, shadow=True)
        await chat("ReportOutcome", instance=LOCAL["id"], code="CONN_REFUSED", rollout=side, latency={})
    assert (await chat("ListBreakers", all=True)).breakers == []
    with pytest.raises(NotFound):
        await chat("ReportOutcome", instance="no:such", code="503", rollout=side, latency={})
