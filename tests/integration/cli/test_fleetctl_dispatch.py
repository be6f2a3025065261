"""fleetctl against a real daemon: dead letters, limits, explanations, the audit log, drains of many."""

from __future__ import annotations

import pytest

from fleetd_client import stubs as s
from tests.integration.daemon import Daemon

UNKNOWN = "01JZX3V7Q8M4T2N6B9C5D1E0FG"


@pytest.fixture
async def dead(client):
    """Make a dead letter of an org; return its id."""

    async def make(org="default", agent="coder-1"):
        task = await client.submit("broken", org_id=org, max_attempts=1)
        (lease,) = (await client.claim_tasks(agent)).leases
        word = s.Report(
            task_id=task.id, lease_epoch=lease.lease_epoch, report_id=1, fail=s.FailWord(code="AGENT_ERROR")
        )
        await client.report_tasks(agent, [word])
        return task.id

    return make


async def test_dead_letters_are_seen_and_replayed_until_the_limit(fleetctl, client, dead):
    """F5."""
    task_id = await dead()
    shown = await fleetctl("dead-letters", "list", "--cause", "attempts_exhausted")
    assert shown.out.splitlines()[1].split()[:2] == [task_id, "ATTEMPTS_EXHAUSTED"]
    one = await fleetctl("dead-letters", "get", task_id, "-o", "json")
    assert [run["error"]["code"] for run in one.json["attempts"]] == ["AGENT_ERROR"]
    for replays in range(1, 4):
        replayed = await fleetctl("dead-letters", "replay", task_id, "--reason", "the mirror is back")
        assert (replayed.code, replayed.out) == (0, "1 matched, 1 replayed\n")
        (lease,) = (await client.claim_tasks(f"coder-{replays + 1}")).leases
        word = s.Report(
            task_id=task_id, lease_epoch=lease.lease_epoch, report_id=1, fail=s.FailWord(code="X")
        )
        await client.report_tasks(f"coder-{replays + 1}", [word])
    refused = await fleetctl("dead-letters", "replay", task_id)
    assert refused.code == 4
    assert "the limit is 3" in refused.err
    missing = await fleetctl("dead-letters", "get", UNKNOWN)
    assert missing.code == 3


async def test_many_dead_letters_are_replayed_or_discarded_by_filter_when_somebody_agrees(fleetctl, dead):
    """F5."""
    await dead("acme")
    await dead("other", "coder-2")
    usage = await fleetctl("dead-letters", "replay")
    assert usage.code == 2
    asked = await fleetctl("dead-letters", "replay", "--org", "acme")
    assert (asked.code, asked.out) == (2, "")
    assert "1 dead letters match; pass --yes" in asked.err
    dry = await fleetctl("dead-letters", "discard", "--all", "--dry-run")
    assert (dry.code, dry.out) == (0, "2 match\n")
    done = await fleetctl("dead-letters", "replay", "--org", "acme", "--yes", "--max-per-second", "100")
    assert (done.code, done.out) == (0, "1 matched, 1 replayed\n")
    rest = await fleetctl("dead-letters", "discard", "--all", "-y", "-o", "json")
    assert rest.json == {"matched": 1, "discarded": 1, "refused": [], "more": False}


async def test_a_purge_wants_an_age_and_a_yes(fleetctl):
    """F5, D12."""
    assert (await fleetctl("dead-letters", "purge")).code == 2
    assert (await fleetctl("dead-letters", "purge", "--older-than", "1s")).code == 2
    done = await fleetctl("dead-letters", "purge", "--older-than", "1s", "--yes")
    assert (done.code, done.out) == (0, "0 purged\n")


