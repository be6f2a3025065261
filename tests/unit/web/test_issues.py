"""Deliveries of Forgejo and Gitea over the real port and engine: recorded payloads in, tasks out."""

import asyncio

import pytest

from fleet.v1 import agent_pb2, event_pb2, lease_pb2, task_pb2
from fleetd.core.issue import UNLABELLED, IssueRules
from tests.unit.web.wire import again, lineage, opened, reason, running

S = task_pb2.TaskStatus.Value
REF = "forgejo:acme/parser#7"


async def test_an_issue_with_agent_labels_becomes_an_undecided_task(wire):
    """M6: labels are capabilities and priority, the text is the description."""
    task = await opened(wire)
    assert task.title == "Parser fails on an empty file"
    assert task.description.startswith("Steps:\n\n1. `parse /dev/null`")
    assert list(task.required_capabilities) == ["code:rust"]
    assert task.priority == task_pb2.PRIORITY_HIGH
    assert task.execution_mode == task_pb2.EXECUTION_MODE_UNDECIDED
    assert task.mode_source == task_pb2.MODE_SOURCE_UNSPECIFIED
    assert (task.org_id, task.external_ref) == ("acme", REF)
    assert dict(task.metadata) == {
        "repo": "acme/parser",
        "issue": "7",
        "url": "https://git.example.com/acme/parser/issues/7",
    }


async def test_the_path_names_the_forge(wire):
    """M6: one fleet may serve both."""
    await opened(wire)
    response = await wire.deliver("issues_opened", source="gitea")
    other = await wire.port("GetTask", task_id=response.json()["task_id"])
    assert other.external_ref == "gitea:acme/parser#7"


async def test_the_org_may_be_set(wires):
    """M6"""
    wire = await wires(rules=IssueRules(org="tools"))
    assert (await opened(wire)).org_id == "tools"
    assert (await wire.deliver("issues_closed")).json().keys() == {"task_id"}


async def test_an_issue_without_agent_labels_is_nobodys_task_until_it_gets_one(wire):
    """M6: labelled later is as good."""
    response = await wire.deliver("issues_opened_without_label")
    assert (response.status_code, response.json()) == (
        202,
        {"ignored": "no label agent:* names a capability"},
    )
    labelled = await wire.deliver("issues_labeled")
    (task,) = await wire.tasks()
    assert labelled.json() == {"task_id": task.id}
    assert list(task.required_capabilities) == ["code:rust", "review"]


async def test_changed_labels_change_capabilities_and_priority(wire):
    """M6"""
    task = await opened(wire)
    no_priority = [{"name": "agent:code:rust"}, {"name": "agent:review"}, {"name": "bug"}]
    response = await wire.deliver("issues_labeled", payload={"issue": {"labels": no_priority}})
    assert response.json() == {"task_id": task.id}
    changed = await again(wire, task)
    assert list(changed.required_capabilities) == ["code:rust", "review"]
    assert changed.priority == task_pb2.PRIORITY_MEDIUM
    same = await wire.deliver(
        "issues_labeled", payload={"issue": {"labels": no_priority, "updated_at": "later"}}
    )
    assert same.json() == {"task_id": task.id, "ignored": "neither capabilities nor priority changed"}
    assert (await again(wire, task)).version == changed.version


@pytest.mark.parametrize("name", ["issues_unlabeled", "issues_label_cleared"])
async def test_without_any_agent_label_a_waiting_task_is_cancelled(wire, name):
    """M6"""
    task = await opened(wire)
    assert (await wire.deliver(name)).json() == {"task_id": task.id}
    ended = await again(wire, task)
    assert (ended.status, ended.error.message) == (S("TASK_STATUS_CANCELLED"), UNLABELLED)


