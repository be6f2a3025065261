"""Probes of the new modes of rollouts in the background (spec G3): a GET of each health address in its rollout's rhythm; nothing waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import httpx

from fleetd.clock import Clock
from fleetd.core.rollout import Rollout
from fleetd.engine.log import Log
from fleetd.probes.asker import HEADERS

BODY = 64 << 10
"""Bytes of an answer that are read: the status alone counts, and a body without an end must not hold a probe up."""

Target = tuple[str, int, int]
"""Address, interval and timeout of a probe, ms."""
Ask = Callable[[str, int], Awaitable[str]]
"""Asks an address, with so many ms for all of it; returns what is wrong, "" when all is well."""
Sleep = Callable[[float], Awaitable[object]]


class Listener(Protocol):
    """Takes what probes find out."""

    def note_health(self, name: str, *, well: bool, detail: str = "") -> None: ...

    def forget_health(self, name: str) -> None: ...


class RolloutProber:
    """Keeps asking the health address of every rollout that has one."""

    def __init__(
        self,
        rollouts: Callable[[], Mapping[str, Rollout]],
        changed: asyncio.Event,
        listener: Listener,
        log: Log,
        *,
        ask: Ask,
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """`rollouts` returns those that are defined now, `changed` is set when that has changed; `sleep` takes seconds."""
        self._clock = clock
        self._rollouts = rollouts
        self._changed = changed
        self._listener = listener
        self._log = log
        self._ask = ask
        self._sleep = sleep
        self._running: dict[str, tuple[Target, asyncio.Task[None]]] = {}

    async def run(self) -> None:
        """Follow the definitions until cancelled; then no probe is left."""
        try:
            while True:
                self._changed.clear()
                self._follow()
                await self._changed.wait()
        finally:
            tasks = [task for _, task in self._running.values()]
            self._running.clear()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _follow(self) -> None:
        wanted = {
            name: (rollout.health_url, rollout.fallback.probe_interval, rollout.fallback.probe_timeout)
            for name, rollout in self._rollouts().items()
            if rollout.health_url
        }
        for name, (target, task) in list(self._running.items()):
            if wanted.get(name) != target:
                task.cancel()
                del self._running[name]
                if name not in wanted or wanted[name][0] != target[0]:
                    self._listener.forget_health(name)
        for name, target in wanted.items():
            if name not in self._running:
                task = asyncio.create_task(self._keep_asking(name, target), name=f"health of {name}")
                self._running[name] = target, task

    async def _keep_asking(self, name: str, target: Target) -> None:
        url, interval, timeout = target
        while True:
            began = self._clock.now()
            try:
                problem = await self._ask(url, timeout)
            except Exception as error:  # noqa: BLE001 - whatever a server does to the client, its service is not well
                self._log.error("probe_broke", rollout=name, exc_info=error)
                problem = f"the probe broke: {type(error).__name__}"
            self._listener.note_health(name, well=not problem, detail=problem)
            # The rhythm is that of the questions: one that gets no answer in time must not keep the next one waiting.
            await self._sleep(max(0, interval - (self._clock.now() - began)) / 1_000)


class HealthAsker:
    """Makes the probes: a GET that is well with a status of 200 to 299. Every probe has a connection of its own."""

    def __init__(self) -> None:
        self._client = httpx.AsyncClient(
            headers=HEADERS,
            timeout=None,  # noqa: S113 - the whole probe has one, below
            trust_env=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def ask(self, url: str, timeout: int) -> str:
        """Return what is wrong, "" when all is well; `timeout` ms for the whole probe."""
        try:
            async with asyncio.timeout(timeout / 1_000), self._client.stream("GET", url) as response:
                size = 0
                async for part in response.aiter_raw():
                    size += len(part)
                    if size > BODY:
                        break
        except TimeoutError:
            return f"no answer within {timeout:,} ms"
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            return f"{type(error).__name__}: {error}"[:200]
        return "" if response.is_success else f"HTTP {response.status_code}"


async def probe_rollouts(
    rollouts: Callable[[], Mapping[str, Rollout]],
    changed: asyncio.Event,
    listener: Listener,
    log: Log,
    clock: Clock,
) -> None:
    """Probe until cancelled; the arguments are those of RolloutProber."""
    asker = HealthAsker()
    try:
        await RolloutProber(rollouts, changed, listener, log, ask=asker.ask, clock=clock).run()
    finally:
        await asker.close()
