"""Unary calls over a real channel: statuses, details, log."""

import grpc
import pytest

from fleet.v1 import dispatcher_pb2 as pb
from fleet.v1 import health_pb2, router_pb2
from fleet.v1.router_pb2_grpc import RouterStub
from fleetd.api.table import Method
from fleetd.core.submission import Submit
from tests.integration.rpc.wire import refused, until


def replace(wire, name, serve):
    """Put another method behind a name, before the server is started."""
    full_name = f"/fleet.v1.Dispatcher/{name}"
    old = wire.methods[full_name]
    kept = ("service", "name", "request", "response", "roles", "idempotent", "size_limit")
    wire.methods[full_name] = Method(serve=serve, **{part: getattr(old, part) for part in kept})
    wire.server._methods = wire.methods


async def test_an_error_carries_reason_domain_and_metadata(wire):
    """S3."""
    code, message, details = await refused(wire.dispatcher.GetTask(pb.GetTaskRequest(task_id="none")))
    assert code is grpc.StatusCode.NOT_FOUND
    assert message == "there is no task 'none'"
    info = details["ErrorInfo"]
    assert (info.reason, info.domain, dict(info.metadata)) == (
        "TASK_NOT_FOUND",
        "fleetd",
        {"task_id": "none"},
    )


async def test_bad_fields_are_named_in_bad_request(wire):
    """S3, S7."""
    request = pb.SubmitTaskRequest(title="", max_attempts=101)
    code, _, details = await refused(wire.dispatcher.SubmitTask(request))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert [v.field for v in details["BadRequest"].field_violations] == ["title", "max_attempts"]


@pytest.mark.parametrize("letter", ["x", "ü", "漢", "\N{GRINNING FACE}"])
async def test_hopeless_requests_get_an_answer_that_fits_into_metadata(wire, letter):
    """S3, S7: as many bad fields as fit, in any script."""
    request = pb.SubmitTaskRequest(
        title=letter * 501,
        tags=[f"{letter * 129}{n}" for n in range(64)],
        labels={f"{letter * 100}{n}": "y" * 257 for n in range(64)},
    )
    code, _, details = await refused(wire.dispatcher.SubmitTask(request))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    violations = details["BadRequest"].field_violations
    assert violations[0].field == "title"
    assert violations[-1].description.startswith("and ")


async def test_overload_tells_when_to_come_back(wires):
    """S7: the queue holds one command, and nobody works on it."""
    wire = await wires(queue_limit=1, started=False)
    waiting = wire.engine.post(Submit(()))
    code, _, details = await refused(wire.dispatcher.SubmitTask(pb.SubmitTaskRequest(title="x")))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert details["ErrorInfo"].reason == "QUEUE_FULL"
    assert details["RetryInfo"].retry_delay.ToMilliseconds() == 500
    await wire.engine.step()
    assert await waiting == []


async def test_a_draining_daemon_takes_no_new_work_but_answers(wire):
    """S7, T5."""
    task = await wire.submit()
    wire.engine.drain()
    code, _, details = await refused(wire.dispatcher.SubmitTask(pb.SubmitTaskRequest(title="x")))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert details["ErrorInfo"].reason == "DRAINING"
    assert details["RetryInfo"].retry_delay.ToMilliseconds() == 1_000
    assert (await wire.dispatcher.GetTask(pb.GetTaskRequest(task_id=task.id))).id == task.id
    assert (await wire.health.GetStatus(health_pb2.GetStatusRequest())).state == 3


async def test_a_defect_shows_its_incident_and_nothing_of_its_cause(wires):
    """S3: no internal text leaks; the log has it under the same incident."""
    wire = await wires(opened=False)

    async def broken(request, call):
        raise ExceptionGroup("group", [KeyError("/secret/path")])

    replace(wire, "GetTask", broken)
    await wire.open()
    code, message, details = await refused(wire.dispatcher.GetTask(pb.GetTaskRequest(task_id="x")))
    incident = details["ErrorInfo"].metadata["incident"]
    assert (code, message) == (grpc.StatusCode.INTERNAL, f"internal error, incident {incident}")
    assert "secret" not in str(details)
    (line,) = wire.log.of("call_failed")
    assert line["incident"] == incident
    assert isinstance(line["exc_info"], KeyError)
    assert wire.log.of("call")[-1]["code"] == "INTERNAL"


async def test_what_is_no_message_is_refused_as_such(wire):
    """S3."""
    call = wire.channel.unary_unary("/fleet.v1.Dispatcher/SubmitTask")
    code, message, _ = await refused(call(b"\x0a\x02\xff\xfe"))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert message == "request: must be a fleet.v1.SubmitTaskRequest with valid UTF-8 text"


