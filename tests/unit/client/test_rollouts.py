"""Rollouts through the clients: which mode, what came of it, and what operators change (G1, G2)."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import grpc
import pytest

from fleetd_client import (
    Decision,
    FleetClient,
    FleetClientSync,
    InvalidArgument,
    NotFound,
    Unavailable,
    rollouts,
    routes,
    task,
    to_route,
)
from fleetd_client import stubs as s
from fleetd_client.plan import Page
from tests.unit.client.counter import status
from tests.unit.client.fleet import Fleet, give_up, switch

NEW = "runtime_orchestrator"


@pytest.fixture
async def fleet():
    fleet = await Fleet().start()
    fleet.decision.CopyFrom(
        s.ModeDecision(
            decision_id="d-1",
            rollout="chat",
            org_id="acme",
            mode=NEW,
            cause=s.DecisionCause.DECISION_CAUSE_ALLOW_LIST,
            reason="acme is on the allow list",
            epoch=3,
            shadow_mode="direct_llm",
            bucket=-1,
        )
    )
    yield fleet
    await fleet.stop()


@pytest.fixture
async def client(fleet):
    async def sleep(_seconds):
        return

    async with FleetClient(fleet.address, sleep=sleep) as client:
        yield client


@pytest.fixture(params=["async", "sync"])
async def work_in(request, fleet, client):
    """Does `work(choice)` in the mode of a rollout; the same of both clients."""

    async def run(work, *arguments, **keywords):
        async with client.mode_of(*arguments, **keywords) as choice:
            return work(choice)

    def run_sync(work, *arguments, **keywords):
        with (
            FleetClientSync(fleet.address, sleep=lambda _: None) as one,
            one.mode_of(*arguments, **keywords) as choice,
        ):
            return work(choice)

    async def in_thread(work, *arguments, **keywords):
        return await asyncio.to_thread(run_sync, work, *arguments, **keywords)

    return run if request.param == "async" else in_thread


def failing(error):
    def work(_choice):
        raise error

    return work


async def test_a_decision_tells_mode_cause_and_reason(client, fleet):
    """G1: the cause is always returned."""
    decision = await client.decide_mode("chat", org_id="acme", session_id="s-1", dry_run=True)
    assert decision == Decision(
        mode=NEW,
        cause="ALLOW_LIST",
        reason="acme is on the allow list",
        shadow_mode="direct_llm",
        rollout="chat",
        org_id="acme",
        decision_id="d-1",
        epoch=3,
        bucket=None,
    )
    (request,) = fleet.called("DecideMode")
    assert request.dry_run
    assert request.use == s.RolloutUse(rollout="chat", org_id="acme", session_id="s-1")


async def test_work_in_a_mode_is_measured_and_its_success_reported(work_in, fleet):
    """G1, G3: what the fallback rests on is told by itself."""

    def work(choice):
        time.sleep(0.03)
        choice.result(size=7, digest="sha256:1")
        return choice.mode, choice.cause

    assert await work_in(work, "chat", org_id="acme") == (NEW, "ALLOW_LIST")
    (outcome,) = fleet.outcomes
    assert outcome.code == ""
    assert 30 <= outcome.latency.ToMilliseconds() < 10_000
    assert outcome.rollout == s.RolloutOutcome(
        rollout="chat", org_id="acme", mode=NEW, epoch=3, decision_id="d-1", size=7, digest="sha256:1"
    )
    assert (outcome.plan_id, outcome.task_id, outcome.instance) == ("", "", "")


class Coded(Exception):
    code = "CONTEXT_EXCEEDED"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TimeoutError("too late"), "TIMEOUT"),
        (ValueError("a defect"), "AGENT_ERROR"),
        (Coded(), "CONTEXT_EXCEEDED"),
    ],
)
async def test_an_exception_passes_and_its_code_is_reported(work_in, fleet, error, code):
    """G1, G5."""
    with pytest.raises(type(error)) as raised:
        await work_in(failing(error), "chat")
    assert raised.value.args == error.args
    (outcome,) = fleet.outcomes
    assert outcome.code == code
    assert outcome.rollout.decision_id == "d-1"


async def test_work_that_runs_out_of_time_is_a_timeout(client, fleet):
    """G5."""
    with pytest.raises(TimeoutError):
        async with client.mode_of("chat"), asyncio.timeout(0.01):
            await asyncio.Event().wait()
    assert [one.code for one in fleet.outcomes] == ["TIMEOUT"]


async def test_cancelled_work_is_reported_as_cancelled(client, fleet):
    """G5."""
    begun = asyncio.Event()

    async def work():
        async with client.mode_of("chat"):
            begun.set()
            await asyncio.Event().wait()

    working = asyncio.create_task(work())
    await begun.wait()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert [one.code for one in fleet.outcomes] == ["CANCELLED"]


async def test_the_end_of_the_process_is_nobody_s_outcome(work_in, fleet):
    """G5."""
    with pytest.raises(SystemExit):
        await work_in(failing(SystemExit(1)), "chat")
    assert fleet.outcomes == []


async def test_a_shadow_is_reported_beside_the_work(client, fleet):
    """G2: with the mode it ran in, marked, so that it counts for no fallback."""
    async with client.mode_of("chat") as choice:
        assert choice.shadow_mode == "direct_llm"
    await choice.report_shadow(latency=timedelta(seconds=2), size=9, digest="sha256:2")
    await choice.report_shadow(TimeoutError())
    _, shadow, late = fleet.outcomes
    assert (shadow.code, shadow.latency.seconds) == ("", 2)
    assert shadow.rollout == s.RolloutOutcome(
        rollout="chat",
        org_id="acme",
        mode="direct_llm",
        epoch=3,
        decision_id="d-1",
        shadow=True,
        size=9,
        digest="sha256:2",
    )
    assert (late.code, late.rollout.shadow) == ("TIMEOUT", True)


async def test_a_shadow_that_nobody_asked_for_is_a_mistake(client, fleet):
    """G2."""
    fleet.decision.shadow_mode = ""
    async with client.mode_of("chat") as choice:
        with pytest.raises(ValueError, match="there is no shadow"):
            await choice.report_shadow()
    assert len(fleet.outcomes) == 1


async def test_the_synchronous_client_reports_shadows_as_well(fleet):
    """G2."""

    def work():
        with FleetClientSync(fleet.address) as one, one.mode_of("chat") as choice:
            choice.report_shadow("503", latency=1)

    await asyncio.to_thread(work)
    assert [(one.code, one.rollout.shadow) for one in fleet.outcomes] == [("503", True), ("", False)]


async def test_work_goes_on_in_a_named_mode_while_the_daemon_cannot_be_asked(work_in, fleet):
    """G1: a control plane that is away stops nobody."""
    fleet.undecided = status(grpc.StatusCode.UNAVAILABLE, "DRAINING")
    assert await work_in(lambda choice: (choice.mode, choice.cause), "chat", otherwise="direct_llm") == (
        "direct_llm",
        "",
    )
    assert fleet.outcomes == [], "nobody decided"
    with pytest.raises(Unavailable):
        await work_in(lambda choice: choice.mode, "chat")


async def test_a_rollout_that_there_is_not_is_an_error_all_the_same(work_in, fleet):
    """G1: a wrong name must not be hidden."""
    fleet.undecided = status(grpc.StatusCode.NOT_FOUND, "ROLLOUT_NOT_FOUND")
    with pytest.raises(NotFound):
        await work_in(lambda choice: choice.mode, "chatt", otherwise="direct_llm")


async def test_an_outcome_that_cannot_be_told_hides_nothing(client, fleet):
    """G1: the work is done."""
    async with client.mode_of("chat") as choice:
        await fleet.stop()
        mode = choice.mode
    assert mode == NEW


async def test_a_choice_is_made_once(client):
    """G1."""
    choice = client.mode_of("chat")
    async with choice:
        pass
    with pytest.raises(RuntimeError, match="call mode_of"):
        async with choice:
            pass


async def test_a_route_with_a_rollout_brings_its_mode_and_reports_it_with_every_try(client, fleet):
    """G1, R7: one report tells the instance and the rollout."""
    fleet.steps.append(switch("b:1"))
    found = []
    async for attempt in client.routed("Answer", rollout="chat", org_id="acme", session_id="s-1"):
        async with attempt:
            found.append(attempt.decision.mode)
            if attempt.instance.id == "a:1":
                raise ConnectionRefusedError
            attempt.result(size=3, digest="x")
    assert found == [NEW, NEW]
    (request,) = fleet.called("RouteTask")
    assert request.rollout == s.RolloutUse(rollout="chat", org_id="acme", session_id="s-1")
    first, last = fleet.outcomes
    assert (first.plan_id, first.code, first.rollout.decision_id, first.rollout.size) == (
        "p",
        "CONN_REFUSED",
        "d-1",
        0,
    )
    assert (last.plan_id, last.code, last.rollout.decision_id, last.rollout.size, last.rollout.digest) == (
        "p",
        "",
        "d-1",
        3,
        "x",
    )


async def test_a_route_without_a_rollout_has_no_decision(client, fleet):
    """G1."""
    fleet.steps.append(give_up("BAD_REQUEST"))
    async with client.routed("Answer") as attempt:
        pass
    assert attempt.decision is None
    (outcome,) = fleet.outcomes
    assert not outcome.HasField("rollout")
    assert not fleet.called("RouteTask")[0].HasField("rollout")


def test_a_task_may_be_submitted_with_a_rollout_and_a_session():
    """G1: of a task its org counts."""
    assert task("t", rollout="chat", session_id="s-1").rollout == s.RolloutUse(
        rollout="chat", session_id="s-1"
    )
    assert task("t", rollout="chat").rollout == s.RolloutUse(rollout="chat")
    assert not task("t").HasField("rollout")
    whole = s.RolloutUse(rollout="chat", session_id="s-2")
    assert task("t", rollout=whole).rollout == whole


@pytest.mark.parametrize(
    "make",
    [
        lambda: task("t", session_id="s-1"),
        lambda: to_route("t", session_id="s-1"),
        lambda: to_route("t", org_id="acme"),
    ],
)
def test_a_session_or_an_org_without_a_rollout_is_a_mistake(make):
    """G1, S3: it would be forgotten in silence."""
    with pytest.raises(InvalidArgument, match="only beside a rollout"):
        make()


def asked(plan):
    """The request of a plan's first call."""
    return next(plan).request