async def test_without_any_agent_label_a_running_task_goes_on(wire):
    """M6: cancelled while not RUNNING."""
    task = await opened(wire)
    await running(wire, task)
    response = await wire.deliver("issues_unlabeled")
    assert response.json() == {
        "task_id": task.id,
        "ignored": "the task runs and goes on, though no agent label is left",
    }
    now = await again(wire, task)
    assert (now.status, now.HasField("cancel_requested_at")) == (S("TASK_STATUS_RUNNING"), False)


async def test_labels_that_come_back_bring_the_task_back(wire):
    """M6: but only one that their removal ended."""
    task = await opened(wire)
    await wire.deliver("issues_unlabeled")
    response = await wire.deliver("issues_labeled")
    fresh = await wire.port("GetTask", task_id=response.json()["task_id"])
    assert fresh.parent_task_id == task.id
    await wire.port("CancelTask", task_id=fresh.id, reason="an operator meant it")
    ignored = await wire.deliver("issues_labeled", payload={"issue": {"updated_at": "2026-05-13T00:00:00Z"}})
    assert ignored.json() == {"task_id": fresh.id, "ignored": "the issue had a task, which is CANCELLED"}


async def test_a_task_that_was_only_offered_ends_and_comes_back_with_its_label_too(wire):
    """M6: cancelled while not RUNNING, at once."""
    task = await opened(wire)
    lease = await wire.port.claim("worker", capabilities=["code:rust", "review"])
    await wire.deliver("issues_unlabeled")
    ended = await again(wire, task)
    assert (ended.status, ended.error.message) == (S("TASK_STATUS_CANCELLED"), UNLABELLED)
    ack = await wire.port.report(lease, "worker", start={})
    assert ack.result == lease_pb2.REPORT_RESULT_LEASE_LOST
    response = await wire.deliver("issues_labeled")
    fresh = await wire.port("GetTask", task_id=response.json()["task_id"])
    assert (fresh.parent_task_id, fresh.status) == (task.id, S("TASK_STATUS_PENDING"))


async def test_a_finished_task_is_not_done_again_for_another_label(wire):
    """M6: an issue stays open after its task is done, and people put labels on it."""
    task = await opened(wire)
    await wire.port.report(await running(wire, task), "worker", complete={})
    response = await wire.deliver("issues_labeled")
    assert response.json() == {"task_id": task.id, "ignored": "the issue had a task, which is COMPLETED"}
    assert len(await wire.tasks()) == 1


async def test_an_edit_changes_title_and_description_while_the_task_waits(wire):
    """M6"""
    task = await opened(wire)
    assert (await wire.deliver("issues_edited")).json() == {"task_id": task.id}
    changed = await again(wire, task)
    assert changed.title == "Parser panics on an empty file"
    assert changed.description == "It should answer with an empty tree, as `parse -` does."
    await running(wire, task)
    late = await wire.deliver("issues_edited", payload={"issue": {"title": "Too late"}})
    assert late.json()["ignored"] == "the task is RUNNING: it changes only while it waits"
    assert (await again(wire, task)).title == changed.title


async def test_a_closed_issue_cancels_its_task(wire):
    """M6: at once while it waits; the agent is told while it runs."""
    task = await opened(wire)
    await running(wire, task)
    assert (await wire.deliver("issues_closed")).json() == {"task_id": task.id}
    now = await again(wire, task)
    assert (now.status, now.HasField("cancel_requested_at")) == (S("TASK_STATUS_RUNNING"), True)
    orders = (await wire.port("Heartbeat", agent_id="worker")).orders
    assert [order.kind for order in orders] == [agent_pb2.ORDER_KIND_CANCEL_TASK]


async def test_a_closed_issue_without_a_task_is_no_matter(wire):
    """M6"""
    assert (await wire.deliver("issues_closed")).json() == {"ignored": "the issue has no unfinished task"}


