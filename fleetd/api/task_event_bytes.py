"""
Task events as bytes for those who read them, put together without reading what is in them (spec G6).

Messages of protobuf may be concatenated: the bytes of one with some fields set and of another one with the others are those of the message that has all of them. So
what the daemon sets goes before the body of an event, which has none of it, and an answer is a row of such events. A body is not parsed for any watcher, and
its event is put together once for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from fleet.v1 import dispatcher_pb2, task_event_pb2
from fleetd.api.convert_times import timestamp
from fleetd.core.task_event import TaskEvent

EVENTS = b"\x0a"
"""Key of field 1 with a length: `events` of WatchTaskResponse and of ListTaskEventsResponse."""


def event_bytes(event: TaskEvent) -> bytes:
    """Return a fleet.v1.TaskEvent in bytes."""
    head = task_event_pb2.TaskEvent(seq=event.seq, position=event.position)
    if not event.named:
        head.id = f"{event.task_id}-{event.seq}"
    of_all = _of_all(event.task_id, event.lease_epoch, 0 if event.timed else event.time)
    whole: bytes = of_all + head.SerializeToString() + event.body
    return whole


@lru_cache(maxsize=1_024)
def _of_all(task_id: str, lease_epoch: int, time: int) -> bytes:
    """Return what all events of a word have in common; those of one word are given out one after the other. `time` 0: each has its own."""
    head = task_event_pb2.TaskEvent(task_id=task_id, lease_epoch=lease_epoch)
    if time:
        head.timestamp.CopyFrom(timestamp(time))
    data: bytes = head.SerializeToString()
    return data


def events_bytes(events: Iterable[TaskEvent]) -> bytes:
    """Return an answer in bytes that has these `events` and nothing else."""
    return b"".join([event.sent or _entry(event) for event in events])


def _entry(event: TaskEvent) -> bytes:
    """Return the bytes of one entry of `events`, and keep them with the event: whoever watches gets the same."""
    whole = event_bytes(event)
    event.sent = EVENTS + varint(len(whole)) + whole
    return event.sent


def watch_bytes(events: Iterable[TaskEvent], resume: int) -> bytes:
    """Return a WatchTaskResponse with events in bytes."""
    tail: bytes = dispatcher_pb2.WatchTaskResponse(resume_from_seq=resume).SerializeToString()
    return events_bytes(events) + tail


def varint(number: int) -> bytes:
    """Return a number as protobuf writes it: seven bits in a byte, the low ones first."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)
