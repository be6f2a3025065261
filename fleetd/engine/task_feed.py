"""Who wants to know what runs tell, as it is stored (spec G6). A watcher that does not keep up is cut; it costs a bounded buffer until then."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from fleetd.core.task_event import TaskEvent

EVENTS = 16_384
"""Events that wait for one watcher, at most: more than a second of all that a busy daemon takes, so that a pause of a reader's collector is no reason to cut it."""
BYTES = 8 << 20
"""Bytes that wait for one watcher, at most: 512 for each of those events, and no more than one message may have. The bytes are shared by all watchers of an event."""


class TaskSubscription:
    """
    Events for one watcher, in order.

    While it catches up from the store, events that find no room are dropped, for they are there as well; `go_live` tells of it. While live it is `cut` instead.
    `ended` tells that its task may be terminal, `closed` that the daemon stops.
    """

    def __init__(self, feed: TaskFeed, task_id: str) -> None:
        self.task_id = task_id
        self.live = False
        self.cut = False
        self.ended = False
        self.closed = False
        self._feed = feed
        self._events: deque[TaskEvent] = deque()
        self._size = 0
        self._dropped = False
        self._event = asyncio.Event()

    def push(self, event: TaskEvent) -> None:
        if self.cut or self._dropped:
            return
        size = self._size + len(event.body)
        if len(self._events) >= EVENTS or (size > BYTES and self._events):
            self.cut = self.live
            self._dropped = not self.live
            self._events.clear()
            self._size = 0
        else:
            self._events.append(event)
            self._size = size
        self._event.set()

    def end(self) -> None:
        """Note that the task became terminal."""
        self.ended = True
        self._event.set()

    def close(self) -> None:
        """Note that the daemon stops."""
        self.closed = True
        self._event.set()

    def go_live(self) -> bool:
        """The store was read to its end: from now on nothing may be dropped. False when something was dropped meanwhile: read on in the store first."""
        if self._dropped:
            self._dropped = False
            return False
        self.live = True
        return True

    def fall_back(self) -> None:
        """Read on in the store: it tells what became of the task."""
        self.live = self.ended = False

    async def ready(self) -> None:
        """Wait until there is something to take, or something to be told."""
        await self._event.wait()

    def take(self, most: int, limit: int = EVENTS) -> list[TaskEvent]:
        """Return the next events, up to `limit` of together at most `most` bytes, at least one if there is one; the others stay, and count."""
        events, size = self._events, 0
        found: list[TaskEvent] = []
        while events:
            size += len(events[0].body)
            if found and (size > most or len(found) >= limit):
                break
            found.append(events.popleft())
        self._size -= sum(len(event.body) for event in found)
        if not events:
            self._event.clear()
        return found

    def leave(self) -> None:
        """Want nothing any more."""
        self._feed.drop(self)


class TaskFeed:
    """Distributes task events that a commit brought."""

    def __init__(self) -> None:
        self.last = 0
        """Position of the newest event that was distributed."""
        self._closed = False
        self._all: dict[int, TaskSubscription] = {}
        self._by_task: dict[str, dict[int, TaskSubscription]] = {}

    def subscribe(self, task_id: str) -> TaskSubscription:
        """Begin to collect events of a task, or of all tasks ("")."""
        subscription = TaskSubscription(self, task_id)
        home = self._by_task.setdefault(task_id, {}) if task_id else self._all
        home[id(subscription)] = subscription
        if self._closed:
            subscription.close()
        return subscription

    def drop(self, subscription: TaskSubscription) -> None:
        task_id = subscription.task_id
        home = self._by_task.get(task_id, {}) if task_id else self._all
        home.pop(id(subscription), None)
        if task_id and not home:
            self._by_task.pop(task_id, None)

    def publish(self, events: Iterable[TaskEvent]) -> None:
        """Hand committed events to those who want them."""
        everything, by_task = tuple(self._all.values()), self._by_task
        for event in events:
            self.last = event.position
            for subscription in everything:
                subscription.push(event)
            home = by_task.get(event.task_id)
            if home is not None:
                for subscription in home.values():
                    subscription.push(event)

    def ended(self, task_id: str) -> None:
        """Tell the watchers of a task that it became terminal."""
        for subscription in self._by_task.get(task_id, {}).values():
            subscription.end()

    def close(self) -> None:
        """The daemon stops: let every watcher go."""
        self._closed = True
        for home in (self._all, *self._by_task.values()):
            for subscription in home.values():
                subscription.close()
