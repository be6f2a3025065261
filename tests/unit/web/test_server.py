"""The server in the loop of its daemon."""

import asyncio
import signal
import socket

import httpx
import pytest

from fleetd.listening import BindError
from fleetd.web.server import WebOptions, WebServer


@pytest.fixture
async def server(wire):
    made = WebServer(WebOptions("127.0.0.1:0"), wire.app, wire.web, wire.log)
    yield made
    await made.stop(0)


async def test_it_leaves_signals_to_the_daemon(server):
    """S4: a server that took SIGTERM for itself would end the daemon without its drain."""
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    address = await server.start()
    async with httpx.AsyncClient(base_url=f"http://{address}") as client:
        assert (await client.get("/healthz")).json() == {"status": "alive"}
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


async def test_it_names_no_software_to_strangers(server):
    """S4"""
    async with httpx.AsyncClient(base_url=f"http://{await server.start()}") as client:
        assert "server" not in (await client.get("/healthz")).headers


async def test_what_it_is_stopped_before_it_started_is_no_matter(server):
    """S4: a daemon whose store cannot be opened stops what it has not begun."""
    await server.stop(0)


async def test_it_gives_calls_their_time_and_then_ends_them(server, wire):
    """S4"""
    async with httpx.AsyncClient(base_url=f"http://{await server.start()}") as client:
        body = {"agentId": "a", "wait": "60s"}
        call = asyncio.create_task(client.post("/fleet.v1.Dispatcher/ClaimTasks", json=body, timeout=60))
        async with asyncio.timeout(60):
            while not wire.web.boundary.running:
                await asyncio.wait({call}, timeout=0.01)
            await server.stop(1)
            assert (await call).status_code == 503


async def test_an_address_that_cannot_be_had_is_an_error_for_operators(wire, tmp_path):
    """S4"""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        (tmp_path / "file").touch()
        for listen in (
            f"127.0.0.1:{taken.getsockname()[1]}",
            "no.such.host.invalid:1",
            f"unix:{tmp_path}/file",
        ):
            with pytest.raises(BindError, match="cannot listen on"):
                await WebServer(WebOptions(listen), wire.app, wire.web, wire.log).start()


async def test_connections_beyond_the_limit_are_refused(wire):
    """S7"""
    server = WebServer(WebOptions("127.0.0.1:0", connections=1), wire.app, wire.web, wire.log)
    url = f"http://{await server.start()}"
    try:
        async with httpx.AsyncClient(base_url=url) as one, httpx.AsyncClient(base_url=url) as two:
            statuses = [(await client.get("/healthz")).status_code for client in (one, two)]
        assert statuses[1] == 503
    finally:
        await server.stop(0)


@pytest.mark.parametrize(
    "begun", [b"", b"GET /healthz HTTP/1.1\r\nHost: a\r\n"], ids=["nothing", "half a head"]
)
async def test_a_connection_on_which_no_request_comes_is_ended(wire, begun):
    """S7: some hundred of them would keep all others out for ever"""
    server = WebServer(WebOptions("127.0.0.1:0", idle=1), wire.app, wire.web, wire.log)
    host, port = (await server.start()).split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(begun)
        async with asyncio.timeout(20):
            assert await reader.read() == b""
    finally:
        writer.close()
        await writer.wait_closed()
        await server.stop(0)
