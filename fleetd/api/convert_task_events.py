"""What runs tell: events of agents are checked, and put together again for those who read them (spec G6)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.unknown_fields import UnknownFieldSet

from fleet.v1 import lease_pb2, task_event_pb2
from fleetd.api.convert_times import FIRST, LAST, NANOS
from fleetd.api.validate import WORD, Fields
from fleetd.core.task_event import Told

EVENTS = 1_000
"""Events of one word."""
BYTES = 256 << 10
"""Bytes of one event."""
KNOWN = tuple(field.name for field in task_event_pb2.TaskEvent.DESCRIPTOR.oneofs_by_name["data"].fields)[:-1]
"""Types with a message of their own, named as their fields."""
UNNAMED = "unknown"
"""Type under which an event of a newer agent is exported."""
OTHER_TYPE = re.compile(r"[a-z][a-z0-9_]{0,63}")
STEP_STATUSES = {v.number: v.name for v in task_event_pb2.StepStatus.DESCRIPTOR.values if v.number}
CALL_STATUSES = {v.number: v.name for v in task_event_pb2.CallStatus.DESCRIPTOR.values if v.number}
SPAN = 315_576_000_000
"""Seconds of the longest Duration."""

Check = Callable[[str, Any, Fields], object]


def events_in(word: lease_pb2.EventsWord, fields: Fields) -> tuple[Told, ...]:
    """Return what a run told; every bad event is named by its path."""
    if not 1 <= word.first < 1 << 53:
        fields.refuse("events.first", "is required: the number of the first event within the lease, from 1")
    events = word.events
    if not 0 < len(events) <= EVENTS:
        fields.refuse("events", f"must have 1 to {EVENTS:,} entries, not {len(events):,}")
        return ()
    return tuple([_told(place, event, fields) for place, event in enumerate(events)])


def _told(place: int, event: task_event_pb2.TaskEvent, fields: Fields) -> Told:
    """Return one event without what the daemon sets."""
    kind = event.WhichOneof("data")
    if kind is None:
        # A type that this version does not know is an unknown field.
        if not len(UnknownFieldSet(event)):
            fields.refuse(f"events[{place}].data", f"is required, one of {', '.join(KNOWN)}, other")
    else:
        check = CHECKS.get(kind)
        if check is not None:
            check(f"events[{place}].{kind}", getattr(event, kind), fields)
    named = bool(event.id)
    if len(event.id) > WORD:
        fields.text(f"events[{place}].id", event.id, WORD)
    timed = event.HasField("timestamp")
    if timed:
        stamp = event.timestamp
        if not FIRST <= stamp.seconds <= LAST or not 0 <= stamp.nanos < NANOS:
            right = "must be a time from the year 1 to 9999 with nanos of 0 to 999,999,999"
            fields.refuse(f"events[{place}].timestamp", right)
    for name in ("task_id", "seq", "position", "lease_epoch"):
        event.ClearField(name)
    body = event.SerializeToString()
    if len(body) > BYTES:
        fields.refuse(f"events[{place}]", f"must have at most {BYTES:,} bytes, not {len(body):,}")
    return Told(body, named, timed)


def _error(path: str, data: task_event_pb2.ErrorEvent, fields: Fields) -> None:
    _required(path, "code", data.code, fields)


def _plan_step(path: str, data: task_event_pb2.PlanStepEvent, fields: Fields) -> None:
    _required(path, "step_id", data.step_id, fields)
    _status(path, data.status, STEP_STATUSES, fields)


def _skill(path: str, data: task_event_pb2.SkillEvent, fields: Fields) -> None:
    if not data.skill_id and not data.skill_name:
        fields.refuse(f"{path}.skill_id", "is required, or skill_name")
    _call(path, data, fields)


def _tool(path: str, data: task_event_pb2.ToolEvent, fields: Fields) -> None:
    _required(path, "tool_name", data.tool_name, fields)
    _call(path, data, fields)


def _call(path: str, data: Any, fields: Fields) -> None:
    _status(path, data.status, CALL_STATUSES, fields)
    if data.HasField("duration") and not _is_span(data.duration):
        fields.refuse(f"{path}.duration", "must be a duration that is not negative")


def _other(path: str, data: task_event_pb2.OtherEvent, fields: Fields) -> None:
    if not OTHER_TYPE.fullmatch(data.type):
        right = "must be 1 to 64 small letters, digits and _, beginning with a letter"
        fields.refuse(f"{path}.type", right)
    elif data.type in KNOWN or data.type == UNNAMED:
        fields.refuse(f"{path}.type", f"must be none of the known types, {', '.join(KNOWN)}, {UNNAMED}")


CHECKS: Mapping[str, Check] = {
    "error": _error,
    "plan_step": _plan_step,
    "skill_call": _skill,
    "skill_result": _skill,
    "mcp_call": _tool,
    "mcp_result": _tool,
    "tool_call": _tool,
    "tool_result": _tool,
    "other": _other,
}


def _required(path: str, name: str, value: str, fields: Fields) -> None:
    if not value:
        fields.refuse(f"{path}.{name}", "is required")


def _status(path: str, value: int, names: Mapping[int, str], fields: Fields) -> None:
    if value not in names:
        fields.known(f"{path}.status", value, names)


def _is_span(span: Duration) -> bool:
    return bool(0 <= span.seconds <= SPAN and 0 <= span.nanos < NANOS)
