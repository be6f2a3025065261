"""Tasks on hosts, from their submission to their end: real commands on this machine under a real engine. M5, M5a, M1, T5, T7, T9."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from dataclasses import replace

import pytest

from fleetd.core.attendance import EndSession, Leaving
from fleetd.core.event import EventType
from fleetd.core.host import PROMPT, Host
from fleetd.core.instance import Instance, InstanceState
from fleetd.core.interventions import Cancel
from fleetd.core.registration import PutInstances, SetState
from fleetd.core.route import Requirements
from fleetd.core.task import Ending, Mode, ModeSource, Status
from fleetd.core.words import Word, WordKind
from fleetd.engine.engine_options import EngineOptions
from fleetd.hosts.local import LocalRunner
from fleetd.hosts.runner import Problem, Unreachable
from tests.integration.hosts.fleet import (
    HANGS,
    RULES,
    SEAT,
    HostFleet,
    command,
    gone,
    local,
    open_gate,
    pids,
    pids_of_alone,
    python,
)
from tests.integration.hosts.place import ALONE, LIMIT, is_alive, until

HOSTILE = b"'\"`touch pwned`$(touch pwned);touch pwned|touch pwned&&touch pwned\n\\n%s\t*~ --help\r\n$HOME ${PATH}\xff\xfe"


# the text of a task


@pytest.mark.parametrize("text", [HOSTILE, b"a" * 1024 * 1024, bytes(range(256)), b"", b"-e\n"])
async def test_the_text_of_a_task_reaches_the_standard_input_byte_for_byte(fleet, text):
    """M5a"""
    script = "import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())"
    await fleet.hosts(local("here", python(script)))
    given = text or b"work"  # without an input it is the title
    task, run = await fleet.ended((await fleet.submit(text)).id)
    assert (task.status, run.output.data.decode()) == (
        Status.COMPLETED,
        hashlib.sha256(given).hexdigest() + "\n",
    )
    assert (task.mode, task.mode_source, task.agent_id) == (Mode.SSH_CLI, ModeSource.AUTO, SEAT)


@pytest.mark.parametrize("text", [HOSTILE, b"-e", b"; rm x", b"a" * 100_000])
async def test_the_text_of_a_task_is_one_element_of_the_command(fleet, tmp_path, text):
    """M5a: no shell looks at it, and the elements beside it stay as they are"""
    script = "import os, sys; sys.stdout.write(repr([os.fsencode(each) for each in sys.argv[1:]]))"
    work = tmp_path / "work"
    work.mkdir()
    agent = python(script, "$HOME", PROMPT, "`id`", prompt="argv")
    await fleet.hosts(local("here", agent, work_dir=str(work)))
    task, run = await fleet.ended((await fleet.submit(text)).id)
    assert (task.status, run.output.data.decode()) == (Status.COMPLETED, repr([b"$HOME", text, b"`id`"]))
    assert list(work.iterdir()) == []


async def test_title_and_description_are_the_text_where_there_is_no_input(fleet):
    """M5: and variables say which task it is"""
    script = (
        "import os, sys; print(os.environ['FLEETD_TITLE'], os.environ['FLEETD_TASK_ID'], sys.stdin.read())"
    )
    await fleet.hosts(local("here", python(script)))
    _, run = await fleet.ended((await fleet.submit(title="$(id) 'now'")).id)
    assert run.output.data == b"$(id) 'now' task-0001 $(id) 'now'\n"


@pytest.mark.parametrize("text", [b"a\0b", b"a" * 200_000])
async def test_a_text_that_is_no_argument_fails_the_task_and_says_why(tmp_path, text):
    """M5a, F4: no other run could take it"""
    fleet = await HostFleet(tmp_path).open()
    await fleet.hosts(local("here", python("", PROMPT, prompt="argv")))
    task, _ = await fleet.ended((await fleet.submit(text)).id)
    await fleet.close()
    assert (task.status, task.error_code, task.attempt) == (Status.FAILED, "BAD_REQUEST", 1)
    assert "argv[3]" in task.error_message


# results


@pytest.mark.parametrize(
    ("parser", "written", "data", "content_type"),
    [
        ("raw", "two\nlines", b"two\nlines", "text/plain; charset=utf-8"),
        ("json", ' {"a": [1, null]}\n', b'{"a": [1, null]}', "application/json"),
        ("json_lines", 'chatter\n{"result": {"a": 1}}\n', b'{"a": 1}', "application/json"),
        ("json_lines", "only chatter\n", b"only chatter\n", "text/plain; charset=utf-8"),
    ],
)
async def test_what_a_command_writes_becomes_the_result(fleet, parser, written, data, content_type):
    """M5: output parsers"""
    await fleet.hosts(
        local("here", python("import sys; sys.stdout.write(sys.argv[1])", written, parser=parser))
    )
    task, run = await fleet.ended((await fleet.submit()).id)
    assert (task.status, run.output.data, run.output.content_type) == (Status.COMPLETED, data, content_type)


@pytest.mark.parametrize(
    ("code", "status", "error", "attempts"),
    [
        (1, Status.DEAD_LETTER, "AGENT_ERROR", 2),
        (75, Status.DEAD_LETTER, "AGENT_ERROR", 2),
        (64, Status.FAILED, "LOGIC_ERROR", 1),
        (65, Status.FAILED, "LOGIC_ERROR", 1),
        (78, Status.FAILED, "LOGIC_ERROR", 1),
        (-9, Status.DEAD_LETTER, "AGENT_ERROR", 2),
    ],
)
async def test_the_exit_code_decides_what_becomes_of_a_task(fleet, code, status, error, attempts):
    """F4: and its last words on standard error say why"""
    script = "import os, sys; sys.stderr.write('why it broke'); sys.stderr.flush(); n = int(sys.argv[1]); os.kill(os.getpid(), -n) if n < 0 else sys.exit(n)"
    await fleet.hosts(local("here", python(script, str(code))))
    task, run = await fleet.ended((await fleet.submit(max_attempts=2)).id)
    assert (task.status, task.error_code, task.attempt) == (status, error, attempts)
    assert "why it broke" in task.error_message
    assert run.status is status


async def test_a_program_that_is_not_there_fails_the_run_and_says_so(fleet):
    """F4, M5"""
    await fleet.hosts(local("here", command("/no/such/program")))
    task, _ = await fleet.ended((await fleet.submit(max_attempts=1)).id)
    assert (task.status, task.error_code) == (Status.DEAD_LETTER, "AGENT_ERROR")


async def test_progress_goes_forward_whatever_is_said_between(tmp_path):
    """T8, M5: a plain line does not set it back"""
    fleet = HostFleet(tmp_path)
    fleet.rules = replace(fleet.rules, progress_interval=0)
    await fleet.open()
    script = 'import time\nfor line in [\'{"progress": 40, "message": "half"}\', \'chatter\']: print(line, flush=True)'
    await fleet.hosts(local("here", python(script, parser="json_lines")))
    task, _ = await fleet.ended((await fleet.submit()).id)
    said = await fleet.events(task.id, EventType.TASK_PROGRESS)
    await fleet.close()
    assert [(each["percent"], each["message"]) for each in said] == [(40, "half"), (40, "chatter")]


async def test_the_next_attempt_gets_the_checkpoint_and_the_steps_that_are_done(fleet):
    """T3: FLEETD_CHECKPOINT, FLEETD_COMPLETED_STEPS"""
    script = """
