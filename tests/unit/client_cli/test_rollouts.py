"""fleetctl's commands for rollouts, against a server that plays the daemon (G1-G5)."""

from __future__ import annotations

import json

import pytest

from fleetd_client import stubs as s
from fleetd_client.cli import exit_codes
from tests.unit.client_cli.router import serving

NEW = "runtime_orchestrator"


@pytest.fixture
def router():
    with serving() as router:
        yield router


def chat(**fields) -> s.GetRolloutResponse:
    rollout = {
        "name": "chat",
        "old_mode": {"name": "direct_llm"},
        "new_mode": {"name": NEW},
        "default_mode": "direct_llm",
        "allow_orgs": ["acme", "b", "c", "d", "e", "f", "g"],
        "percent": 12.5,
        "shadow_percent": 1,
        "origin": s.RolloutOrigin.ROLLOUT_ORIGIN_ENVIRONMENT,
        "version": 4,
        "fallback": {"error_rate": 0.5, "timeout_threshold": {"seconds": 300}},
        "targets": {"avg_latency": {"seconds": 3}, "error_rate": 0.05},
    }
    fallback = {
        "rollout": "chat",
        "phase": s.RolloutPhase.ROLLOUT_PHASE_FALLBACK,
        "fallback": True,
        "reason": "error rate too high: 55.00% (threshold: 50.00%)",
        "epoch": 7,
    }
    return s.GetRolloutResponse(rollout=rollout, fallback=fallback | fields)


def cells(text):
    """The words of each line."""
    return [line.split() for line in text.splitlines()]


def test_the_list_shows_phase_share_and_why_it_fell_back(router):
    """G3, G5."""
    router.answers["ListRollouts"] = s.ListRolloutsResponse(rollouts=[chat()])
    shown = router.run("rollouts", "list")
    assert shown.exit_code == 0
    header, row = cells(shown.stdout)
    assert header == ["NAME", "PHASE", "OLD", "NEW", "DEFAULT", "PERCENT", "SHADOW", "ORIGIN", "WHY"]
    assert row[:8] == ["chat", "FALLBACK", "direct_llm", NEW, "direct_llm", "12.5%", "1%", "ENVIRONMENT"]
    assert "error rate too high: 55.00% (threshold: 50.00%)" in shown.stdout


def test_one_rollout_shows_all_of_it_and_the_orgs_in_fallback(router):
    """G4."""
    answer = chat(forced={"on": True, "reason": "incident", "actor": "ada"})
    answer.orgs.add(org_id="acme", phase=s.RolloutPhase.ROLLOUT_PHASE_TRIAL, fallback=True, epoch=2)
    router.answers["GetRollout"] = answer
    text = router.run("rollouts", "get", "chat").stdout
    lines = cells(text)
    assert ["PHASE", "FORCED"] in lines
    assert ["EPOCH", "7"] in lines
    assert ["FORCED", "old", "mode,", "until", "reset,", "by", "ada,", "incident"] in lines
    assert ["ALLOWED", "acme,b,c,d,e", "and", "2", "more"] in lines
    assert ["FALLS", "BACK", "errors", ">", "50.0%,", "timeout", "after", "5m"] in lines
    assert ["TARGETS", "average", "3.0s,", "errors", "5.0%"] in lines
    assert ["acme", "TRIAL", "yes", "0", "2"] in lines


def test_a_reason_is_said_once_while_it_is_forced(router):
    """G4: the daemon gives the reason of whoever forced it as that of the fallback, too."""
    router.answers["GetRollout"] = chat(forced={"on": True, "reason": "incident"}, reason="incident")
    assert ["WHY", "incident"] in cells(router.run("rollouts", "get", "chat").stdout)


def test_json_has_the_names_of_the_api(router):
    """G5."""
    router.answers["GetRollout"] = chat()
    document = json.loads(router.run("rollouts", "get", "chat", "-o", "json").stdout)
    assert document["rollout"]["oldMode"] == {"name": "direct_llm", "requiredCapabilities": []}
    assert document["fallback"]["phase"] == "ROLLOUT_PHASE_FALLBACK"


