"""Rollouts through the API: definitions, decisions, what came of them, fallback by hand, figures and comparisons (spec G1 to G5, G7)."""

from __future__ import annotations

import asyncio

import pytest

from fleet.v1 import rollout_pb2 as pb
from fleetd.core.rolling import MOST_ROLLOUTS, DefineRollouts
from fleetd.core.rollout import Origin, Rollout, RolloutMode
from fleetd.core.task import TaskFilter
from fleetd.errors import Conflict, InvalidArgument, NotFound, Overloaded, WrongState
from tests.unit.api.port import Port
from tests.unit.api.rollouts import (
    KIM,
    NEW,
    OLD,
    audits,
    decide,
    metrics,
    new_total,
    put,
    report,
    state,
    trip,
)
from tests.unit.api.routed import refused

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
