"""The server itself: address, health, stop."""

import socket

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fleet.v1 import dispatcher_pb2 as pb
from fleetd.api.table import SERVICES
from fleetd.rpc.health import HealthService
from fleetd.rpc.server import BindError, RpcOptions, RpcServer
from tests.integration.rpc.wire import until

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


def another(wire, listen):
    return RpcServer(RpcOptions(listen), wire.methods, wire.engine, HealthService(SERVICES), wire.log)


async def test_a_taken_port_is_refused(wire):
    """S1."""
    with pytest.raises(BindError, match=f"cannot listen on {wire.address}"):
        await another(wire, wire.address).start()


async def test_a_socket_of_a_dead_daemon_is_replaced_and_one_of_a_living_is_not(wire, tmp_path):
    """S6: who may open the socket may do everything, so only the owner may."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    server = another(wire, f"unix:{path}")
    assert await server.start() == f"unix:{path}"
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(BindError, match="another daemon listens there"):
        await another(wire, f"unix:{path}").start()
    await server.stop(0)


async def test_a_file_in_the_sockets_place_is_not_removed(wire, tmp_path):
    """S6."""
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(BindError, match="no socket"):
        await another(wire, f"unix:{path}").start()
    assert path.read_text() == "data"


async def test_health_is_told_per_service_and_watched(wire):
    """S1."""
    stub = health_pb2_grpc.HealthStub(wire.channel)
    for service in ("", *SERVICES):
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == SERVING
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Check(health_pb2.HealthCheckRequest(service="none"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    watching = stub.Watch(health_pb2.HealthCheckRequest(service="fleet.v1.Dispatcher"))
    assert (await watching.read()).status == SERVING
    wire.server.set_serving(serving=False)
    assert (await watching.read()).status == NOT_SERVING
    unknown = stub.Watch(health_pb2.HealthCheckRequest(service="none"))
    assert (await unknown.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    await wire.server.stop(60_000)
    assert await watching.read() is grpc.aio.EOF
    assert await watching.code() is grpc.StatusCode.OK


async def test_stop_returns_when_the_last_handler_is_done(wire):
    """S7: the store is closed after it."""
    task = await wire.submit()
    call = wire.dispatcher.WaitTask(pb.WaitTaskRequest(task_id=task.id))
    agent = await wire.agent()
    await until(lambda: wire.engine.feed._watches)
    await wire.server.stop(0)
    assert not wire.server._calls.running
    assert not wire.engine.feed._watches
    with pytest.raises(grpc.aio.AioRpcError):
        await call
    agent.call.cancel()
    await wire.server.stop(0)
