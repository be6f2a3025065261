"""
The composition root: builds every room from the configuration, in order, and takes it down again.

Start: lock, store, recovery, address, signal handlers, READY. Stop: drain (no new work, results still taken), end the streams, stop the
server, flush the engine, close the store. A second signal skips the waiting.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import structlog

from fleetd import exit_codes
from fleetd.api.limits import Limits
from fleetd.api.table import SERVICES, method_table
from fleetd.bridges.webhook import WebhookOptions
from fleetd.clock import Clock, SystemClock
from fleetd.config import Config, alert_address
from fleetd.core.breaker import BreakerRules
from fleetd.core.probing import ProbeRules
from fleetd.core.settings import Rules
from fleetd.core.task import RetryPolicy
from fleetd.engine.engine import Engine, EngineOptions
from fleetd.engine.retention import RetentionOptions, keep_sweeping
from fleetd.obs.log import configure
from fleetd.probes.prober import ProbeOptions
from fleetd.rpc.health import HealthService
from fleetd.rpc.server import BindError, RpcOptions, RpcServer
from fleetd.store.base import StoreBroken
from fleetd.store.lock import DataDirLock
from fleetd.store.sqlite import SqliteStore

DATABASE = "fleetd.db"
LISTEN_FILE = "listen"
"""File in the data directory that names the bound address while the daemon serves: with port 0 nobody could know it otherwise."""

RECONNECT_AFTER = 1_000
"""Milliseconds after which agents come back when the daemon stops: about what a restart takes."""


def serve(config: Config) -> int:
    """Run the daemon until it is told to stop. Returns an exit code (fleetd.exit_codes)."""
    configure(config.log.level, config.log.format)
    log = structlog.get_logger()
    for key in without_effect(config):
        log.warning(
            "setting_without_effect", key=key, message="this version checks it and does not use it yet"
        )
    lock = DataDirLock(config.data.dir)
    try:
        lock.acquire()
        return asyncio.run(_Daemon(config, SystemClock(), log).run())
    except StoreBroken as error:
        _complain(log, "store_unusable", error)
        return exit_codes.DATA_DIR
    except BindError as error:
        _complain(log, "cannot_listen", error)
        return exit_codes.BIND
    except Exception as error:
        log.error("daemon_failed", exc_info=error)  # noqa: TRY400 - said with its traceback
        return exit_codes.UNEXPECTED
    finally:
        lock.release()


def _complain(log: Any, event: str, error: Exception) -> None:
    """Say what an operator must mend, without a traceback."""
    log.error(event, message=str(error))


class _Daemon:
    """One run of the daemon."""

    def __init__(self, config: Config, clock: Clock, log: Any) -> None:
        self._config = config
        self._clock = clock
        self._log = log
        self._signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
        self._store = SqliteStore(config.data.dir / DATABASE)
        self._engine = Engine(self._store, clock, rules(config), log, engine_options(config))
        self._version = metadata.version("fleetd")

    async def run(self) -> int:
        began = self._clock.now()
        try:
            await self._store.open()
            await self._engine.recover()
            server = self._server()
            address = await server.start()
            try:
                return await self._serve(server, address, began)
            finally:
                await server.stop(0)
        finally:
            await self._engine.stop()
            await self._store.close()

    def _server(self) -> RpcServer:
        config = self._config
        bounds = limits(config)
        options = RpcOptions(config.rpc.listen, config.rpc.max_message_bytes, self._version, bounds)
        table = method_table(self._engine, bounds, self._version)
        return RpcServer(options, table, self._engine, HealthService(SERVICES), self._log)

    async def _serve(self, server: RpcServer, address: str, began: int) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signals.put_nowait, number)
        _tune_collector()
        failure = self._engine.start()
        server.set_serving(serving=True)
        listen_file = self._config.data.dir / LISTEN_FILE
        _publish(listen_file, address)
        self._log.info(
            "ready",
            address=address,
            data=str(self._config.data.dir),
            version=self._version,
            generation=self._engine.generation,
            pending=sum(lane.count for lane in self._engine.lane_book.lanes()),
            milliseconds=self._clock.now() - began,
        )
        sweeping = asyncio.create_task(keep_sweeping(self._engine, retention(self._config), self._log))
        try:
            return await self._until_told(server, failure)
        finally:
            sweeping.cancel()
            await asyncio.gather(sweeping, return_exceptions=True)
            listen_file.unlink(missing_ok=True)
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    async def _until_told(self, server: RpcServer, failure: asyncio.Future[BaseException]) -> int:
        """Wait for a signal or the engine's failure; then go down in order."""
        told = asyncio.ensure_future(self._signals.get())
        either: set[asyncio.Future[Any]] = {told, failure}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not told.done():
            told.cancel()
            error = failure.result()
            self._log.error("engine_stopped", message=str(error))
            return exit_codes.STORE_UNCLEAR
        return await self._drain(server, told.result())

    async def _drain(self, server: RpcServer, number: signal.Signals) -> int:
        config = self._config.drain
        leases = self._engine.live_leases
        self._log.info(
            "draining", signal=number.name, leases=leases, deadline_ms=config.deadline if leases else 0
        )
        server.set_serving(serving=False)
        self._engine.drain()
        again = asyncio.ensure_future(self._signals.get())
        idle = asyncio.ensure_future(self._engine.idle())
        both: set[asyncio.Future[Any]] = {again, idle}
        await asyncio.wait(both, timeout=config.deadline / 1_000, return_when=asyncio.FIRST_COMPLETED)
        forced, drained = again.done(), idle.done()
        for future in both:
            future.cancel()
        await asyncio.gather(*both, return_exceptions=True)
        self._engine.sessions.end_all("DRAINING", "the daemon is stopping", RECONNECT_AFTER)
        await server.stop(0 if forced else config.grace)
        self._log.info("stopped", drained=drained, forced=forced, leases=self._engine.live_leases)
        return exit_codes.OK if drained or forced else exit_codes.DRAIN_TIMEOUT


