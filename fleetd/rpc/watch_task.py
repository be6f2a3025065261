"""WatchTask: what runs tell, from a seq on and then as it is stored; nothing is missed and nothing comes twice (spec G6)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from fleet.v1 import dispatcher_pb2 as pb
from fleetd.api.convert_enums import enum_out
from fleetd.api.envelopes import envelope
from fleetd.api.methods_task_events import TEXTS, TaskEventMethods, Watched, following, watch_in
from fleetd.api.task_event_bytes import watch_bytes
from fleetd.core.task import TERMINAL
from fleetd.core.task_event import TaskEvent
from fleetd.engine.engine import Engine
from fleetd.errors import Overloaded, Unavailable

PAGE = 1_000
"""Events of one message at most, and of one page read for a watcher that catches up."""
DELIVERY = 1 << 20
"""Bytes of the events of one message, at most, unless one event has more."""


class TaskWatch:
    """Serves watchers of task events."""

    def __init__(self, engine: Engine, methods: TaskEventMethods) -> None:
        self._engine = engine
        self._methods = methods

    async def messages(self, request: pb.WatchTaskRequest) -> AsyncGenerator[bytes, None]:
        """
        Yield messages in bytes until the task is terminal and all was sent, or the watcher or the daemon goes away.

        The subscription begins before the store is read, so the two overlap; what came both ways is dropped by its number. Raises Overloaded
        WATCHER_TOO_SLOW when the watcher did not keep up: what was not sent is read from the store when it comes back.
        """
        watched = watch_in(request)
        task_id, told = watched.task_id, watched.first
        most = TEXTS if watched.envelopes else DELIVERY
        subscription = self._engine.task_feed.subscribe(task_id)
        try:
            position = told if told >= 0 else await self._newest(task_id) + 1
            # The store tells whether a task is terminal: so it is asked at least once.
            behind = True
            while True:
                if behind:
                    page = await self._methods.page(task_id, position, PAGE, most)
                    position = following(page, task_id, position)
                    if page.events or position != told:
                        yield _message(page.events, position, watched)
                        told = position
                    if page.end and page.status in TERMINAL:
                        yield _last(position, int(page.status or 0))
                        return
                    behind = not page.end or not subscription.go_live()
                elif events := subscription.take(most, PAGE):
                    fresh = [event for event in events if _number(event, task_id) >= position]
                    if fresh:
                        position = told = _number(fresh[-1], task_id) + 1
                        yield _message(fresh, position, watched)
                elif subscription.cut:
                    raise _too_slow(position)
                elif subscription.ended:
                    # The store is asked: an operator can have put the task back meanwhile.
                    subscription.fall_back()
                    behind = True
                elif subscription.closed:
                    text = "the daemon is stopping; resume from the last resume_from_seq"
                    raise Unavailable("DRAINING", text)
                else:
                    await subscription.ready()
        finally:
            subscription.leave()

    async def _newest(self, task_id: str) -> int:
        """Return the seq of the newest event of a task, the position of the newest one of all."""
        if not task_id:
            return self._engine.task_feed.last
        return (await self._methods.page(task_id, 0, 1, 0)).last


def _too_slow(position: int) -> Overloaded:
    text = f"more happened than waits for one watcher; resume from {position}"
    return Overloaded("WATCHER_TOO_SLOW", text, 0, {"resume_from_seq": str(position)})


def _number(event: TaskEvent, task_id: str) -> int:
    return event.seq if task_id else event.position


def _message(events: Sequence[TaskEvent], resume: int, watched: Watched) -> bytes:
    if not watched.envelopes:
        return watch_bytes(events, resume)
    response = pb.WatchTaskResponse(envelopes=map(envelope, events), resume_from_seq=resume)
    data: bytes = response.SerializeToString()
    return data


def _last(resume: int, status: int) -> bytes:
    response = pb.WatchTaskResponse(resume_from_seq=resume, finished=enum_out(status))
    data: bytes = response.SerializeToString()
    return data
