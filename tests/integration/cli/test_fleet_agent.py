"""fleet-agent exec: any program as an agent."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys

from fleetd_client import content, unpack
from fleetd_client.stubs import TaskStatus
from tests.integration.cli.conftest import LIMIT, ended, happened

COMPLETED = TaskStatus.TASK_STATUS_COMPLETED
FAILED = TaskStatus.TASK_STATUS_FAILED
CANCELLED = TaskStatus.TASK_STATUS_CANCELLED
DEAD_LETTER = TaskStatus.TASK_STATUS_DEAD_LETTER

ECHO = """
import json, os, sys
task = json.load(sys.stdin)
environment = {key: os.environ[key] for key in ("FLEET_TASK_ID", "FLEET_ATTEMPT")}
print("an ordinary line")
print(json.dumps({"task": task, "environment": environment}))
"""


async def run(client, title, **options):
    """Submit and wait for the end."""
    task = await client.submit(title, capabilities=["work"], **options)
    return await client.wait(task.id, timeout=LIMIT)


async def test_a_program_gets_its_task_as_json_and_its_last_line_is_the_result(client, agents):
    """T3, D6, S2."""
    await agents.start("echo", sys.executable, "-c", ECHO)
    done = await run(
        client,
        "Größe",
        input={"n": 1},
        description="what to do",
        task_type="kind",
        metadata={"m": "1"},
        labels={"l": "2"},
    )
    assert done.task.status == COMPLETED
    assert done.result.output.content_type == "application/json"
    found = unpack(done.result.output)
    assert found["environment"] == {"FLEET_TASK_ID": done.task.id, "FLEET_ATTEMPT": "1"}
    given = found["task"]
    assert (given["taskId"], given["title"], given["description"]) == (done.task.id, "Größe", "what to do")
    assert (given["taskType"], given["metadata"], given["labels"]) == ("kind", {"m": "1"}, {"l": "2"})
    assert (given["attempt"], given["leaseEpoch"]) == (1, 1)
    assert given["input"] == {"text": '{"n":1}', "contentType": "application/json"}


async def test_a_program_that_knows_nothing_of_tasks_reads_the_input_as_it_is(client, agents):
    """T3, S2: any filter is an agent."""
    await agents.start("count", "wc", "-w", flags=("--stdin", "input"))
    done = await run(client, "count words", input="how many words are these")
    assert done.result.output.text.strip() == "5"


async def test_all_of_its_output_can_be_the_result(client, agents):
    """T3."""
    await agents.start("cat", *agents.script("two.sh", "echo one; echo two"), flags=("--result", "stdout"))
    done = await run(client, "two lines")
    assert unpack(done.result.output) == "one\ntwo"


async def test_the_result_file_wins_over_the_output(client, agents):
    """T3: any bytes."""
    await agents.start("file", *agents.script("file.sh", r"printf '\377\000' > $FLEET_RESULT_FILE; echo no"))
    done = await run(client, "bytes")
    assert content(done.result.output) == b"\xff\x00"


async def test_progress_and_checkpoints_are_passed_on_and_the_next_run_receives_them(
    client, agents, tmp_path
):
    """T3, T8: the second attempt starts from the checkpoint of the first."""
    script = """
read -r task
if [ "$FLEET_ATTEMPT" = 1 ]; then
    echo '{"progress": 40, "message": "half"}'
    read -r word < $HERE/gate
    echo '{"checkpoint": "place 17", "step_id": "s1"}'
    echo "not today" >&2
    exit 75
