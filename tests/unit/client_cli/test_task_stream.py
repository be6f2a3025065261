"""fleetctl tasks stream: what agents tell, for people and for programs (G6)."""

from __future__ import annotations

import json

import pytest

from fleetd_client import stubs as s
from fleetd_client import task_events as told
from fleetd_client.cli.task_stream import EVENT, gist
from tests.unit.client_cli.router import serving


@pytest.fixture
def router():
    with serving() as router:
        yield router


def numbered(*events):
    for seq, event in enumerate(events, 1):
        event.seq, event.position, event.task_id = seq, seq + 40, "T"
    return list(events)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (told.message("Hello", role="assistant"), "assistant: Hello"),
        (told.message(data={"a": 1}), '{"a": 1}'),
        (told.error("TIMEOUT", "too late", step_id="s1"), "TIMEOUT: too late (in s1)"),
        (told.error("TIMEOUT"), "TIMEOUT"),
        (told.done(execution_mode="direct_llm", usage={"inputTokens": 12}), 'direct_llm {"inputTokens": 12}'),
        (told.heartbeat(), ""),
        (
            told.plan_step("s1", "running", title="Search", tool="web_search", params={"q": "x"}),
            's1 running Search web_search {"q": "x"}',
        ),
        (told.skill_call("search", {"q": "x"}), 'search calling {"q": "x"}'),
        (told.skill_result("search", [1], duration=1.5), "search success in 1.5s [1]"),
        (told.mcp_result("read", error="no such file", server_id="files"), "files/read error no such file"),
        (told.tool_call("ls"), "ls calling"),
        (told.tool_result("ls", "x" * 300), f'ls success "{"x" * 198}…'),
        (told.other("thought", {"text": "hm"}), '{"text": "hm"}'),
    ],
)
def test_an_event_says_its_gist_in_a_line(event, text):
    """G6."""
    assert gist(event) == text


def test_what_was_told_is_printed_a_line_each(router):
    """G6."""
    router.answers["ListTaskEvents"] = s.ListTaskEventsResponse(
        events=numbered(
            told.plan_step("s1", "running", at=1_800_000_000.5), told.other("thought", at=1_800_000_001)
        ),
        end=True,
    )
    shown = router.run("tasks", "stream", "T", "--from", "1")
    assert [line.split() for line in shown.stdout.splitlines()] == [
        ["SEQ", "TIME", "TYPE", "SAYS"],
        ["1", "2027-01-15", "08:00:00.500", "plan_step", "s1", "running"],
        ["2", "2027-01-15", "08:00:01.000", "thought"],
    ]
    (request,) = router.asked
    assert (request.task_id, request.from_seq, request.envelopes) == ("T", 1, False)


def test_following_goes_on_until_the_task_has_ended_and_says_how(router):
    """G6."""
    events = numbered(told.message("a"), told.message("b"))
    router.answers["WatchTask"] = [
        s.WatchTaskResponse(events=events[:1], resume_from_seq=2),
        s.WatchTaskResponse(events=events[1:], resume_from_seq=3, finished=s.TaskStatus.TASK_STATUS_FAILED),
    ]
    shown = router.run("tasks", "stream", "T", "--follow")
    assert shown.exit_code == 0
    assert [line.split()[-1] for line in shown.stdout.splitlines()] == ["SAYS", "a", "b"]
    assert shown.stderr == "the task has ended: FAILED\n"
    assert router.asked == [s.WatchTaskRequest(task_id="T")]


def test_json_has_every_field_of_an_event(router):
    """G6."""
    router.answers["ListTaskEvents"] = s.ListTaskEventsResponse(
        events=numbered(told.tool_result("ls", {"n": 1})), end=True
    )
    (line,) = router.run("tasks", "stream", "T", "-o", "jsonl").stdout.splitlines()
    document = json.loads(line)
    assert (document["seq"], document["taskId"]) == (1, "T")
    assert document["toolResult"]["result"] == {"n": 1}


@pytest.mark.parametrize("follow", [True, False])
def test_envelopes_are_printed_as_the_daemon_made_them(router, follow):
    """G6: outer event, camelCase keys; whatever -o says."""
    envelope = '{"event":"message","data":{"id":"1","type":"plan_step","data":{"stepId":"s"}}}'
    router.answers["ListTaskEvents"] = s.ListTaskEventsResponse(envelopes=[envelope], end=True)
    router.answers["WatchTask"] = [
        s.WatchTaskResponse(envelopes=[envelope], finished=s.TaskStatus.TASK_STATUS_COMPLETED)
    ]
    shown = router.run("tasks", "stream", "T", "--envelopes", *(["--follow"] if follow else []))
    assert shown.stdout == envelope + "\n"
    assert router.asked[0].envelopes


def test_of_all_tasks_the_place_in_the_log_is_shown_and_the_task(router):
    """G6."""
    router.answers["ListTaskEvents"] = s.ListTaskEventsResponse(events=numbered(told.message("a")), end=True)
    header, row = router.run("tasks", "stream").stdout.splitlines()
    assert header.split() == ["POSITION", "TASK", "SEQ", "TIME", "TYPE", "SAYS"]
    assert row.split()[:3] == ["41", "T", "1"]


def test_an_event_of_a_kind_that_this_version_does_not_know_is_still_a_line():
    """G6."""
    event = s.TaskEvent(seq=3)
    assert [column.cell(event, 0.0) for column in (EVENT[2], EVENT[-1])] == ["", ""]


@pytest.mark.parametrize("form", ["table", "json"])
def test_numbers_that_json_does_not_know_are_shown_by_their_names(router, form):
    """G6: one such event must not hide all others."""
    event = s.TaskEvent()
    for name, number in (("a", "nan"), ("b", "inf"), ("c", "-inf"), ("d", "1")):
        event.message.data.fields[name].list_value.values.add().number_value = float(number)
    router.answers["ListTaskEvents"] = s.ListTaskEventsResponse(events=numbered(event), end=True)
    shown = router.run("tasks", "stream", "T", "-o", form).stdout
    said = [
        f'"{key}": [{value}]'
        for key, value in zip("abcd", ('"NaN"', '"Infinity"', '"-Infinity"', "1"), strict=True)
    ]
    for one in said:
        assert one.replace(" ", "") in shown.replace(" ", "")
