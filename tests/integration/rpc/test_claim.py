"""The agent stream over a real channel."""

import grpc
import pytest

from fleet.v1 import dispatcher_pb2 as pb
from fleet.v1 import lease_pb2, task_pb2
from fleetd.api.limits import Limits
from fleetd.rpc.claim import ClaimOptions
from tests.integration.rpc.wire import AgentEnd, refused, until

PENDING, RUNNING, COMPLETED = (
    task_pb2.TASK_STATUS_PENDING,
    task_pb2.TASK_STATUS_RUNNING,
    task_pb2.TASK_STATUS_COMPLETED,
)


async def status(wire, task):
    return (await wire.dispatcher.GetTask(pb.GetTaskRequest(task_id=task.id))).status


async def session_end(wire):
    """Wait until a session's last line is in the log, and return it."""
    await until(lambda: wire.log.of("session_end"))
    return wire.log.of("session_end")[-1]


async def test_a_task_travels_to_an_agent_and_its_result_back(wire):
    """T5, T6, D6, S1."""
    agent = await wire.agent(capabilities=["code:rust"])
    assert (agent.welcome.session_epoch, agent.welcome.protocol_version) == (1, 1)
    assert agent.welcome.daemon_version == "1.2.3"
    assert agent.welcome.lease_ttl.seconds == 3 * agent.welcome.heartbeat_interval.seconds
    task = await wire.submit(required_capabilities=["code"], input={"text": "in"}, metadata={"a": "b"})
    lease = await agent.lease()
    assert (lease.task_id, lease.lease_epoch, lease.attempt) == (task.id, 1, 1)
    assert (lease.input.text, dict(lease.metadata)) == ("in", {"a": "b"})
    assert lease.timeout.seconds == 300
    assert (await agent.say(lease, start={})).result == 1
    assert await status(wire, task) == RUNNING
    assert (await agent.say(lease, complete={"output": {"text": "out"}})).result == 1
    assert (await agent.say(lease, complete={"output": {"text": "out"}})).result == 2
    answer = await wire.dispatcher.GetTaskResult(pb.GetTaskResultRequest(task_id=task.id))
    assert answer.result.output.text == "out"


async def test_a_goodbye_hands_leases_back_and_ends_the_stream_well(wire):
    """D1, D2."""
    agent = await wire.agent()
    task = await wire.submit()
    lease = await agent.lease()
    await agent.say(lease, start={})
    await agent.call.write(pb.ClaimRequest(goodbye={"reason": "tired"}))
    assert (await agent.ended()).reason == "GOODBYE"
    assert await status(wire, task) == PENDING
    line = await session_end(wire)
    assert (line["agent_id"], line["reason"], line["leases"], line["words"]) == ("agent-1", "goodbye", 1, 1)


@pytest.mark.parametrize("how", ["cancel", "done_writing"])
async def test_an_end_without_goodbye_is_a_lost_agent(wire, how):
    """D2: the leases stand until the agent had its time to come back."""
    agent = await wire.agent()
    task = await wire.submit()
    await agent.say(await agent.lease(), start={})
    if how == "cancel":
        agent.call.cancel()
    else:
        await agent.call.done_writing()
    assert (await session_end(wire))["reason"] == "lost"
    session = wire.engine.sessions.get("agent-1")
    assert session is not None
    assert not session.connected
    assert await status(wire, task) == RUNNING


async def test_the_same_process_resumes_and_keeps_its_leases(wire):
    """D1, T5: what it lists is adopted with its epoch unchanged; the older stream is told to go."""
    agent = await wire.agent()
    task = await wire.submit()
    lease = await agent.lease()
    await agent.say(lease, start={})
    held = [{"task_id": lease.task_id, "lease_epoch": lease.lease_epoch}, {"task_id": "x", "lease_epoch": 1}]
    again = await wire.agent(held=held)
    assert (await agent.ended()).reason == "RECONNECTED"
    assert again.welcome.session_epoch == agent.welcome.session_epoch
    assert [(ref.task_id, ref.lease_epoch) for ref in again.welcome.adopted] == [(task.id, 1)]
    assert (await again.say(lease, complete={})).result == 1
    assert await status(wire, task) == COMPLETED


