"""Instances in a real daemon: its files at the start and on SIGHUP, and real servers that are probed."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from fleet.v1 import dispatcher_pb2, event_pb2, instance_pb2, router_pb2
from fleet.v1.dispatcher_pb2_grpc import DispatcherStub
from fleet.v1.router_pb2_grpc import RouterStub
from fleetd import exit_codes
from fleetd.core.instance import Condition, Instance, InstanceState
from fleetd.store.sqlite import SqliteStore
from tests.integration.daemon import START_LIMIT, Daemon
from tests.integration.test_daemon import fleetd
from tests.unit.bridges.test_webhook import Receiver
from tests.unit.probes.server import free_port, http, serving

Make = Callable[..., Daemon]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Make daemons on the same data that do not outlive the test."""
    made: list[Daemon] = []

    def one(*settings: str) -> Daemon:
        made.append(Daemon(tmp_path / "data", *settings))
        return made[-1]

    yield one
    for daemon in made:
        await daemon.close()


def write(file: Path, *rows: Any) -> None:
    """Write providers.json as an editor does it: all at once."""
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps({"providers": [{"provider_id": "p", "instances": list(rows)}]}))
    fresh.replace(file)


async def stored(data_dir: Path) -> dict[str, tuple[Instance, Condition]]:
    """Return the instances in the database of a daemon that has stopped."""
    store = SqliteStore(data_dir / "fleetd.db")
    await store.open()
    found = (await store.snapshot(0)).instances
    await store.close()
    return {each.instance.id: (each.instance, each.condition) for each in found}