fi
echo "$task" | sed 's/.*"checkpoint": //'
"""
    os.mkfifo(tmp_path / "gate")
    await agents.start("steps", *agents.script("steps.sh", script))
    task = await client.submit("in two runs", capabilities=["work"])
    progress = await happened(client, "TASK_PROGRESS", task_id=task.id)
    assert dict(progress.payload) == {"percent": 40, "message": "half"}
    await asyncio.to_thread((tmp_path / "gate").write_text, "seen\n")
    done = await client.wait(task.id, timeout=LIMIT)
    assert done.task.status == COMPLETED
    assert done.task.attempt == 2
    found = json.JSONDecoder().raw_decode(unpack(done.result.output))[0]
    assert (found["text"], found["stepId"], found["completedSteps"]) == ("place 17", "s1", ["s1"])
    failed = await happened(client, "TASK_FAILED", task_id=done.task.id)
    assert failed.payload["message"] == "exit code 75 (try again): not today"


async def test_the_exit_code_is_the_verdict(client, agents):
    """F4: 64, 65 and 78 end a task for good, anything else is tried again until the attempts are used up."""
    script = 'read -r task; code=$(echo "$task" | sed \'s/.*"title": "\\([0-9]*\\)".*/\\1/\'); echo why >&2; exit $code'
    await agents.start("judge", *agents.script("judge.sh", script), flags=("--concurrency", "3"))
    expected = {
        "64": (FAILED, "LOGIC_ERROR", "exit code 64 (usage error): why"),
        "65": (FAILED, "LOGIC_ERROR", "exit code 65 (data error): why"),
        "78": (FAILED, "LOGIC_ERROR", "exit code 78 (configuration error): why"),
        "75": (DEAD_LETTER, "AGENT_ERROR", "exit code 75 (try again): why"),
        "3": (DEAD_LETTER, "AGENT_ERROR", "exit code 3: why"),
    }
    for code, (status, error, message) in expected.items():
        done = await run(client, code, max_attempts=2)
        assert (done.task.status, done.task.error.code, done.task.error.message) == (status, error, message)
        assert done.task.attempt == (1 if status == FAILED else 2)


async def test_a_cancel_ends_the_whole_process_group_and_asks_first(client, agents, tmp_path):
    """D4, T7: SIGTERM, so that the program may tidy up; what it started in its group goes with it."""
    script = """
trap 'echo asked > $HERE/asked; exit 1' TERM
sleep 1000 &
echo "{\\"message\\": \\"$!\\"}"
wait
"""
    await agents.start("tidy", *agents.script("tidy.sh", script))
    task = await client.submit("to be cancelled", capabilities=["work"])
    child = int((await happened(client, "TASK_PROGRESS", task_id=task.id)).payload["message"])
    await client.cancel(task.id)
    done = await client.wait(task.id, timeout=LIMIT)
    assert done.task.status == CANCELLED
    assert (tmp_path / "asked").read_text() == "asked\n"
    await ended(child)


async def test_a_program_that_does_not_listen_is_killed_after_the_grace(client, agents):
    """D4, T7."""
    script = 'trap "" TERM; echo "{\\"message\\": \\"$$\\"}"; while :; do sleep 1000; done'
    await agents.start("deaf", *agents.script("deaf.sh", script), flags=("--grace", "100ms"))
    task = await client.submit("to be killed", capabilities=["work"])
    pid = int((await happened(client, "TASK_PROGRESS", task_id=task.id)).payload["message"])
    await client.cancel(task.id)
    assert (await client.wait(task.id, timeout=LIMIT)).task.status == CANCELLED
    await ended(pid)


async def test_a_run_timeout_ends_the_program_and_another_attempt_follows(client, agents):
    """T7, D5."""
    script = '[ "$FLEET_ATTEMPT" = 2 ] && echo done && exit; sleep 1000'
    await agents.start("slow", *agents.script("slow.sh", script))
    done = await run(client, "hangs once", timeout=0.3)
    assert (done.task.status, done.task.attempt) == (COMPLETED, 2)
    await happened(client, "TASK_TIMEOUT", task_id=done.task.id)


async def test_what_a_program_leaves_behind_does_not_outlive_its_run(client, agents):
    """T7: a background process neither keeps the run open nor stays."""
    await agents.start("parent", *agents.script("parent.sh", "sleep 1000 & echo $!"))
    done = await run(client, "leaves a child")
    assert done.task.status == COMPLETED
    await ended(int(unpack(done.result.output)))


async def test_nothing_survives_an_agent_that_was_killed_and_another_goes_on_from_the_checkpoint(
    client, agents
):
    """D2, T3, T5."""
    first = """
