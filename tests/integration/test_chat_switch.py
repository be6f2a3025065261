"""The chat switch of the predecessor end to end: a real daemon by its environment, a real service that is asked whether it is well, calls, HTTP, power cuts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from fleetd_client import FleetClient
from tests.integration.daemon import Daemon

OLD, NEW = "direct_llm", "runtime_orchestrator"
WEB = "/api/v1/runtime"


class Runtime:
    """The service of the new mode: answers GET /health, with 200 while it is well."""

    def __init__(self) -> None:
        self.well = True
        self.asked = asyncio.Event()
        self.url = ""
        self._server: asyncio.Server | None = None

    async def open(self) -> Runtime:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.url = f"http://{host}:{port}"
        return self

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"GET /health HTTP/1.1\r\n")
        status = b"200 OK" if self.well else b"503 Service Unavailable"
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()
        self.asked.set()


@pytest.fixture
async def runtime() -> AsyncIterator[Runtime]:
    runtime = await Runtime().open()
    yield runtime
    await runtime.close()


@pytest.fixture
async def daemon(tmp_path: Path, runtime: Runtime, monkeypatch) -> AsyncIterator[Daemon]:
    monkeypatch.setenv("CHAT_EXECUTION_MODE", OLD)
    monkeypatch.setenv("CHAT_RUNTIME_ENABLED_ORGS", " acme , globex ,")
    monkeypatch.setenv("RUNTIME_SERVICE_URL", runtime.url)
    daemon = await Daemon(tmp_path / "data", "web.listen=127.0.0.1:0").start()
    yield daemon
    await daemon.close()


async def test_the_switch_falls_back_stays_there_over_a_power_cut_and_is_reset_by_hand(daemon, runtime):
    """G1, G3, G4, G5, G8: stage 1 by environment alone; the bodies are those of the predecessor, key for key."""
    async with FleetClient(daemon.address) as client, _web(daemon) as web:
        await asyncio.wait_for(runtime.asked.wait(), 30)
        modes = [(await client.decide_mode("chat", org_id=org)).mode for org in ("acme", "globex", "other")]
        assert modes == [NEW, NEW, OLD]
        for number in range(10):
            choice = await client.decide_mode("chat", org_id="acme")
            code = "TIMEOUT" if number < 6 else ""
            await client.report_outcome(code=code, latency=2.0, rollout=choice.outcome())
        assert (await client.decide_mode("chat", org_id="acme")).mode == OLD
        reason = "error rate too high: 60.00% (threshold: 50.00%); timeout rate too high: 60.00% (threshold: 30.00%)"
        status = {"success": True, "data": {"fallbackEnabled": True, "fallbackReason": reason}}
        assert (await web.get(f"{WEB}/fallback/status")).json() == status
        assert (await web.get(f"{WEB}/metrics")).json() == {
            "success": True,
            "data": {
                "direct": _figures(),
                "runtime": _figures(
                    total=10,
                    success=4,
                    error=6,
                    timeout=6,
                    avgLatencyMs=2_000,
                    errorRate=0.6,
                    timeoutRate=0.6,
                ),
                "fallbackEnabled": True,
                "fallbackReason": reason,
            },
        }
        assert (await web.get(f"{WEB}/metrics/other")).json()["data"]["runtime"] == _figures()
        before = (await client.get_rollout("chat")).fallback
    await daemon.kill()
    await daemon.start()
    async with FleetClient(daemon.address) as client, _web(daemon) as web:
        assert (await web.get(f"{WEB}/fallback/status")).json() == status
        after = (await client.get_rollout("chat")).fallback
        assert (after.until, after.epoch, after.dwell) == (before.until, before.epoch, before.dwell)
        assert (await client.decide_mode("chat", org_id="acme")).cause == "AUTO_FALLBACK"
        free = {"success": True, "data": {"fallbackEnabled": False, "fallbackReason": ""}}
        assert (await web.post(f"{WEB}/fallback/reset")).json() == free
        assert (await client.decide_mode("chat", org_id="acme")).mode == NEW
        forced = await web.post(f"{WEB}/fallback/force", json={"reason": "a drill"})
        assert forced.json()["data"] == {"fallbackEnabled": True, "fallbackReason": "a drill"}
        assert (await client.decide_mode("chat", org_id="acme")).mode == OLD


async def test_a_switch_that_is_turned_back_starts_with_everything_in_the_old_mode(daemon, monkeypatch):
    """G4: whatever was learnt and stored before"""
    async with FleetClient(daemon.address) as client:
        assert (await client.decide_mode("chat", org_id="acme")).mode == NEW
    await daemon.kill()
    monkeypatch.setenv("CHAT_RUNTIME_ENABLED_ORGS", "")
    await daemon.start()
    async with FleetClient(daemon.address) as client:
        decisions = [await client.decide_mode("chat", org_id=f"org-{number}") for number in range(50)]
        decisions.append(await client.decide_mode("chat", org_id="acme"))
        assert {(one.mode, one.cause) for one in decisions} == {(OLD, "DEFAULT_MODE")}
        (shown,) = await client.list_rollouts()
        assert shown.rollout.origin == 3


async def test_a_runtime_that_is_not_well_is_left_after_three_probes(tmp_path, runtime):
    """G3, G8: the log says rollout_health_failed and rollout_fallback_on with the cause"""
    file = tmp_path / "rollouts.toml"
    file.write_text(
        f"""
        [[rollouts]]
        name = "chat"
        old_mode = {{name = "{OLD}"}}
        new_mode = {{name = "{NEW}"}}
        default_mode = "{NEW}"
        health_url = "{runtime.url}/health"
        fallback = {{probe_interval = "100ms"}}
        """
    )
    daemon = await Daemon(tmp_path / "data", f"rollouts.file={file}").start()
    try:
        await asyncio.wait_for(runtime.asked.wait(), 30)
        async with FleetClient(daemon.address) as client:
            assert (await client.decide_mode("chat")).mode == NEW
            runtime.well = False
            told = await daemon.logged("rollout_fallback_on", rollout="chat")
            assert told["cause"] == "health probe failed 3 times in a row: HTTP 503"
            failed = [line for line in daemon.log if line["event"] == "rollout_health_failed"]
            assert [line["in_a_row"] for line in failed[:3]] == [1, 2, 3]
            assert (await client.decide_mode("chat")).mode == OLD
    finally:
        await daemon.close()


def _web(daemon: Daemon) -> httpx.AsyncClient:
    address = (daemon.data_dir / "web-listen").read_text().strip()
    return httpx.AsyncClient(base_url=f"http://{address}", trust_env=False)


def _figures(**given: float) -> dict[str, float]:
    names = ("total", "success", "error", "timeout", "avgLatencyMs", "errorRate", "timeoutRate")
    return {name: given.get(name, 0) for name in names}
