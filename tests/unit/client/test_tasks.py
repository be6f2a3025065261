"""What the clients ask: Python arguments to messages."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from fleetd_client import InvalidArgument, task, tasks
from fleetd_client import stubs as s
from fleetd_client.agents import agent_page, claim_tasks, drain_agent
from fleetd_client.payload import content, pack, unpack
from fleetd_client.tasks import (
    LONG_POLL,
    cancel_many,
    event_page,
    history,
    submit,
    submit_many,
    task_page,
    update,
    wait,
)


def asked(plan):
    """The request of a plan's first call."""
    return next(plan).request


def finish(plan, *answers):
    """Run a plan with these responses; its result and the requests it made."""
    requests = [asked(plan)]
    for answer in answers:
        try:
            requests.append(plan.send(answer).request)
        except StopIteration as done:
            return done.value, requests
    raise AssertionError("the plan asks for more")


def test_every_option_of_a_task_reaches_its_field():
    """T3."""
    fields = {one.name for one in s.SubmitTaskRequest.DESCRIPTOR.fields} - {"title", "input"}
    assert {name for name, _ in tasks._FIELDS.values()} == fields
    assert {*tasks._FIELDS, "input", "content_type", "session_id"} == set(tasks.TaskOptions.__annotations__)


def test_generated_keys_are_unique_and_those_of_one_time_lie_side_by_side():
    """T4, S5."""
    before = time.time_ns() // 1_000_000
    keys = [tasks.new_key() for _ in range(10_000)]
    after = time.time_ns() // 1_000_000
    assert len(set(keys)) == 10_000
    assert {len(key) for key in keys} == {32}
    assert all(before <= int(key[:12], 16) <= after for key in keys)


def test_an_option_that_there_is_not_is_refused_and_none_is_no_option():
    """T3."""
    with pytest.raises(TypeError, match="'prioritty', but description, org_id"):
        task("t", prioritty="HIGH")
    plain = task("t", idempotency_key="k")
    assert task("t", idempotency_key="k", priority=None, tags=None, input=None, run_at=None) == plain


def test_a_task_carries_what_it_was_given_in_the_words_of_the_wire():
    """T3."""
    request = task(
        "Count words",
        input={"path": "a.txt"},
        capabilities=["text"],
        priority="high",
        timeout=timedelta(minutes=2),
        run_at=datetime(2030, 1, 1, tzinfo=UTC),
        labels={"team": "docs"},
    )
    assert request.title == "Count words"
    assert request.input.data == b'{"path":"a.txt"}'
    assert request.input.content_type == "application/json"
    assert list(request.required_capabilities) == ["text"]
    assert request.priority == s.Priority.PRIORITY_HIGH
    assert request.timeout.seconds == 120
    assert request.run_at.seconds == 1_893_456_000
    assert request.labels == {"team": "docs"}
    assert not request.HasField("schedule_to_start")
    assert not request.HasField("deadline")


def test_every_submission_has_an_idempotency_key_of_its_own_unless_given_one():
    """T4."""
    first, second = asked(submit("a")), asked(submit("a"))
    assert first.idempotency_key
    assert first.idempotency_key != second.idempotency_key
    assert asked(submit("a", idempotency_key="mine")).idempotency_key == "mine"
    assert asked(submit_many([s.SubmitTaskRequest(title="a")])).tasks[0].idempotency_key


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"priority": "highest"}, "priority"),
        ({"execution_mode": "cloud"}, "execution_mode"),
        ({"run_at": datetime(2030, 1, 1)}, "run_at"),  # noqa: DTZ001 - the missing time zone is the point
        ({"deadline": datetime(2030, 1, 1)}, "deadline"),  # noqa: DTZ001 - as above
        ({"input": {1, 2}}, "input"),
        ({"input": float("nan")}, "input"),
    ],
)
def test_what_cannot_be_right_is_refused_by_name_before_it_travels(options, field):
    """S3."""
    with pytest.raises(InvalidArgument) as raised:
        task("a", **options)
    ((named, right),) = raised.value.fields
    assert named == field
    assert right


