"""Dispatcher: what runs tell (spec G6)."""

from __future__ import annotations

from typing import NamedTuple

from fleet.v1 import dispatcher_pb2 as pb
from fleetd.api.calls import Call
from fleetd.api.envelopes import envelope
from fleetd.api.limits import Limits
from fleetd.api.pages import page_size
from fleetd.api.task_event_bytes import events_bytes
from fleetd.api.validate import Fields
from fleetd.core.task_event import TaskEventPage
from fleetd.engine.engine import Engine
from fleetd.errors import NotFound, OutOfRange

FAR = (1 << 63) - 1
TEXTS = 512 << 10
"""Bytes of the events of one answer in JSON, which can need six bytes for one."""


class Watched(NamedTuple):
    """What a watcher asked for: a task or "" for all, the first seq (position) or -1 for new ones alone, and whether as JSON texts."""

    task_id: str
    first: int
    envelopes: bool


class TaskEventMethods:
    """What runs tell, page by page."""

    def __init__(self, engine: Engine, limits: Limits) -> None:
        self._engine = engine
        self._limits = limits

    async def list_task_events(
        self, request: pb.ListTaskEventsRequest, call: Call
    ) -> pb.ListTaskEventsResponse:
        fields = Fields()
        task_id = fields.task_id("task_id", request.task_id, required=False)
        first = fields.number("from_seq", request.from_seq, 0, FAR)
        limit = page_size(request.page_size, 100, self._limits.page, fields)
        fields.check()
        page = await self.page(task_id, first, limit, TEXTS if request.envelopes else self._limits.delivery)
        events = page.events
        response = pb.ListTaskEventsResponse(next_from_seq=following(page, task_id, first), end=page.end)
        if request.envelopes:
            response.envelopes.extend(map(envelope, events))
        else:
            response.MergeFromString(events_bytes(events))
        return response

    async def page(self, task_id: str, first: int, limit: int, most: int) -> TaskEventPage:
        """
        Return events of a task from a seq on, of all tasks ("") from a position on; 0 asks for whatever is left. At most `limit` of at most `most` bytes.

        Raises:
            NotFound: there is no such task.
            OutOfRange: EVENTS_TRIMMED, the first one wanted is gone; EVENTS_AHEAD, it is not the next one to come either, as after a restore.
        """
        page = await self._engine.store.list_task_events(task_id, first, limit, most)
        if page is None:
            raise NotFound("TASK_NOT_FOUND", f"there is no task {task_id!r}", {"task_id": task_id})
        if 0 < first < page.oldest:
            raise OutOfRange(
                "EVENTS_TRIMMED",
                f"task event {first} is gone, the oldest one is {page.oldest}",
                {"oldest_seq": str(page.oldest)},
            )
        if first > page.last + 1:
            raise OutOfRange(
                "EVENTS_AHEAD",
                f"there is no task event {first} yet, the last one is {page.last}",
                {"last_seq": str(page.last)},
            )
        return page


def following(page: TaskEventPage, task_id: str, first: int) -> int:
    """Return the seq (of all tasks: position) to go on from after a page."""
    if page.events:
        newest = page.events[-1]
        return (newest.seq if task_id else newest.position) + 1
    # Whatever there was is gone.
    return max(first, page.last + 1)


def watch_in(request: pb.WatchTaskRequest) -> Watched:
    """Return what is to be watched. Raises InvalidArgument naming every bad field."""
    fields = Fields()
    task_id = fields.task_id("task_id", request.task_id, required=False)
    first = fields.number("from_seq", request.from_seq, -1, FAR)
    fields.check()
    return Watched(task_id, first, request.envelopes)