async def test_an_issue_that_is_opened_again_is_a_new_task_of_the_old_one(wire):
    """M6: parent and lineage name the old one."""
    old = await opened(wire)
    await wire.deliver("issues_closed")
    response = await wire.deliver("issues_reopened")
    fresh = await wire.port("GetTask", task_id=response.json()["task_id"])
    assert (fresh.parent_task_id, fresh.external_ref) == (old.id, REF)
    assert fresh.status == S("TASK_STATUS_PENDING")
    assert ("reopened_from", old.id, "issue #7 reopened") in await lineage(wire, fresh)


async def test_opened_again_while_the_old_run_still_stops_waits_for_its_end(wires):
    """M6: one issue has one unfinished task."""
    wire = await wires(patience=60_000)
    old = await opened(wire)
    lease = await running(wire, old)
    await wire.deliver("issues_closed")
    waiting = asyncio.create_task(wire.deliver("issues_reopened"))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not waiting.done()
    await wire.port.report(lease, "worker", stopped={})
    response = await waiting
    assert response.status_code == 202
    assert (await wire.port("GetTask", task_id=response.json()["task_id"])).parent_task_id == old.id


async def test_a_run_that_does_not_stop_in_time_makes_the_forge_deliver_again(wire):
    """M6: refused with the time to wait, and not remembered as taken."""
    old = await opened(wire)
    lease = await running(wire, old)
    await wire.deliver("issues_closed")
    refused = await wire.deliver("issues_reopened", delivery="again")
    assert (refused.status_code, reason(refused)) == (503, "TASK_STOPPING")
    await wire.port.report(lease, "worker", stopped={})
    assert (await wire.deliver("issues_reopened", delivery="again")).status_code == 202


async def test_a_pull_request_is_noted_at_the_task_of_the_issue_it_closes(wire):
    """M6: event and lineage; without complete_on_merge nothing else."""
    task = await opened(wire)
    for name in ("pull_request_opened", "pull_request_merged"):
        assert (await wire.deliver(name)).json() == {"task_id": task.id}
    assert (await again(wire, task)).status == S("TASK_STATUS_PENDING")
    events = (
        await wire.port(
            "ListEvents", filter={"task_id": task.id, "types": [event_pb2.EVENT_TYPE_TASK_UPDATED]}
        )
    ).events
    url = "https://git.example.com/acme/parser/pulls/8"
    told = [(e.payload["pull_request"], e.payload["url"], e.payload["state"]) for e in events]
    assert told == [(8, url, "opened"), (8, url, "merged")]
    assert [e.task_seq for e in events] == [2, 3], "the row of the task counts its events"
    edges = [(kind, detail) for kind, _, detail in await lineage(wire, task)]
    assert edges == [("pull_request", f"#8 opened {url}"), ("pull_request", f"#8 merged {url}")]


async def test_a_pull_request_is_noted_after_the_task_is_done(wire):
    """M6: an agent is usually done when its work is merged."""
    task = await opened(wire)
    await wire.port.report(await running(wire, task), "worker", complete={})
    assert (await wire.deliver("pull_request_merged")).json() == {"task_id": task.id}
    assert (await again(wire, task)).status == S("TASK_STATUS_COMPLETED")
    assert len(await lineage(wire, task)) == 1


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"body": "", "head": {"ref": "issue-7"}}, True),
        ({"body": "FIXES: #7", "head": {"ref": "topic"}}, True),
        ({"body": "see #7", "head": {"ref": "topic"}}, False),
        ({"body": "closes #70", "head": {"ref": "issue-71"}}, False),
        ({"body": "closes #3, closes #7", "head": None}, True),
    ],
)
async def test_the_issue_is_named_by_the_text_or_by_the_branch(wire, change, found):
    """M6"""
    task = await opened(wire)
    response = await wire.deliver("pull_request_opened", payload={"pull_request": change})
    none = {"ignored": "the pull request names no issue that has a task"}
    assert response.json() == ({"task_id": task.id} if found else none)