read -r task
echo "{\\"checkpoint\\": \\"$$\\", \\"step_id\\": \\"s1\\"}"
sleep 1000
"""
    killed = await agents.start("first", *agents.script("first.sh", first))
    task = await client.submit("long", capabilities=["work"])
    await happened(client, "TASK_CHECKPOINTED", task_id=task.id)
    pid = int((await client.get(task.id, include_input=True)).checkpoint.data)
    killed.send_signal(signal.SIGKILL)
    await ended(pid)
    second = 'read -r task; echo "$task" | sed \'s/.*"text": "\\([0-9]*\\)".*/\\1/\''
    await agents.start("second", *agents.script("second.sh", second))
    done = await client.wait(task.id, timeout=LIMIT)
    assert (done.task.status, done.task.agent_id, done.task.losses) == (COMPLETED, "second", 1)
    assert unpack(done.result.output) == str(pid)


async def test_sigterm_lets_the_run_finish_and_then_the_agent_leaves(client, agents, tmp_path):
    """D2: a drain."""
    os.mkfifo(tmp_path / "gate")
    script = 'echo \'{"message": "at the gate"}\'; read -r word < $HERE/gate; echo "$word"'
    agent = await agents.start("gate", *agents.script("gate.sh", script))
    task = await client.submit("waits", capabilities=["work"])
    await happened(client, "TASK_PROGRESS", task_id=task.id)
    agent.send_signal(signal.SIGTERM)
    await asyncio.to_thread((tmp_path / "gate").write_text, "through\n")
    done = await client.wait(task.id, timeout=LIMIT)
    assert unpack(done.result.output) == "through"
    assert await asyncio.wait_for(agent.wait(), LIMIT) == 0


async def test_a_restart_order_begins_the_process_anew_under_its_old_id(client, agents):
    """D2."""
    agent = await agents.start("phoenix", *agents.script("pid.sh", "echo $PPID"))
    first = unpack((await run(client, "before")).result.output)
    before = (await client.get_agent("phoenix")).session_epoch
    await client.restart_agent("phoenix")
    async with asyncio.timeout(LIMIT):
        async for _ in client.watch_events(0, types=["AGENT_REGISTERED"], agent_id="phoenix"):
            found = await client.get_agent("phoenix")
            if found.session_epoch > before and found.connected:
                break
    assert unpack((await run(client, "after")).result.output) == first == str(agent.pid)
    assert agent.returncode is None


async def test_another_process_of_the_same_name_ends_the_older_one_for_good(client, agents):
    """D1: it says so, and its exit code is its own."""
    older = await agents.start("twin", *agents.script("a.sh", "echo older"))
    await happened(client, "AGENT_REGISTERED", agent_id="twin")
    await agents.start("twin", *agents.script("b.sh", "echo newer"))
    _, errors = await asyncio.wait_for(older.communicate(), LIMIT)
    assert older.returncode == 4
    assert "SESSION_REPLACED" in errors.decode()
    assert unpack((await run(client, "who")).result.output) == "newer"


async def test_too_much_output_is_refused_and_said_so(client, agents):
    """S7."""
    script = "read -r task; head -c 3000000 /dev/zero | tr '\\0' x"
    await agents.start("flood", *agents.script("flood.sh", script))
    done = await run(client, "flood", max_attempts=1)
    assert done.task.status == DEAD_LETTER
    assert done.task.error.message == "the result is too large: more than 1048576 bytes"


async def test_a_checkpoint_that_cannot_be_kept_ends_the_run_with_its_reason(client, agents):
    """T3, S3."""
    await agents.start("odd", *agents.script("odd.sh", "echo '{\"checkpoint\": 17}'; sleep 1000"))
    done = await run(client, "odd", max_attempts=1)
    assert done.task.status == DEAD_LETTER
    assert "checkpoint: a string" in done.task.error.message


async def test_a_large_input_reaches_a_program_that_reads_late_or_never(client, agents):
    """S7: neither side waits for the other for ever."""
    await agents.start("late", *agents.script("late.sh", 'echo first; read -r task; echo "${#task}"'))
    done = await run(client, "large", input="x" * 500_000)
    assert int(content(done.result.output)) > 500_000
    await agents.start("never", *agents.script("never.sh", "echo unread"), flags=("--capability", "deaf"))
    task = await client.submit("unread", capabilities=["deaf"], input="x" * 500_000)
    assert unpack((await client.wait(task.id, timeout=LIMIT)).result.output) == "unread"


async def test_a_program_that_does_not_exist_is_a_usage_error(agents):
    """S3."""
    agent = await agents.start("none", "no-such-program")
    _, errors = await asyncio.wait_for(agent.communicate(), LIMIT)
    assert agent.returncode == 2
    assert "no-such-program" in errors.decode()


async def test_a_program_is_told_the_mode_of_its_rollout_and_whether_it_is_a_shadow(client, agents):
    """G1, G2."""
    rollout = {"name": "chat", "old_mode": {"name": "direct"}, "new_mode": {"name": "runtime"}}
    await client.put_rollout(rollout)
    await agents.start("mode", *agents.script("mode.sh", 'echo "$FLEET_MODE/$FLEET_SHADOW."'))
    done = await run(client, "in a mode", rollout="chat")
    assert content(done.result.output) == b"direct/."
    done = await run(client, "without")
    assert content(done.result.output) == b"/."
