"""Limits, pauses and the audit log (spec D10, F5)."""

from __future__ import annotations

import contextlib

import pytest

from fleet.v1 import dispatcher_pb2 as pb
from fleetd.api.calls import Call
from fleetd.api.convert_audits import TARGET, matching, named
from fleetd.api.table import Role
from fleetd.errors import InvalidArgument, NotFound, Overloaded
from tests.unit.api.port import Port

ORG, CAPABILITY = pb.QUEUE_KIND_ORG, pb.QUEUE_KIND_CAPABILITY


async def claims(port, agent_id="agent-1", **fields):
    """Claim what can be claimed; return the number of leases."""
    return len((await port("ClaimTasks", agent_id=agent_id, max_tasks=10, **fields)).leases)


async def test_a_paused_org_gets_no_lease_until_it_is_resumed(port):
    """D10."""
    await port.submit(org_id="acme")
    shown = await port("PauseQueue", kind=ORG, name="acme", reason="over budget")
    assert (shown.kind, shown.name, shown.paused, shown.reason) == (ORG, "acme", True, "over budget")
    assert (shown.weight, shown.max_running, shown.pending, shown.running) == (1.0, 0, 1, 0)
    assert await claims(port) == 0
    shown = await port("ResumeQueue", kind=ORG, name="acme", reason="paid")
    assert (shown.paused, shown.reason) == (False, "")
    assert await claims(port) == 1


async def test_a_paused_capability_holds_for_those_below_it(port):
    """D10, D3."""
    await port.submit(required_capabilities=["code:rust"])
    await port("PauseQueue", kind=CAPABILITY, name="code")
    assert await claims(port, capabilities=["code:rust"]) == 0
    await port("ResumeQueue", kind=CAPABILITY, name="code")
    assert await claims(port, capabilities=["code:rust"]) == 1


async def test_a_limit_holds_and_only_what_is_given_changes(port):
    """D10."""
    for _ in range(3):
        await port.submit(org_id="acme")
    await port("SetQueueLimits", kind=ORG, name="acme", max_running=2, weight=2.5)
    shown = await port("SetQueueLimits", kind=ORG, name="acme", max_pending=7)
    assert (shown.weight, shown.max_running, shown.max_pending) == (2.5, 2, 7)
    assert await claims(port) == 2
    shown = await port("SetQueueLimits", kind=ORG, name="acme", max_running=0)
    assert (shown.max_running, shown.running, shown.pending) == (0, 2, 1)
    assert await claims(port) == 1


async def test_an_org_at_its_pending_limit_is_refused_and_others_are_not(port):
    """D10, S7."""
    await port("SetQueueLimits", kind=ORG, name="acme", max_pending=1)
    await port.submit(org_id="acme")
    with pytest.raises(Overloaded) as caught:
        await port.submit(org_id="acme")
    assert caught.value.reason == "ORG_PENDING_LIMIT"
    items = (await port("SubmitTasks", tasks=[{"title": "x", "org_id": "acme"}, {"title": "y"}])).items
    assert [item.error.reason for item in items] == ["ORG_PENDING_LIMIT", ""]


async def test_limits_are_listed_with_what_happens_now_orgs_first(port):
    """D10, D7."""
    await port.submit(org_id="busy", required_capabilities=["gpu"])
    await port("SetQueueLimits", kind=CAPABILITY, name="code", max_running=3)
    await port("PauseQueue", kind=ORG, name="acme")
    assert await claims(port, capabilities=["gpu"]) == 1
    listed = (await port("ListQueueLimits")).limits
    assert [(one.kind, one.name, one.running) for one in listed] == [
        (ORG, "acme", 0),
        (ORG, "busy", 1),
        (CAPABILITY, "code", 0),
        (CAPABILITY, "gpu", 1),
    ]
    assert [one.name for one in (await port("ListQueueLimits", kind=CAPABILITY)).limits] == ["code", "gpu"]


async def test_limits_are_listed_in_pages(port):
    """D10, S7."""
    for name in ("a", "b", "c"):
        await port("PauseQueue", kind=ORG, name=name)
    names, token = [], ""
    while True:
        page = await port("ListQueueLimits", page_size=2, page_token=token)
        names.append([one.name for one in page.limits])
        token = page.next_page_token
        if not token:
            break
    assert names == [["a", "b"], ["c"]]