async def test_a_pause_is_set_shown_explained_and_lifted(fleetctl, client):
    """D10, D9."""
    task = await client.submit("waits", org_id="acme")
    paused = await fleetctl("queue", "pause", "--org", "acme", "--reason", "over budget", "-o", "json")
    assert (paused.json["paused"], paused.json["pending"]) == (True, 1)
    listed = (await fleetctl("limits", "list")).out.splitlines()
    assert listed[1].split() == ["ORG", "acme", "0", "1", "1", "PAUSED", "over", "budget"]
    why = await fleetctl("tasks", "explain", task.id)
    assert "Org acme is paused: over budget" in why.out
    assert "NO_CAPABLE_AGENT" in why.out
    as_json = await fleetctl("tasks", "explain", task.id, "-o", "json")
    assert as_json.json["reasons"][0]["code"] == "ORG_PAUSED"
    assert (await fleetctl("queue", "resume", "--org", "acme")).code == 0
    assert len((await client.claim_tasks("a")).leases) == 1


async def test_limits_are_set_and_what_is_wrong_is_said(fleetctl):
    """D10, S3."""
    done = await fleetctl(
        "limits", "set", "--org", "acme", "--max-running", "5", "--weight", "2", "-o", "json"
    )
    assert (done.json["maxRunning"], done.json["weight"]) == (5, 2.0)
    for wrong in (
        ["--max-running", "5"],
        ["--org", "a", "--cap", "b", "--max-running", "5"],
        ["--org", "a"],
        ["--cap", "gpu", "--weight", "2"],
    ):
        assert (await fleetctl("limits", "set", *wrong)).code == 2, wrong


async def test_the_queue_is_shown_with_options_on_either_side(fleetctl):
    """D7."""
    for arguments in (("queue", "-o", "json"), ("-o", "json", "queue")):
        assert (await fleetctl(*arguments)).json["all"]["pending"] == 0
    listed = await fleetctl("-o", "json", "limits", "list")
    assert listed.json == []


async def test_agents_are_drained_by_pattern(fleetctl, client):
    """D2."""
    for name, zone in (("build-1", "eu-1"), ("build-2", "us-1")):
        await client.register_agent(s.AgentSpec(agent_id=name, labels={"zone": zone}))
    assert (await fleetctl("agents", "drain")).code == 2
    dry = await fleetctl("agents", "drain", "--match", "build-*", "--dry-run")
    assert dry.out.split() == ["build-1", "build-2"]
    asked = await fleetctl("agents", "drain", "--label", "zone=eu-*")
    assert asked.code == 2
    assert "1 agents match; pass --yes" in asked.err
    done = await fleetctl("agents", "drain", "--label", "zone=eu-*", "--yes", "-o", "json")
    assert done.json == {"agentIds": ["build-1"]}
    assert [agent.draining async for agent in client.list_agents()] == [True, False]


async def test_the_audit_log_tells_who_did_what(fleetctl):
    """F5."""
    await fleetctl("queue", "pause", "--cap", "gpu", "--reason", "driver update")
    await fleetctl("tasks", "retry", UNKNOWN)
    lines = (await fleetctl("audit", "-o", "json")).json
    assert [(line["action"], line["target"], line["reason"]) for line in lines] == [
        ("RetryTask", UNKNOWN, ""),
        ("PauseQueue", "capability:gpu", "driver update"),
    ]
    mine = (await fleetctl("audit", "--target", "capability:gpu")).out.splitlines()
    assert len(mine) == 2
    assert (await fleetctl("audit", "--limit", "1", "-o", "json")).json == lines[:1]


async def test_rules_dead_letters_and_the_audit_log_survive_a_power_cut(brisk: Daemon, fleetctl, dead):
    """D10, F5."""
    task_id = await dead()
    await fleetctl("limits", "set", "--org", "acme", "--max-running", "2")
    before = [(await fleetctl(*what, "-o", "json")).json for what in (("limits", "list"), ("audit",))]
    await brisk.kill()
    await brisk.start()
    after = [(await fleetctl(*what, "-o", "json")).json for what in (("limits", "list"), ("audit",))]
    assert after == before
    assert [one["id"] for one in (await fleetctl("dead-letters", "list", "-o", "json")).json] == [task_id]
