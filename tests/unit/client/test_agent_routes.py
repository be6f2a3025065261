"""An agent whose instance fails, over a real stream, against a server that plays the daemon."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from fleetd_client import Agent
from fleetd_client import stubs as s
from fleetd_client.methods import CLAIM_PATH
from tests.unit.client.fleet import instance, switch

LIMIT = 30.0


class Daemon:
    """Gives one routed task to the agent that connects, answers its failed tries with b:1, and keeps its words."""

    def __init__(self):
        self.words = []
        self.ended = asyncio.Event()
        self._server = grpc.aio.server()

    async def start(self):
        handler = grpc.stream_stream_rpc_method_handler(
            self._claim, s.ClaimRequest.FromString, s.ClaimResponse.SerializeToString
        )
        service, name = CLAIM_PATH.strip("/").split("/")
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, {name: handler}),)
        )
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()
        return self

    async def stop(self):
        await self._server.stop(None)

    async def _claim(self, messages, context):
        async for message in messages:
            if message.HasField("hello"):
                welcome = s.Welcome(heartbeat_interval={"seconds": 10}, lease_ttl={"seconds": 30})
                yield s.ClaimResponse(welcome=welcome)
                route = s.RouteAssignment(plan_id="p", instance=instance("a:1", model="big"))
                lease = s.Lease(task_id="t", lease_epoch=1, route=route)
                yield s.ClaimResponse(leases=s.Leases(leases=[lease]))
            if message.HasField("goodbye"):
                return
            for report in message.reports.reports:
                word = report.WhichOneof("word")
                self.words.append(report)
                ack = s.ReportAck(
                    report_id=report.report_id,
                    task_id="t",
                    lease_epoch=1,
                    result=s.ReportResult.REPORT_RESULT_ACCEPTED,
                    next=switch("b:1") if word == "instance_failed" else None,
                )
                yield s.ClaimResponse(acks=s.Acks(acks=[ack]))
                if word in {"complete", "fail"}:
                    self.ended.set()


@pytest.fixture
async def daemon():
    daemon = await Daemon().start()
    yield daemon
    await daemon.stop()


@pytest.mark.parametrize("kind", ["async", "plain"])
async def test_a_running_agent_goes_on_with_the_next_instance_on_the_same_lease(daemon, kind):
    """R11: the failure goes over the stream like other reports, the answer back to the handler that waits."""
    agent = Agent("a", daemon.address)

    async def work(ctx):
        if ctx.instance.id == "a:1":
            await ctx.next_instance(ConnectionRefusedError("refused"))
        return ctx.instance.id

    def plain(ctx):
        if ctx.instance.id == "a:1":
            ctx.next_instance_sync(ConnectionRefusedError("refused"))
        return ctx.instance.id

    agent.handler(work if kind == "async" else plain)
    running = asyncio.create_task(agent.run(signals=False))
    await asyncio.wait_for(daemon.ended.wait(), LIMIT)
    agent.drain()
    assert await asyncio.wait_for(running, LIMIT) == "finished"
    assert [report.WhichOneof("word") for report in daemon.words] == ["start", "instance_failed", "complete"]
    failed, done = daemon.words[1].instance_failed, daemon.words[2].complete
    assert (failed.instance, failed.code) == ("a:1", "CONN_REFUSED")
    assert done.output.text == "b:1"
    assert {report.lease_epoch for report in daemon.words} == {1}