async def test_rules_survive_a_restart(tmp_path):
    """D10."""
    path = str(tmp_path / "fleetd.db")
    port = await Port(path=path).open()
    await port("SetQueueLimits", kind=ORG, name="acme", max_running=2, weight=3.0, max_pending=9)
    await port("PauseQueue", kind=CAPABILITY, name="gpu", reason="driver update")
    before = await port("ListQueueLimits")
    await port.close()
    port = await Port(path=path).open()
    assert await port("ListQueueLimits") == before
    await port.close()


@pytest.mark.parametrize(
    ("fields", "paths"),
    [
        ({}, ["kind", "name", "max_running"]),
        ({"kind": ORG, "name": "a b", "weight": 0.0}, ["name", "weight"]),
        ({"kind": ORG, "name": "a", "weight": float("nan")}, ["weight"]),
        (
            {"kind": ORG, "name": "a", "max_running": -1, "max_pending": 1 << 40},
            ["max_running", "max_pending"],
        ),
        ({"kind": CAPABILITY, "name": "::", "max_running": 1}, ["name"]),
        ({"kind": CAPABILITY, "name": "gpu", "weight": 2, "max_pending": 2}, ["weight", "max_pending"]),
        ({"kind": 9, "name": "a", "max_running": 1, "reason": "x" * 1_001}, ["kind", "reason"]),
    ],
)
async def test_a_bad_rule_names_its_fields(port, fields, paths):
    """D10, S3."""
    with pytest.raises(InvalidArgument) as caught:
        await port("SetQueueLimits", **fields)
    assert [path for path, _ in caught.value.fields] == paths
    assert not (await port("ListAudits")).lines


async def test_a_bad_name_is_refused_before_anything_is_paused(port):
    """D10, S3."""
    for name in ("PauseQueue", "ResumeQueue"):
        with pytest.raises(InvalidArgument, match="kind: must be one of QUEUE_KIND_ORG"):
            await port(name, name="acme")
    with pytest.raises(InvalidArgument, match="kind"):
        await port("ListQueueLimits", kind=9)
    assert not (await port("ListQueueLimits")).limits


AGENT, TASK = {"agent_id": "agent-1"}, {"task_id": "none"}
HOST = {"id": "a", "hostname": "localhost", "agents": [{"type": "t", "command": ["cat"]}]}
ACTS = {
    "CancelTask": (TASK, "none"),
    "CancelTasks": ({"filter": {"org_id": "acme"}}, 'org_id: "acme"'),
    "TimeoutTask": (TASK, "none"),
    "RetryTask": (TASK, "none"),
    "AssignTask": ({**TASK, "agent_id": "agent-1"}, "none"),
    "UpdateTask": ({**TASK, "update_mask": {"paths": ["priority"]}, "changes": {"priority": 1}}, "none"),
    "ReplayDeadLetters": ({"ids": ["none"]}, "none"),
    "DiscardDeadLetters": ({"ids": ["one", "two"]}, "one, two"),
    "PurgeDeadLetters": ({"older_than": {"seconds": 90}, "confirm": True}, "older than 90s"),
    "PauseQueue": ({"kind": ORG, "name": "acme"}, "org:acme"),
    "ResumeQueue": ({"kind": CAPABILITY, "name": "gpu"}, "capability:gpu"),
    "SetQueueLimits": ({"kind": ORG, "name": "acme", "weight": 2}, "org:acme"),
    "UnregisterAgent": (AGENT, "agent-1"),
    "UpdateAgentCapabilities": (AGENT, "agent-1"),
    "RestartAgent": (AGENT, "agent-1"),
    "StopAgent": (AGENT, "agent-1"),
    "StartAgent": (AGENT, "agent-1"),
    "DrainAgent": (AGENT, "agent-1"),
    "UndrainAgent": (AGENT, "agent-1"),
    "DrainAgents": ({"id_pattern": "agent-*"}, 'id_pattern: "agent-*"'),
    "UpsertHosts": ({"hosts": [HOST, {**HOST, "id": "b"}]}, "a, b"),
    "RemoveHost": ({"id": "a"}, "a"),
    "SetHostState": ({"id": "a", "state": 4}, "a"),
    "OverrideRoute": ({"plan_id": "none", "instance": "a:1"}, "none"),
    "UpsertInstances": ({"instances": [{"id": "a:1"}, {"id": "a:2"}]}, "a:1, a:2"),
    "RemoveInstance": ({"id": "a:1"}, "a:1"),
    "SetInstanceState": ({"id": "a:1", "state": 2}, "a:1"),
    "ImportCatalogue": ({"format": 3, "data": b'[{"name": "a"}]'}, "CATALOGUE_FORMAT_FAILOVER: 1 instances"),
    "ResetBreakers": ({"kind": 2, "name": "a:1"}, "instance:a:1"),
    "ForceBreaker": ({"kind": 1, "name": "a"}, "provider:a"),
    "PutRollout": (
        {"rollout": {"name": "chat", "old_mode": {"name": "a"}, "new_mode": {"name": "b"}}},
        "chat",
    ),
    "RemoveRollout": ({"name": "chat"}, "chat"),
    "ForceFallback": ({"rollout": "chat", "org_id": "acme"}, "chat:acme"),
    "ResetFallback": ({"rollout": "chat"}, "chat"),
}
"""Every act of an operator: a request, and the target its audit line names."""
WITHOUT_REASON = {
    "UpdateTask",
    "UnregisterAgent",
    "UpdateAgentCapabilities",
    "UpsertHosts",
    "UpsertInstances",
    "ImportCatalogue",
    "PutRollout",
}


