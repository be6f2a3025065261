"""SubmitTaskRequest and UpdateTaskRequest into core's words."""

import itertools

import pytest
from google.protobuf.struct_pb2 import Value

from fleet.v1 import dispatcher_pb2 as pb
from fleet.v1 import route_pb2, task_pb2
from fleetd.api.convert_payloads import payload_out
from fleetd.api.convert_submissions import submission, update
from fleetd.api.limits import Limits
from fleetd.core.route import LatencyClass, Requirements
from fleetd.core.task import Mode, Payload, Priority, RetryPolicy
from fleetd.errors import InvalidArgument

DAY = 24 * 3_600


def convert(limits=None, **fields):
    numbers = itertools.count(1)
    return submission(pb.SubmitTaskRequest(**fields), limits or Limits(), lambda: f"id-{next(numbers)}")


def refused(**fields):
    """Return the paths of the fields that are refused."""
    with pytest.raises(InvalidArgument) as caught:
        convert(**{"title": "work", **fields})
    return [path for path, _ in caught.value.fields]


def test_only_a_title_is_required_and_the_rest_has_defaults():
    """T3."""
    item = convert(title="work")
    assert (item.org_id, item.priority, item.mode, item.max_attempts) == (
        "default",
        Priority.MEDIUM,
        Mode.UNDECIDED,
        3,
    )
    assert (item.input, item.retry, item.run_at, item.timeout, item.deadline) == (None, None, 0, 0, 0)
    assert item.body_hash == b""


def test_every_field_arrives():
    """T3."""
    item = convert(
        title="work",
        description="more",
        org_id="acme",
        task_type="build",
        input={"text": "héllo"},
        metadata={"a": "b"},
        tags=["x", "y", "x"],
        labels={"c": "d"},
        priority=task_pb2.PRIORITY_URGENT,
        required_capabilities=["code:rust", "gpu"],
        execution_mode=task_pb2.EXECUTION_MODE_PULL,
        max_attempts=7,
        retry_policy={"initial_backoff": {"seconds": 2}},
        run_at={"seconds": 10, "nanos": 5_000_000},
        timeout={"nanos": 1_500_000},
        schedule_to_start={"seconds": 3},
        deadline={"seconds": 20},
        estimated_duration={"seconds": 4},
        parent_task_id="parent",
        external_ref="ref",
        idempotency_key="key",
        traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01",
        exclusive=True,
        agent_id="agent-1",
    )
    assert item.id == "id-1"
    assert item.input == Payload("héllo".encode(), "text/plain")
    assert item.spec.tags == ("x", "y")
    assert item.spec.required_capabilities == ("code:rust", "gpu")
    assert (item.priority, item.mode, item.max_attempts) == (Priority.URGENT, Mode.PULL, 7)
    assert item.retry == RetryPolicy(initial_backoff=2_000)
    assert (item.run_at, item.timeout, item.deadline) == (10_005, 1, 20_000)
    assert (item.spec.schedule_to_start, item.spec.estimated_duration) == (3_000, 4_000)
    assert (item.parent_task_id, item.external_ref, item.idempotency_key) == ("parent", "ref", "key")
    assert item.exclusive
    assert item.agent_id == "agent-1"
    assert len(item.body_hash) == 16