import json, os, sys
if os.environ["FLEETD_ATTEMPT"] == "1":
    assert "FLEETD_CHECKPOINT" not in os.environ
    for step in ("one", "two"):
        print(json.dumps({"checkpoint": "after " + step, "step_id": step}), flush=True)
    sys.exit(1)
print(json.dumps({"result": [os.environ["FLEETD_CHECKPOINT"], os.environ["FLEETD_COMPLETED_STEPS"]]}))
"""
    await fleet.hosts(local("here", python(script, parser="json_lines")))
    task, run = await fleet.ended((await fleet.submit()).id)
    assert (task.status, task.attempt) == (Status.COMPLETED, 2)
    assert json.loads(run.output.data) == ["after two", "one two"]
    saved = await fleet.events(task.id, EventType.TASK_CHECKPOINTED)
    assert [each["step_id"] for each in saved] == ["one", "two"]


async def test_a_step_that_is_no_text_stops_nobody_else_on_the_host(fleet):
    """M5: a word that could not be stored would be said again and again, and none behind it would be heard"""
    script = r"""
print(r'{"checkpoint": "half", "step_id": "\ud800"}')
print(r'{"progress": 50, "message": "\ud800"}')
print(r'{"event": ["\ud800"]}')
"""
    await fleet.hosts(local("here", python(script, parser="json_lines")))
    ended = [(await fleet.ended((await fleet.submit()).id))[0] for _ in range(2)]
    assert [(task.status, task.attempt) for task in ended] == 2 * [(Status.COMPLETED, 1)]


async def test_a_command_that_says_much_leaves_room_for_others_in_the_queue(fleet):
    """M5, S7: it waits until what it said was taken"""
    fleet.engine.options = EngineOptions(queue_limit=1_000)
    script = "for n in range(20_000): print('{\"progress\": %d}' % (n % 100))"
    await fleet.hosts(local("here", python(script, parser="json_lines")))
    ending = asyncio.create_task(fleet.ended((await fleet.submit()).id))
    while not ending.done():
        await fleet.submit(capabilities=("nobody",))
    ended, run = await ending
    assert (ended.status, run.lease_epoch) == (Status.COMPLETED, 1)


async def test_more_steps_than_a_variable_holds_do_not_fail_the_next_attempt(fleet):
    """T3: the run does without the list"""
    script = """
