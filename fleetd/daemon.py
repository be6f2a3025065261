"""
The composition root: builds every room from the configuration, in order, and takes it down again.

Start: lock, side port (which says that it is not ready), store, recovery, environment, files of instances, hosts and rollouts, address, signal handlers, READY. Stop: drain (no new work,
results still taken), end what runs on hosts, end the streams, stop the server and what runs beside it, flush the engine, close the store. A second signal skips
the waiting. SIGHUP: read the files again.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import structlog

from fleetd import exit_codes, mapping
from fleetd.api.boundary import Boundary
from fleetd.api.limits import Limits
from fleetd.api.table import SERVICES, Method, method_table
from fleetd.bridges.comments import Comments
from fleetd.bridges.webhook import Webhook, WebhookOptions
from fleetd.clock import Clock, SystemClock
from fleetd.config import Config, ConfigError
from fleetd.core.host import Host
from fleetd.core.rollout import Origin
from fleetd.engine.engine import Engine
from fleetd.engine.log import Log
from fleetd.engine.retention import keep_sweeping
from fleetd.errors import WrongState
from fleetd.host_file import HostFile
from fleetd.hosts.absent import AbsentRunner
from fleetd.hosts.manager import HostManager, HostOptions
from fleetd.hosts.opening import runner_for
from fleetd.hosts.runner import Runner
from fleetd.instance_files import InstanceFiles
from fleetd.listening import BindError
from fleetd.obs.log import configure
from fleetd.probes.credentials import is_present
from fleetd.probes.prober import ProbeOptions, keep_probing
from fleetd.probes.rollout_prober import probe_rollouts
from fleetd.rollout_file import RolloutFile, define
from fleetd.router_files import Unusable
from fleetd.rpc.health import HealthService
from fleetd.rpc.server import RpcOptions, RpcServer
from fleetd.store.base import StoreBroken
from fleetd.store.lock import DataDirLock
from fleetd.store.sqlite import SqliteStore
from fleetd.web.app import application
from fleetd.web.port import Port, PortOptions
from fleetd.web.server import WebOptions, WebServer

DATABASE = "fleetd.db"
LISTEN_FILE = "listen"
WEB_LISTEN_FILE = "web-listen"
"""Files in the data directory that name the bound addresses while the daemon serves: with port 0 nobody could know them otherwise."""

RECONNECT_AFTER = 1_000
"""Milliseconds after which agents come back when the daemon stops: about what a restart takes."""

AGAIN = 10.0
"""Seconds after which a part that broke begins again: long enough that a defect does not fill the log."""

Part = Callable[[], Awaitable[None]]
"""What runs beside the server until it is cancelled."""


def serve(config: Config) -> int:
    """Run the daemon until it is told to stop. Returns an exit code (fleetd.exit_codes)."""
    configure(config.log.level, config.log.format)
    log = structlog.get_logger()
    lock = DataDirLock(config.data.dir)
    try:
        lock.acquire()
        return asyncio.run(_Daemon(config, SystemClock(), log).run())
    except StoreBroken as error:
        _complain(log, "store_unusable", error)
        return exit_codes.DATA_DIR
    except (ConfigError, Unusable) as error:
        _complain(log, "config_unusable", error)
        return exit_codes.USAGE
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
        self._engine = Engine(self._store, clock, mapping.rules(config), log, mapping.engine_options(config))
        self._files = InstanceFiles(
            self._engine,
            log,
            os.environ,
            providers=config.router.providers_file,
            failover=config.router.failover_file,
        )
        self._host_file = HostFile(self._engine, log, config.hosts.file)
        self._rollout_file = RolloutFile(self._engine, log, config.rollouts.file)
        self._chat = mapping.chat_rollout(os.environ)
        self._hosts: asyncio.Task[None] | None = None
        self._alerts = mapping.webhook_options(config)
        self._comments = mapping.comment_options(config)
        self._issues = mapping.issue_options(config, os.environ)
        self._port: Port | None = None
        self._web: WebServer | None = None
        self._version = metadata.version("fleetd")

    async def run(self) -> int:
        began = self._clock.now()
        # As soon as there is somebody to take it: by itself it would end the process.
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._read_again)
        bounds = mapping.limits(self._config)
        table = method_table(self._engine, bounds, self._version, lambda name: is_present(name, os.environ))
        self._web = self._side_port(table)
        try:
            await self._open_side_port()
            await self._store.open()
            await self._engine.recover()
            reading, hosts = await self._files.read(), await self._host_file.read()
            rollouts = await self._rollout_file.read()
            failure = self._engine.start()
            await self._files.take(reading)
            await self._host_file.take(hosts)
            await self._define_chat()
            await self._rollout_file.take(rollouts)
            if self._port is not None:
                self._port.held = False
            server = self._server(table, bounds)
            address = await server.start()
            try:
                return await self._serve(server, address, failure, began)
            finally:
                await server.stop(0)
        finally:
            await self._close_side_port(0)
            await self._engine.stop()
            await self._store.close()

    def _read_again(self) -> None:
        self._files.ask()
        self._host_file.ask()
        self._rollout_file.ask()

    async def _define_chat(self) -> None:
        """Make what the environment defines the rollouts of that origin; without any, what an earlier environment defined leaves."""
        found = () if self._chat is None else (self._chat,)
        if await define(self._engine, self._log, found, Origin.ENVIRONMENT):
            for each in found:
                self._log.info("rollout_from_environment", rollout=each.name, default_mode=each.default)

    def _server(self, table: Mapping[str, Method], bounds: Limits) -> RpcServer:
        rpc = self._config.rpc
        options = RpcOptions(rpc.listen, rpc.max_message_bytes, self._version, bounds)
        return RpcServer(options, table, self._engine, HealthService(SERVICES), self._log)

    def _side_port(self, table: Mapping[str, Method]) -> WebServer | None:
        config = self._config.web
        if not config.listen:
            return None
        options = PortOptions(config.max_body_bytes, config.body_timeout)
        port = self._port = Port(Boundary(self._engine, self._log), table, options)
        # Until the files are taken: a mode that was decided before that would not be the one they define.
        port.held = True
        app = application(port, self._config.rpc.max_message_bytes, self._issues, self._config.rollouts.chat)
        return WebServer(WebOptions(config.listen, config.max_connections), app, port, self._log)

    async def _open_side_port(self) -> None:
        """Listen before the store is open, so that whoever asks hears that the daemon is starting."""
        if self._web is not None:
            address = await self._web.start()
            _publish(self._config.data.dir / WEB_LISTEN_FILE, address)
            self._log.info("web_ready", address=address)

    async def _close_side_port(self, grace: int) -> None:
        if self._web is not None:
            await self._web.stop(grace)
            (self._config.data.dir / WEB_LISTEN_FILE).unlink(missing_ok=True)

    def _parts(self) -> dict[str, Part]:
        """Return what runs beside the server, by name."""
        engine, log = self._engine, self._log
        parts: dict[str, Part] = {
            "retention": partial(keep_sweeping, engine, mapping.retention(self._config), log),
            "files": self._files.keep_reading,
            "host file": self._host_file.keep_reading,
            "rollout file": self._rollout_file.keep_reading,
            "rollout probes": partial(
                probe_rollouts,
                engine.rollout_book.effective,
                engine.rollouts_changed,
                engine.rollouts,
                log,
                engine.clock,
            ),
            "probes": partial(probe_instances, engine, mapping.probe_options(self._config), log),
        }
        if self._alerts is not None:
            parts["alerts"] = alert_hook(engine, self._alerts, log).run
        if self._comments is not None:
            parts["comments"] = Comments(self._comments, engine, log).run
        return parts

    async def _serve(
        self, server: RpcServer, address: str, failure: asyncio.Future[BaseException], began: int
    ) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signals.put_nowait, number)
        _tune_collector()
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
            instances=len(self._engine.routes.outside.registry),
            hosts=len(self._engine.hosts.present),
            milliseconds=self._clock.now() - began,
        )
        hosts = host_manager(self._engine, self._config, os.environ, self._log)
        self._hosts = asyncio.create_task(kept("hosts", hosts.run, self._log), name="hosts")
        beside = [
            self._hosts,
            *(
                asyncio.create_task(kept(name, part, self._log), name=name)
                for name, part in self._parts().items()
            ),
        ]
        try:
            return await self._until_told(server, failure)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
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
        drained = await self._leave_hosts() or drained
        self._engine.sessions.end_all("DRAINING", "the daemon is stopping", RECONNECT_AFTER)
        grace = 0 if forced else config.grace
        await asyncio.gather(server.stop(grace), self._close_side_port(grace))
        self._log.info("stopped", drained=drained, forced=forced, leases=self._engine.live_leases)
        return exit_codes.OK if drained or forced else exit_codes.DRAIN_TIMEOUT

    async def _leave_hosts(self) -> bool:
        """End what still runs on hosts, and hand it back; tell whether nobody holds a lease then."""
        if self._hosts is not None:
            self._hosts.cancel()
            await asyncio.gather(self._hosts, return_exceptions=True)
        return not self._engine.live_leases


async def kept(name: str, part: Part, log: Log, pause: float = AGAIN) -> None:
    """Run a part until cancelled. When it breaks, that is logged with its traceback, and it begins again after `pause` seconds: tasks come first."""
    while True:
        try:
            await part()
        except Exception as error:
            log.error("part_failed", part=name, exc_info=error)  # noqa: TRY400 - said with its traceback
        await asyncio.sleep(pause)


async def probe_instances(engine: Engine, options: ProbeOptions, log: Log) -> None:
    """Probe the instances that are registered, until cancelled; what is found out goes to the engine."""
    await keep_probing(
        options,
        targets=lambda: tuple(engine.routes.outside.registry.index.instances.values()),
        condition=engine.instance_notes.condition,
        report=engine.instance_notes.note,
        credentials=lambda name: is_present(name, os.environ),
        clock=engine.clock,
        log=log,
    )


def host_manager(engine: Engine, config: Config, environ: Mapping[str, str], log: Log) -> HostManager:
    """Return what runs tasks on the hosts of an engine, from the configuration."""
    given = config.hosts

    def runner(host: Host) -> Runner:
        try:
            return runner_for(
                host,
                markers=given.markers,
                here=config.data.dir,
                environ=environ,
                clock=engine.clock,
                grace=given.grace,
            )
        except WrongState as error:
            log.error("host_unusable", host=host.id, message=error.message)  # noqa: TRY400 - for operators
            return AbsentRunner(error.message)

    options = HostOptions(given.check_every, given.failures_to_offline, given.grace)
    return HostManager(engine, options, runner, log)


def alert_hook(engine: Engine, options: WebhookOptions, log: Log) -> Webhook:
    """Return the webhook that follows an engine."""
    return Webhook(
        options, feed=engine.feed, dead_letters=engine.store.count_dead_letters, clock=engine.clock, log=log
    )


def _tune_collector() -> None:
    """
    Let the garbage collector look at new objects only, and not after every few hundred of them.

    What was built until now lives as long as the daemon. A batch of a thousand commands makes some ten thousand objects that reference
    counting frees; looking for cycles among them every 700 costs four to nine percent of the time of a batch (docs/decisions/0011).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _publish(file: Path, address: str) -> None:
    """Write the address so that a reader sees all of it or nothing."""
    fresh = file.with_suffix(".new")
    fresh.write_text(address + "\n")
    os.replace(fresh, file)  # noqa: PTH105 - the atomic call by its name
    sys.stderr.flush()