def test_the_acts_of_operators_are_all_here(port):
    """F5."""
    reads = (
        "Get",
        "List",
        "Wait",
        "Watch",
        "Explain",
        "Submit",
        "Route",
        "Verify",
        "Reroute",
        "Report",
        "Decide",
    )
    acts = {
        name
        for name, method in port.methods.items()
        if Role.OPERATOR in method.roles and method.serve is not None and not name.startswith(reads)
    }
    assert acts == set(ACTS)


@pytest.mark.parametrize("name", ACTS)
async def test_every_act_of_an_operator_leaves_its_line_even_when_it_is_refused(port, name):
    """F5."""
    fields, target = ACTS[name]
    reason = "" if name in WITHOUT_REASON else "because"
    for _ in range(2):
        with contextlib.suppress(NotFound):
            await port(name, **fields, **({"reason": reason} if reason else {}), call=Call(actor="ada"))
        await port("RegisterAgent", agent={"agent_id": "agent-1"})
    lines = (await port("ListAudits")).lines
    written = {
        "SetQueueLimits": f"weight=2: {reason}",
        "SetInstanceState": f"READY: {reason}",
        "SetHostState": f"STOPPED: {reason}",
        "AssignTask": f"agent-1: {reason}",
    }.get(name, reason)
    assert [(line.actor, line.action, line.target, line.reason) for line in lines] == [
        ("ada", name, target, written)
    ] * 2
    assert lines[0].id > lines[1].id
    assert lines[0].time.ToMilliseconds() == port.clock.wall()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"weight": 2.5}, "weight=2.5"),
        ({"max_pending": 0, "reason": "no more: it paid"}, "max_pending=0: no more: it paid"),
        (
            {"max_running": 1_000_000, "weight": 3, "max_pending": 9},
            "weight=3, max_running=1000000, max_pending=9",
        ),
        ({"weight": 1, "reason": "x" * 1_000}, "weight=1: " + "x" * 1_000),
    ],
)
async def test_a_line_of_the_audit_log_says_what_was_set(port, fields, reason):
    """F5, D10: the target stays what lines are filtered by."""
    await port("SetQueueLimits", kind=ORG, name="acme", **fields)
    (line,) = (await port("ListAudits", target="org:acme")).lines
    assert line.reason == reason


@pytest.mark.parametrize(
    "name", ["CancelTasks", "ReplayDeadLetters", "DiscardDeadLetters", "DrainAgents", "ImportCatalogue"]
)
async def test_only_counting_is_no_act(port, name):
    """F5."""
    await port(name, **ACTS[name][0], dry_run=True)
    assert not (await port("ListAudits")).lines


