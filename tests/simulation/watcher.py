"""Somebody who watches all events, over every restart of the daemon, and must miss none and see none twice (T8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleetd.core.event import EventFilter
from fleetd.engine.feed import Subscription

if TYPE_CHECKING:
    from tests.simulation.daemon import Daemon
    from tests.simulation.world import World

EVERYTHING = EventFilter()
PAGE = 10_000


class Watcher:
    """Subscribes first and reads the log then, as every watcher does; `position` is the last event it saw."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._position = 0
        self._subscription: Subscription | None = None

    async def connect(self, daemon: Daemon) -> None:
        self._subscription = daemon.engine.feed.subscribe(EVERYTHING)
        await self._catch_up()

    async def look(self) -> None:
        """Take what came."""
        if self._subscription is None or not self._subscription._event.is_set():
            return
        events, overflowed = self._subscription.take()
        if overflowed:
            await self._catch_up()
        for event in events:
            if event.seq > self._position:
                self._see(event.seq)

    async def _catch_up(self) -> None:
        page = await self._world.store.list_events(EVERYTHING, self._position, PAGE, PAGE)
        for event in page.events:
            self._see(event.seq)

    def _see(self, seq: int) -> None:
        if seq != self._position + 1:
            self._world.checker.violated(f"a watcher at event {self._position} was shown event {seq}")
        self._position = seq

    def check(self, last: int) -> None:
        """At the end it must have seen everything."""
        if self._position != last:
            self._world.checker.violated(f"a watcher saw {self._position} of {last} events")
