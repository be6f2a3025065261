"""The configuration as the rooms take it, and the parts that run beside the server."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from fleetd.bridges.webhook import WebhookOptions
from fleetd.clock import SystemClock
from fleetd.config import Config
from fleetd.core.breaker import BreakerKind
from fleetd.core.breaking import ForceBreaker, ResetBreakers
from fleetd.core.event import EventFilter, EventType
from fleetd.core.instance import Instance, InstanceState, ProbeKind
from fleetd.core.modes import Prefer
from fleetd.core.registration import PutInstances
from fleetd.core.settings import RouterRules, Rules
from fleetd.daemon import _Daemon, alert_hook, kept, probe_instances
from fleetd.engine.engine import Engine
from fleetd.engine.engine_options import EngineOptions
from fleetd.engine.retention import RetentionOptions
from fleetd.engine.route_ring import RouterOptions
from fleetd.mapping import engine_options, retention, router_rules, rules
from fleetd.probes.prober import ProbeOptions
from fleetd.rollout_file import RolloutFile
from fleetd.store.sqlite import SqliteStore
from tests.unit.bridges.test_webhook import Log, staged
from tests.unit.probes.server import http, serving


def test_what_is_kept_how_long_is_what_the_configuration_says():
    """D12."""
    kept_for = {"tasks": "1s", "dead_letters": "2s", "events": "3s", "audits": "4s", "interval": "5s"}
    config = Config.model_validate({"retention": kept_for})
    assert retention(config) == RetentionOptions(1_000, 2_000, 3_000, 4_000, 5_000)


def test_without_a_configuration_the_rooms_own_defaults_hold():
    """D12, R5, R6, F2."""
    assert retention(Config()) == RetentionOptions()
    assert rules(Config()) == Rules()
    assert engine_options(Config()) == EngineOptions()


def test_the_numbers_of_the_router_are_what_the_configuration_says():
    """R5, R6, F2, F3."""
    given = {
        "plan_max_age": "1s",
        "fallbacks": 4,
        "ladder_jitter": 0.5,
        "blocked_look": 7,
        "plans_kept": 8,
        "plans_for": "9s",
        "breaker_strikes": 6,
    }
    config = Config.model_validate({"router": given})
    found = router_rules(config)
    assert found == RouterRules(1_000, 4, 0.5, 7, found.breakers)
    assert found.breakers.strikes == 6
    assert rules(config).router == found
    assert engine_options(config).router == RouterOptions(8, 9_000)


def test_modes_are_decided_as_the_configuration_says():
    """M2."""
    found = rules(Config.model_validate({"modes": {"prefer": "least_loaded", "undecided_for": "0s"}}))
    assert (found.prefer, found.undecided_for) == (Prefer.LEAST_LOADED, 0)


async def test_the_side_port_takes_no_call_before_the_rollouts_of_environment_and_file_are_defined(
    tmp_path, monkeypatch
):
    """G4, S4: a mode decided before that would be another one."""
    heard = []

    class Seen(Exception): ...

    async def take(file: RolloutFile, reading: Any) -> None:
        address = (tmp_path / "web-listen").read_text().strip()
        async with httpx.AsyncClient() as client:
            paths = "/readyz", "/api/v1/runtime/fallback/status"
            heard.extend([(await client.get(f"http://{address}{path}")).status_code for path in paths])
        raise Seen

    monkeypatch.setattr(RolloutFile, "take", take)
    given = {
        "data": {"dir": str(tmp_path)},
        "rpc": {"listen": "127.0.0.1:0"},
        "web": {"listen": "127.0.0.1:0"},
    }
    with pytest.raises(Seen):
        await _Daemon(Config.model_validate(given), SystemClock(), Log()).run()
    assert heard == [503, 503]


async def test_a_part_that_breaks_is_logged_and_begins_again():
    """S7: tasks do not end for a defect in what runs beside them, and nobody is left in the dark about it."""
    log, again = Log(), asyncio.Event()

    async def part() -> None:
        if log.lines:
            again.set()
            await asyncio.Event().wait()
        raise ValueError("a defect")

    running = asyncio.create_task(kept("probes", part, log, pause=0))
    async with asyncio.timeout(60):
        await again.wait()
    ((event, fields),) = log.lines
    assert (event, fields["part"], str(fields["exc_info"])) == ("part_failed", "probes", "a defect")
    running.cancel()
    (end,) = await asyncio.gather(running, return_exceptions=True)
    assert isinstance(end, asyncio.CancelledError)


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    """An engine that runs by itself."""
    store = SqliteStore(":memory:")
    await store.open()
    engine = Engine(store, SystemClock(), Rules(), Log())
    await engine.recover()
    engine.start()
    yield engine
    await engine.stop()
    await store.close()


async def test_a_webhook_hears_of_a_breaker_that_opens_and_closes(engine):
    """F8: BREAKER_OPENED and BREAKER_CLOSED of a real engine, in the words of the template."""
    await engine.execute(PutInstances((Instance("openai:gpt", "openai"),)))
    async with staged() as stage:
        options = WebhookOptions(stage.receiver.url, template='{"text": "{kind} {name} {state}: {reason}"}')
        hook = asyncio.create_task(alert_hook(engine, options, stage.log).run())
        stage.runs.append(hook)
        await asyncio.sleep(0)
        await engine.execute(ForceBreaker(BreakerKind.PROVIDER, "openai", "maintenance", 60_000))
        await stage.receiver.until(1)
        await engine.execute(ResetBreakers())
        await stage.receiver.until(2)
        texts = [json.loads(body)["text"] for body in stage.receiver.bodies]
        assert texts[0] == "provider_breaker openai OPEN: forced open: maintenance"
        assert texts[1].startswith("provider_breaker openai CLOSED")


async def test_what_probes_find_out_reaches_the_engine(engine):
    """R1: a probe that succeeds makes an instance READY, durably; one without a probe is left alone."""
    async with serving(lambda _: http("200 OK", b'{"status": "ok"}')) as server:
        there = Instance("p:there", "p", probe=ProbeKind.HTTP, probe_url=f"{server.url}/health")
        await engine.execute(PutInstances((there, Instance("p:plain", "p"))))
        log = Log()
        subscription = engine.feed.subscribe(EventFilter(types=frozenset({EventType.INSTANCE_STATE})))
        assert engine.routes.outside.registry.condition("p:there").state is InstanceState.UNKNOWN
        probing = asyncio.create_task(probe_instances(engine, ProbeOptions(), log))
        async with asyncio.timeout(60):
            await subscription.ready()
        ((event,), _) = subscription.take()
        assert event.payload == {"instance": "p:there", "state": "READY", "reason": ""}
        assert engine.routes.outside.registry.condition("p:there").latency is not None
        probing.cancel()
        await asyncio.gather(probing, return_exceptions=True)
    assert log.lines == []
    stored = {each.instance.id: each.condition.state for each in (await engine.store.snapshot(0)).instances}
    assert stored == {"p:there": InstanceState.READY, "p:plain": InstanceState.READY}
