"""Every unary method as JSON over plain HTTP POST, in the form of the Connect protocol."""

import asyncio
import json
import math
from dataclasses import replace

import pytest

from fleet.v1 import dispatcher_pb2, task_event_pb2, task_pb2
from fleetd.api.errors import Code
from fleetd.core.settings import Rules
from fleetd.web.errors import STATUSES
from fleetd.web.message_json import json_of
from fleetd.web.plain_json import plain
from fleetd.web.port import PortOptions
from tests.unit.web.wire import bad_fields, details, reason, until

SUBMIT = "/fleet.v1.Dispatcher/SubmitTask"
GET = "/fleet.v1.Dispatcher/GetTask"


async def test_every_unary_method_of_the_table_is_served(wire):
    """S4: what gRPC can do, curl can do."""
    for method in wire.web.methods.values():
        response = await wire.post(method.full_name, {})
        if method.serve is None:
            assert (response.status_code, response.json()["code"]) == (501, "unimplemented")
        else:
            assert response.status_code in (200, 400, 404), (method.name, response.text)
            assert "is not served" not in response.text


async def test_a_task_is_submitted_and_read_with_json_alone(wire):
    """S4, S3: protobuf's own JSON: enums by name, 64-bit numbers as texts, fields by either of their names."""
    body = {
        "title": "Count",
        "requiredCapabilities": ["code"],
        "idempotency_key": "k",
        "input": {"json": {"a": 1}},
    }
    task = (await wire.call("SubmitTask", body))["task"]
    assert (task["status"], task["version"], task["priority"]) == (
        "TASK_STATUS_PENDING",
        "1",
        "PRIORITY_MEDIUM",
    )
    shown = await wire.call("GetTask", {"taskId": task["id"], "includeInput": True})
    assert shown["requiredCapabilities"] == ["code"]
    assert shown["input"] == {"text": '{"a":1}', "contentType": "application/json"}
    assert (await wire.call("SubmitTask", body))["duplicate"] is True


@pytest.mark.parametrize("given", ["PULL", "pull", "http_pull", "HttpPull", "EXECUTION_MODE_PULL", 3])
async def test_an_execution_mode_has_the_names_of_the_predecessors(wire, given):
    """M1"""
    task = (await wire.call("SubmitTask", {"title": "a", "executionMode": given}))["task"]
    assert (task["executionMode"], task["modeSource"]) == ("EXECUTION_MODE_PULL", "MODE_SOURCE_EXPLICIT")


@pytest.mark.parametrize(
    ("given", "mode"),
    [
        ("ssh_cli", "EXECUTION_MODE_SSH_CLI"),
        ("SshCli", "EXECUTION_MODE_SSH_CLI"),
        ("undecided", "EXECUTION_MODE_UNDECIDED"),
        ("Undecided", "EXECUTION_MODE_UNDECIDED"),
    ],
)
async def test_the_other_modes_have_them_too(wire, given, mode):
    """M1"""
    assert (await wire.call("SubmitTask", {"title": "a", "execution_mode": given}))["task"][
        "executionMode"
    ] == mode


async def test_an_unknown_field_is_an_error_that_names_it_and_the_nearest(wire):
    """S3: nothing a caller meant is passed over in silence."""
    body = {"titel": "a", "retryPolicy": {"jiter": 1}, "input": {"text": "x"}}
    response = await wire.post(SUBMIT, body)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_argument")
    assert bad_fields(response) == {
        "titel": "is no field of fleet.v1.SubmitTaskRequest; did you mean title?",
        "retry_policy.jiter": "is no field of fleet.v1.RetryPolicy; did you mean jitter?",
    }