class Watcher:
    """Reads INSTANCE_STATE events from the first one on, as they happen."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        wanted = event_pb2.EventFilter(types=[event_pb2.EVENT_TYPE_INSTANCE_STATE])
        self._call = DispatcherStub(channel).WatchEvents(dispatcher_pb2.WatchEventsRequest(filter=wanted))
        self.seen: list[tuple[str, str]] = []

    async def until(self, instance: str, state: str) -> None:
        """Read until the instance comes into that state."""
        async with asyncio.timeout(START_LIMIT):
            while True:
                message = await self._call.read()
                assert message is not grpc.aio.EOF
                came = [(event.payload["instance"], event.payload["state"]) for event in message.events]
                self.seen += came
                if (instance, state) in came:
                    return

    def of(self, instance: str) -> list[str]:
        return [state for name, state in self.seen if name == instance]


async def test_it_starts_with_the_instances_of_its_files_and_tells_the_bad_rows(make, tmp_path):
    """R1, F1: a bad row keeps nothing else out."""
    file, failover = tmp_path / "providers.json", tmp_path / "failover.json"
    write(file, {"id": "a", "ctx": 8_192}, {"id": "bad", "ctx": -1}, {"id": "b"})
    failover.write_text(json.dumps([{"name": "p:b", "priority": 1}, {"name": "p:c"}]))
    daemon = make(f"router.providers_file={file}", f"router.failover_file={failover}")
    await daemon.start()
    loaded = await daemon.logged("files_loaded")
    assert (loaded["loaded"], loaded["removed"], loaded["problems"]) == (2, 0, 2)
    told = [line for line in daemon.log if line["event"] == "row_skipped"]
    assert [line["row"] for line in told] == [f"{file}: p:bad", f"{failover}: p:c"]
    assert "ctx" in told[0]["problem"]
    assert "the nearest is" in told[1]["problem"]
    assert (await daemon.logged("ready"))["instances"] == 2
    assert await daemon.stop() == exit_codes.OK
    found = await stored(daemon.data_dir)
    assert {name: (each.ctx, each.priority, each.source) for name, (each, _) in found.items()} == {
        "p:a": (8_192, 100, "file"),
        "p:b": (0, 1, "file"),
    }
    assert {condition.state for _, condition in found.values()} == {InstanceState.READY}


async def test_a_daemon_without_files_forgets_the_instances_of_earlier_ones(make, tmp_path):
    """R1: what the configuration names no longer is not routed to."""
    file = tmp_path / "providers.json"
    write(file, {"id": "a"})
    first = make(f"router.providers_file={file}")
    await first.start()
    await first.stop()
    second = make()
    await second.start()
    assert (await second.logged("files_loaded"))["removed"] == 1
    assert (await second.logged("ready"))["instances"] == 0
    await second.stop()
    assert await stored(second.data_dir) == {}


@pytest.mark.parametrize(
    ("setting", "content", "said"),
    [
        ("router.providers_file", "[]", "must be an object with a list"),
        ("router.providers_file", None, "cannot be read"),
        ("router.failover_file", "{", "must be JSON"),
        ("alerts.url_file", "no address", "should hold one http or https URL"),
        ("alerts.url_file", None, "cannot be read"),
    ],
)
async def test_a_file_that_is_unusable_keeps_the_daemon_from_starting(tmp_path, setting, content, said):
    """R1, F8: the exit code of a bad configuration, and what is to be mended; no traceback."""
    file = tmp_path / "file"
    if content is not None:
        file.write_text(content)
    data = str(tmp_path / "data")
    code, text = await fleetd(
        "serve", "--listen", "127.0.0.1:0", "--data-dir", data, "--set", f"{setting}={file}"
    )
    assert code == exit_codes.USAGE
    assert str(file) in text
    assert said in text
    assert "Traceback" not in text


async def test_a_hangup_adds_changes_and_removes_and_a_broken_file_keeps_what_there_is(make, tmp_path):
    """R1: SIGHUP."""
    file = tmp_path / "providers.json"
    write(file, {"id": "stays"}, {"id": "changes", "ctx": 1_000}, {"id": "goes"})
    daemon = make(f"router.providers_file={file}")
    await daemon.start()

    write(file, {"id": "stays"}, {"id": "changes", "ctx": 2_000}, {"id": "comes"}, 5)
    daemon.signal(signal.SIGHUP)
    line = await daemon.logged("files_reloaded")
    assert (line["loaded"], line["removed"], line["problems"]) == (3, 1, 1)

    file.write_text('{"providers": [')
    daemon.signal(signal.SIGHUP)
    error = await daemon.logged("files_unusable")
    assert error["level"] == "error"
    assert str(file) in error["message"]
    assert "what was loaded before holds" in error["message"]

    file.unlink()
    daemon.signal(signal.SIGHUP)
    await daemon.logged("files_unusable", 2)
    await daemon.stop()
    found = await stored(daemon.data_dir)
    assert {name: each.ctx for name, (each, _) in found.items()} == {
        "p:stays": 0,
        "p:changes": 2_000,
        "p:comes": 0,
    }


async def test_a_hangup_without_files_is_a_line_of_the_log(daemon):
    """R1: a daemon that is told to read again what it does not have goes on."""
    daemon.signal(signal.SIGHUP)
    await daemon.logged("no_files")
    daemon.signal(signal.SIGHUP)
    await daemon.logged("no_files", 2)
    assert await daemon.stop() == exit_codes.OK


async def test_an_instance_is_what_probes_of_its_server_say(make, tmp_path):
    """R1: READY, DISCONNECTED when nobody listens, READY again; an instance without a probe is READY from the start."""
    port = await free_port()
    file = tmp_path / "providers.json"
    write(file, {"id": "real", "probe_url": f"http://127.0.0.1:{port}/health"}, {"id": "plain"})
    daemon = make(f"router.providers_file={file}", "probes.interval=100ms")

    def well(_: bytes) -> bytes:
        return http("200 OK", b'{"status": "ok"}')

    async with serving(well, port=port):
        await daemon.start()
        async with grpc.aio.insecure_channel(daemon.address) as channel:
            watcher = Watcher(channel)
            await watcher.until("p:real", "READY")
            assert watcher.of("p:real") == ["UNKNOWN", "READY"]
            assert watcher.of("p:plain") == ["READY"]
    async with grpc.aio.insecure_channel(daemon.address) as channel:
        watcher = Watcher(channel)
        await watcher.until("p:real", "DISCONNECTED")
        async with serving(well, port=port):
            seen = len(watcher.of("p:real"))
            await watcher.until("p:real", "READY")
            assert watcher.of("p:real")[seen:] == ["READY"]
            assert watcher.of("p:plain") == ["READY"]
            assert await daemon.stop() == exit_codes.OK
    assert not [line for line in daemon.log if line["level"] == "error"]
    assert {name: condition.state for name, (_, condition) in (await stored(daemon.data_dir)).items()} == {
        "p:real": InstanceState.READY,
        "p:plain": InstanceState.READY,
    }


async def test_a_missing_credential_is_seen_at_once_and_when_it_comes(make, tmp_path, monkeypatch):
    """R1: the secret itself is nowhere: not in the log, not in the database."""
    monkeypatch.setenv("SOME_API_KEY", "s3cr3t-of-the-test")
    file, token = tmp_path / "providers.json", tmp_path / "token"
    write(
        file,
        {"id": "set", "credential": "env:SOME_API_KEY"},
        {"id": "unset", "credential": "env:NO_SUCH_KEY"},
        {"id": "late", "credential": f"file:{token}"},
    )
    daemon = make(f"router.providers_file={file}")
    await daemon.start()
    await daemon.stop()
    found = await stored(daemon.data_dir)
    assert {name: condition.credentials for name, (_, condition) in found.items()} == {
        "p:set": True,
        "p:unset": False,
        "p:late": False,
    }
    token.write_text("x")
    await daemon.start()
    await daemon.stop()
    assert (await stored(daemon.data_dir))["p:late"][1].credentials
    assert "s3cr3t" not in str(daemon.log)
    assert b"s3cr3t" not in (daemon.data_dir / "fleetd.db").read_bytes()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A chat's server, whose address holds a token."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/bot123:t0ken/sendMessage"
    yield receiver
    server.close()
    await server.wait_closed()


async def test_a_webhook_hears_of_a_breaker_that_an_operator_opens_and_resets(make, tmp_path, receiver):
    """F8: the address stands in a file and in no log."""
    file, address = tmp_path / "providers.json", tmp_path / "address"
    write(file, {"id": "a"})
    address.write_text(receiver.url + "\n")
    daemon = make(f"router.providers_file={file}", f"alerts.url_file={address}")
    await daemon.start()
    async with grpc.aio.insecure_channel(daemon.address) as channel:
        stub = RouterStub(channel)
        about = {"kind": instance_pb2.BREAKER_KIND_PROVIDER, "name": "p", "reason": "maintenance"}
        await stub.ForceBreaker(router_pb2.ForceBreakerRequest(**about))
        await receiver.until(1)
        await stub.ResetBreakers(router_pb2.ResetBreakersRequest(**about))
        await receiver.until(2)
    texts = [json.loads(body)["text"] for body in receiver.bodies]
    assert texts[0].startswith("fleetd: provider_breaker p OPEN (forced open: maintenance) at 20")
    assert texts[1].startswith("fleetd: provider_breaker p CLOSED")
    await daemon.logged("alert_sent", 2)
    assert await daemon.stop() == exit_codes.OK
    assert "t0ken" not in str(daemon.log)


async def test_a_webhook_hears_of_dead_letters_above_the_threshold(make, receiver):
    """F8."""
    daemon = make(f"alerts.url={receiver.url}", "alerts.dead_letters_above=1")
    await daemon.start()
    async with grpc.aio.insecure_channel(daemon.address) as channel:
        stub = DispatcherStub(channel)
        for _ in range(2):
            request = dispatcher_pb2.SubmitTaskRequest(title="t")
            request.schedule_to_start.FromMilliseconds(1)
            await stub.SubmitTask(request)
        await receiver.until(1)
    text = json.loads(receiver.bodies[0])["text"]
    assert text.startswith("fleetd: dead_letters dead letters ABOVE (more than 1 dead letter)")