@pytest.mark.parametrize(
    ("field", "value", "path"),
    [
        ("title", "", "title"),
        ("title", " \t\n", "title"),
        ("title", "x" * 501, "title"),
        ("description", "x" * 65_537, "description"),
        ("org_id", "white space", "org_id"),
        ("org_id", "x" * 129, "org_id"),
        ("org_id", "newline\n", "org_id"),
        ("task_type", "x" * 129, "task_type"),
        ("input", {"data": b"x" * ((1 << 20) + 1)}, "input"),
        ("input", {"content_type": "text/plain"}, "input"),
        ("input", {"text": "x", "content_type": "nonsense"}, "input.content_type"),
        ("input", {"json": Value(number_value=float("nan"))}, "input.json"),
        ("metadata", {str(n): "" for n in range(65)}, "metadata"),
        ("metadata", {"": "x"}, "metadata"),
        ("metadata", {"k": "x" * 4_097}, "metadata[k]"),
        ("labels", {str(n): "" for n in range(65)}, "labels"),
        ("labels", {"k": "x" * 257}, "labels[k]"),
        ("tags", [str(n) for n in range(65)], "tags"),
        ("tags", ["ok", ""], "tags[1]"),
        ("tags", ["x" * 129], "tags[0]"),
        ("priority", 9, "priority"),
        ("execution_mode", 9, "execution_mode"),
        ("required_capabilities", [str(n) for n in range(65)], "required_capabilities"),
        ("required_capabilities", ["code::rust"], "required_capabilities[0]"),
        ("required_capabilities", ["white space"], "required_capabilities[0]"),
        ("max_attempts", 101, "max_attempts"),
        ("max_attempts", -1, "max_attempts"),
        ("retry_policy", {"multiplier": 0.5}, "retry_policy.multiplier"),
        ("retry_policy", {"multiplier": float("nan")}, "retry_policy.multiplier"),
        ("retry_policy", {"jitter": 1.5}, "retry_policy.jitter"),
        ("retry_policy", {"initial_backoff": {"seconds": -1}}, "retry_policy.initial_backoff"),
        ("retry_policy", {"max_backoff": {"seconds": 2 * DAY}}, "retry_policy.max_backoff"),
        (
            "retry_policy",
            {"initial_backoff": {"seconds": 9}, "max_backoff": {"seconds": 8}},
            "retry_policy.max_backoff",
        ),
        ("run_at", {"seconds": 1 << 60}, "run_at"),
        ("run_at", {"nanos": -1}, "run_at"),
        ("deadline", {"seconds": -(1 << 60)}, "deadline"),
        ("timeout", {}, "timeout"),
        ("timeout", {"seconds": -1}, "timeout"),
        ("timeout", {"seconds": 31 * DAY}, "timeout"),
        ("timeout", {"seconds": 1, "nanos": -1}, "timeout"),
        ("schedule_to_start", {"seconds": -1}, "schedule_to_start"),
        ("estimated_duration", {"seconds": -1}, "estimated_duration"),
        ("parent_task_id", "x" * 129, "parent_task_id"),
        ("external_ref", "x" * 257, "external_ref"),
        ("idempotency_key", "x" * 257, "idempotency_key"),
        ("traceparent", "00-abc", "traceparent"),
        ("traceparent", "00-" + "0" * 32 + "-" + "b" * 16 + "-01", "traceparent"),
        ("agent_id", "white space", "agent_id"),
    ],
)
def test_a_bad_field_is_named(field, value, path):
    """S3, S7, T3: at each limit a clear error with the path of the field."""
    assert refused(**{field: value}) == [path]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", "x" * 500),
        ("description", "x" * 65_536),
        ("input", {"data": b"x" * (1 << 20)}),
        ("metadata", {f"{n:0128}": "x" * 4_096 for n in range(64)}),
        ("labels", {f"{n:0128}": "x" * 256 for n in range(64)}),
        ("tags", [f"{n:0128}" for n in range(64)]),
        ("required_capabilities", [f"{n:0128}" for n in range(64)]),
        ("max_attempts", 100),
        ("timeout", {"nanos": 1_000_000}),
        ("timeout", {"seconds": 30 * DAY}),
        ("external_ref", "x" * 256),
        ("idempotency_key", "x" * 256),
    ],
)
def test_a_field_at_its_limit_is_taken(field, value):
    """S7."""
    convert(**{"title": "work", field: value})


def test_all_bad_fields_are_named_at_once():
    """S3."""
    assert refused(title="", max_attempts=-1, priority=9, tags=[""]) == [
        "title",
        "priority",
        "max_attempts",
        "tags[0]",
    ]


def test_limits_can_be_configured():
    """S7."""
    with pytest.raises(InvalidArgument, match="at most 4 bytes, not 5"):
        convert(Limits(input=4), title="work", input={"text": "12345"})


def test_json_input_is_kept_as_compact_json_with_whole_numbers():
    """T3."""
    request = pb.SubmitTaskRequest(title="work")
    request.input.json.struct_value.update({"b": [1, 2.5, None, True], "a": {"ü": "x"}})
    item = submission(request, Limits(), lambda: "id")
    assert item.input == Payload('{"a":{"ü":"x"},"b":[1,2.5,null,true]}'.encode(), "application/json")


@pytest.mark.parametrize(
    ("content_type", "data", "body"),
    [
        ("text/plain", b"abc", "text"),
        ("text/html; charset=utf-8", b"abc", "text"),
        ("application/json", b"{}", "text"),
        ("application/problem+json", b"{}", "text"),
        ("text/plain", b"\xff", "data"),
        ("application/octet-stream", b"abc", "data"),
    ],
)
def test_a_payload_goes_out_as_text_when_it_is_text(content_type, data, body):
    """T3, D6."""
    message = payload_out(Payload(data, content_type))
    assert message.WhichOneof("body") == body
    assert message.content_type == content_type


def test_an_unset_retry_policy_means_that_of_the_daemon():
    """T3."""
    assert convert(title="work", retry_policy={}).retry is None


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"jitter": 0.0}, RetryPolicy(jitter=0.0)),
        ({"multiplier": 3.0}, RetryPolicy(multiplier=3.0)),
        (
            {"initial_backoff": {"seconds": 90}},
            RetryPolicy(initial_backoff=90_000, max_backoff=90_000),
        ),
        (
            {"max_backoff": {"nanos": 500_000_000}},
            RetryPolicy(initial_backoff=500, max_backoff=500),
        ),
    ],
)
def test_unset_parts_of_a_retry_policy_are_filled_in_without_contradiction(given, wanted):
    """T3."""
    assert convert(title="work", retry_policy=given).retry == wanted