@pytest.mark.parametrize("source", ["file", "stdin", "as shown"])
def test_a_definition_is_put_from_a_file_standard_input_or_what_get_shows(router, tmp_path, source):
    """G4."""
    router.answers["PutRollout"] = s.Rollout(name="chat", version=5)
    definition = {"name": "chat", "old_mode": {"name": "a"}, "new_mode": {"name": "b"}, "percent": 10}
    file = tmp_path / "chat.json"
    whole = {"rollout": definition, "fallback": {"epoch": 3}} if source == "as shown" else definition
    file.write_text(json.dumps(whole))
    name, stdin = ("-", json.dumps(definition)) if source == "stdin" else (str(file), None)
    shown = router.run("rollouts", "put", name, "--expected-version", "4", stdin=stdin)
    assert shown.exit_code == 0
    (request,) = router.asked
    assert (request.rollout.name, request.rollout.percent, request.expected_version) == ("chat", 10, 4)
    assert ["VERSION", "5"] in cells(shown.stdout)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "no JSON"),
        ("[1]", "one rollout, an object"),
        ('{"name": "chat", "percentage": 10}', "percentage"),
    ],
)
def test_a_bad_file_is_a_usage_error_that_says_what_is_wrong(router, tmp_path, text, words):
    """G4, S3."""
    file = tmp_path / "chat.json"
    file.write_text(text)
    shown = router.run("rollouts", "put", str(file))
    assert shown.exit_code == exit_codes.USAGE
    assert words in shown.stderr
    assert router.asked == []


def test_deciding_only_looks_unless_told_otherwise(router):
    """G1: mode, cause and reason."""
    router.answers["DecideMode"] = s.ModeDecision(
        mode=NEW,
        cause=s.DecisionCause.DECISION_CAUSE_PERCENT,
        reason="bucket 7.25 is below 12.5",
        bucket=7.25,
    )
    shown = router.run("rollouts", "decide", "chat", "--org", "acme", "--session", "s-1")
    assert cells(shown.stdout)[:2] == [["MODE", NEW], ["CAUSE", "PERCENT"]]
    assert ["BUCKET", "7.25"] in cells(shown.stdout)
    router.run("rollouts", "decide", "chat", "--take")
    looked, took = router.asked
    assert (looked.dry_run, took.dry_run) == (True, False)
    assert looked.use == s.RolloutUse(rollout="chat", org_id="acme", session_id="s-1")
    document = json.loads(router.run("rollouts", "decide", "chat", "-o", "json").stdout)
    assert document["cause"] == "DECISION_CAUSE_PERCENT"


def test_metrics_show_both_modes_their_targets_and_the_fallback(router):
    """G5, G7."""
    new = s.ModeMetrics(
        mode=NEW,
        total=50,
        success=48,
        error=2,
        timeout=1,
        error_rate=0.04,
        timeout_rate=0.02,
        avg_latency={"seconds": 2},
        p95_latency={"seconds": 4},
        targets=[s.TargetResult(name="avg_latency", met=True), s.TargetResult(name="timeout_rate")],
    )
    old = s.ModeMetrics(mode="direct_llm")
    router.answers["GetRolloutMetrics"] = s.GetRolloutMetricsResponse(
        metrics=s.RolloutMetrics(
            rollout="chat", old_mode=old, new_mode=new, fallback=chat().fallback, shadow={"total": 0}
        ),
        orgs=[
            s.RolloutMetrics(org_id="acme", old_mode=old, new_mode=new, shadow=new, fallback=chat().fallback)
        ],
    )
    shown = router.run("rollouts", "metrics", "chat", "--orgs")
    lines = cells(shown.stdout)
    assert lines[0] == ["ORG", "WORK", "MODE", "TOTAL", "ERRORS", "TIMEOUTS", "AVG", "P95", "TARGETS"]
    assert lines[1] == ["(all)", "old", "direct_llm", "0", "0", "0"]
    targets = ["avg_latency", "met,", "timeout_rate", "missed"]
    numbers = [NEW, "50", "2", "(4.0%)", "1", "(2.0%)", "2.0s", "4.0s", *targets]
    assert lines[2] == ["(all)", "new", *numbers]
    assert [line[:2] for line in lines[3:6]] == [["acme", "old"], ["acme", "new"], ["acme", "shadow"]]
    # Once: what holds for all holds for acme.
    assert [line[:3] for line in lines].count(["(all)", "FALLBACK", "yes"]) == 1
    assert router.asked[0].orgs


def test_the_fallback_is_forced_with_a_reason_for_a_time(router):
    """G4."""
    router.answers["ForceFallback"] = s.FallbackState(
        rollout="chat", phase=s.RolloutPhase.ROLLOUT_PHASE_NORMAL, forced={"on": False, "reason": "calm"}
    )
    shown = router.run(
        "rollouts", "force", "chat", "--off", "--org", "acme", "--for", "2h", "--reason", "calm"
    )
    assert shown.exit_code == 0
    assert router.asked == [
        s.ForceFallbackRequest(
            rollout="chat", org_id="acme", off=True, reason="calm", duration={"seconds": 7_200}
        )
    ]
    assert "no fallback by itself, until reset, calm" in shown.stdout


