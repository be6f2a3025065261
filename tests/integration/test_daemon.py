"""The daemon as a process: start, signals, exit codes, locks, addresses, frozen agents."""

from __future__ import annotations

import asyncio
import signal
import sys

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fleet.v1 import agent_pb2, dispatcher_pb2, lease_pb2
from fleet.v1 import health_pb2 as fleet_health
from fleet.v1.dispatcher_pb2_grpc import DispatcherStub
from fleet.v1.health_pb2_grpc import HealthStub
from fleetd import exit_codes
from tests.integration.daemon import Daemon


async def fleetd(*arguments: str) -> tuple[int, str]:
    """Run the command line to its end; return exit code and what it says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "fleetd",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


class StreamAgent:
    """An agent on a raw stream."""

    def __init__(self, channel: grpc.aio.Channel, agent_id: str, incarnation: str = "one") -> None:
        self.stream = DispatcherStub(channel).Claim()
        self._hello = dispatcher_pb2.Hello(
            agent=agent_pb2.AgentSpec(agent_id=agent_id), incarnation=incarnation, protocol_version=1
        )

    async def connect(self, *held: lease_pb2.LeaseRef) -> dispatcher_pb2.Welcome:
        self._hello.held.extend(held)
        await self.stream.write(dispatcher_pb2.ClaimRequest(hello=self._hello))
        return (await self.stream.read()).welcome

    async def until(self, kind: str) -> dispatcher_pb2.ClaimResponse:
        """Read until a message of this kind comes."""
        while True:
            message = await self.stream.read()
            assert message != grpc.aio.EOF
            if message.WhichOneof("kind") == kind:
                return message

    async def say(self, **word: object) -> lease_pb2.ReportAck:
        report = lease_pb2.Report(**word)
        await self.stream.write(dispatcher_pb2.ClaimRequest(reports=dispatcher_pb2.Reports(reports=[report])))
        return (await self.until("acks")).acks.acks[0]


async def test_a_second_daemon_on_the_same_data_is_refused_and_names_the_first(daemon):
    """S7: its own exit code, the pid of the holder, and the first one works on."""
    code, text = await fleetd("serve", "--listen", "127.0.0.1:0", "--data-dir", str(daemon.data_dir))
    assert code == exit_codes.DATA_DIR
    assert str(daemon.pid) in text
    assert "Traceback" not in text
    async with grpc.aio.insecure_channel(daemon.address) as channel:
        await HealthStub(channel).GetStatus(fleet_health.GetStatusRequest())


async def test_a_second_daemon_on_the_same_port_is_refused(daemon, tmp_path):
    """S7: so_reuseport is off."""
    code, text = await fleetd("serve", "--listen", daemon.address, "--data-dir", str(tmp_path / "other"))
    assert code == exit_codes.BIND
    assert daemon.address in text
    assert "Traceback" not in text


async def test_an_address_that_others_can_reach_needs_insecure(tmp_path):
    """S6: without credentials loopback and unix sockets only."""
    code, text = await fleetd("serve", "--listen", "0.0.0.0:0", "--data-dir", str(tmp_path / "d"))
    assert code == exit_codes.USAGE
    assert "--insecure" in text


async def test_it_serves_on_a_unix_socket(tmp_path):
    """S1, S6."""
    daemon = Daemon(tmp_path / "data", listen=f"unix:{tmp_path}/fleetd.sock")
    try:
        await daemon.start()
        async with grpc.aio.insecure_channel(daemon.address) as channel:
            status = await HealthStub(channel).GetStatus(fleet_health.GetStatusRequest())
        assert status.state == fleet_health.DAEMON_STATE_SERVING
        assert status.writable
        assert await daemon.stop() == exit_codes.OK
    finally:
        await daemon.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_and_stops_an_idle_daemon_at_once(daemon, number):
    """S1."""
    daemon.signal(number)
    assert await daemon.wait() == exit_codes.OK
    assert (await daemon.logged("stopped"))["drained"] is True
    assert not (daemon.data_dir / "listen").exists()


async def test_draining_takes_the_result_of_what_runs_and_no_new_work(daemon):
    """D2, S1: health says NOT_SERVING, submits are refused with a retry, the running task completes, then the daemon stops."""
    async with grpc.aio.insecure_channel(daemon.address) as channel:
        stub = DispatcherStub(channel)
        agent = StreamAgent(channel, "a")
        await agent.connect()
        submitted = await stub.SubmitTask(dispatcher_pb2.SubmitTaskRequest(title="t"))
        lease = (await agent.until("leases")).leases.leases[0]
        about = {"task_id": lease.task_id, "lease_epoch": lease.lease_epoch}
        await agent.say(start=lease_pb2.StartWord(), **about)
        daemon.signal(signal.SIGTERM)
        order = (await agent.until("orders")).orders.orders[0]
        assert order.kind == agent_pb2.ORDER_KIND_DRAIN
        health = health_pb2_grpc.HealthStub(channel)
        answer = await health.Check(health_pb2.HealthCheckRequest(service="fleet.v1.Dispatcher"))
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.SubmitTask(dispatcher_pb2.SubmitTaskRequest(title="late"))
        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
        ack = await agent.say(complete=lease_pb2.CompleteWord(), **about)
        assert ack.result == lease_pb2.REPORT_RESULT_ACCEPTED
        assert ack.task_id == submitted.task.id
        assert await daemon.wait() == exit_codes.OK
    await daemon.start()
    async with grpc.aio.insecure_channel(daemon.address) as channel:
        request = dispatcher_pb2.GetTaskRequest(task_id=submitted.task.id)
        assert (await DispatcherStub(channel).GetTask(request)).progress == 100


async def test_an_agent_that_reconnects_while_the_daemon_drains_delivers_its_result(daemon):
    """D2, S1: its stream broke before; the drain waits for it, and the daemon ends well."""
    async with grpc.aio.insecure_channel(daemon.address) as channel:
        agent = StreamAgent(channel, "a")
        await agent.connect()
        await DispatcherStub(channel).SubmitTask(dispatcher_pb2.SubmitTaskRequest(title="t"))
        lease = (await agent.until("leases")).leases.leases[0]
        about = {"task_id": lease.task_id, "lease_epoch": lease.lease_epoch}
        await agent.say(start=lease_pb2.StartWord(), **about)
        agent.stream.cancel()
        await daemon.logged("session_end")
        daemon.signal(signal.SIGTERM)
        await daemon.logged("draining")
        back = StreamAgent(channel, "a")
        welcome = await back.connect(lease_pb2.LeaseRef(**about))
        assert [ref.lease_epoch for ref in welcome.adopted] == [lease.lease_epoch]
        ack = await back.say(complete=lease_pb2.CompleteWord(), **about)
        assert ack.result == lease_pb2.REPORT_RESULT_ACCEPTED
        assert (await back.until("end")).end.reason == "DRAINING"
    assert await daemon.wait() == exit_codes.OK


async def test_a_second_signal_forces_the_end_and_the_lease_survives(daemon):
    """S1, D2: the run resumes on the same lease after the restart."""
    async with grpc.aio.insecure_channel(daemon.address) as channel:
        agent = StreamAgent(channel, "a")
        await agent.connect()
        await DispatcherStub(channel).SubmitTask(dispatcher_pb2.SubmitTaskRequest(title="t"))
        lease = (await agent.until("leases")).leases.leases[0]
        about = {"task_id": lease.task_id, "lease_epoch": lease.lease_epoch}
        await agent.say(start=lease_pb2.StartWord(), **about)
        daemon.signal(signal.SIGTERM)
        await agent.until("orders")
        daemon.signal(signal.SIGTERM)
        assert await daemon.wait() == exit_codes.OK
        assert (await daemon.logged("stopped"))["forced"] is True
    await daemon.start()
    async with grpc.aio.insecure_channel(daemon.address) as channel:
        agent = StreamAgent(channel, "a")
        welcome = await agent.connect(lease_pb2.LeaseRef(**about))
        assert [ref.lease_epoch for ref in welcome.adopted] == [lease.lease_epoch]
        ack = await agent.say(complete=lease_pb2.CompleteWord(), **about)
        assert ack.result == lease_pb2.REPORT_RESULT_ACCEPTED


async def test_a_frozen_agent_is_found_by_its_missed_heartbeats(tmp_path):
    """D2, T7: SIGSTOP leaves the connection up; only the heartbeats stop. Its task goes to another agent."""
    daemon = Daemon(tmp_path / "data", "agents.heartbeat_min=300ms")
    frozen = None
    try:
        await daemon.start()
        code = (
            "import sys\n"
            "from fleetd_client import Agent\n"
            f"agent = Agent('frozen', {daemon.address!r})\n"
            "@agent.handler\n"
            "def work(ctx):\n"
            "    print('running', flush=True)\n"
            "    import threading\n"
            "    threading.Event().wait()\n"
            "agent.run_sync()\n"
        )
        frozen = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        async with grpc.aio.insecure_channel(daemon.address) as channel:
            stub = DispatcherStub(channel)
            submitted = await stub.SubmitTask(dispatcher_pb2.SubmitTaskRequest(title="t"))
            assert await frozen.stdout.readline() == b"running\n"
            frozen.send_signal(signal.SIGSTOP)
            other = StreamAgent(channel, "other")
            await other.connect()
            lease = (await other.until("leases")).leases.leases[0]
            assert (lease.task_id, lease.lease_epoch) == (submitted.task.id, 2)
            task = await stub.GetTask(dispatcher_pb2.GetTaskRequest(task_id=lease.task_id))
            assert task.losses == 1
    finally:
        if frozen is not None:
            frozen.kill()
            await frozen.wait()
        await daemon.close()
