"""All hosts: their runners and seats, and the checks that tell whether they are there (spec M5)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from fleetd.core.attendance import Unregister
from fleetd.core.failover import backoff
from fleetd.core.host import Host, HostState
from fleetd.core.hostbook import HostRow, host_of, seat_name
from fleetd.core.hosting import NoteHost
from fleetd.core.task import RetryPolicy
from fleetd.engine.engine import Engine
from fleetd.engine.log import Log
from fleetd.errors import FleetError
from fleetd.hosts.runner import Check, Problem, Runner
from fleetd.hosts.seat import HostSeat


@dataclass(frozen=True, slots=True)
class HostOptions:
    """
    `check_every`, `grace` (between TERM and KILL) and `hold_off` in ms; `failures`: checks in a row that fail before a host is OFFLINE.

    `hold_off`: a host that passes its checks and yet starts nothing gets no work for so long from the second time on, doubled each time up to `check_every`;
    else its tasks would be leased and handed back as fast as the two can talk.
    """

    check_every: int = 30_000
    failures: int = 2
    grace: int = 10_000
    hold_off: int = 1_000

    def held_off(self, misses: int) -> int:
        """Return the wait before the next check, ms, after so many times in a row in which nothing could be started."""
        policy = RetryPolicy(self.hold_off, 2.0, self.check_every, jitter=0.0)
        return backoff(policy, misses - 1, 0.0) if misses > 1 else 0


@dataclass(slots=True)
class _Station:
    """What the daemon keeps of one host; `misses`: checks in a row that went well and after which nothing could be started."""

    host: Host
    runner: Runner
    seats: list[HostSeat]
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    failures: int = 0
    misses: int = 0
    reachable: bool = False


class HostManager:
    """Keeps a station for every host that may get work, until cancelled."""

    def __init__(
        self, engine: Engine, options: HostOptions, make_runner: Callable[[Host], Runner], log: Log
    ) -> None:
        """Make a manager; `make_runner` gives the runner of a host, which connects when it is first used."""
        self._engine = engine
        self._options = options
        self._make_runner = make_runner
        self._log = log
        self._stations: dict[str, _Station] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Follow the hosts of the engine; at the end hand back what runs."""
        changed = self._engine.hosts_changed
        try:
            while True:
                changed.clear()
                await self._reconcile()
                await changed.wait()
        finally:
            for host_id in tuple(self._stations):
                self._leave(host_id)
            # Those too that were being closed: to end that in the middle would leave their commands alone.
            await asyncio.gather(*self._closing)

    async def _reconcile(self) -> None:
        wanted = {host_id: row for host_id, row in self._engine.hosts.present.items() if _may_work(row)}
        left = [
            host_id
            for host_id, station in self._stations.items()
            if host_id not in wanted or wanted[host_id].host != station.host
        ]
        # Together: each may take twice the grace until its last command is gone.
        closing = [self._leave(host_id) for host_id in left]
        if closing:
            await asyncio.wait(closing)
        for host_id, row in wanted.items():
            known = self._stations.get(host_id)
            if known is None:
                try:
                    runner = self._make_runner(row.host)
                except FleetError as error:
                    # It lacks something that a restart brings; the others work on.
                    await self._note(row, HostState.OFFLINE, error.message)
                    continue
                known = self._stations[host_id] = self._open(row.host, runner)
            self._set_online(known, row)
        await self._forget()

    async def _forget(self) -> None:
        """Take seats that no host has any more out of the list of agents."""
        wanted = {name for name, _, _ in self._engine.hosts.seats()}
        for name in [name for name in self._engine.agents if host_of(name) and name not in wanted]:
            with contextlib.suppress(FleetError):
                await self._engine.post_internal(Unregister(name))

    def _open(self, host: Host, runner: Runner) -> _Station:
        station = _Station(host, runner, [])
        for agent in host.agents:
            name = seat_name(host.id, agent.type)
            seat = HostSeat(
                self._engine,
                name,
                host,
                agent,
                runner,
                self._log,
                lambda works: self._used(station, works=works),
                self._options.grace,
            )
            station.seats.append(seat)
            station.tasks.append(asyncio.create_task(seat.run(), name=name))
        station.tasks.append(asyncio.create_task(self._check(station), name=f"checks of {host.id}"))
        return station

    def _leave(self, host_id: str) -> asyncio.Task[None]:
        closing = asyncio.create_task(self._close(self._stations.pop(host_id)), name=f"end of {host_id}")
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        return closing

    async def _close(self, station: _Station) -> None:
        for task in station.tasks:
            task.cancel()
        await asyncio.gather(*station.tasks, return_exceptions=True)
        await station.runner.close()

    async def _check(self, station: _Station) -> None:
        """Check a host now, then again and again; at once after a failure."""
        while True:
            station.wake.clear()
            await self._take(station, await self._ask(station))
            if station.failures and station.failures < self._options.failures:
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._options.check_every / 1_000):
                    await station.wake.wait()
            await asyncio.sleep(self._options.held_off(station.misses) / 1_000)

    async def _ask(self, station: _Station) -> Check:
        try:
            return await station.runner.check()
        except Exception as error:  # noqa: BLE001 - else nobody would look at the host again, nor say so
            self._log.error("host_check_broke", host=station.host.id, exc_info=error)
            return Check(ok=False, problem=Problem.UNUSABLE, detail="the check broke in the daemon")

    async def _take(self, station: _Station, check: Check) -> None:
        if check.ok:
            station.failures, state, reason = 0, HostState.ONLINE, ""
        else:
            station.failures += 1
            if station.failures < self._options.failures:
                return
            state, reason = HostState.OFFLINE, check.detail or check.problem.value
        station.reachable = check.ok
        row = self._engine.hosts.present.get(station.host.id)
        if row is None:
            return
        await self._note(row, state, reason)
        row = self._engine.hosts.present.get(station.host.id)
        if row is not None:
            self._set_online(station, row)

    async def _note(self, row: HostRow, state: HostState, reason: str) -> None:
        if (row.status.state, row.status.reason) != (state, reason):
            with contextlib.suppress(FleetError):
                await self._engine.post_internal(NoteHost(row.host.id, state, reason))

    def _used(self, station: _Station, *, works: bool) -> None:
        """A run was started there; or it could not be, or was lost: then no more work until a check went well."""
        if works:
            station.misses = 0
            return
        # What else was being started then is no further miss.
        station.misses += station.reachable
        station.reachable = False
        for seat in station.seats:
            seat.set_online(online=False)
        station.wake.set()

    def _set_online(self, station: _Station, row: HostRow) -> None:
        online = station.reachable and row.status.state is HostState.ONLINE
        for seat in station.seats:
            seat.set_online(online=online)


def _may_work(row: HostRow) -> bool:
    return row.host.enabled and row.status.state is not HostState.STOPPED
