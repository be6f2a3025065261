"""What agents tell about their tasks, read a page at a time or as it comes (G6): where a reader stands, and how it goes on after a break."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, closing
from typing import Any, Generic, TypeVar

from fleetd_client import methods as m
from fleetd_client import stubs as s
from fleetd_client.backoff import Backoff
from fleetd_client.errors import FleetError, Overloaded, Unavailable
from fleetd_client.plan import Page, Plan, ask
from fleetd_client.words import name

T = TypeVar("T")

# As that of events.
LONGEST_WAIT = 5.0
TOO_SLOW = "WATCHER_TOO_SLOW"


def task_event_page(
    position: Any, task_id: str = "", *, from_seq: int = 0, page_size: int = 1_000
) -> Plan[Page[s.TaskEvent]]:
    """
    What agents told about a task, from a seq on, up to the present end; without a task about all of them, from a position on. OutOfRange
    (EVENTS_TRIMMED) when the log no longer reaches back so far.
    """
    response = yield from _page(position, task_id, from_seq, page_size, envelopes=False)
    return Page(response.events, None if response.end else response.next_from_seq)


def task_envelope_page(
    position: Any, task_id: str = "", *, from_seq: int = 0, page_size: int = 1_000
) -> Plan[Page[str]]:
    """As list_task_events, each event as the JSON that web pages are sent: {"event": ..., "data": {"id": ..., "type": ..., ...}}."""
    response = yield from _page(position, task_id, from_seq, page_size, envelopes=True)
    return Page(response.envelopes, None if response.end else response.next_from_seq)


def _page(
    position: Any, task_id: str, from_seq: int, page_size: int, *, envelopes: bool
) -> Plan[s.ListTaskEventsResponse]:
    request = s.ListTaskEventsRequest(
        task_id=task_id,
        from_seq=from_seq if position is None else position,
        page_size=page_size,
        envelopes=envelopes,
    )
    return (yield from ask(m.LIST_TASK_EVENTS, request))


class Place(Generic[T]):
    """Where a watcher stands. What was taken and not yet handed on waits in `left`, so that a reader who stops in the middle may come back."""

    def __init__(
        self, task_id: str, from_seq: int, *, envelopes: bool, backoff: Backoff | None = None
    ) -> None:
        self.finished = 0  # the task's status, once it is terminal and all was taken
        self.left: deque[T] = deque()
        self._task_id = task_id
        self._next = from_seq
        self._envelopes = envelopes
        self._backoff = backoff or Backoff(cap=LONGEST_WAIT)

    def over(self) -> bool:
        """Whether everything was handed on, and no more will come."""
        return bool(self.finished) and not self.left

    def request(self) -> s.WatchTaskRequest:
        return s.WatchTaskRequest(task_id=self._task_id, from_seq=self._next, envelopes=self._envelopes)

    def take(self, message: s.WatchTaskResponse) -> None:
        self._backoff.reset()
        if self._envelopes:
            self.left.extend(message.envelopes)
        else:
            # One that came before is not wanted twice, whatever the daemon thinks of where this watcher stands.
            self.left.extend(one for one in message.events if self._number(one) >= self._next)
        self._next = max(self._next, message.resume_from_seq)
        self.finished = message.finished

    def wait_after(self, error: FleetError | None) -> float:
        """Seconds until the next try after an error, or after a stream that just ended; raises what another try cannot mend."""
        if error is None or isinstance(error, Unavailable):
            return self._backoff.next(None if error is None else error.retry_after)
        if error.reason == TOO_SLOW:
            # What came before the error is taken; only who has had nothing depends on what the daemon says.
            resume = error.metadata.get("resume_from_seq", "")
            if self._next < 0 and resume.isdecimal():
                self._next = int(resume)
            return self._backoff.next(error.retry_after)
        if isinstance(error, Overloaded) and error.retry_after is not None:
            return self._backoff.next(error.retry_after)
        raise error

    def _number(self, event: s.TaskEvent) -> int:
        return event.seq if self._task_id else event.position


class Watching(Generic[T]):
    """What both kinds of streams tell."""

    def __init__(self, task_id: str, from_seq: int, *, envelopes: bool) -> None:
        self._place: Place[T] = Place(task_id, from_seq, envelopes=envelopes)

    @property
    def finished(self) -> str:
        """How the task ended, for instance COMPLETED, once everything it told was read; empty before."""
        return name(s.TaskStatus, "TASK_STATUS", self._place.finished) if self._place.over() else ""


class TaskStream(Watching[T]):
    """
    What `FleetClient.watch_task` returns: `async for event in stream`, as often as you like; each time it goes on where the last one
    stopped. It ends when the task has ended; then `finished` says how.
    """

    def __init__(
        self,
        task_id: str,
        from_seq: int,
        messages: Callable[[s.WatchTaskRequest], AsyncIterator[Any]],
        sleep: Callable[[float], Awaitable[None]],
        *,
        envelopes: bool,
    ) -> None:
        super().__init__(task_id, from_seq, envelopes=envelopes)
        self._messages = messages
        self._sleep = sleep

    async def __aiter__(self) -> AsyncIterator[T]:
        place = self._place
        while True:
            while place.left:
                yield place.left.popleft()
            if place.over():
                return
            error = None
            try:
                async with aclosing(self._messages(place.request())) as messages:  # type: ignore[type-var]
                    async for message in messages:
                        place.take(message)
                        while place.left:
                            yield place.left.popleft()
                        if place.over():
                            return
            except FleetError as raised:
                error = raised
            await self._sleep(place.wait_after(error))


class TaskStreamSync(Watching[T]):
    """What `FleetClientSync.watch_task` returns; as TaskStream, with plain `for`."""

    def __init__(
        self,
        task_id: str,
        from_seq: int,
        messages: Callable[[s.WatchTaskRequest], Iterator[Any]],
        sleep: Callable[[float], None] = time.sleep,
        *,
        envelopes: bool,
    ) -> None:
        super().__init__(task_id, from_seq, envelopes=envelopes)
        self._messages = messages
        self._sleep = sleep

    def __iter__(self) -> Iterator[T]:
        place = self._place
        while True:
            while place.left:
                yield place.left.popleft()
            if place.over():
                return
            error = None
            try:
                with closing(self._messages(place.request())) as messages:  # type: ignore[type-var]
                    for message in messages:
                        place.take(message)
                        while place.left:
                            yield place.left.popleft()
                        if place.over():
                            return
            except FleetError as raised:
                error = raised
            self._sleep(place.wait_after(error))
