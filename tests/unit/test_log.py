"""The log: one form on a terminal, one for machines, and nothing in it that nobody asked for."""

import io
import json
import logging

import pytest
import structlog

from fleetd.obs.log import configure


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def fail(local: str) -> None:
    raise RuntimeError(len(local))


@pytest.fixture(autouse=True)
def restored():
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_off_a_terminal_an_event_is_one_json_line_with_utc_time_and_level():
    stream = io.StringIO()
    configure(stream=stream)
    structlog.get_logger().info("session_ended", agent_id="a1", reason="goodbye")
    (line,) = stream.getvalue().splitlines()
    event = json.loads(line)
    assert event.pop("timestamp").endswith("Z")
    assert event == {"event": "session_ended", "level": "info", "agent_id": "a1", "reason": "goodbye"}


def test_on_a_terminal_an_event_is_written_for_people():
    stream = Terminal()
    configure(stream=stream)
    structlog.get_logger().info("session_ended", agent_id="a1")
    text = stream.getvalue()
    assert "session_ended" in text
    assert not text.startswith("{")
    assert "\x1b[" in text


def test_no_color_keeps_escape_sequences_out(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    configure(stream=stream)
    structlog.get_logger().info("session_ended")
    assert "\x1b[" not in stream.getvalue()


def test_the_form_can_be_forced():
    terminal, pipe = Terminal(), io.StringIO()
    configure(form="json", stream=terminal)
    structlog.get_logger().info("ready")
    assert json.loads(terminal.getvalue())["event"] == "ready"
    configure(form="console", stream=pipe)
    structlog.get_logger().info("ready")
    assert not pipe.getvalue().startswith("{")


def test_events_below_the_level_are_not_written():
    stream = io.StringIO()
    configure("warning", stream=stream)
    log = structlog.get_logger()
    log.info("session_ended")
    log.warning("disk_full")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["disk_full"]


def test_fields_bound_to_a_call_are_in_its_events():
    stream = io.StringIO()
    configure(stream=stream)
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        structlog.get_logger().info("call")
    assert json.loads(stream.getvalue())["request_id"] == "r1"


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_local_variables(form):
    stream = io.StringIO()
    configure(form=form, stream=stream)
    try:
        fail(bytes(range(ord("a"), ord("q"))).decode())
    except RuntimeError:
        structlog.get_logger().exception("call_failed")
    assert "RuntimeError: 16" in stream.getvalue()
    assert "abcdefghijklmnop" not in stream.getvalue()


def test_warnings_of_other_libraries_come_out_in_the_same_form_and_their_chatter_does_not():
    stream = io.StringIO()
    configure("debug", stream=stream)
    logging.getLogger("asyncio").info("chatter")
    logging.getLogger("asyncio").warning("slow callback %s", "x")
    (line,) = stream.getvalue().splitlines()
    event = json.loads(line)
    assert (event["event"], event["level"], event["logger"]) == ("slow callback x", "warning", "asyncio")