@pytest.mark.parametrize(
    ("body", "field", "right"),
    [
        (b"[1]", "request", "must be a JSON object"),
        (b'{"title": ', "request", "must be JSON in UTF-8: "),
        (b'{"title": "a", "title": "b"}', "request", "must be JSON in UTF-8: a key stands twice"),
        (b'{"retryPolicy": {"multiplier": NaN}}', "request", "must be JSON in UTF-8: NaN is no JSON number"),
        (b'{"title": "\xff"}', "request", "must be JSON in UTF-8: "),
        (b'{"title": "\xed\xa0\x80"}', "request", "must be JSON in UTF-8: "),
        ('{"title": "a"}'.encode("utf-16"), "request", "must be JSON in UTF-8: "),
        (b"[" * 100_000, "request", "must be JSON in UTF-8: "),
        (rb'{"title": "\ud800"}', "request", "must be JSON in UTF-8: "),
        (b'{"title": 5}', "title", "must be a text"),
        (b'{"priority": "HIGHEST"}', "priority", "must be one of PRIORITY_LOW, PRIORITY_MEDIUM, "),
        (b'{"priority": true}', "priority", "must be one of PRIORITY_LOW"),
        (b'{"input": {"data": "%%"}}', "input.data", "must be base64"),
        (b'{"input": {"data": 5}}', "input.data", "must be base64"),
        (b'{"input": {"text": "a", "data": "YQ=="}}', "input", "is no such value: "),
        (b'{"timeout": "5"}', "timeout", "is no such value: Duration must end with"),
        (b'{"timeout": 5}', "timeout", "is no such value: "),
        (b'{"runAt": "tomorrow"}', "run_at", "is no such value: "),
        (b'{"maxAttempts": "many"}', "max_attempts", "must be a whole number"),
        (b'{"maxAttempts": 1.5}', "max_attempts", "must be a whole number"),
        (b'{"maxAttempts": 99999999999}', "max_attempts", "is no such value: "),
        (b'{"maxAttempts": [1]}', "max_attempts", "must be a whole number"),
        (b'{"exclusive": "yes"}', "exclusive", "must be true or false"),
        (b'{"tags": "one"}', "tags", "must be a list"),
        (b'{"tags": [1]}', "tags[0]", "must be a text"),
        (b'{"labels": [1]}', "labels", "must be a JSON object"),
        (b'{"labels": {"a": 1}}', "labels[a]", "must be a text"),
        (b'{"retryPolicy": 5}', "retry_policy", "must be a JSON object"),
    ],
)
async def test_what_is_no_such_message_is_an_error_that_names_the_field(wire, body, field, right):
    """S3, S7"""
    response = await wire.post(SUBMIT, body)
    assert response.status_code == 400
    found = bad_fields(response)
    assert found.keys() == {field}
    assert found[field].startswith(right)


async def test_null_is_as_good_as_a_field_that_is_missing(wire):
    """S4: as protobuf's JSON has it."""
    assert (await wire.call("SubmitTask", {"title": "a", "input": None, "tags": None}))["task"][
        "title"
    ] == "a"


async def test_of_very_many_bad_fields_some_are_named_and_the_rest_is_counted(wire):
    """S7"""
    response = await wire.post(SUBMIT, {f"f{n}": 1 for n in range(1_000)})
    found = bad_fields(response)
    assert (len(found), found["…"]) == (21, "and 980 more")


def test_statuses_are_those_of_the_connect_protocol():
    """S4: https://connectrpc.com/docs/protocol#error-codes"""
    table = {
        "CANCELLED": 499, "UNKNOWN": 500, "INVALID_ARGUMENT": 400, "DEADLINE_EXCEEDED": 504, "NOT_FOUND": 404,
        "ALREADY_EXISTS": 409, "PERMISSION_DENIED": 403, "RESOURCE_EXHAUSTED": 429, "FAILED_PRECONDITION": 400, "ABORTED": 409,
        "OUT_OF_RANGE": 400, "UNIMPLEMENTED": 501, "INTERNAL": 500, "UNAVAILABLE": 503, "UNAUTHENTICATED": 401,
    }  # fmt: skip
    assert {code.name: status for code, status in STATUSES.items()} == table
    assert STATUSES.keys() == set(Code) - {Code.OK}


async def test_an_error_has_code_message_and_details(wire):
    """S3, S4: details as protobuf in base64, and again as JSON for people."""
    response = await wire.post(GET, {"taskId": "none"})
    assert response.status_code == 404
    body = response.json()
    assert (body["code"], body["message"]) == ("not_found", "there is no task 'none'")
    info = details(response)["ErrorInfo"]
    assert (info.reason, info.domain, info.metadata) == ("TASK_NOT_FOUND", "fleetd", {"task_id": "none"})
    assert body["details"][0]["type"] == "google.rpc.ErrorInfo"
    assert body["details"][0]["debug"]["reason"] == "TASK_NOT_FOUND"


