"""Dispatcher: what happened."""

from __future__ import annotations

from fleet.v1 import dispatcher_pb2 as pb
from fleetd.api.calls import Call
from fleetd.api.convert_events import event_filter_in, event_out
from fleetd.api.limits import Limits
from fleetd.api.pages import fitting, page_size
from fleetd.api.validate import Fields
from fleetd.core.event import EventFilter
from fleetd.engine.engine import Engine
from fleetd.errors import OutOfRange

EXAMINED = 10_000
"""Events one page may look at: some tens of milliseconds of a reader's time."""
FAR = (1 << 63) - 1


class EventMethods:
    """The event log."""

    def __init__(self, engine: Engine, limits: Limits) -> None:
        self._engine = engine
        self._limits = limits

    async def list_events(self, request: pb.ListEventsRequest, call: Call) -> pb.ListEventsResponse:
        fields = Fields()
        after = fields.number("after_seq", request.after_seq, 0, FAR)
        wanted = event_filter_in(request.filter, fields)
        limit = page_size(request.page_size, 100, self._limits.page, fields)
        fields.check()
        await self.reachable(after)
        page = await self._engine.store.list_events(wanted, after, limit, EXAMINED)
        events = fitting(map(event_out, page.events), self._limits.delivery)
        if len(events) < len(page.events):
            return pb.ListEventsResponse(events=events, next_after_seq=events[-1].seq)
        return pb.ListEventsResponse(events=events, next_after_seq=page.position, end=page.end)

    async def reachable(self, after_seq: int) -> None:
        """
        Raise OutOfRange when the log does not hold that position: EVENTS_TRIMMED when events after it are gone, EVENTS_AHEAD when it was
        never reached, as after a restore: such a reader would wait in silence. 0 asks for whatever is left.
        """
        if after_seq <= 0:
            return
        if after_seq > self._engine.last_event_seq:
            await self._refuse_ahead(after_seq)
        oldest = await self._engine.store.oldest_event()
        if oldest and after_seq < oldest - 1:
            raise OutOfRange(
                "EVENTS_TRIMMED",
                f"events after {after_seq} are gone, the oldest one is {oldest}",
                {"oldest_seq": str(oldest)},
            )

    async def _refuse_ahead(self, after_seq: int) -> None:
        """Memory learns of a commit a moment after readers of the store can see it; so the store decides."""
        page = await self._engine.store.list_events(EventFilter(), after_seq - 1, 1, EXAMINED)
        if not page.events:
            last = self._engine.last_event_seq
            raise OutOfRange(
                "EVENTS_AHEAD",
                f"there is no event {after_seq} yet, the last one is {last}",
                {"last_seq": str(last)},
            )


def watch_in(request: pb.WatchEventsRequest) -> tuple[int, EventFilter]:
    """Return where to begin (-1: only new ones) and what is wanted. Raises InvalidArgument naming every bad field."""
    fields = Fields()
    after = fields.number("after_seq", request.after_seq, -1, FAR)
    wanted = event_filter_in(request.filter, fields)
    fields.check()
    return after, wanted