async def test_another_process_takes_over_and_the_older_one_stops_for_good(wire):
    """D1."""
    old = await wire.agent(incarnation="process-1")
    new = await wire.agent(incarnation="process-2")
    end = await old.ended()
    assert end.reason == "SESSION_REPLACED"
    assert not end.HasField("reconnect_after")
    assert new.welcome.session_epoch == 2
    back = AgentEnd(wire.dispatcher.Claim())
    await back.hello(incarnation="process-1")
    code, _, details = await refused(back.call.read())
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert details["ErrorInfo"].reason == "SESSION_REPLACED"


async def test_a_ping_brings_a_beacon_and_differences_are_repaired(wire):
    """D2, T5: a lease that the agent believes in but does not hold is ordered away."""
    agent = await wire.agent()
    task = await wire.submit()
    lease = await agent.lease()
    await agent.say(lease, start={})
    beacon = await agent.ping(lease, lease_pb2.Lease(task_id="ghost", lease_epoch=4))
    assert [(ref.task_id, ref.lease_epoch) for ref in beacon.leases] == [(task.id, 1)]
    (order,) = (await agent.read("orders")).orders.orders
    assert (order.kind, order.task_id, order.lease_epoch) == (4, "ghost", 4)


async def test_a_cancel_reaches_the_agent_and_its_stop_ends_the_task(wire):
    """D4."""
    agent = await wire.agent()
    task = await wire.submit()
    lease = await agent.lease()
    await agent.say(lease, start={})
    await wire.dispatcher.CancelTask(pb.CancelTaskRequest(task_id=task.id))
    (order,) = (await agent.read("orders")).orders.orders
    assert (order.kind, order.task_id) == (1, task.id)
    await agent.say(lease, stopped={})
    assert await status(wire, task) == task_pb2.TASK_STATUS_CANCELLED


async def test_slots_bound_what_an_agent_holds(wire):
    """D1."""
    agent = await wire.agent(max_concurrency=2)
    await agent.call.write(pb.ClaimRequest(slots={"ceiling": 0}))
    await agent.ping()
    task = await wire.submit()
    await agent.ping()
    assert await status(wire, task) == PENDING
    await agent.call.write(pb.ClaimRequest(slots={"ceiling": 1}))
    assert (await agent.lease()).task_id == task.id


async def test_a_bad_word_is_rejected_and_the_lease_stands(wire):
    """S3, T5."""
    agent = await wire.agent()
    await wire.submit()
    lease = await agent.lease()
    ack = await agent.say(lease, progress={"percent": 101})
    assert (ack.result, ack.reason) == (4, "FIELD_INVALID")
    assert ack.message == "progress.percent: must be 0 to 100, not 101"
    assert (await agent.say(lease, progress={"percent": 100})).result == 1


async def test_a_word_this_version_does_not_know_is_passed_over(wire):
    """S1: field 15 of ClaimRequest belongs to a newer agent."""
    call = wire.channel.stream_stream(
        "/fleet.v1.Dispatcher/Claim", response_deserializer=pb.ClaimResponse.FromString
    )()
    hello = pb.Hello(agent={"agent_id": "a"}, incarnation="1", protocol_version=1)
    await call.write(pb.ClaimRequest(hello=hello).SerializeToString())
    await call.read()
    await call.write(b"\x7a\x00")
    await call.write(pb.ClaimRequest(goodbye={}).SerializeToString())
    assert (await call.read()).end.reason == "GOODBYE"
    assert (await session_end(wire))["unknown_messages"] == 1


