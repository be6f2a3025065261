"""The parts of fleet-agent that need no process."""

from __future__ import annotations

import json
import signal
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetd_client import AgentFail, Fatal, Result, Retry
from fleetd_client.cli.lines import Lines
from fleetd_client.cli.program import brief
from fleetd_client.cli.speech import Said, parse
from fleetd_client.cli.verdict import RESULT_BYTES, verdict
from fleetd_client.cli.warden import watch
from fleetd_client.stubs import Checkpoint, Lease, Payload


@given(
    st.lists(st.binary(max_size=9).filter(lambda line: b"\n" not in line and not line.endswith(b"\r"))),
    st.data(),
)
def test_lines_are_the_same_however_they_are_cut_into_pieces(wanted, data):
    """S7."""
    stream = b"".join(line + b"\n" for line in wanted)
    lines, found = Lines(100), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += lines.feed(stream[:size])
        stream = stream[size:]
    assert wanted == found + lines.close()


def test_a_line_too_long_is_cut_and_still_shows_that_it_was():
    """S7: no output of a program can fill the agent's memory."""
    lines = Lines(4)
    assert lines.feed(b"abcd") == []
    assert lines.feed(b"efghijkl\nxy\r\nz") == [b"abcde", b"xy"]
    assert lines.close() == [b"z"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"progress": 40, "message": "half"}', Said(progress=40, message="half")),
        (b'{"progress": 140}', Said(progress=100.0)),
        (b'  {"message": "reading"}', Said(message="reading")),
        (b'{"checkpoint": "17", "step_id": "s1"}', Said(checkpoint=b"17", step_id="s1")),
        (b'{"checkpoint": {"data_base64": "AP8="}}', Said(checkpoint=b"\x00\xff")),
    ],
)
def test_a_program_says_progress_messages_and_checkpoints(line, said):
    """T3."""
    assert parse(line) == said


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"plain text",
        b"{broken",
        b"[1, 2]",
        b"{}",
        b'{"step_id": "s1"}',
        b'{"message": {"role": "assistant"}}',
        b'{"progress": "done"}',
        b'{"progress": true}',
        b'{"message": "a", "result": 1}',
        b"{" * 100_000,
    ],
)
def test_any_other_line_is_output(line):
    """T3: a program whose result looks a little like an event still has a result."""
    assert parse(line) is None


@pytest.mark.parametrize("value", [17, {"data_base64": "%"}, {"data_base64": 1}, {"data": "x"}, None])
def test_a_checkpoint_that_cannot_be_one_is_an_error(value):
    """T3."""
    with pytest.raises(ValueError, match="checkpoint: a string, or"):
        parse(json.dumps({"checkpoint": value}).encode())


def test_exit_code_zero_completes_with_text_json_or_bytes():
    """F4, T3."""
    assert verdict(0, b"done", "noise") == Result("done")
    assert verdict(0, b'{"a": 1}', "") == Result('{"a": 1}', content_type="application/json")
    assert verdict(0, b"{not json", "") == Result("{not json")
    assert verdict(0, b"42", "") == Result("42")
    assert verdict(0, b"\xff\x00", "") == Result(b"\xff\x00")
    assert verdict(0, b"", "") == Result(None)


@pytest.mark.parametrize("code", [64, 65, 78])
def test_usage_data_and_configuration_errors_are_never_retried(code):
    """F4."""
    with pytest.raises(Fatal, match=rf"^exit code {code} \(.* error\): no such field$") as raised:
        verdict(code, b"so far", "no such field\n")
    assert raised.value.code == "LOGIC_ERROR"
    assert raised.value.output == "so far"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (1, "exit code 1: oops"),
        (-signal.SIGKILL, "killed by SIGKILL: oops"),
        (-200, "killed by signal 200: oops"),
    ],
)
def test_other_exit_codes_and_signals_may_be_retried(code, message):
    """F4."""
    with pytest.raises(AgentFail) as raised:
        verdict(code, b"", "oops")
    assert raised.value.code == "AGENT_ERROR"
    assert raised.value.message == message


def test_75_asks_for_another_try():
    """F4."""
    with pytest.raises(Retry, match=r"exit code 75 \(try again\)$"):
        verdict(75, b"", "")


def test_the_end_of_a_long_standard_error_is_what_is_kept():
    """F4: messages have at most 4,096 characters, and the last ones say most."""
    with pytest.raises(AgentFail) as raised:
        verdict(1, b"", "x" * 10_000 + "the cause")
    assert len(raised.value.message) == 4_096
    assert raised.value.message.startswith("exit code 1: x")
    assert raised.value.message.endswith("the cause")


def test_a_result_too_large_is_a_failure_that_says_so():
    """S7."""
    with pytest.raises(AgentFail, match="the result is too large"):
        verdict(0, b"x" * (RESULT_BYTES + 1), "")


def test_the_brief_is_the_lease_in_one_line_of_json():
    """T3, T5: numbers are numbers, and a checkpoint in UTF-8 can be read without decoding."""
    lease = Lease(
        task_id="T",
        lease_epoch=3,
        title="Größe\nzwei",
        attempt=2,
        input=Payload(text="hi", content_type="text/plain"),
        checkpoint=Checkpoint(data=b"17", step_id="s1", completed_steps=["s1"]),
    )
    line = brief(lease)
    assert line.count(b"\n") == 1
    found = json.loads(line)
    assert found["taskId"] == "T"
    assert found["leaseEpoch"] == 3
    assert found["title"] == "Größe\nzwei"
    assert found["input"] == {"text": "hi", "contentType": "text/plain"}
    assert found["checkpoint"] == {"data": "MTc=", "text": "17", "stepId": "s1", "completedSteps": ["s1"]}
    assert found["metadata"] == {}
    binary = Lease(checkpoint=Checkpoint(data=b"\xff"))
    assert "text" not in json.loads(brief(binary))["checkpoint"]


def test_the_warden_kills_what_was_not_forgotten_and_removes_the_scratch_directory(tmp_path):
    """D2: nothing an agent started outlives it."""
    (tmp_path / "scratch" / "run").mkdir(parents=True)
    kept, left = (subprocess.Popen(["sleep", "1000"], start_new_session=True) for _ in range(2))
    words = [b"+%d\n" % kept.pid, b"+%d\n" % left.pid, b"-%d\n" % kept.pid]
    try:
        watch(words, str(tmp_path / "scratch"))
        assert left.wait(10) == -signal.SIGKILL
        assert kept.poll() is None
    finally:
        kept.kill()
        kept.wait()
    assert not (tmp_path / "scratch").exists()