async def test_the_fields_that_a_method_refuses_are_named_too(wire):
    """S3"""
    assert bad_fields(await wire.post(SUBMIT, {"title": " "})).keys() == {"title"}


async def test_a_caller_that_must_wait_is_told_how_long(wires):
    """S7: RetryInfo, and Retry-After for those who know HTTP alone."""
    wire = await wires(fleet_rules=Rules(max_pending=1))
    await wire.call("SubmitTask", {"title": "a"})
    response = await wire.post(SUBMIT, {"title": "b"})
    assert (response.status_code, response.json()["code"]) == (429, "resource_exhausted")
    assert details(response)["RetryInfo"].retry_delay.seconds == 5
    assert response.headers["retry-after"] == "5"


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_beyond_the_methods_limit_is_refused(wire, declared):
    """S7: whether its length was declared or not; the rest is not read."""
    size = 70_000  # GetTask takes 64 KiB

    async def chunks():
        for _ in range(7):
            yield b"x" * 10_000

    headers = {"Content-Type": "application/json"}
    response = await wire.client.post(GET, content=b"x" * size if declared else chunks(), headers=headers)
    assert (response.status_code, response.json()["code"]) == (413, "resource_exhausted")
    assert reason(response) == "MESSAGE_TOO_LARGE"


async def test_the_port_may_have_a_smaller_limit(wires):
    """S7"""
    wire = await wires(options=PortOptions(max_body=100))
    assert (await wire.post(SUBMIT, {"title": "a" * 100})).status_code == 413
    assert (await wire.post(SUBMIT, {"title": "a"})).status_code == 200


async def test_a_body_that_does_not_arrive_is_given_up(wires):
    """S7: a caller who sends byte by byte holds nothing for ever."""
    wire = await wires(options=PortOptions(body_timeout=1))

    async def slow():
        yield b"{"
        await asyncio.Event().wait()

    headers = {"Content-Type": "application/json"}
    response = await wire.client.post(GET, content=slow(), headers=headers)
    assert (response.status_code, reason(response)) == (408, "BODY_TIMEOUT")


async def test_large_inputs_pass_both_ways(wires):
    """S4: also where their conversion is done beside the event loop."""
    wire = await wires()
    text = "ä" * 400_000
    task = (await wire.call("SubmitTask", {"title": "a", "input": {"text": text}}))["task"]
    shown = await wire.call("GetTask", {"taskId": task["id"], "includeInput": True})
    assert shown["input"]["text"] == text


async def test_an_answer_that_is_too_large_is_refused_with_words(wires):
    """S7"""
    wire = await wires(largest=20)
    response = await wire.post("/fleet.v1.Health/GetStatus", {})
    assert (response.status_code, reason(response)) == (429, "ANSWER_TOO_LARGE")


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/connect+json"]
)
async def test_another_content_type_is_refused_with_those_that_are_read(wire, kind):
    """S4"""
    response = await wire.client.post(GET, content=b"{}", headers={"Content-Type": kind})
    assert response.status_code == 415
    assert response.headers["accept-post"] == "application/json, application/proto"


async def test_the_content_type_may_name_its_charset(wire):
    """S4"""
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert (await wire.client.post(SUBMIT, content=b'{"title": "a"}', headers=headers)).status_code == 200


async def test_clients_of_the_protocol_may_speak_protobuf(wire):
    """S4: buf curl does so by itself."""
    headers = {"Content-Type": "application/proto"}
    request = dispatcher_pb2.SubmitTaskRequest(title="in protobuf")
    response = await wire.client.post(SUBMIT, content=request.SerializeToString(), headers=headers)
    assert response.headers["content-type"] == "application/proto"
    answer = dispatcher_pb2.SubmitTaskResponse.FromString(response.content)
    assert answer.task.status == task_pb2.TASK_STATUS_PENDING
    bad = await wire.client.post(SUBMIT, content=b"\xff", headers=headers)
    assert (bad.status_code, bad.headers["content-type"]) == (400, "application/json")


