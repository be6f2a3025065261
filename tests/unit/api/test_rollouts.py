"""Rollouts through the API: definitions, decisions, what came of them, fallback by hand, figures and comparisons (spec G1 to G5, G7)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fleet.v1 import rollout_pb2 as pb
from fleetd.api.calls import Call
from fleetd.core.rolling import MOST_ROLLOUTS, DefineRollouts
from fleetd.core.rollout import Origin, Rollout, RolloutMode
from fleetd.core.task import TaskFilter
from fleetd.errors import Conflict, InvalidArgument, NotFound, Overloaded, Unavailable, WrongState
from tests.unit.api.port import Port
from tests.unit.api.routed import CLOUD, LOCAL, SECOND, refused

OLD, NEW = "direct_llm", "runtime"
KIM = Call(actor="op:kim")


async def put(port: Port, **fields: Any) -> pb.Rollout:
    """Define a rollout whose work all gets the new mode, unless told otherwise."""
    values = {
        "name": "chat",
        "old_mode": {"name": OLD},
        "new_mode": {"name": NEW},
        "default_mode": NEW,
        **fields,
    }
    return await port("PutRollout", rollout=values, call=KIM)


async def decide(port: Port, org_id: str = "acme", *, dry_run: bool = False, **use: Any) -> pb.ModeDecision:
    return await port("DecideMode", use={"rollout": "chat", "org_id": org_id, **use}, dry_run=dry_run)


def told(decision: pb.ModeDecision, **more: Any) -> dict[str, Any]:
    """Return what is said of a decision when its outcome is reported."""
    fields = {name: getattr(decision, name) for name in ("rollout", "org_id", "mode", "epoch", "decision_id")}
    return {**fields, **more}


async def report(port: Port, decision: pb.ModeDecision, code: str = "", ms: int = 100, **more: Any) -> None:
    latency = {"seconds": ms // 1_000, "nanos": ms % 1_000 * 1_000_000}
    await port("ReportOutcome", rollout=told(decision, **more), code=code, latency=latency)


async def trip(port: Port) -> None:
    decision = await decide(port)
    for _ in range(10):
        await report(port, decision, "AGENT_ERROR")
    await port.engine.turn()
    assert (await state(port)).fallback


async def state(port: Port) -> pb.FallbackState:
    return (await port("GetRollout", name="chat")).fallback


async def metrics(port: Port, **more: Any) -> Any:
    return await port("GetRolloutMetrics", rollout="chat", **more)


async def audits(port: Port) -> list[tuple[str, str, str, str]]:
    lines = await port.store.list_audits(0, 100, "", "")
    return [(line.actor, line.action, line.target, line.reason) for line in reversed(lines)]


# definitions


async def test_a_rollout_is_put_got_listed_and_removed(port):
    """G4: the origin is shown; every act leaves its line"""
    made = await put(port, percent=12.5, allow_orgs=["acme"], deny_orgs=["x", "b"])
    assert (made.version, made.origin, made.salt, made.hash_version) == (
        1, pb.ROLLOUT_ORIGIN_STORE, "chat", 1,
    )  # fmt: skip
    got = await port("GetRollout", name="chat")
    assert (got.rollout, got.fallback.phase, got.fallback.epoch) == (made, pb.ROLLOUT_PHASE_NORMAL, 1)
    assert (got.fallback.fallback, got.fallback.dwell.ToSeconds(), list(got.orgs)) == (False, 60, [])
    again = await port("PutRollout", rollout=made, expected_version=1)
    assert (again.version, again.percent) == (2, 12.5)
    await put(port, name="another")
    listed = (await port("ListRollouts")).rollouts
    assert [each.rollout.name for each in listed] == ["another", "chat"]
    await port("RemoveRollout", name="chat", reason="over", call=KIM)
    assert [each.rollout.name for each in (await port("ListRollouts")).rollouts] == ["another"]
    assert await audits(port) == [
        ("op:kim", "PutRollout", "chat", ""),
        ("", "PutRollout", "chat", ""),
        ("op:kim", "PutRollout", "another", ""),
        ("op:kim", "RemoveRollout", "chat", "over"),
    ]


async def test_bad_fields_of_a_definition_are_named_with_their_paths(port):
    """G1, S3"""
    with pytest.raises(InvalidArgument) as caught:
        await put(
            port,
            name="no blanks",
            default_mode="unknown",
            percent=101,
            shadow_percent=-1,
            shadow_limit=1_001,
            allow_orgs=["bad org"],
            fallback={"error_rate": 1.5, "window": {"seconds": 1}},
        )
    assert {path.split("[")[0] for path, _ in caught.value.fields} == {
        "rollout.name",
        "rollout.default_mode",
        "rollout.percent",
        "rollout.shadow_percent",
        "rollout.shadow_limit",
        "rollout.allow_orgs",
        "rollout.fallback.error_rate",
        "rollout.fallback.window",
    }
    assert await refused(port, "PutRollout", rollout={"name": "chat"}) == [
        "rollout.old_mode",
        "rollout.new_mode",
    ]
    assert await refused(port, "PutRollout", expected_version=-1) == ["expected_version"]
    assert not (await port("ListRollouts")).rollouts


async def test_a_stale_version_another_salt_and_a_definition_elsewhere_are_refused(port):
    """G4, G2"""
    await put(port)
    with pytest.raises(Conflict) as stale:
        await port("PutRollout", rollout=await put(port), expected_version=1)
    assert (stale.value.reason, stale.value.metadata["version"]) == ("VERSION_MISMATCH", "2")
    with pytest.raises(WrongState) as salted:
        await put(port, salt="pepper")
    assert (salted.value.reason, "begun with 'chat'" in salted.value.message) == ("SALT_CHANGED", True)
    file = Rollout("chat", RolloutMode(OLD), RolloutMode(NEW), OLD, salt="chat")
    await port.engine.execute(DefineRollouts((file,), Origin.FILE))
    assert (await port("GetRollout", name="chat")).rollout.origin == pb.ROLLOUT_ORIGIN_FILE
    for method, fields in (("PutRollout", {"rollout": (await port("GetRollout", name="chat")).rollout}),
                           ("RemoveRollout", {"name": "chat", "reason": "x"})):  # fmt: skip
        with pytest.raises(WrongState) as elsewhere:
            await port(method, **fields)
        assert elsewhere.value.reason == "ROLLOUT_DEFINED_ELSEWHERE"


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("GetRollout", {"name": "chta"}),
        ("RemoveRollout", {"name": "chta"}),
        ("DecideMode", {"use": {"rollout": "chta"}}),
        ("RouteTask", {"title": "work", "rollout": {"rollout": "chta"}}),
        ("SubmitTask", {"title": "work", "rollout": {"rollout": "chta"}}),
        ("ForceFallback", {"rollout": "chta", "reason": "x"}),
        ("ResetFallback", {"rollout": "chta", "reason": "x"}),
        ("GetRolloutMetrics", {"rollout": "chta"}),
        ("GetRolloutMetrics", {"rollout": "chta", "orgs": True}),
        (
            "ReportOutcome",
            {"latency": {}, "rollout": {"rollout": "chta", "mode": OLD, "epoch": 1}},
        ),
    ],
)
async def test_an_unknown_rollout_is_not_found_and_the_known_ones_are_named(port, method, fields):
    """G1, S3"""
    await put(port)
    with pytest.raises(NotFound, match="known: chat") as caught:
        await port(method, **fields)
    assert (caught.value.reason, caught.value.metadata["rollout"]) == ("ROLLOUT_NOT_FOUND", "chta")


@pytest.mark.parametrize(
    ("method", "fields", "paths"),
    [
        ("GetRollout", {}, ["name"]),
        ("RemoveRollout", {"name": "a b", "reason": "x" * 5_000}, ["name", "reason"]),
        ("DecideMode", {}, ["use.rollout"]),
        (
            "DecideMode",
            {"use": {"rollout": "chat", "org_id": "a b", "session_id": "s" * 129}},
            ["use.org_id", "use.session_id"],
        ),
        ("RouteTask", {"title": "t", "rollout": {"org_id": "a b"}}, ["rollout.rollout", "rollout.org_id"]),
        (
            "SubmitTask",
            {"title": "t", "org_id": "acme", "rollout": {"rollout": "chat", "org_id": "other"}},
            ["rollout.org_id"],
        ),
        (
            "ForceFallback",
            {"org_id": "a b", "duration": {"nanos": 1_000_000}},
            ["rollout", "org_id", "reason", "duration"],
        ),
        ("ForceFallback", {"rollout": "chat", "reason": " "}, ["reason"]),
        ("ForceFallback", {"rollout": "chat", "reason": "x", "duration": {"seconds": 2_592_001}}, ["duration"]),
        ("ResetFallback", {"rollout": "chat"}, ["reason"]),
        ("GetRolloutMetrics", {"rollout": "chat", "org_id": "acme", "orgs": True}, ["orgs"]),
        ("ListComparisons", {"rollout": "a b", "id": "x" * 129, "page_size": -1}, ["rollout", "id", "page_size"]),
        ("ListComparisons", {"page_token": "nonsense"}, ["page_token"]),
        ("ReportOutcome", {"rollout": {}}, ["rollout.rollout", "rollout.mode", "rollout.epoch", "latency"]),
        (
            "ReportOutcome",
            {"latency": {}, "rollout": {"rollout": "chat", "mode": NEW, "epoch": 1, "shadow": True, "size": -1}},
            ["rollout.decision_id", "rollout.size"],
        ),
        (
            "ReportOutcome",
            {"latency": {}, "rollout": {"rollout": "chat", "mode": NEW, "epoch": 2}},
            ["rollout.epoch"],
        ),
        (
            "ReportOutcome",
            {"latency": {}, "rollout": {"rollout": "chat", "mode": "unknown", "epoch": 1}},
            ["rollout.mode"],
        ),
        (
            "ReportOutcome",
            {"latency": {}, "rollout": {"rollout": "chat", "mode": OLD, "epoch": 1, "shadow": True, "decision_id": "d"}},
            ["rollout.mode"],
        ),
        (
            "ReportOutcome",
            {"task_id": "t", "lease_epoch": 1, "latency": {}, "rollout": {"rollout": "chat", "mode": NEW, "epoch": 1}},
            ["rollout"],
        ),
    ],
)  # fmt: skip
async def test_bad_fields_are_refused_by_name(port, method, fields, paths):
    """S3"""
    await put(port)
    assert await refused(port, method, **fields) == paths


# decisions


async def test_the_cause_is_always_told(port):
    """G1: in their order"""
    await put(port, default_mode=OLD, allow_orgs=["in", "both"], deny_orgs=["out", "both"], percent=30)
    by_org = {org: await decide(port, org) for org in ("in", "out", "both", *(f"org-{n}" for n in range(99)))}
    found = {org: (each.mode, each.cause) for org, each in by_org.items()}
    assert found["in"] == (NEW, pb.DECISION_CAUSE_ALLOW_LIST)
    assert found["out"] == found["both"] == (OLD, pb.DECISION_CAUSE_DENY_LIST)
    percent = [each for each in by_org.values() if each.cause == pb.DECISION_CAUSE_PERCENT]
    default = [each for each in by_org.values() if each.cause == pb.DECISION_CAUSE_DEFAULT_MODE]
    assert {each.mode for each in percent} == {NEW}
    assert {each.mode for each in default} == {OLD}
    assert all(each.bucket < 30 for each in percent)
    assert all(each.bucket >= 30 for each in default)
    assert len(percent) + len(default) == 99
    assert all(each.reason and each.decision_id and each.epoch == 1 for each in by_org.values())
    nobody = await decide(port, "")
    assert (nobody.cause, nobody.bucket) == (pb.DECISION_CAUSE_DEFAULT_MODE, -1)
    await put(port, explicit_mode=NEW)
    assert (await decide(port, "out")).cause == pb.DECISION_CAUSE_EXPLICIT_MODE
    await trip(port)
    assert (await decide(port, "out")).cause == pb.DECISION_CAUSE_AUTO_FALLBACK
    await port("ForceFallback", rollout="chat", reason="outage")
    forced = await decide(port, "out")
    assert (forced.cause, forced.reason) == (pb.DECISION_CAUSE_FORCED, "fallback forced on: outage")


async def test_sessions_are_kept_together_where_they_are_the_bucket(port):
    """G2"""
    await put(port, default_mode=OLD, percent=50, bucket_by=pb.ROLLOUT_BUCKET_SESSION)
    modes = [(await decide(port, session_id=f"s-{n}")).mode for n in range(60)]
    assert {OLD, NEW} == set(modes)
    assert modes == [(await decide(port, "other", session_id=f"s-{n}")).mode for n in range(60)]


async def test_a_dry_run_has_no_id_and_uses_nothing_up(port):
    """G1, G2"""
    await put(port, default_mode=OLD, shadow_percent=100, shadow_limit=1)
    for _ in range(3):
        only = await decide(port, dry_run=True)
        assert (only.decision_id, only.shadow_mode) == ("", NEW)
        answer = await port(
            "RouteTask", title="work", rollout={"rollout": "chat", "org_id": "acme"}, dry_run=True
        )
        assert (answer.decision.decision_id, answer.decision.shadow_mode) == ("", NEW)
    assert (await decide(port)).shadow_mode == NEW
    assert (await decide(port)).shadow_mode == ""


async def test_a_task_says_how_its_mode_was_decided_and_so_does_its_lease(port):
    """G1, G2"""
    await put(port, default_mode=OLD, shadow_percent=100)
    task = await port.submit(org_id="acme", rollout={"rollout": "chat"})
    assert (task.rollout.rollout, task.rollout.mode, task.rollout.cause, task.rollout.epoch) == (
        "chat", OLD, pb.DECISION_CAUSE_DEFAULT_MODE, 1,
    )  # fmt: skip
    lease = await port.claim()
    assert (lease.task_id, lease.rollout) == (task.id, task.rollout)
    await port.report(lease, complete={"digest": "x"})
    side = await port.claim()
    assert (side.rollout.shadow, side.rollout.shadow_of, side.rollout.mode) == (True, task.id, NEW)
    await port.report(side, complete={"digest": "y", "output": {"text": "1234"}})
    (found,) = (await port("ListComparisons", id=task.id)).comparisons
    assert (found.output, found.same_status, found.shadow.size) == (pb.EQUALITY_DIFFERENT, True, 4)
    plain = await port.submit()
    assert not plain.HasField("rollout")


async def test_tasks_and_services_at_once_share_the_ten_places(port):
    """G2: decisions of the event loop and transactions in their thread"""
    await put(port, default_mode=OLD, shadow_percent=100)
    item = {"title": "work", "org_id": "acme", "rollout": {"rollout": "chat"}}
    for _ in range(20):
        answers = await asyncio.gather(
            *(port("SubmitTasks", tasks=[item] * 3, return_tasks=True) for _ in range(4)),
            *(decide(port) for _ in range(4)),
        )
        assert len(answers) == 8
        assert port.engine.rollout_book.places.taken("chat") <= 10
    listed = [row.task for row in (await port.store.list_tasks(TaskFilter(), 0, 1_000, 1_000)).rows]
    shadows = [task for task in listed if task.shadow]
    held = port.engine.rollouts.pairs.held("chat")
    assert (len(listed) - len(shadows), len(shadows) + held) == (240, 10)


async def test_a_trial_is_shared_by_tasks_and_services_exactly(port):
    """G4"""
    await put(port)
    await trip(port)
    port.clock.advance(60_000)
    port.engine.nudge()
    await port.engine.turn()
    await port.engine.turn()
    assert (await state(port)).phase == pb.ROLLOUT_PHASE_TRIAL
    item = {"title": "work", "org_id": "acme", "rollout": {"rollout": "chat"}}
    trials = 0
    for _ in range(10):
        *answers, one, two = await asyncio.gather(
            *(port("SubmitTasks", tasks=[item] * 9, return_tasks=True) for _ in range(2)),
            decide(port),
            decide(port),
        )
        trials += one.trial + two.trial + sum(each.task.rollout.trial for a in answers for each in a.items)
    assert trials == 10


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


async def new_total(port: Port) -> tuple[int, int]:
    found = (await metrics(port)).metrics.new_mode
    return found.total, found.error


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


# fallback


async def test_a_fallback_is_shown_with_all_it_knows(port):
    """G3, G5"""
    await put(port)
    await trip(port)
    shown = await state(port)
    now = port.clock.wall()
    assert (shown.rollout, shown.phase, shown.fallback, shown.epoch) == (
        "chat", pb.ROLLOUT_PHASE_FALLBACK, True, 2,
    )  # fmt: skip
    assert shown.reason == "error rate too high: 100.00% (threshold: 50.00%)"
    assert (shown.since.ToMilliseconds(), shown.until.ToMilliseconds()) == (now, now + 60_000)
    assert (shown.dwell.ToSeconds(), shown.failed_trials, shown.HasField("forced")) == (60, 0, False)
    assert (await metrics(port)).metrics.fallback == shown


async def test_force_and_reset_are_answered_with_the_state_and_audited(port):
    """G4"""
    await put(port)
    on = await port("ForceFallback", rollout="chat", reason="outage", duration={"seconds": 60}, call=KIM)
    assert (on.fallback, on.reason, on.forced.on, on.forced.actor) == (True, "outage", True, "op:kim")
    assert on.forced.until.ToMilliseconds() == port.clock.wall() + 60_000
    assert on.phase == pb.ROLLOUT_PHASE_NORMAL
    off = await port("ForceFallback", rollout="chat", org_id="acme", off=True, reason="test", call=KIM)
    assert (off.org_id, off.fallback, off.forced.on, off.forced.HasField("until")) == (
        "acme", False, False, False,
    )  # fmt: skip
    assert [each.org_id for each in (await port("GetRollout", name="chat")).orgs] == ["acme"]
    after = await port("ResetFallback", rollout="chat", org_id="acme", reason="done", call=KIM)
    assert (after.HasField("forced"), after.epoch) == (False, 4)
    assert not (await port("GetRollout", name="chat")).orgs
    assert (await audits(port))[1:] == [
        ("op:kim", "ForceFallback", "chat", "outage"),
        ("op:kim", "ForceFallback", "chat:acme", "test"),
        ("op:kim", "ResetFallback", "chat:acme", "done"),
    ]


async def test_a_fallback_in_which_something_is_forced_tells_no_end_that_does_not_come(port):
    """G4: its dwell begins anew afterwards"""
    await put(port)
    await trip(port)
    assert (await state(port)).HasField("until")
    forced = await port("ForceFallback", rollout="chat", reason="outage", duration={"seconds": 3_600})
    assert forced.phase == pb.ROLLOUT_PHASE_FALLBACK
    assert (forced.HasField("until"), forced.forced.HasField("until")) == (False, True)


async def test_an_act_on_an_unknown_rollout_leaves_its_line(port):
    """F5"""
    with pytest.raises(NotFound):
        await port("ResetFallback", rollout="chat", reason="x", call=KIM)
    assert await audits(port) == [("op:kim", "ResetFallback", "chat", "x")]


async def test_outcomes_of_an_epoch_before_a_reset_trip_nothing(port):
    """G4b"""
    await put(port)
    early = await decide(port)
    await port("ResetFallback", rollout="chat", reason="deployed")
    for _ in range(20):
        await report(port, early, "AGENT_ERROR")
    await port.engine.turn()
    assert not (await state(port)).fallback
    assert await new_total(port) == (20, 20)


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


# comparisons


async def compared(port: Port, number: int) -> list[str]:
    """Let so many decisions be compared; every third one differs. Return their ids, newest first."""
    ids = []
    for each in range(number):
        decision = await decide(port)
        assert decision.shadow_mode == NEW
        await report(port, decision, digest="x")
        await report(port, decision, mode=NEW, shadow=True, digest="x" if each % 3 else "y")
        ids.append(decision.decision_id)
    return ids[::-1]


async def test_comparisons_come_in_pages_newest_first(port):
    """G2, S7"""
    await put(port, default_mode=OLD, shadow_percent=100)
    ids = await compared(port, 7)
    for fields, expected in (
        ({}, ids),
        ({"rollout": "chat"}, ids),
        ({"rollout": "another"}, []),
        ({"different": True}, [each for n, each in enumerate(reversed(ids)) if n % 3 == 0][::-1]),
        ({"rollout": "chat", "different": True}, [each for n, each in enumerate(ids[::-1]) if n % 3 == 0][::-1]),
        ({"id": ids[3]}, [ids[3]]),
        ({"id": ids[3], "rollout": "another"}, []),
    ):  # fmt: skip
        found, token = [], ""
        for _ in range(20):
            page = await port("ListComparisons", page_size=2, page_token=token, **fields)
            assert len(page.comparisons) <= 2
            found += [each.id for each in page.comparisons]
            token = page.next_page_token
            if not token:
                break
        assert (found, token) == (expected, ""), fields


async def test_a_token_of_another_list_is_refused(port):
    """S3"""
    await put(port, default_mode=OLD, shadow_percent=100)
    await compared(port, 2)
    token = (await port("ListComparisons", page_size=1)).next_page_token
    assert await refused(port, "ListComparisons", page_token=token, different=True) == ["page_token"]
    assert await refused(port, "ListComparisons", page_token=token, rollout="chat") == ["page_token"]


async def test_rollouts_are_listed_a_page_at_a_time_and_no_more_of_them_are_taken_than_there_may_be(port):
    """G1, S7."""
    for number in range(5):
        await put(port, name=f"r-{number:04}")
    first = await port("ListRollouts", page_size=2)
    second = await port("ListRollouts", page_size=1_000, page_token=first.next_page_token)
    names = [[one.rollout.name for one in page.rollouts] for page in (first, second)]
    assert names == [["r-0000", "r-0001"], ["r-0002", "r-0003", "r-0004"]]
    assert (bool(first.next_page_token), second.next_page_token) == (True, "")
    for number in range(5, MOST_ROLLOUTS):
        await put(port, name=f"r-{number:04}")
    with pytest.raises(Overloaded) as caught:
        await put(port, name="one-more")
    assert caught.value.reason == "ROLLOUTS_LIMIT"
    await put(port, name="r-0007", percent=5)
