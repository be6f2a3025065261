"""
Task events as bytes for those who read them, put together without reading what is in them (spec G6).

Messages of protobuf may be concatenated: the bytes of one with some fields set and of another one with the others are those of the message that has all of them. So
what the daemon sets goes before the body of an event, which has none of it, and an answer is a row of such events. A body is not parsed for any watcher.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from fleet.v1 import dispatcher_pb2, task_event_pb2
from fleetd.api.convert_times import timestamp
from fleetd.core.task_event import TaskEvent

EVENTS_FIELD = b"\x0a"
"""Key of field 1 with a length: `events` of WatchTaskResponse and of ListTaskEventsResponse."""


def event_bytes(event: TaskEvent) -> bytes:
    """Return a fleet.v1.TaskEvent in bytes."""
    head = task_event_pb2.TaskEvent(
        task_id=event.task_id, seq=event.seq, position=event.position, lease_epoch=event.lease_epoch
    )
    if not event.named:
        head.id = f"{event.task_id}-{event.seq}"
    if not event.timed:
        head.timestamp.CopyFrom(timestamp(event.time))
    whole: bytes = head.SerializeToString() + event.body
    return whole


def events_field(events: Iterable[TaskEvent]) -> Iterator[bytes]:
    """Yield the parts of the bytes of `events` in an answer that holds them."""
    for event in events:
        whole = event_bytes(event)
        yield EVENTS_FIELD
        yield varint(len(whole))
        yield whole


def watch_bytes(events: Sequence[TaskEvent], resume: int) -> bytes:
    """Return a WatchTaskResponse with events in bytes."""
    tail: bytes = dispatcher_pb2.WatchTaskResponse(resume_from_seq=resume).SerializeToString()
    return b"".join((*events_field(events), tail))


def varint(number: int) -> bytes:
    """Return a number as protobuf writes it: seven bits in a byte, the low ones first."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)