async def test_compressed_bodies_are_refused_with_words(wire):
    """S4"""
    response = await wire.post(GET, {}, content_encoding="gzip")
    assert (response.status_code, response.json()["code"]) == (415, "unimplemented")


@pytest.mark.parametrize(("version", "status"), [("1", 200), ("2", 400)])
async def test_the_version_of_the_protocol_may_be_left_out_and_is_1(wire, version, status):
    """S4"""
    assert (await wire.post(SUBMIT, {"title": "a"}, connect_protocol_version=version)).status_code == status


@pytest.mark.parametrize("verb", ["GET", "PUT", "DELETE", "OPTIONS"])
async def test_methods_are_posted(wire, verb):
    """S4"""
    response = await wire.client.request(verb, GET)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("path", ["/fleet.v1.Dispatcher/Nothing", "/fleet.v1.Nobody/GetTask", "/a/b"])
async def test_an_unknown_method_is_told_as_one(wire, path):
    """S4"""
    response = await wire.post(path, {})
    assert (response.status_code, response.json()["code"]) == (404, "unimplemented")


@pytest.mark.parametrize("path", ["/", "/nothing", "/a/b/c"])
async def test_an_unknown_path_is_told_in_the_same_form(wire, path):
    """S4"""
    response = await wire.client.get(path)
    assert (response.status_code, response.json()["code"]) == (404, "not_found")


async def test_the_callers_time_is_kept(wire):
    """S4: Connect-Timeout-Ms ends the call; what cannot be a time is refused."""
    late = await wire.post(
        "/fleet.v1.Dispatcher/ClaimTasks", {"agentId": "a", "wait": "30s"}, connect_timeout_ms="0"
    )
    assert (late.status_code, late.json()["code"]) == (504, "deadline_exceeded")
    bad = await wire.post(GET, {}, connect_timeout_ms="-1")
    assert bad_fields(bad) == {"Connect-Timeout-Ms": "must be 1 to 10 digits"}


async def test_a_wait_ends_before_the_callers_time_does(wire):
    """M3: a long poll answers an empty list in time instead of an error."""
    answer = await wire.call("ClaimTasks", {"agentId": "a", "wait": "30s"}, connect_timeout_ms="20")
    assert answer.get("leases", []) == []


async def test_a_caller_who_leaves_takes_no_lease(wire):
    """M3, S4: a claim that waited for somebody who is gone must not take the next task."""
    leaving = asyncio.Event()
    sent: list = []

    async def receive():
        if not sent:
            sent.append("body")
            body = json.dumps({"agentId": "gone", "wait": "60s"}).encode()
            return {"type": "http.request", "body": body, "more_body": False}
        await leaving.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    path = "/fleet.v1.Dispatcher/ClaimTasks"
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http", "path": path,
        "raw_path": path.encode(), "query_string": b"", "headers": [(b"content-type", b"application/json")], "client": ("1.2.3.4", 5),
        "server": ("here", 80),
    }  # fmt: skip
    call = asyncio.create_task(wire.app(scope, receive, send))
    async with asyncio.timeout(60):
        await until(lambda: wire.port.engine.sessions.get("gone"))
        leaving.set()
        await call
    task = (await wire.call("SubmitTask", {"title": "for the living"}))["task"]
    assert (await wire.call("GetTask", {"taskId": task["id"]}))["status"] == "TASK_STATUS_PENDING"
    lines = {fields["method"]: fields["code"] for event, fields in wire.log.lines if event == "call"}
    assert lines["fleet.v1.Dispatcher/ClaimTasks"] == "CANCELLED"


async def test_a_wait_ends_when_the_port_stops(wire):
    """S4: nobody is left waiting for a daemon that goes."""
    waiting = asyncio.create_task(
        wire.post("/fleet.v1.Dispatcher/ClaimTasks", {"agentId": "a", "wait": "60s"})
    )
    async with asyncio.timeout(60):
        await until(lambda: wire.port.engine.sessions.get("a"))
        wire.web.stopping.set()
        response = await waiting
    assert (response.status_code, reason(response)) == (503, "DRAINING")