import json, os, sys
if os.environ["FLEETD_ATTEMPT"] == "1":
    for n in range(700):
        print(json.dumps({"checkpoint": str(n), "step_id": f"{n:0200}"}), flush=True)
    sys.exit(1)
print(os.environ["FLEETD_CHECKPOINT"])
"""
    await fleet.hosts(local("here", python(script, parser="json_lines")))
    task, run = await fleet.ended((await fleet.submit(max_attempts=2)).id)
    assert (task.status, run and run.output and run.output.data) == (Status.COMPLETED, b"699\n")


async def test_a_routed_task_is_told_its_model_and_where_it_is(fleet):
    """R4, M5: FLEETD_INSTANCE, FLEETD_MODEL, FLEETD_BASE_URL"""
    name = "ollama:one"
    made = Instance(id=name, provider_id="ollama", model="llama", ctx=8_192, base_url="http://10.0.0.1:11434")
    await fleet.engine.execute(PutInstances((made,)))
    await fleet.engine.execute(SetState(name, InstanceState.READY, "said so"))
    names = "FLEETD_INSTANCE", "FLEETD_MODEL", "FLEETD_BASE_URL"
    await fleet.hosts(
        local("here", python("import os, sys; print(*[os.environ[n] for n in sys.argv[1:]])", *names))
    )
    task, run = await fleet.ended((await fleet.submit(route=Requirements(("general",)))).id)
    assert (task.status, run.output.data) == (Status.COMPLETED, b"ollama:one llama http://10.0.0.1:11434\n")


# orders


async def test_a_cancel_ends_the_whole_group_and_then_the_task(fleet):
    """D4, T7: a grandchild that ignores TERM, too"""
    await fleet.hosts(local("here", python(HANGS)))
    task = await fleet.submit()
    processes = await pids(fleet, task)
    await fleet.engine.execute(Cancel((task.id,)))
    ended, run = await fleet.ended(task.id)
    assert not any(is_alive(pid) for pid in processes)
    assert (ended.status, run.ending) == (Status.CANCELLED, Ending.STOPPED)


async def test_a_run_that_could_not_be_ended_is_ended_when_it_is_asked_for_again(tmp_path):
    """T7, M5: else it would run beside the next run of its task"""
    asked: list[int] = []

    class Deaf(LocalRunner):
        async def end(self, task_id, lease_epoch, grace):
            asked.append(lease_epoch)
            if len(asked) == 1:
                raise Unreachable(Problem.REFUSED, "it takes no more sessions")
            await super().end(task_id, lease_epoch, grace)

    class Fleet(HostFleet):
        def make_runner(self, host: Host):
            return Deaf(markers=self.folder / "markers", environ=os.environ, clock=self.clock)

    fleet = await Fleet(tmp_path, replace(RULES, stop_grace=500)).open()
    await fleet.hosts(local("here", python(HANGS)))
    task = await fleet.submit()
    processes = await pids(fleet, task)
    await fleet.engine.execute(Cancel((task.id,)))
    await gone(processes)
    ended, _ = await fleet.ended(task.id)
    await fleet.close()
    assert ended.status is Status.CANCELLED


@pytest.mark.parametrize("limits", [({}, 500), ({"timeout": 500}, 0)], ids=["of the task", "of the agent"])
async def test_a_run_that_takes_too_long_is_ended_with_its_group_and_tried_again(fleet, limits):
    """T7, T3: told apart from a lost agent by its code"""
    in_agent, of_task = limits
    await fleet.hosts(local("here", python(HANGS, **in_agent)))
    task = await fleet.submit(timeout=of_task)
    processes = await pids(fleet, task)
    ended, run = await fleet.ended(task.id)
    assert not any(is_alive(pid) for pid in processes)
    assert (ended.status, ended.attempt, ended.losses, run.output.data) == (Status.COMPLETED, 2, 0, b"done\n")
    (again,) = await fleet.events(task.id, EventType.TASK_RETRY_SCHEDULED)
    assert again["code"] == "RUN_TIMEOUT"


async def test_a_lease_that_was_lost_ends_its_command_before_the_next_begins(fleet, tmp_path):
    """T5: the fence, on the host too"""
    script = f"import os, sys\nif os.environ['FLEETD_LEASE_EPOCH'] == '2': os.environ and sys.exit(os.path.exists(sys.argv[1] + '/overlap'))\n{ALONE}"
    await fleet.hosts(local("here", python(script, str(tmp_path))))
    task = await fleet.submit()
    (pid,) = await pids_of_alone(fleet, task)
    session = fleet.engine.sessions.get(SEAT)
    await fleet.engine.execute(EndSession(SEAT, session.epoch, Leaving.LOST, "as if it had not been heard"))
    ended, _ = await fleet.ended(task.id)
    assert (ended.status, ended.lease_epoch, ended.losses) == (Status.COMPLETED, 2, 1)
    assert not is_alive(pid)
    assert not (tmp_path / "overlap").exists()


async def test_the_answer_to_an_older_lease_does_not_end_the_run_of_this_one(fleet, tmp_path):
    """T5: of two leases of a task on one host only the one that is over is ended"""
    script = "import os, sys\nprint('ready', flush=True)\nopen(sys.argv[1]).read()\nprint('done')"
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    await fleet.hosts(local("here", python(script, str(gate))))
    task = await fleet.submit()
    await fleet.happened(EventType.TASK_PROGRESS, task.id)
    session = fleet.engine.sessions.get(SEAT)
    fleet.engine.sessions.post_words(session, (Word(task.id, 0, WordKind.PROGRESS, message="late"),))
    await until(lambda: not session.in_flight and not session.outbox.event.is_set())
    await open_gate(gate)
    ended, run = await fleet.ended(task.id)
    assert (ended.status, ended.lease_epoch, run.output.data) == (Status.COMPLETED, 1, b"ready\ndone\n")


async def test_a_result_survives_a_moment_in_which_nothing_can_be_written(fleet, tmp_path):
    """S7, T5: a command that ran for an hour does not run again because the queue was full when it ended"""
    script = "import os, sys\nprint('ready', flush=True)\nopen(sys.argv[1]).read()\nprint('done')"
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    await fleet.hosts(local("here", python(script, str(gate))))
    task = await fleet.submit()
    await fleet.happened(EventType.TASK_PROGRESS, task.id)
    session, options = fleet.engine.sessions.get(SEAT), fleet.engine.options
    await until(lambda: not session.in_flight and not session.outbox.event.is_set())
    fleet.engine.options = replace(options, queue_limit=0)
    await open_gate(gate)
    async with asyncio.timeout(LIMIT):
        await until(lambda: session.outbox.ended)
    fleet.engine.options = options
    ended, run = await fleet.ended(task.id)
    assert (ended.status, ended.lease_epoch, run.output.data) == (Status.COMPLETED, 1, b"ready\ndone\n")