async def test_a_merge_completes_a_running_task_when_that_is_wanted(wires):
    """M6: and its agent is told to stop."""
    wire = await wires(rules=IssueRules(complete_on_merge=True))
    task = await opened(wire)
    lease = await running(wire, task)
    await wire.deliver("pull_request_opened")
    assert (await again(wire, task)).status == S("TASK_STATUS_RUNNING")
    await wire.deliver("pull_request_merged")
    assert (await again(wire, task)).status == S("TASK_STATUS_COMPLETED")
    (order,) = (await wire.port("Heartbeat", agent_id="worker")).orders
    assert (order.kind, order.task_id) == (agent_pb2.ORDER_KIND_DROP_TASK, task.id)
    ack = await wire.port.report(lease, "worker", progress={"percent": 50})
    assert ack.reason == "LEASE_LOST"


async def test_a_merge_takes_a_task_nobody_began_out_of_the_queue(wires):
    """M6, T2: PENDING never goes to COMPLETED."""
    wire = await wires(rules=IssueRules(complete_on_merge=True))
    task = await opened(wire)
    await wire.deliver("pull_request_merged")
    ended = await again(wire, task)
    assert (ended.status, ended.error.message) == (S("TASK_STATUS_CANCELLED"), "pull request #8 was merged")


async def test_a_pull_request_closed_without_a_merge_completes_nothing(wires):
    """M6"""
    wire = await wires(rules=IssueRules(complete_on_merge=True))
    task = await opened(wire)
    await running(wire, task)
    await wire.deliver("pull_request_merged", payload={"pull_request": {"merged": False}})
    assert (await again(wire, task)).status == S("TASK_STATUS_RUNNING")


@pytest.mark.parametrize(
    ("name", "payload", "why"),
    [
        ("push", {}, "event push is no matter here"),
        ("issues_opened", {"action": "assigned"}, "action assigned of an issue is no matter here"),
        (
            "issues_opened",
            {"issue": {"pull_request": {"merged": False}}},
            "it is a pull request, which has events of its own",
        ),
        (
            "pull_request_opened",
            {"action": "synchronized"},
            "action synchronized of a pull request is no matter here",
        ),
        ("issues_labeled", {"issue": {"state": "closed"}}, "the issue is closed"),
    ],
)
async def test_what_means_nothing_for_tasks_is_taken_and_ignored_with_the_reason(wire, name, payload, why):
    """M6: 202, for the forge did nothing wrong."""
    response = await wire.deliver(name, payload=payload)
    assert (response.status_code, response.json()) == (202, {"ignored": why})
    assert await wire.tasks() == []


async def test_texts_beyond_the_limits_of_a_task_are_cut(wire):
    """M6, S7: nobody is there to mend an issue for fleetd."""
    issue = {"title": "t" * 501, "body": "b" * 70_000}
    await wire.deliver("issues_opened", payload={"issue": issue})
    (task,) = await wire.tasks()
    assert (task.title, len(task.description)) == ("t" * 499 + "…", 65_536)
    assert task.description.endswith("…")


async def test_labels_that_name_no_capability_are_left_out(wire):
    """M6"""
    names = [
        "agent:",
        "agent:with blank",
        "agent:a::b",
        "agent:" + "x" * 129,
        "agent:ok",
        "agent:ok",
        "Agent:no",
    ]
    labels = [{"name": name} for name in (*names, "priority:low", "priority:urgent", "priority:soon")]
    await wire.deliver("issues_opened", payload={"issue": {"labels": labels, "body": None}})
    (task,) = await wire.tasks()
    assert list(task.required_capabilities) == ["ok"]
    assert task.priority == task_pb2.PRIORITY_URGENT


async def test_deliveries_that_arrive_together_make_one_task(wire):
    """M6: Forgejo sends one for the issue and one for its labels at the same moment."""
    answers = await asyncio.gather(wire.deliver("issues_opened"), wire.deliver("issues_labeled"))
    (task,) = await wire.tasks()
    assert {answer.json()["task_id"] for answer in answers} == {task.id}
    assert set(task.required_capabilities) >= {"code:rust"}