@pytest.mark.parametrize("command", ["force", "reset"])
def test_without_a_reason_nothing_is_forced_or_reset(router, command):
    """G4."""
    shown = router.run("rollouts", command, "chat")
    assert shown.exit_code == exit_codes.USAGE
    assert "--reason" in shown.stderr
    assert router.asked == []


def test_the_fallback_is_reset(router):
    """G4."""
    router.answers["ResetFallback"] = s.FallbackState(
        rollout="chat", phase=s.RolloutPhase.ROLLOUT_PHASE_NORMAL, epoch=8
    )
    shown = router.run("rollouts", "reset", "chat", "--reason", "mended")
    assert ["PHASE", "NORMAL"] in cells(shown.stdout)
    assert router.asked == [s.ResetFallbackRequest(rollout="chat", reason="mended")]


def test_a_rollout_is_removed(router):
    """G4."""
    router.answers["RemoveRollout"] = s.RemoveRolloutResponse()
    assert router.run("rollouts", "remove", "chat").stdout == "chat removed\n"
    assert json.loads(router.run("rollouts", "remove", "chat", "-o", "json").stdout) == {"name": "chat"}


def test_comparisons_show_both_sides(router):
    """G2."""
    primary = {"id": "t-1", "mode": "direct_llm", "finished": True, "latency": {"seconds": 1}, "size": 20}
    router.answers["ListComparisons"] = s.ListComparisonsResponse(
        comparisons=[
            s.Comparison(
                id="t-2",
                primary=primary,
                shadow={
                    "mode": NEW,
                    "finished": True,
                    "code": "TIMEOUT",
                    "latency": {"seconds": 300},
                },
                output=s.Equality.EQUALITY_DIFFERENT,
            ),
            s.Comparison(id="t-3", primary=primary, shadow={"mode": NEW}),
        ]
    )
    shown = router.run("rollouts", "comparisons", "chat", "--different", "--limit", "2")
    lines = cells(shown.stdout)
    side = ["direct_llm", "ok", "in", "1.0s,", "20", "bytes"]
    assert lines[1][:4] == ["t-2", "t-1", "different", "different"]
    assert lines[1][4:] == [*side, NEW, "TIMEOUT", "in", "5m"]
    assert lines[2] == ["t-3", "t-1", "running", *side, NEW, "running"]
    assert router.asked == [s.ListComparisonsRequest(rollout="chat", different=True, page_size=3)]
    assert "there are more" in router.run("rollouts", "comparisons", "chat", "--limit", "1").stderr


def test_a_misspelt_command_is_told_the_near_ones(router):
    """S2."""
    shown = router.run("rollout", "list")
    assert shown.exit_code == exit_codes.USAGE
    assert "rollouts" in shown.stderr


def test_explaining_a_route_also_tells_the_mode_when_a_rollout_is_named(router):
    """G1, R4."""
    router.answers["RouteTask"] = s.RouteTaskResponse(
        plan=s.RoutePlan(summary="0/0 instances"),
        decision=s.ModeDecision(mode=NEW, cause=s.DecisionCause.DECISION_CAUSE_ALLOW_LIST),
    )
    shown = router.run("route", "explain", "x", "--rollout", "chat", "--org", "acme")
    assert ["MODE", NEW] in cells(shown.stdout)
    assert ["CAUSE", "ALLOW_LIST"] in cells(shown.stdout)
    assert router.asked[0].rollout == s.RolloutUse(rollout="chat", org_id="acme")
    assert router.run("route", "explain", "x", "--org", "acme").exit_code == exit_codes.USAGE


def test_a_task_is_submitted_with_a_rollout_and_shows_what_it_decided(router):
    """G1, G2."""
    router.answers["SubmitTask"] = s.SubmitTaskResponse(
        task=s.Task(
            id="t-1",
            rollout={
                "rollout": "chat",
                "mode": NEW,
                "cause": s.DecisionCause.DECISION_CAUSE_PERCENT,
                "shadow": True,
                "shadow_of": "t-0",
            },
            task_event_seq=4,
        )
    )
    shown = router.run("tasks", "submit", "x", "--rollout", "chat", "--session", "s-1")
    assert router.asked[0].rollout == s.RolloutUse(rollout="chat", session_id="s-1")
    lines = cells(shown.stdout)
    assert ["ROLLOUT", "chat:", NEW, "(PERCENT,", "shadow)"] in lines
    assert ["SHADOW", "OF", "t-0"] in lines
    assert ["TOLD", "4", "events:", "fleetctl", "tasks", "stream", "t-1"] in lines
    assert router.run("tasks", "submit", "x", "--session", "s-1").exit_code == exit_codes.USAGE
