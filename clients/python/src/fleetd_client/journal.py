"""What one run tells while it works: its events on their way, so many at once and no more (G6)."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeAlias

from fleetd_client.effects import Heard
from fleetd_client.outcome import Cancelled
from fleetd_client.stubs import EventsWord, Lease, Report, TaskEvent
from fleetd_client.task_events import checked

Wake: TypeAlias = "Future[None]"

# Of one run, not yet stored. Several words' worth, so that the next one is filled while the daemon writes.
MOST_EVENTS = 2_000
MOST_BYTES = 4 * 1024 * 1024


class EventsRefused(Exception):
    """Raised by ctx.emit once after the daemon refused what was told before: `events` are not stored, everything else is."""

    def __init__(self, events: tuple[TaskEvent, ...], message: str) -> None:
        super().__init__(f"{len(events)} events refused: {message}")
        self.events = events


class Journal:
    """
    Events leave by `say`; how many are stored arrives through `heard`, the end of the run through `stop` and `close`: from the loop of the
    runs, while those who tell may be in any loop or thread.
    """

    def __init__(self, lease: Lease, say: Callable[[Report], None]) -> None:
        self._lease = lease
        self._say = say
        self._lock = threading.Lock()
        self._sizes: deque[int] = deque()
        self._bytes = 0
        self._waiting: list[Wake] = []
        self._refused: tuple[TaskEvent, ...] = ()
        self._why = ""
        self._stopped = self._closed = False

    async def tell(self, event: TaskEvent) -> None:
        """Send an event; waits while too many are under way."""
        size = checked(event)
        while (wake := self._take(event, size)) is not None:
            await asyncio.wrap_future(wake)

    def tell_sync(self, event: TaskEvent) -> None:
        """As tell, for a thread without a running loop."""
        size = checked(event)
        while (wake := self._take(event, size)) is not None:
            wake.result()

    def heard(self, heard: Heard) -> None:
        """So many of the oldest are stored, or refused."""
        with self._lock:
            for _ in range(min(heard.count, len(self._sizes))):
                self._bytes -= self._sizes.popleft()
            if heard.refused:
                self._refused += heard.refused
                self._why = heard.message
            self._wake()

    def stop(self) -> None:
        """The run shall stop: nobody waits any more, but what there is room for may still be told."""
        with self._lock:
            self._stopped = True
            self._wake()

    def close(self) -> None:
        """The run is over."""
        with self._lock:
            self._closed = True
            self._wake()

    def _take(self, event: TaskEvent, size: int) -> Wake | None:
        """Say the event; or the wake of the next moment to try."""
        with self._lock:
            if self._refused:
                events, self._refused = self._refused, ()
                raise EventsRefused(events, self._why)
            full = bool(self._sizes) and (len(self._sizes) >= MOST_EVENTS or self._bytes + size > MOST_BYTES)
            if self._closed or (full and self._stopped):
                raise Cancelled
            if full:
                wake: Wake = Future()
                self._waiting.append(wake)
                return wake
            self._sizes.append(size)
            self._bytes += size
            # Within the lock: they shall travel in the order in which they are counted.
            self._say(
                Report(
                    task_id=self._lease.task_id,
                    lease_epoch=self._lease.lease_epoch,
                    events=EventsWord(events=[event]),
                )
            )
            return None

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for wake in waiting:
            if wake.set_running_or_notify_cancel():
                wake.set_result(None)
