"""Who may deliver issues, and deliveries that come again (spec M6)."""

import asyncio
import json

import pytest

from fleet.v1 import task_pb2
from fleetd.core.settings import Rules
from tests.unit.web.wire import DELIVERIES, bad_fields, opened, reason, signature

S = task_pb2.TaskStatus.Value
REF = "forgejo:acme/parser#7"


async def test_the_signature_is_taken_from_either_header(wire):
    """M6: bare hex in X-Forgejo-Signature and X-Gitea-Signature, sha256= in X-Hub-Signature-256."""
    body = (DELIVERIES / "push.json").read_bytes()
    for headers in (
        {"X-Forgejo-Signature": signature(body)},
        {"X-Gitea-Signature": signature(body)},
        {"X-Gitea-Signature": signature(body).upper()},
        {"X-Hub-Signature-256": f"sha256={signature(body)}"},
        {"X-Gitea-Signature": signature(body), "X-Hub-Signature-256": f"sha256={signature(body)}"},
    ):
        for path in ("/webhooks/forgejo", "/webhooks/gitea"):
            response = await wire.client.post(
                path, content=body, headers={"X-Gitea-Event": "push", **headers}
            )
            assert response.status_code == 202, headers


@pytest.mark.parametrize(
    "headers",
    [
        {"X-forgejo-Signature": None},
        {"X-forgejo-Signature": ""},
        {"X-forgejo-Signature": "0" * 64},
        {"X-forgejo-Signature": "ä"},
        {"X-forgejo-Signature": signature(b"another body")},
        {"X-Hub-Signature-256": "sha256=" + "0" * 64},
        {"X-forgejo-Signature": None, "X-Hub-Signature-256": "md5=1"},
    ],
)
async def test_a_missing_or_bad_signature_is_refused(wire, headers):
    """M6: 401, also when a good one stands beside a bad one."""
    sent = {name: value.encode() if value else value for name, value in headers.items()}
    response = await wire.deliver("issues_opened", headers=sent)
    assert (response.status_code, response.json()["code"]) == (401, "unauthenticated")
    assert await wire.tasks() == []


async def test_the_signature_is_over_the_body_as_it_came(wire):
    """M6: the same JSON written in another way has another signature."""
    body = (DELIVERIES / "issues_opened.json").read_bytes()
    compact = json.dumps(json.loads(body)).encode()
    refused = await wire.deliver(
        "issues_opened", body=compact, headers={"X-forgejo-Signature": signature(body)}
    )
    assert refused.status_code == 401
    assert (await wire.deliver("issues_opened", body=body)).status_code == 202


async def test_without_a_secret_there_are_no_webhooks(wires):
    """M6: a port that anybody could post tasks to does not exist."""
    wire = await wires(secret=b"")
    response = await wire.deliver("issues_opened")
    assert (response.status_code, reason(response)) == (404, "WEBHOOKS_OFF")


async def test_a_body_beyond_one_mebibyte_is_refused(wire):
    """M6"""
    full = b'{"a": "' + b"x" * ((1 << 20) - 9) + b'"}'
    assert len(full) == 1 << 20
    assert (await wire.deliver("push", body=full)).status_code == 202
    assert (await wire.deliver("push", body=full + b" ")).status_code == 413


async def test_what_is_no_delivery_is_refused_by_its_field(wire):
    """M6: 400 for what is no JSON, or lacks what a delivery has."""
    assert (await wire.deliver("issues_opened", body=b"action=opened")).status_code == 400
    for change, field in (
        ({"action": 5}, "action"),
        ({"issue": {"number": "7"}}, "issue.number"),
        ({"issue": {"number": 0}}, "issue.number"),
        ({"issue": {"title": None}}, "issue.title"),
        ({"issue": {"labels": "agent:x"}}, "issue.labels"),
        ({"issue": {"labels": [{"id": 1}]}}, "issue.labels[0].name"),
        ({"repository": {"full_name": "acme"}}, "repository.full_name"),
        ({"repository": {"full_name": "a/b/../c"}}, "repository.full_name"),
    ):
        response = await wire.deliver("issues_opened", payload=change)
        assert response.status_code == 400
        assert bad_fields(response).keys() == {field}
    assert await wire.tasks() == []


async def test_only_deliveries_are_posted_and_only_from_forges_we_know(wire):
    """M6"""
    assert (await wire.client.get("/webhooks/forgejo")).status_code == 405
    assert (await wire.client.post("/webhooks/github", content=b"{}")).status_code == 404


