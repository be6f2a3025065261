"""fleetctl against a real daemon."""

from __future__ import annotations

import asyncio
import json
import signal

from tests.integration.cli.conftest import LIMIT, Fleetctl, happened

UNKNOWN = "01JZX3V7Q8M4T2N6B9C5D1E0FG"
# No agent ever has it: such a task waits.
WAITS = ("--cap", "nobody")


async def test_submit_with_wait_prints_the_result_and_the_exit_code_tells_how_it_went(fleetctl, agents):
    """T3, D6, F4."""
    script = 'read -r task; case "$task" in *bad*) echo wrong >&2; exit 65;; esac; echo done'
    await agents.start("worker", *agents.script("worker.sh", script))
    good = await fleetctl("tasks", "submit", "good", "--cap", "work", "--wait", "-o", "json")
    assert good.code == 0
    assert good.json["output"] == {"text": "done", "contentType": "text/plain"}
    assert "COMPLETED" in good.err
    bad = await fleetctl("tasks", "submit", "bad", "--cap", "work", "--wait")
    assert bad.code == 10
    assert "LOGIC_ERROR: exit code 65 (data error): wrong" in bad.out
    ids = [(await fleetctl("tasks", "submit", one, "-q")).out.strip() for one in ("good", "bad")]
    both = await fleetctl("tasks", "wait", *ids, "-o", "jsonl", "--quiet")
    assert (both.code, both.err) == (10, "")
    found = [json.loads(line) for line in both.out.splitlines()]
    assert [one["taskId"] for one in found] == ids
    assert [one["status"] for one in found] == ["TASK_STATUS_COMPLETED", "TASK_STATUS_FAILED"]
    raw = await fleetctl("tasks", "result", ids[0])
    assert (raw.code, raw.out) == (0, "done")
    runs = await fleetctl("tasks", "result", ids[1], "--history", "-o", "json")
    assert [one["error"]["code"] for one in runs.json] == ["LOGIC_ERROR"]


async def test_submit_takes_everything_a_task_may_have(fleetctl):
    """T3, T4."""
    flags = (
        "--description=what", "--input-file=-", "--json", "--type=kind", *WAITS, "--cap=gpu", "--priority=urgent", "--tag=a", "--tag=b",
        "--label=k=v", "--org=acme", "--timeout=90s", "--max-attempts=5", "--delay=1h", "--deadline=2099-01-01T00:00:00Z",
        "--key=only-once", "--ref=issue-7",
    )  # fmt: skip
    first = await fleetctl("tasks", "submit", "whole", *flags, "-o", "json", stdin=b'{"a": [1, 2]}')
    assert first.code == 0, first.err
    task = (await fleetctl("tasks", "get", first.json["id"], "--input", "-o", "json")).json
    assert task["input"] == {"text": '{"a":[1,2]}', "contentType": "application/json"}
    expected = {
        "title": "whole",
        "description": "what",
        "taskType": "kind",
        "requiredCapabilities": ["nobody", "gpu"],
        "priority": "PRIORITY_URGENT",
        "tags": ["a", "b"],
        "labels": {"k": "v"},
        "orgId": "acme",
        "timeout": "90s",
        "maxAttempts": 5,
        "deadline": "2099-01-01T00:00:00Z",
        "externalRef": "issue-7",
        "status": "TASK_STATUS_PENDING",
    }
    assert {key: task[key] for key in expected} == expected


async def test_a_repeated_key_returns_the_first_task(fleetctl):
    """T4."""
    first, again = [
        (await fleetctl("tasks", "submit", "once", "--key", "k", *WAITS, "-q")).out for _ in range(2)
    ]
    assert first == again
    other = await fleetctl("tasks", "submit", "another", "--key", "k", *WAITS)
    assert other.code == 4
    assert "IDEMPOTENCY_KEY_REUSED" in other.err


ERRORS = (
    (("tasks", "get", UNKNOWN), 3, "TASK_NOT_FOUND"),
    (("tasks", "wait", UNKNOWN), 3, "TASK_NOT_FOUND"),
    (("tasks", "watch", UNKNOWN), 3, "TASK_NOT_FOUND"),
    (("agents", "drain", "nobody"), 3, "AGENT_NOT_FOUND"),
    (("tasks", "submit", "t", "--priority", "HUGE"), 2, "priority: one of LOW, MEDIUM, HIGH, URGENT"),
    (("tasks", "submit", "t", "--tag", "", "--timeout", "60d"), 2, "tags[0]: "),
    (("tasks", "submit", "t", "--agent", "nobody"), 3, "AGENT_NOT_FOUND"),
    (("tasks", "submit", "t", "--timeout", "60"), 2, "for instance 30s"),
    (("tasks", "submit", "t", "--input", "{", "--json"), 2, "the input is no JSON"),
    (("tasks", "submit", "t", "--input-file", "/nowhere"), 2, "No such file"),
    (("tasks", "submit", "t", "--label", "x"), 2, "KEY=VALUE"),
    (("tasks", "cancel"), 2, "either ids, or filters, or --all"),
    (("tasks", "update", UNKNOWN), 2, "at least one of title"),
    (("--server", "127.0.0.1:1", "status"), 5, "cannot be reached"),
    (("status", "--server", "nonsense"), 2, "host:port or unix:PATH"),
)