def test_a_definition_may_be_a_mapping_with_the_names_of_the_api():
    """G1, G7."""
    request = asked(
        rollouts.put_rollout(
            {
                "name": "chat",
                "old_mode": {"name": "direct_llm"},
                "newMode": {"name": NEW, "requiredCapabilities": ["runtime"]},
                "allow_orgs": ["acme"],
                "percent": 12.5,
                "fallback": {"error_rate": 0.5, "timeout_threshold": "300s"},
                "targets": {"avg_latency": "3s"},
            },
            expected_version=4,
        )
    )
    assert request.expected_version == 4
    assert request.rollout.new_mode.name == NEW
    assert request.rollout.fallback.timeout_threshold.seconds == 300
    assert request.rollout.targets.avg_latency.seconds == 3
    assert request.rollout.percent == 12.5


def test_a_definition_may_be_written_as_in_the_daemons_file():
    """G2, G3."""
    made = rollouts.definition(
        {
            "name": "chat",
            "bucket_by": "session",
            "fallback": {"window": "5m", "dwell": "1.5s", "dwell_max": "1h", "probe_timeout": "250ms"},
            "targets": {"avg_latency": "3s"},
        }
    )
    assert made.bucket_by == 2
    rules = made.fallback
    spans = (rules.window, rules.dwell, rules.dwell_max, rules.probe_timeout, made.targets.avg_latency)
    assert [span.ToMilliseconds() for span in spans] == [300_000, 1_500, 3_600_000, 250, 3_000]


