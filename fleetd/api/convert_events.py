"""Events and their filters."""

from __future__ import annotations

from fleet.v1 import event_pb2
from fleetd.api.convert_enums import enum_out
from fleetd.api.convert_times import epoch, timestamp
from fleetd.api.validate import Fields
from fleetd.core.event import Event, EventFilter, EventType

TYPE_NAMES = {v.number: v.name for v in event_pb2.EventType.DESCRIPTOR.values if v.number}


def event_out(event: Event) -> event_pb2.Event:
    message = event_pb2.Event(
        seq=event.seq,
        task_seq=event.task_seq,
        time=timestamp(event.time),
        type=enum_out(event.type),
        task_id=event.task_id,
        agent_id=event.agent_id,
        org_id=event.org_id,
    )
    if event.payload:
        message.payload.update(dict(event.payload))
    return message


def event_filter_in(message: event_pb2.EventFilter, fields: Fields) -> EventFilter:
    """Return which events are wanted."""
    for place, kind in enumerate(message.types):
        fields.known(f"filter.types[{place}]", kind, TYPE_NAMES)
    return EventFilter(
        task_id=fields.task_id("filter.task_id", message.task_id, required=False),
        agent_id=fields.name("filter.agent_id", message.agent_id),
        org_id=fields.name("filter.org_id", message.org_id),
        types=frozenset(EventType(kind) for kind in message.types if kind in TYPE_NAMES),
        after=epoch(message.after, "filter.after", fields) if message.HasField("after") else 0,
        before=epoch(message.before, "filter.before", fields) if message.HasField("before") else 0,
    )