async def test_errors_have_their_exit_code_and_say_what_is_wrong(fleetctl):
    """S3: on stderr, in words, without a traceback; stdout stays empty."""
    answers = await asyncio.gather(*(fleetctl(*arguments) for arguments, _, _ in ERRORS))
    for said, (arguments, code, message) in zip(answers, ERRORS, strict=True):
        assert (arguments, said.code, said.out) == (arguments, code, "")
        assert message in said.err
        assert "Traceback" not in said.err


async def test_waiting_has_an_end(fleetctl):
    """T3."""
    task_id = (await fleetctl("tasks", "submit", "waits", *WAITS, "-q")).out.strip()
    said = await fleetctl("tasks", "wait", task_id, "--timeout", "10ms")
    assert said.code == 5
    assert "it goes on: wait again" in said.err


async def test_many_tasks_are_cancelled_by_filter_only_when_that_was_meant(fleetctl):
    """D4: counted first; without a terminal to ask on --yes is needed."""
    for org in ("acme", "acme", "other"):
        await fleetctl("tasks", "submit", "t", "--org", org, *WAITS)
    assert (await fleetctl("tasks", "cancel", "--org", "acme", "--dry-run")).out == "2 would be cancelled\n"
    asked = await fleetctl("tasks", "cancel", "--org", "acme")
    assert asked.code == 2
    assert "2 tasks match; pass --yes" in asked.err
    done = await fleetctl("tasks", "cancel", "--org", "acme", "--yes", "-o", "json")
    assert (done.json["matched"], done.json["cancelled"]) == (2, 2)
    left = await fleetctl("tasks", "list", "--status", "PENDING", "-o", "json")
    assert [one["orgId"] for one in left.json] == ["other"]
    one = await fleetctl("tasks", "cancel", left.json[0]["id"], "-o", "json")
    assert one.json["status"] == "TASK_STATUS_CANCELLED"
    again = await fleetctl("tasks", "cancel", left.json[0]["id"])
    assert again.code == 4
    assert "TASK_NOT_CANCELLABLE" in again.err
    two = await fleetctl("tasks", "cancel", left.json[0]["id"], UNKNOWN)
    assert two.code == 4
    assert two.err.count("skipped") == 2
    assert (await fleetctl("tasks", "cancel", "--all", "--yes")).out.startswith("0 matched")


async def test_lists_are_filtered_limited_and_say_when_there_is_more(fleetctl):
    """T3, D7."""
    for number in range(3):
        await fleetctl("tasks", "submit", f"t{number}", "--tag", "x", "--label", f"n={number}", *WAITS)
    some = await fleetctl("tasks", "list", "--tag", "x", "--limit", "2")
    assert [line.split()[2] for line in some.out.splitlines()] == ["TITLE", "t2", "t1"]
    assert "there are more" in some.err
    assert len((await fleetctl("tasks", "list", "--limit", "0", "-o", "jsonl")).out.splitlines()) == 3
    assert [
        one["title"] for one in (await fleetctl("-o", "json", "tasks", "list", "--label", "n=1")).json
    ] == ["t1"]
    assert (await fleetctl("tasks", "list", "--tag", "y", "-o", "json")).json == []


async def test_a_task_is_updated_and_a_stale_version_is_refused(fleetctl):
    """D14."""
    task = (await fleetctl("tasks", "submit", "old", *WAITS, "-o", "json")).json
    flags = (
        "--title",
        "new",
        "--priority",
        "HIGH",
        "--label",
        "a=b",
        "--expected-version",
        str(task["version"]),
    )
    changed = (await fleetctl("tasks", "update", task["id"], *flags, "-o", "json")).json
    assert (changed["title"], changed["priority"], changed["labels"]) == ("new", "PRIORITY_HIGH", {"a": "b"})
    stale = await fleetctl("tasks", "update", task["id"], *flags)
    assert stale.code == 4
    assert "VERSION_MISMATCH" in stale.err


async def test_a_failed_task_is_put_back_and_watched_to_its_end(fleetctl, client, agents, tmp_path):
    """T2, T8: its whole story, from the first event to the last."""
    script = "[ -e $HERE/mended ] && echo done && exit; exit 78"
    await agents.start("worker", *agents.script("worker.sh", script))
    task_id = (await fleetctl("tasks", "submit", "t", "--cap", "work", "-q", "--wait")).out.strip()
    (tmp_path / "mended").touch()
    again = await fleetctl("tasks", "retry", task_id, "--reason", "mended", "-o", "json")
    assert (again.json[0]["id"], again.json[0]["maxAttempts"]) == (task_id, 3)
    story = await fleetctl("tasks", "watch", task_id, "-o", "json")
    events = [json.loads(line) for line in story.out.splitlines()]
    assert [one["taskSeq"] for one in events] == list(range(1, len(events) + 1))
    kinds = [one["type"].removeprefix("EVENT_TYPE_TASK_") for one in events]
    assert kinds[0] == "CREATED"
    assert "FAILED" in kinds
    assert kinds[-1] == "COMPLETED"
    assert (await fleetctl("tasks", "retry", task_id)).code == 4