def test_a_name_that_a_definition_does_not_have_is_refused():
    """G1, S3."""
    with pytest.raises(InvalidArgument, match="percentage"):
        asked(rollouts.put_rollout({"name": "chat", "percentage": 10}))


def test_what_operators_ask_reaches_its_field():
    """G4, G5."""
    forced = asked(
        rollouts.force_fallback(
            "chat", reason="incident", org_id="acme", off=True, duration=timedelta(hours=2)
        )
    )
    assert forced == s.ForceFallbackRequest(
        rollout="chat", reason="incident", org_id="acme", off=True, duration={"seconds": 7_200}
    )
    assert not asked(rollouts.force_fallback("chat", reason="x")).HasField("duration")
    assert asked(rollouts.reset_fallback("chat", reason="mended")) == s.ResetFallbackRequest(
        rollout="chat", reason="mended"
    )
    assert asked(rollouts.rollout_metrics("chat", org_id="acme", orgs=True)) == s.GetRolloutMetricsRequest(
        rollout="chat", org_id="acme", orgs=True
    )
    assert asked(rollouts.get_rollout("chat")).name == "chat"
    assert asked(rollouts.remove_rollout("chat", reason="old")) == s.RemoveRolloutRequest(
        name="chat", reason="old"
    )


def test_comparisons_come_page_by_page():
    """G2."""
    plan = rollouts.comparison_page("token", "chat", id="d-1", different=True, page_size=10)
    assert asked(plan) == s.ListComparisonsRequest(
        rollout="chat", id="d-1", different=True, page_size=10, page_token="token"
    )
    with pytest.raises(StopIteration) as done:
        plan.send(s.ListComparisonsResponse(comparisons=[s.Comparison(id="x")], next_page_token="more"))
    assert done.value.value == Page([s.Comparison(id="x")], "more")


def test_an_outcome_of_a_decision_may_be_reported_by_hand():
    """G3."""
    decision = Decision(NEW, rollout="chat", decision_id="d-1", epoch=3)
    outcome = routes.outcome(code="TIMEOUT", latency=1.5, rollout=decision.outcome(size=1))
    assert outcome.rollout == s.RolloutOutcome(rollout="chat", mode=NEW, epoch=3, decision_id="d-1", size=1)
