"""The kinds of events an agent can tell (G6)."""

from __future__ import annotations

import time

import pytest
from google.protobuf.message import DecodeError, EncodeError

from fleet.v1.task_event_pb2 import CallStatus, StepStatus
from fleetd_client import InvalidArgument, task_events
from fleetd_client.stubs import ClaimRequest, TaskEvent
from fleetd_client.task_events import kind

MADE = {
    "message": lambda: task_events.message("Hello", role="assistant", data={"a": 1}),
    "error": lambda: task_events.error("TIMEOUT", "too late", step_id="s1", call_id="c1"),
    "done": lambda: task_events.done(
        session_id="s", message_id="m", usage={"inputTokens": 12}, execution_mode="direct_llm"
    ),
    "heartbeat": task_events.heartbeat,
    "plan_step": lambda: task_events.plan_step(
        "s1", "running", title="Search", tool="web_search", params={"query": "x"}
    ),
    "skill_call": lambda: task_events.skill_call("web_search", {"query": "x"}, skill_id="k"),
    "skill_result": lambda: task_events.skill_result("web_search", [1, 2], skill_id="k", duration=1.5),
    "mcp_call": lambda: task_events.mcp_call("read", {"path": "a"}, server_id="files"),
    "mcp_result": lambda: task_events.mcp_result("read", error="no such file", server_id="files"),
    "tool_call": lambda: task_events.tool_call("ls"),
    "tool_result": lambda: task_events.tool_result("ls", "a\nb", duration=0.25),
    "other": lambda: task_events.other("thought", {"text": "hm"}),
}


def test_there_is_a_function_for_every_kind():
    """G6."""
    assert set(MADE) == {field.name for field in task_events.DATA.fields}


@pytest.mark.parametrize("name", MADE)
def test_each_kind_has_an_id_and_the_present_time(name):
    """G6."""
    before = time.time()
    first, second = MADE[name](), MADE[name]()
    assert first.WhichOneof("data") == name
    assert first.id
    assert first.id != second.id
    assert before - 0.001 <= first.timestamp.ToMicroseconds() / 1e6 <= time.time() + 0.001
    assert (first.task_id, first.seq, first.position, first.lease_epoch) == ("", 0, 0, 0)


def test_what_is_given_reaches_its_field():
    """G6."""
    step = MADE["plan_step"]().plan_step
    assert (step.step_id, step.title, step.status, step.tool, step.params["query"]) == (
        "s1",
        "Search",
        StepStatus.STEP_STATUS_RUNNING,
        "web_search",
        "x",
    )
    call = MADE["skill_call"]().skill_call
    assert (call.skill_id, call.skill_name, call.status) == (
        "k",
        "web_search",
        CallStatus.CALL_STATUS_CALLING,
    )
    result = MADE["skill_result"]().skill_result
    assert (result.status, list(result.result.list_value), result.duration.ToMilliseconds()) == (
        CallStatus.CALL_STATUS_SUCCESS,
        [1, 2],
        1_500,
    )
    failed = MADE["mcp_result"]().mcp_result
    assert (failed.status, failed.error, failed.server_id) == (
        CallStatus.CALL_STATUS_ERROR,
        "no such file",
        "files",
    )
    assert not failed.HasField("result")
    error = MADE["error"]().error
    assert (error.code, error.message, error.step_id, error.call_id) == ("TIMEOUT", "too late", "s1", "c1")
    done = MADE["done"]().done
    assert (done.session_id, done.message_id, done.usage["inputTokens"], done.execution_mode) == (
        "s",
        "m",
        12,
        "direct_llm",
    )


def test_id_and_time_may_be_chosen():
    """G6."""
    event = task_events.heartbeat(id="mine", at=1_800_000_000.5)
    assert (event.id, event.timestamp.ToMilliseconds()) == ("mine", 1_800_000_000_500)


def test_an_unknown_kind_shows_its_own_type():
    """G6."""
    assert kind(MADE["other"]()) == "thought"
    assert kind(MADE["plan_step"]()) == "plan_step"


def nested(levels):
    value = {}
    for _ in range(levels):
        value = {"": value}
    return value


def travelling(event):
    """The event as it would travel, and be read."""
    whole = ClaimRequest()
    whole.reports.reports.add().events.events.append(event)
    return ClaimRequest.FromString(whole.SerializeToString())


@pytest.mark.parametrize("make", [nested, lambda levels: [nested(levels - 1)]])
def test_what_is_nested_too_deep_to_travel_is_refused_and_nothing_else(make):
    """G6, S3: one such event in a message would take the whole agent down."""
    refused = []
    for levels in range(1, 60):
        event = None
        try:
            event = task_events.tool_result("x", make(levels))
            task_events.checked(event)
        except InvalidArgument:
            refused.append(levels)
            if event is not None:
                with pytest.raises((DecodeError, EncodeError)):
                    travelling(event)
        else:
            travelling(event)
    assert refused == list(range(min(refused), 60))


@pytest.mark.parametrize("event", [None, "text", TaskEvent()])
def test_only_events_are_told(event):
    """G6, S3."""
    with pytest.raises(InvalidArgument, match="event"):
        task_events.checked(event)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: task_events.error(""), "code"),
        (lambda: task_events.plan_step("", "running"), "step_id"),
        (lambda: task_events.plan_step("s", "walking"), "status"),
        (lambda: task_events.plan_step("s", 0), "status"),
        (lambda: task_events.plan_step("s", "running", params={"x": float("nan")}), "params"),
        (task_events.skill_call, "skill_name"),
        (task_events.skill_result, "skill_name"),
        (lambda: task_events.mcp_call(""), "tool_name"),
        (lambda: task_events.tool_result("", 1), "tool_name"),
        (lambda: task_events.tool_result("x", object()), "result"),
        (lambda: task_events.tool_result("x", 1, status="calm"), "status"),
        (lambda: task_events.message("x", data={"x": b"1"}), "data"),
        (lambda: task_events.other("Thought"), "type"),
        (lambda: task_events.other("message"), "type"),
        (lambda: task_events.other(""), "type"),
        (lambda: task_events.other("unknown"), "type"),
        (lambda: task_events.other("x" * 65), "type"),
        (lambda: task_events.other("1st"), "type"),
        (lambda: task_events.tool_result("x", 10**400), "result"),
        (lambda: task_events.tool_result("x", nested(3_000)), "result"),
        (lambda: task_events.message("\ud800"), "event"),
        (lambda: task_events.heartbeat(at=1e300), "event"),
    ],
)
def test_what_is_bad_is_refused_by_its_field(make, field):
    """G6, S3."""
    with pytest.raises(InvalidArgument) as raised:
        make()
    assert raised.value.fields[0][0] == field