async def test_a_request_above_its_limit_is_refused_with_the_limit(wire):
    """S7."""
    code, message, details = await refused(wire.dispatcher.GetTask(pb.GetTaskRequest(task_id="x" * 70_000)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details["ErrorInfo"].reason == "MESSAGE_TOO_LARGE"
    assert "at most 65,536 bytes" in message


async def test_an_answer_above_the_limit_asks_for_less(wires):
    """S7."""
    wire = await wires(opened=False)

    async def much(request, call):
        return pb.SubmitTaskRequest(description="x" * (9 << 20))

    replace(wire, "GetTask", much)
    await wire.open()
    code, _, details = await refused(wire.dispatcher.GetTask(pb.GetTaskRequest(task_id="x")))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert details["ErrorInfo"].reason == "ANSWER_TOO_LARGE"


async def test_the_router_is_served_like_the_others(wire):
    """S1, R4."""
    router = RouterStub(wire.channel)
    await router.UpsertInstances(router_pb2.UpsertInstancesRequest(instances=[{"id": "ollama:qwen3"}]))
    answer = await router.RouteTask(router_pb2.RouteTaskRequest(task_id="x"))
    assert (answer.selected, answer.plan.task_id) == ("ollama:qwen3", "x")
    call = router.RouteTask(router_pb2.RouteTaskRequest(requirements={"model": "qwen"}))
    code, _, details = await refused(call)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    (violation,) = details["BadRequest"].field_violations
    assert violation.field == "requirements.model"
    assert "nearest name is qwen3" in violation.description
    code, _, details = await refused(router.GetRoutePlan(router_pb2.GetRoutePlanRequest(plan_id="none")))
    assert (code, details["ErrorInfo"].reason) == (grpc.StatusCode.NOT_FOUND, "PLAN_NOT_FOUND")


async def test_every_call_writes_one_line(wire):
    """S3, D7."""
    metadata = (("x-request-id", "mine"),)
    await wire.dispatcher.SubmitTask(pb.SubmitTaskRequest(title="secret title"), metadata=metadata)
    await refused(wire.dispatcher.GetTask(pb.GetTaskRequest(task_id="none")))
    first, second = wire.log.of("call")
    assert (first["method"], first["code"], first["reason"]) == ("fleet.v1.Dispatcher/SubmitTask", "OK", "")
    assert first["request_id"] == "mine"
    assert first["peer"].startswith("ipv4:127.0.0.1:")
    assert (second["code"], second["reason"]) == ("NOT_FOUND", "TASK_NOT_FOUND")
    assert second["request_id"]
    assert second["ms"] > 0
    assert "secret" not in str(wire.log.lines)


async def test_a_method_knows_its_callers_deadline_and_never_a_later_one(wires):
    """S7: long polls answer before it. On the wire deadlines are rounded up, the longer the more. The daemon's clock stands still."""
    wire = await wires(opened=False)
    deadlines = []

    async def note(request, call):
        deadlines.append(call.deadline)
        return pb.WaitTaskResponse()

    replace(wire, "WaitTask", note)
    await wire.open()
    for seconds in (5, 10.001, 60, 100.001, 101, 600, 1_001, 10_001):
        await wire.dispatcher.WaitTask(pb.WaitTaskRequest(), timeout=seconds)
        assert wire.clock.now() < deadlines[-1] <= wire.clock.now() + seconds * 1_000, seconds
    await wire.dispatcher.WaitTask(pb.WaitTaskRequest())
    assert deadlines[-1] is None


async def test_a_caller_that_goes_away_is_forgotten(wire):
    """S7."""
    task = await wire.submit()
    call = wire.dispatcher.WaitTask(pb.WaitTaskRequest(task_id=task.id))
    await until(lambda: wire.engine.feed._watches)
    call.cancel()
    await until(lambda: not wire.engine.feed._watches and len(wire.log.of("call")) == 2)
    assert wire.log.of("call")[-1]["code"] == "CANCELLED"


async def test_a_read_of_a_damaged_store_is_unavailable_and_tells_nothing_of_the_inside(wire):
    """S3: a stable reason for programs, the cause in the log for the operator."""
    task = await wire.submit()
    for file in wire.path.parent.glob(f"{wire.path.name}*"):
        if not file.name.endswith("-shm"):
            file.write_bytes(b"x" * file.stat().st_size)
    code, message, details = await refused(wire.dispatcher.GetTask(pb.GetTaskRequest(task_id=task.id)))
    assert (code, details["ErrorInfo"].reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_BROKEN")
    assert details["RetryInfo"].retry_delay.ToMilliseconds() == 1_000
    assert (message, dict(details["ErrorInfo"].metadata)) == ("the store cannot be used", {})
    (line,) = wire.log.of("store_failed")
    assert line["method"] == "fleet.v1.Dispatcher/GetTask"
    assert str(wire.path) in line["message"]
    assert wire.log.of("call")[-1]["reason"] == "STORE_BROKEN"


async def test_a_watcher_of_a_store_that_is_gone_is_told_that_it_is_unavailable(wire):
    """S3, T8: the stream ends with the reason, so that the watcher resumes later."""
    await wire.submit()
    await wire.store.close()
    watching = wire.dispatcher.WatchEvents(pb.WatchEventsRequest(after_seq=0))
    code, _, details = await refused(watching.read())
    assert (code, details["ErrorInfo"].reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_BROKEN")