async def test_events_are_listed_from_a_seq_and_followed(fleetctl, client):
    """T8: a later call goes on where this one ended."""
    first = (await fleetctl("tasks", "submit", "one", *WAITS, "-q")).out.strip()
    seen = [json.loads(line) for line in (await fleetctl("events", "-o", "jsonl")).out.splitlines()]
    assert [(one["type"], one["taskId"]) for one in seen] == [("EVENT_TYPE_TASK_CREATED", first)]
    follow = await fleetctl.start("events", "--follow", "--since-seq", "0", "--limit", "2", "-o", "jsonl")
    assert json.loads(await asyncio.wait_for(follow.stdout.readline(), LIMIT)) == seen[0]
    second = await client.submit("two", capabilities=["nobody"])
    out, _ = await asyncio.wait_for(follow.communicate(), LIMIT)
    assert json.loads(out)["taskId"] == second.id
    assert follow.returncode == 0
    later = await fleetctl("events", "--since-seq", str(seen[0]["seq"]), "--task", second.id)
    assert [line.split()[3] for line in later.out.splitlines()[1:]] == ["TASK_CREATED"]


async def test_ctrl_c_ends_following_without_a_traceback(fleetctl, client):
    """S2."""
    await client.submit("one", capabilities=["nobody"])
    follow = await fleetctl.start("events", "--follow", "--since-seq", "0")
    await asyncio.wait_for(follow.stdout.readline(), LIMIT)
    follow.send_signal(signal.SIGINT)
    _, errors = await asyncio.wait_for(follow.communicate(), LIMIT)
    assert (follow.returncode, errors) == (130, b"")


async def test_a_reader_that_has_seen_enough_is_no_error_to_shout_about(fleetctl, client):
    """S2: `fleetctl events | head -1`."""
    for number in range(3):
        await client.submit(f"t{number}", capabilities=["nobody"])
    follow = await fleetctl.start("events", "--follow", "--since-seq", "0")
    await asyncio.wait_for(follow.stdout.readline(), LIMIT)
    follow.stdout._transport.close()
    await client.submit("one more", capabilities=["nobody"])
    errors = await asyncio.wait_for(follow.stderr.read(), LIMIT)
    assert await follow.wait() == 1
    assert errors == b""


async def test_agents_are_listed_and_obey_orders(fleetctl, client, agents):
    """D1, D2, D7."""
    await agents.start("worker", "true", flags=("--label", "room=3", "--type", "shell", "--concurrency", "2"))
    await happened(client, "AGENT_REGISTERED", agent_id="worker")
    listed = (
        await fleetctl("agents", "list", "--capability", "work", "--label", "room=3", "-o", "json")
    ).json
    assert [one["spec"]["agentId"] for one in listed] == ["worker"]
    assert (await fleetctl("agents", "list", "--offline", "-o", "json")).json == []
    lines = (await fleetctl("agents", "list")).out.splitlines()
    assert lines[1].split()[:4] == ["worker", "IDLE", "work", "0/2"]
    for order, status in (("drain", "DRAINING"), ("undrain", "IDLE"), ("stop", "STOPPED"), ("start", "IDLE")):
        said = await fleetctl("agents", order, "worker", "--reason", "test")
        assert said.code == 0, said.err
        assert said.out.splitlines()[1].split() == ["STATUS", status]
    assert (await fleetctl("agents", "get", "worker", "-o", "json")).json["spec"]["labels"] == {"room": "3"}


async def test_queue_status_and_doctor_tell_how_the_fleet_is(fleetctl, agents, client):
    """D7."""
    await fleetctl("tasks", "submit", "waits", *WAITS)
    queue = await fleetctl("queue", "-o", "json")
    assert (queue.json["all"]["pending"], queue.json["all"]["submitted"]) == (1, 1)
    assert (await fleetctl("queue")).out.splitlines()[1].split() == ["pending", "1"]
    status = await fleetctl("status", "-o", "json")
    assert (status.json["state"], status.json["writable"]) == ("DAEMON_STATE_SERVING", True)
    checks = {one["check"]: one["outcome"] for one in (await fleetctl("doctor", "-o", "json")).json}
    assert checks["agents"] == "warn"
    await agents.start("worker", "true")
    await happened(client, "AGENT_REGISTERED", agent_id="worker")
    well = await fleetctl("doctor")
    assert well.code == 0
    assert [line.split("  ")[0] for line in well.out.splitlines()[1:]] == list(checks)


async def test_the_doctor_fails_where_nobody_answers(tmp_path):
    """D7."""
    for address in ("127.0.0.1:1", f"unix:{tmp_path}/none"):
        said = await Fleetctl(address)("doctor", "-o", "json")
        assert said.code == 1
        assert [(one["check"], one["outcome"]) for one in said.json] == [("reachable", "fail")]
        assert "fleetd serve" in said.json[0]["remedy"]