async def test_a_daemon_that_drains_takes_results_and_no_new_work(wire):
    """S4, D8"""
    await wire.call("SubmitTask", {"title": "a"})
    (lease,) = (await wire.call("ClaimTasks", {"agentId": "a"}))["leases"]
    wire.port.engine.drain()
    refused = await wire.post(SUBMIT, {"title": "b"})
    assert (refused.status_code, reason(refused)) == (503, "DRAINING")
    report = {"taskId": lease["taskId"], "leaseEpoch": lease["leaseEpoch"], "complete": {}}
    (ack,) = (await wire.call("ReportTasks", {"agentId": "a", "reports": [report]}))["acks"]
    assert ack["result"] == "REPORT_RESULT_ACCEPTED"


async def test_health_tells_alive_and_ready_apart(wire):
    """S4: /healthz while the loop turns, /readyz while work is taken, with the reason when it is not."""
    engine = wire.port.engine
    assert (await wire.client.get("/healthz")).json() == {"status": "alive"}
    assert (await wire.client.get("/readyz")).json() == {"status": "serving"}
    engine.drain()
    draining = await wire.client.get("/readyz")
    assert (draining.status_code, draining.json()["status"]) == (503, "draining")
    assert "takes results" in draining.json()["reason"]
    assert (await wire.client.get("/healthz")).status_code == 200
    engine.state = "STARTING"
    starting = await wire.client.get("/readyz")
    assert (starting.status_code, starting.json()["status"]) == (503, "starting")


async def test_while_the_daemon_starts_no_method_is_served(wire):
    """S4: not even those that are served at any time over gRPC, whose port is not open then."""
    for held, state in ((False, "STARTING"), (True, "SERVING")):
        wire.web.held, wire.port.engine.state = held, state
        response = await wire.post("/fleet.v1.Health/GetStatus", {})
        assert (response.status_code, reason(response)) == (503, "STARTING")
        assert (await wire.client.get("/readyz")).json()["status"] == "starting"


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://evil.example", 403), ("null", 403), ("http://[", 403), ("http://fleet.example:8080", 200)],
)
async def test_pages_of_other_sites_may_not_call(wire, origin, status):
    """S6: a browser on the daemon's machine would carry them to its loopback."""
    assert (await wire.post(SUBMIT, {"title": "a"}, origin=origin)).status_code == status


async def test_each_call_is_one_line_of_the_log_with_its_id(wire):
    """S4: as over gRPC."""
    response = await wire.post(GET, {"taskId": "none"}, x_request_id="mine")
    assert response.headers["x-request-id"] == "mine"
    ((event, line),) = wire.log.lines
    assert (event, line["method"], line["code"]) == ("call", "fleet.v1.Dispatcher/GetTask", "NOT_FOUND")
    assert (line["reason"], line["request_id"]) == ("TASK_NOT_FOUND", "mine")


async def test_of_a_defect_only_an_incident_goes_out(wire):
    """S3: no internal text leaks."""

    async def broken(request, call):
        raise ValueError("secret")

    method = wire.web.methods["/fleet.v1.Dispatcher/GetTask"]
    wire.web.methods[method.full_name] = replace(method, serve=broken)
    response = await wire.post(GET, {"taskId": "x"})
    assert (response.status_code, response.json()["code"]) == (500, "internal")
    assert "secret" not in response.text
    assert "call_failed" in {event for event, _ in wire.log.lines}


@pytest.mark.parametrize("shape", [json_of, plain])
def test_numbers_that_json_does_not_know_are_given_out_by_their_names(shape):
    """S4, G6: an agent can store them, and nobody must be kept from reading what is beside them."""
    event = task_event_pb2.TaskEvent()
    for name, number in (("a", "nan"), ("b", "inf"), ("c", "-inf"), ("d", "1.5")):
        event.message.data.fields[name].list_value.values.add().number_value = float(number)
    told = dispatcher_pb2.ListTaskEventsResponse(events=[event])
    data = shape(told)["events"][0]["message"]["data"]
    assert data == {"a": ["NaN"], "b": ["Infinity"], "c": ["-Infinity"], "d": [1.5]}
    assert math.isnan(told.events[0].message.data["a"][0])