def _tune_collector() -> None:
    """
    Let the garbage collector look at new objects only, and not after every few hundred of them.

    What was built until now lives as long as the daemon. A batch of a thousand commands makes some ten thousand objects that reference
    counting frees; looking for cycles among them every 700 costs four to nine percent of the time of a batch (docs/decisions/0011).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def rules(config: Config) -> Rules:
    """Return the rules' numbers from the configuration."""
    tasks, agents = config.tasks, config.agents
    return Rules(
        offer_timeout=tasks.offer_timeout,
        stop_grace=tasks.stop_grace,
        default_timeout=tasks.default_timeout,
        host_timeout=tasks.host_timeout,
        retry=retry_policy(config),
        heartbeat_min=agents.heartbeat_min,
        heartbeat_max=agents.heartbeat_max,
        agents_per_second=agents.agents_per_second,
        missed_heartbeats=agents.missed_heartbeats,
        error_after_failures=agents.error_after_failures,
        error_trial_after=agents.error_trial_after,
        ageing=config.queue.ageing,
        max_pending=config.queue.max_pending,
        replay_limit=config.dead_letters.replay_limit,
        auto_replay=config.dead_letters.auto_replay,
        auto_replay_after=config.dead_letters.auto_replay_after,
        auto_replay_max=config.dead_letters.auto_replay_max,
    )


def retry_policy(config: Config) -> RetryPolicy:
    """Return the policy of tasks that name none."""
    tasks = config.tasks
    return RetryPolicy(tasks.retry_initial, tasks.retry_multiplier, tasks.retry_max, tasks.retry_jitter)


def engine_options(config: Config) -> EngineOptions:
    """Return the engine's limits from the configuration."""
    return EngineOptions(
        queue_limit=config.engine.queue_limit,
        batch_limit=config.engine.batch_limit,
        outbox_limit=config.agents.outbox_limit,
    )


def retention(config: Config) -> RetentionOptions:
    """Return how long rows are kept from the configuration."""
    kept = config.retention
    return RetentionOptions(
        tasks=kept.tasks,
        dead_letters=kept.dead_letters,
        events=kept.events,
        audits=kept.audits,
        interval=kept.interval,
    )


def breaker_rules(config: Config) -> BreakerRules:
    """Return when breakers open from the configuration."""
    router = config.router
    return BreakerRules(
        strikes=router.breaker_strikes,
        open_for=router.breaker_open_for,
        auth_open_for=router.breaker_auth_open_for,
        window=router.breaker_window,
        window_calls=router.breaker_min_calls,
        window_ratio=router.breaker_ratio,
        probe_lease=router.probe_lease,
        per_attempt=router.breaker_per_attempt,
    )


def probe_options(config: Config) -> ProbeOptions:
    """Return how instances are probed from the configuration."""
    probes = config.probes
    rules = ProbeRules(failures_to_error=probes.failures_to_error, slow=probes.slow, weight=probes.ewma)
    return ProbeOptions(probes.interval, probes.jitter, probes.timeout, probes.concurrency, rules)


def webhook_options(config: Config) -> WebhookOptions | None:
    """Return where alerts go from the configuration; None when nowhere. Raises ConfigError."""
    alerts = config.alerts
    url = alert_address(config)
    if not url:
        return None
    return WebhookOptions(
        url=url,
        template=alerts.template,
        content_type=alerts.content_type,
        dead_letters_above=alerts.dead_letters_above,
        timeout=alerts.timeout,
        attempts=alerts.attempts,
        queue=alerts.queue,
    )


def without_effect(config: Config) -> list[str]:
    """Return the keys that are set for what this version does not do yet: route, and tell a webhook."""
    set_now = {
        "router.providers_file": config.router.providers_file,
        "router.failover_file": config.router.failover_file,
        "alerts.url": config.alerts.url,
        "alerts.url_file": config.alerts.url_file,
    }
    return [key for key, value in set_now.items() if value]


def limits(config: Config) -> Limits:
    """Return the limits of requests from the configuration."""
    tasks = config.tasks
    return Limits(
        input=tasks.input_max_bytes,
        message=config.rpc.max_message_bytes,
        title=tasks.title_max_chars,
        description=tasks.description_max_chars,
        batch=tasks.batch_max,
        tags=tasks.tags_max,
        labels=tasks.labels_max,
        default_max_attempts=tasks.max_attempts,
        retry=retry_policy(config),
    )


def _publish(file: Path, address: str) -> None:
    """Write the address so that a reader sees all of it or nothing."""
    fresh = file.with_suffix(".new")
    fresh.write_text(address + "\n")
    os.replace(fresh, file)  # noqa: PTH105 - the atomic call by its name
    sys.stderr.flush()
