"""WatchEvents: the log from a position on, then every event as it happens; nothing is missed and nothing comes twice (spec T8)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from fleet.v1 import dispatcher_pb2 as pb
from fleetd.api.convert_events import event_out
from fleetd.api.convert_leases import split
from fleetd.api.methods_events import EXAMINED, EventMethods, watch_in
from fleetd.core.event import Event
from fleetd.engine.engine import Engine
from fleetd.engine.feed import Subscription
from fleetd.errors import Unavailable

PAGE = 500
"""Events of one page read for a watcher that catches up."""
DELIVERY = 3 << 20
"""Bytes of one message."""


class Watch:
    """Serves watchers; `stopping` ends them when the daemon goes down."""

    def __init__(self, engine: Engine, events: EventMethods, stopping: asyncio.Event) -> None:
        self._engine = engine
        self._events = events
        self._stopping = stopping

    async def events(self, request: pb.WatchEventsRequest) -> AsyncGenerator[pb.WatchEventsResponse, None]:
        """
        Yield messages until the watcher or the daemon goes away.

        The subscription begins before the log is read, so the two overlap; `position` drops what came by both ways. A watcher too slow for its
        subscription reads the log again from where it is.
        """
        after, wanted = watch_in(request)
        await self._events.reachable(after)
        subscription = self._engine.feed.subscribe(wanted)
        stop = asyncio.create_task(self._stopping.wait())
        try:
            position = self._engine.last_event_seq if after < 0 else after
            behind = after >= 0
            while True:
                if behind:
                    page = await self._engine.store.list_events(wanted, position, PAGE, EXAMINED)
                    if page.events or page.position > position:
                        for message in _messages(page.events, page.position):
                            yield message
                    position = max(position, page.position)
                    if not page.end:
                        continue
                else:
                    await self._ready(subscription, stop)
                events, behind = subscription.take()
                fresh = [] if behind else [event for event in events if event.seq > position]
                if fresh:
                    position = fresh[-1].seq
                    for message in _messages(fresh, position):
                        yield message
        finally:
            subscription.close()
            stop.cancel()

    async def _ready(self, subscription: Subscription, stop: asyncio.Task[bool]) -> None:
        ready = asyncio.create_task(subscription.ready())
        try:
            await asyncio.wait({ready, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        if stop.done():
            raise Unavailable("DRAINING", "the daemon is stopping; resume from the last resume_after_seq")


def _messages(events: Sequence[Event], position: int) -> list[pb.WatchEventsResponse]:
    """Return the events in messages of bounded size; the last one moves the watcher to `position`."""
    parts = list(split(map(event_out, events), DELIVERY)) or [[]]
    messages = [
        pb.WatchEventsResponse(events=part, resume_after_seq=part[-1].seq if part else position)
        for part in parts
    ]
    messages[-1].resume_after_seq = max(position, messages[-1].resume_after_seq)
    return messages