async def test_audit_lines_are_listed_by_action_and_target_in_pages(port):
    """F5, S7."""
    for name in ("a", "b", "a"):
        await port("PauseQueue", kind=ORG, name=name)
    await port("ResumeQueue", kind=ORG, name="a")
    by_target = (await port("ListAudits", target="org:a")).lines
    assert [line.action for line in by_target] == ["ResumeQueue", "PauseQueue", "PauseQueue"]
    by_both = (await port("ListAudits", target="org:a", action="PauseQueue")).lines
    assert len(by_both) == 2
    first = await port("ListAudits", page_size=3)
    rest = await port("ListAudits", page_size=3, page_token=first.next_page_token)
    assert [line.target for line in (*first.lines, *rest.lines)] == ["org:a", "org:a", "org:b", "org:a"]
    assert not rest.next_page_token
    with pytest.raises(InvalidArgument, match="page_token"):
        await port("ListAudits", action="PauseQueue", page_token=first.next_page_token)


def test_a_target_fits_into_a_line_however_much_was_meant():
    """F5, S7."""
    ids = [f"task-{n:04}" for n in range(1_000)]
    assert named(ids[:2]) == "task-0000, task-0001"
    assert len(named(ids)) == TARGET
    assert named(ids).endswith("… 1000 in all")
    assert matching(pb.TaskFilter()) == "all"
    assert len(matching(pb.TaskFilter(labels={str(n): "x" * 256 for n in range(64)}))) == TARGET


async def drained(port, **fields):
    return list((await port("DrainAgents", **fields)).agent_ids)


async def test_agents_are_drained_by_pattern_and_labels(port):
    """D2."""
    for agent_id, zone in (("build-1", "eu-1"), ("build-2", "us-1"), ("test-1", "eu-2")):
        await port("RegisterAgent", agent={"agent_id": agent_id, "labels": {"zone": zone}})
    assert await drained(port, id_pattern="build-?", dry_run=True) == ["build-1", "build-2"]
    assert await drained(port, labels={"zone": "eu-*"}, dry_run=True) == ["build-1", "test-1"]
    assert await drained(port, id_pattern="*", labels={"zone": "us-1"}, dry_run=True) == ["build-2"]
    assert await drained(port, labels={"rack": "*"}, dry_run=True) == []
    assert await drained(port, id_pattern="[bt]*", dry_run=True) == []
    assert not any(agent.draining for agent in (await port("ListAgents")).agents)
    found = await drained(
        port, id_pattern="build-*", labels={"zone": "eu-*"}, deadline={"seconds": 5}, reason="new rack"
    )
    assert found == ["build-1"]
    shown = {agent.spec.agent_id: agent for agent in (await port("ListAgents")).agents}
    assert [name for name, agent in shown.items() if agent.draining] == ["build-1"]
    assert shown["build-1"].status_reason == "new rack"
    (order,) = (await port("Heartbeat", agent_id="build-1")).orders
    assert order.deadline.ToMilliseconds() == port.clock.wall() + 5_000


async def test_draining_everything_must_be_said(port):
    """D2, S3."""
    await port("RegisterAgent", agent={"agent_id": "a"})
    with pytest.raises(InvalidArgument) as caught:
        await port("DrainAgents", reason="x" * 1_001, deadline={"seconds": -1})
    assert [path for path, _ in caught.value.fields] == ["id_pattern", "reason", "deadline"]
    assert await drained(port, id_pattern="*") == ["a"]


async def test_a_pattern_of_many_stars_is_matched_at_once(port):
    """S7: patterns of callers cost no exponential time."""
    await port("RegisterAgent", agent={"agent_id": "a" * 128})
    assert await drained(port, id_pattern="*a" * 63 + "b") == []


async def test_an_agent_that_leaves_while_many_are_drained_needs_no_order(port):
    """D2."""
    for agent_id in ("a", "b"):
        await port("RegisterAgent", agent={"agent_id": agent_id})
    draining = port("DrainAgents", id_pattern="*")
    with pytest.raises(NotFound):
        await port("DrainAgent", agent_id="c")
    leaving = port("UnregisterAgent", agent_id="a")
    await leaving
    assert (await draining).agent_ids == ["b"]