def test_batches_keep_to_the_limits_and_answers_to_the_order():
    """T4, S7: at most 1,000 items and 3 MiB a call; one bad item never sinks the others."""
    many = [task(f"t{number}") for number in range(1_001)]
    plan = submit_many(many)
    answers = [
        s.SubmitTasksResponse(items=[s.SubmitTasksItem(task_id=str(number)) for number in range(1_000)]),
        s.SubmitTasksResponse(items=[s.SubmitTasksItem(error=s.ItemError(code=3, reason="FIELD_INVALID"))]),
    ]
    result, requests = finish(plan, *answers)
    assert [len(request.tasks) for request in requests] == [1_000, 1]
    assert [one.task_id for one in result[:2]] == ["0", "1"]
    assert isinstance(result[-1].error, InvalidArgument)
    large = submit_many([task("t", input=bytes(1024 * 1024)) for _ in range(5)])
    assert len(asked(large).tasks) == 2


def test_an_update_names_only_the_fields_it_was_given():
    """D14."""
    request = asked(update("t", expected_version=3, title="new", capabilities=["a"], run_at=None))
    assert list(request.update_mask.paths) == ["title", "required_capabilities", "run_at"]
    assert request.expected_version == 3
    assert not request.changes.HasField("run_at")
    assert not asked(update("t", title="new")).HasField("expected_version")
    with pytest.raises(InvalidArgument, match="at least one of title"):
        update("t")


def test_a_long_wait_is_made_of_long_polls():
    """T1, S7."""
    times = iter([0.0, 0.0, 60.0, 60.0, 90.0])
    plan = wait("t", timeout=90, clock=lambda: next(times))
    call = next(plan)
    assert (call.request.wait.seconds, call.extra) == (LONG_POLL, LONG_POLL)
    call = plan.send(s.WaitTaskResponse())
    assert call.request.wait.seconds == 30
    with pytest.raises(StopIteration) as done:
        plan.send(s.WaitTaskResponse())
    assert done.value.value.terminal is False


def test_a_wait_ends_with_the_terminal_answer():
    """T1."""
    result, requests = finish(wait("t"), s.WaitTaskResponse(), s.WaitTaskResponse(terminal=True))
    assert result.terminal
    assert len(requests) == 2


def test_filters_take_short_names():
    """T8, D4."""
    request = asked(task_page(None, statuses=["pending", "DEAD_LETTER"], tag="x"))
    assert list(request.filter.statuses) == [1, 8]
    assert asked(task_page("next-page")).page_token == "next-page"
    assert list(asked(event_page(None, types=["task_created"])).filter.types) == [1]
    assert asked(event_page(17, after_seq=3)).after_seq == 17
    assert not asked(cancel_many(["t"])).HasField("filter")
    assert asked(cancel_many(org_id="o", dry_run=True)).filter.org_id == "o"
    assert not asked(agent_page(None)).HasField("connected")
    assert asked(agent_page(None, connected=False)).HasField("connected")


def test_the_history_ends_with_the_result():
    """D6."""
    response = s.GetTaskResultResponse(result=s.TaskResult(attempt=2), history=[s.TaskResult(attempt=1)])
    result, (request,) = finish(history("t"), response)
    assert [run.attempt for run in result] == [1, 2]
    assert request.include_history


def test_a_claim_repeats_under_the_same_request_id():
    """T5, S1."""
    call = next(claim_tasks("a", wait=5))
    assert call.request.request_id
    assert call.extra == 5


def test_a_drain_may_have_a_deadline():
    """D2."""
    assert asked(drain_agent("a", deadline=30, reason="upgrade")).deadline.seconds == 30
    assert not asked(drain_agent("a")).HasField("deadline")


@pytest.mark.parametrize(
    "value", [b"\x00\xff", "Grüße", {"a": [1, 2.5, None]}, [], 12345678901234567890, True]
)
def test_a_payload_comes_back_as_it_went(value):
    """T3."""
    assert unpack(pack(value)) == value


def test_no_value_is_no_payload():
    """T3."""
    assert pack(None) is None
    assert unpack(s.Payload()) is None
    assert content(s.Payload()) == b""


def test_json_that_travelled_as_a_value_reads_as_bytes():
    """T3."""
    payload = s.Payload(content_type="application/json")
    payload.json.struct_value["a"] = 1
    assert content(payload) == b'{"a":1.0}'
