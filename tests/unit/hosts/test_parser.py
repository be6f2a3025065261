"""Parsers of what commands write, and what their ends mean (spec M5, F4)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetd.core.host import PARSERS as NAMES
from fleetd.hosts.parser import OUTPUT_BYTES, PARSERS, Output, Said, parser, verdict
from fleetd.hosts.runner import Ended

FINE = Output(b"fine\n")


def read(name: str, *lines: bytes) -> tuple[list[Said], Output]:
    made = parser(name)
    return [said for line in lines if (said := made.feed(line)) is not None], made.close()


def test_every_parser_a_host_may_name_is_there():
    assert set(PARSERS) == set(NAMES)


def test_m5_raw_output_is_the_result_byte_by_byte():
    said, output = read("raw", b'{"progress": 4}\n', b"\xff\xfe\r\n", b"end")
    assert (said, output) == ([], Output(b'{"progress": 4}\n\xff\xfe\r\nend'))
    assert output.text == '{"progress": 4}\n\ufffd\ufffd\r\nend'


def test_m5_json_output_is_one_value():
    assert read("json", b'{"a":\n', b" 1}\n")[1] == Output(b'{"a":\n 1}', "application/json")


@pytest.mark.parametrize("text", [b"", b"{} {}", b"no", b"NaN", b"\xff", b"[" * 100_000])
def test_output_that_is_no_json_is_an_error_with_the_output(text):
    output = read("json", text)[1]
    assert output.error.startswith("the output is not one JSON value: ")
    assert output.data == text
    assert verdict(Ended(0), output, "").code == "AGENT_ERROR"


def test_m5_json_lines_speak_and_other_lines_are_output():
    said, output = read(
        "json_lines",
        b'{"progress": 40, "message": "half"}\n',
        b"a text\n",
        b' {"message": "reading"} \r\n',
        b'{"checkpoint": "17", "step_id": "s1"}\n',
        b'{"checkpoint": {"data_base64": "AP8="}}\n',
        b'{"event": {"kind": "\xc3\xa4"}, "message": "m"}\n',
        b"another",
    )
    assert said == [
        Said(progress=40.0, message="half"),
        Said(message="reading"),
        Said(checkpoint=b"17", step_id="s1"),
        Said(checkpoint=b"\0\xff"),
        Said(event='{"kind": "\xe4"}', message="m"),
    ]
    assert output == Output(b"a text\nanother")


def test_the_last_result_line_is_the_result():
    _, output = read("json_lines", b'{"result": 1}\n', b"text\n", b'{"result": {"a": "\xc3\xa4"}}\n')
    assert output == Output('{"a": "ä"}'.encode(), "application/json")


@pytest.mark.parametrize(
    "line",
    [
        b'{"progress": true}\n',
        b'{"progress": "40"}\n',
        b'{"progress": NaN}\n',
        b'{"progress": 4, "other": 1}\n',
        b'{"progress": 4, "result": 1}\n',
        b'{"step_id": "s"}\n',
        b'{"message": 4}\n',
        b'{"checkpoint": "1", "step_id": 4}\n',
        b'{"checkpoint": "1", "step_id": "%s"}\n' % (b"s" * 257),
        b'{"progress": 4\n',
        b'{"message": "\xff"}\n',
        b'[{"progress": 4}]\n',
        b"{" * 100_000 + b"\n",
    ],
)
def test_a_line_of_another_shape_is_output(line):
    assert read("json_lines", line) == ([], Output(line))


@pytest.mark.parametrize(
    ("number", "percent"), [("-5", 0.0), ("1" + "0" * 400, 100.0), ("1e999", 100.0), ("3.5", 3.5)]
)
def test_progress_stays_within_its_bounds(number, percent):
    said, _ = read("json_lines", f'{{"progress": {number}}}\n'.encode())
    assert said == [Said(progress=percent)]


@pytest.mark.parametrize("value", ["4", "null", '{"data_base64": "?"}', '{"data_base64": 4}', '{"data": ""}'])
def test_a_checkpoint_that_cannot_be_kept_fails_the_run(value):
    said, output = read("json_lines", f'{{"checkpoint": {value}}}\n'.encode())
    assert said == []
    assert output.error.startswith("the command's checkpoint cannot be kept: ")
    assert verdict(Ended(0), output, "").code == "AGENT_ERROR"


def test_a_piece_of_a_long_line_never_speaks():
    """Else a text could be made to speak by its length."""
    said, output = read("json_lines", b"x" * 10, b'{"progress": 4}\n', b'{"progress": 5}\n')
    assert said == [Said(progress=5.0)]
    assert output.data == b"x" * 10 + b'{"progress": 4}\n'


@pytest.mark.parametrize("name", NAMES)
def test_a_mebibyte_is_kept_and_the_rest_is_counted(name):
    output = read(name, *[b"y" * 1_023 + b"\n"] * 1_025)[1]
    assert (len(output.data), output.dropped) == (OUTPUT_BYTES, 1_024)
    assert output.error == "the result is too large: 1,049,600 bytes, more than 1,048,576"


def test_a_result_line_is_bounded_too():
    line = json.dumps({"result": "z" * OUTPUT_BYTES}).encode()
    output = read("json_lines", line)[1]
    assert (len(output.data), output.dropped) == (OUTPUT_BYTES, 2)
    assert output.error.startswith("the result is too large")


@given(
    st.lists(
        st.binary(max_size=50) | st.sampled_from([b'{"progress": 4}', b'{"result": ', b'{"event": {}}\n'])
    )
)
def test_no_output_breaks_a_parser(pieces):
    for name in NAMES:
        _, output = read(name, *pieces)
        assert output.text is not None


@pytest.mark.parametrize(
    ("ended", "code", "message"),
    [
        (Ended(0), "", ""),
        (Ended(64), "LOGIC_ERROR", "exit code 64 (usage error): oh no"),
        (Ended(65), "LOGIC_ERROR", "exit code 65 (data error): oh no"),
        (Ended(78), "LOGIC_ERROR", "exit code 78 (configuration error): oh no"),
        (Ended(75), "AGENT_ERROR", "exit code 75 (try again): oh no"),
        (Ended(1), "AGENT_ERROR", "exit code 1: oh no"),
        (Ended(signal=9), "AGENT_ERROR", "killed by SIGKILL: oh no"),
        (Ended(signal=99), "AGENT_ERROR", "killed by signal 99: oh no"),
        (Ended(signal=15, timed_out=True), "RUN_TIMEOUT", "the command was ended: its time was over: oh no"),
        (Ended(0, timed_out=True), "RUN_TIMEOUT", "the command was ended: its time was over: oh no"),
        (Ended(lost=True, detail="cut"), "HOST_UNREACHABLE", "the connection to the host was lost: cut"),
    ],
)
def test_f4_the_exit_code_is_the_verdict(ended, code, message):
    assert verdict(ended, FINE, " oh no\n") == (code, message, FINE)


def test_the_beginning_of_a_long_message_is_cut():
    message = verdict(Ended(1), FINE, "a" * 5_000 + "end").message
    assert len(message) == 4_096
    assert message.startswith("exit code 1: aaa")
    assert message.endswith("end")