@pytest.mark.parametrize(
    ("first", "field"),
    [
        (pb.ClaimRequest(ping={}), "hello"),
        (pb.ClaimRequest(), "hello"),
        (pb.ClaimRequest(hello={"agent": {"agent_id": "a"}, "protocol_version": 1}), "hello.incarnation"),
        (pb.ClaimRequest(hello={"agent": {"agent_id": "a"}, "incarnation": "1"}), "hello.protocol_version"),
        (pb.ClaimRequest(hello={"incarnation": "1", "protocol_version": 1}), "hello.agent.agent_id"),
        (
            pb.ClaimRequest(
                hello={"agent": {"agent_id": "host:a/b"}, "incarnation": "1", "protocol_version": 1}
            ),
            "hello.agent.agent_id",
        ),
    ],
)
async def test_a_bad_hello_is_refused_with_the_field(wire, first, field):
    """S3, D1."""
    call = wire.dispatcher.Claim()
    await call.write(first)
    code, message, _ = await refused(call.read())
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert message.startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("said", "field"),
    [
        (pb.ClaimRequest(slots={"ceiling": -1}), "slots.ceiling"),
        (pb.ClaimRequest(hello={}), "hello"),
        (pb.ClaimRequest(reports={"reports": [{}] * 1_001}), "reports"),
        (pb.ClaimRequest(ping={"held": [{"lease_epoch": 1}]}), "ping.held[0].task_id"),
    ],
)
async def test_an_agent_that_breaks_the_protocol_is_cut_off_and_counts_as_lost(wire, said, field):
    """S3, S7, D2."""
    agent = await wire.agent()
    await agent.call.write(said)
    code, message, _ = await refused(agent.call.read())
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert message.startswith(f"{field}: ")
    assert (await session_end(wire))["reason"] == "error"
    assert not wire.engine.sessions.get("agent-1").connected


async def test_a_stream_without_a_hello_is_ended(wires):
    """S7."""
    wire = await wires(claim=ClaimOptions(hello_timeout=1))
    call = wire.dispatcher.Claim()
    code, message, _ = await refused(call.read())
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert message == "hello: must be the first message, within 0.001 s"


async def test_leases_are_split_into_messages_of_bounded_size(wires):
    """S7."""
    wire = await wires(limits=Limits(delivery=3_000))
    ids = [(await wire.submit(str(n), input={"data": b"x" * 1_000})).id for n in range(4)]
    agent = await wire.agent(max_concurrency=4)
    first, second = (await agent.read("leases")).leases, (await agent.read("leases")).leases
    assert [lease.task_id for lease in (*first.leases, *second.leases)] == ids
    assert len(first.leases) == 2


async def test_acknowledgements_keep_the_order_of_the_words(wire):
    """T5: many messages in flight at once."""
    agent = await wire.agent()
    await wire.submit()
    lease = await agent.lease()
    ref = {"task_id": lease.task_id, "lease_epoch": lease.lease_epoch}
    for number in range(60):
        report = {**ref, "report_id": number, "progress": {"percent": number}}
        await agent.call.write(pb.ClaimRequest(reports={"reports": [report]}))
    acks = []
    while len(acks) < 60:
        acks += (await agent.read("acks")).acks.acks
    assert [ack.report_id for ack in acks] == list(range(60))
    assert {ack.result for ack in acks} == {1}


async def test_the_end_of_the_daemon_tells_agents_to_come_back(wire):
    """D2."""
    agent = await wire.agent()
    wire.engine.drain()
    assert [order.kind for order in (await agent.read("orders")).orders.orders] == [5]
    wire.engine.sessions.end_all("DRAINING", "the daemon is stopping", 1_000)
    end = await agent.ended()
    assert (end.reason, end.reconnect_after.seconds) == ("DRAINING", 1)
    late = AgentEnd(wire.dispatcher.Claim())
    await late.hello("agent-2")
    code, _, details = await refused(late.call.read())
    assert (code, details["ErrorInfo"].reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
