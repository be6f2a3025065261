"""Who wants to know: watchers of events and waiters for tasks. Nothing here is polled, and a slow watcher costs a bounded buffer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence

from fleetd.core.event import Event, EventFilter

BUFFER = 4_096
"""Events kept for one watcher before it must catch up from the store: about a second of a busy daemon."""


class Subscription:
    """Live events of one watcher, in order."""

    def __init__(self, feed: Feed, wanted: EventFilter) -> None:
        self.wanted = wanted
        self._feed = feed
        self._events: deque[Event] = deque()
        self._overflowed = False
        self._event = asyncio.Event()

    def push(self, event: Event) -> None:
        if self._overflowed:
            return
        if len(self._events) >= BUFFER:
            self._overflowed = True
            self._events.clear()
        else:
            self._events.append(event)
        self._event.set()

    async def ready(self) -> None:
        """Wait until there are events, or the buffer overflowed."""
        await self._event.wait()

    def take(self) -> tuple[list[Event], bool]:
        """Return what came; the flag tells that events were dropped: read on from the store."""
        self._event.clear()
        events, overflowed = list(self._events), self._overflowed
        self._events.clear()
        self._overflowed = False
        return events, overflowed

    def close(self) -> None:
        self._feed.drop(self)


class TaskWatch:
    """Tells which of some tasks became terminal."""

    def __init__(self, feed: Feed, task_ids: Sequence[str]) -> None:
        self.task_ids = tuple(dict.fromkeys(task_ids))
        self._feed = feed
        self._done: deque[str] = deque()
        self._event = asyncio.Event()

    def push(self, task_id: str) -> None:
        self._done.append(task_id)
        self._event.set()

    async def next(self) -> str:
        """Wait for the next task that becomes terminal; return its id."""
        while not self._done:
            self._event.clear()
            await self._event.wait()
        return self._done.popleft()

    def close(self) -> None:
        self._feed.drop_watch(self)


class Feed:
    """Distributes what a commit brought."""

    def __init__(self) -> None:
        self._all: dict[int, Subscription] = {}
        self._by_task: dict[str, dict[int, Subscription]] = {}
        self._watches: dict[str, dict[int, TaskWatch]] = {}

    def subscribe(self, wanted: EventFilter) -> Subscription:
        """Begin to collect live events that match."""
        subscription = Subscription(self, wanted)
        home = self._by_task.setdefault(wanted.task_id, {}) if wanted.task_id else self._all
        home[id(subscription)] = subscription
        return subscription

    def drop(self, subscription: Subscription) -> None:
        task_id = subscription.wanted.task_id
        home = self._by_task.get(task_id, {}) if task_id else self._all
        home.pop(id(subscription), None)
        if task_id and not home:
            self._by_task.pop(task_id, None)

    def watch_tasks(self, task_ids: Sequence[str]) -> TaskWatch:
        """Begin to note which of the tasks become terminal."""
        watch = TaskWatch(self, task_ids)
        for task_id in watch.task_ids:
            self._watches.setdefault(task_id, {})[id(watch)] = watch
        return watch

    def drop_watch(self, watch: TaskWatch) -> None:
        for task_id in watch.task_ids:
            home = self._watches.get(task_id)
            if home is not None:
                home.pop(id(watch), None)
                if not home:
                    del self._watches[task_id]

    def publish(self, events: Iterable[Event]) -> None:
        """Hand committed events to those who want them."""
        if not self._all and not self._by_task:
            return
        for event in events:
            for subscription in self._all.values():
                if subscription.wanted.matches(event):
                    subscription.push(event)
            for subscription in self._by_task.get(event.task_id, {}).values():
                if subscription.wanted.matches(event):
                    subscription.push(event)

    def finished(self, task_id: str) -> None:
        """Tell those who wait that the task is terminal."""
        for watch in self._watches.get(task_id, {}).values():
            watch.push(task_id)