async def test_a_daemon_that_drains_takes_no_deliveries(wire):
    """M6: the forge keeps them, to be delivered again."""
    wire.port.engine.drain()
    assert (await wire.deliver("issues_opened")).status_code == 503


async def test_a_delivery_that_comes_again_gets_the_same_answer_and_changes_nothing(wire):
    """M6: whatever happened in between, and whatever became of the task."""
    first = await wire.deliver("issues_opened", delivery="d-1")
    closed = await wire.deliver("issues_closed", delivery="d-2")
    reopened = await wire.deliver("issues_reopened", delivery="d-3")
    one, two = await wire.tasks()
    assert first.json() == closed.json() == {"task_id": one.id}
    assert reopened.json() == {"task_id": two.id}
    for name, number, answer in (
        ("issues_opened", "d-1", first),
        ("issues_closed", "d-2", closed),
        ("issues_reopened", "d-3", reopened),
    ):
        assert (await wire.deliver(name, delivery=number)).json() == answer.json()
    assert [task.version for task in await wire.tasks()] == [one.version, two.version]


async def test_a_body_that_comes_again_under_another_name_makes_no_second_task(wire):
    """M6: the name of a delivery is not signed, so that whoever saw one could repeat it under a new one."""
    task = await opened(wire)
    await wire.port("CancelTask", task_id=task.id)
    await wire.deliver("issues_opened", delivery="another")
    await wire.deliver("issues_opened", headers={"X-forgejo-Delivery": None})
    assert len(await wire.tasks()) == 1


async def test_an_old_body_under_a_new_name_brings_no_task_back(wire):
    """M6: not even one that asked to open the issue again."""
    await opened(wire)
    await wire.deliver("issues_closed")
    second = (await wire.deliver("issues_reopened")).json()["task_id"]
    await wire.deliver("issues_closed", payload={"issue": {"updated_at": "2026-05-12T21:00:00Z"}})
    again = await wire.deliver("issues_reopened", delivery="under a new name")
    assert again.json() == {"task_id": second}
    assert len(await wire.tasks()) == 2


async def test_an_old_body_under_a_new_name_changes_nothing(wire):
    """M6: the newer task of an issue that was closed once is not cancelled, and a pull request is noted once."""
    await opened(wire)
    closed = await wire.deliver("issues_closed")
    second = (await wire.deliver("issues_reopened")).json()["task_id"]
    first = await wire.deliver("pull_request_opened")
    before = await wire.port("GetTask", task_id=second)
    assert (await wire.deliver("issues_closed", delivery="under a new name")).json() == closed.json()
    assert (await wire.deliver("pull_request_opened", delivery="another")).json() == first.json()
    assert await wire.port("GetTask", task_id=second) == before


async def test_repeats_that_arrive_together_are_all_known(wire):
    """M6: also when one transaction takes them."""
    first = await wire.deliver("issues_opened", delivery="d-1")
    await wire.deliver("issues_edited", delivery="d-2")
    again = await asyncio.gather(
        *(wire.deliver("issues_opened", delivery=name) for name in ("d-1", "d-2", "d-1"))
    )
    assert [response.json() for response in again] == [first.json()] * 3


async def test_deliveries_are_remembered_over_a_restart(wires, tmp_path):
    """M6: durably, in the transaction that did what they asked for."""
    path = str(tmp_path / "fleetd.db")
    first = await wires(path=path)
    answer = await first.deliver("issues_opened", delivery="d-1")
    await first.deliver("issues_closed", delivery="d-2")
    await first.port.close()
    second = await wires(path=path)
    assert (await second.deliver("issues_opened", delivery="d-1")).json() == answer.json()
    assert len(await second.tasks()) == 1


async def test_a_delivery_that_was_refused_may_come_again(wires):
    """M6, S7: what was not taken is not remembered as taken."""
    wire = await wires(fleet_rules=Rules(max_pending=1))
    other = await wire.port.submit(org_id="acme")
    refused = await wire.deliver("issues_opened", delivery="d-1")
    assert (refused.status_code, reason(refused)) == (429, "ORG_PENDING_LIMIT")
    await wire.port("CancelTask", task_id=other.id)
    assert (await wire.deliver("issues_opened", delivery="d-1")).json().keys() == {"task_id"}