def test_a_repeat_has_the_same_hash_whatever_the_order_of_maps():
    """T4."""
    one = convert(title="work", idempotency_key="k", labels={"a": "1", "b": "2"}, input={"text": "x"})
    two = convert(title="work", idempotency_key="k", labels={"b": "2", "a": "1"}, input={"text": "x"})
    assert one.body_hash == two.body_hash


def test_every_field_but_the_key_changes_the_hash():
    """T4."""
    base = {"title": "work", "idempotency_key": "k"}
    others = [
        {"title": "other"},
        {"description": "x"},
        {"org_id": "x"},
        {"task_type": "x"},
        {"input": {"text": "x"}},
        {"input": {"text": "y"}},
        {"input": {"text": "x", "content_type": "text/html"}},
        {"metadata": {"a": "b"}},
        {"labels": {"a": "b"}},
        {"tags": ["x"]},
        {"priority": 1},
        {"required_capabilities": ["x"]},
        {"execution_mode": 3},
        {"max_attempts": 4},
        {"retry_policy": {"jitter": 0.0}},
        {"run_at": {"seconds": 1}},
        {"timeout": {"seconds": 1}},
        {"schedule_to_start": {"seconds": 1}},
        {"deadline": {"seconds": 1}},
        {"estimated_duration": {"seconds": 1}},
        {"parent_task_id": "x"},
        {"external_ref": "x"},
        {"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"},
        {"exclusive": True},
        {"agent_id": "x"},
        {"rollout": {"rollout": "chat"}},
        {"rollout": {"rollout": "other"}},
        {"rollout": {"rollout": "chat", "session_id": "s"}},
        {"route": {}},
        {"route": {"needs": ["general"]}},
    ]
    named = {field.name for field in pb.SubmitTaskRequest.DESCRIPTOR.fields} - {"idempotency_key"}
    assert {name for other in others for name in other} == named
    hashes = [convert(**{**base, **other}).body_hash for other in [{}, *others]]
    assert len(set(hashes)) == len(hashes)
    assert convert(**{**base, "idempotency_key": "other"}).body_hash == hashes[0]


def test_an_update_takes_the_fields_of_its_mask_and_no_others():
    """D14."""
    command = update(
        pb.UpdateTaskRequest(
            task_id="t",
            update_mask={"paths": ["title", "priority", "run_at", "labels"]},
            changes={"title": "new", "priority": 4, "labels": {"a": "b"}, "description": "ignored"},
            expected_version=0,
        ),
        Limits(),
    )
    assert command.changes == {"title": "new", "priority": Priority.URGENT, "run_at": 0, "labels": {"a": "b"}}
    assert command.expected_version == 0


def test_a_bad_update_names_every_bad_field():
    """D14, S3."""
    request = pb.UpdateTaskRequest(
        update_mask={"paths": ["title", "status", "estimated_duration"]},
        changes={"estimated_duration": {"seconds": -1}},
    )
    with pytest.raises(InvalidArgument) as caught:
        update(request, Limits())
    paths = [path for path, _ in caught.value.fields]
    assert paths == ["task_id", "changes.title", "update_mask", "changes.estimated_duration"]


def test_an_update_without_a_mask_is_refused():
    """D14."""
    with pytest.raises(InvalidArgument, match="update_mask: is required"):
        update(pb.UpdateTaskRequest(task_id="t"), Limits())


def test_a_key_of_a_task_without_a_route_means_the_same_body_as_before_there_were_routes():
    """T4, R13."""
    item = convert(title="work", idempotency_key="key")
    assert item.body_hash.hex() == "a2416dd7d4020abd8574a4c18c7c0184"


def test_a_task_without_a_route_has_none_and_an_empty_one_is_read_from_the_text():
    """R13, R2."""
    assert convert(title="Write pytest tests").route is None
    read = convert(title="Write pytest tests", description="for the api", route={}).route
    assert read == Requirements(("coding", "backend", "testing"))
    given = convert(
        title="Write pytest tests",
        route={
            "needs": ["Code", "coding", "x"],
            "prefer": ["LOCAL", "fast"],
            "min_ctx": 9,
            "latency_class": route_pb2.LATENCY_CLASS_BATCH,
            "required": ["big_ctx"],
            "model": " gpt-4o ",
        },
    ).route
    assert given == Requirements(
        ("coding", "x"), ("local", "fast"), 9, LatencyClass.BATCH, ("long_ctx",), "gpt-4o"
    )


@pytest.mark.parametrize(
    ("route", "paths"),
    [
        ({"needs": ["ok", ""]}, ["route.needs[1]"]),
        ({"required": ["x"] * 65, "prefer": ["paid"]}, ["route.required", "route.prefer[0]"]),
        (
            {"min_ctx": -1, "latency_class": 7, "model": "x" * 257},
            ["route.latency_class", "route.model", "route.min_ctx"],
        ),
    ],
)
def test_bad_requirements_of_a_task_name_their_fields(route, paths):
    """R2, S3."""
    assert refused(route=route) == paths
