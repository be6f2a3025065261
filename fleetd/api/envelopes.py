"""
Task events as JSON texts: {"event", "data": {"id", "type", "data", "timestamp"}} (spec G6, docs/task-events.md).

The types that readers knew before have their name outside, all others are "message" there.
"""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value

from fleet.v1 import task_event_pb2
from fleetd.api.convert_task_events import UNNAMED
from fleetd.api.task_event_bytes import event_bytes
from fleetd.core.task_event import TaskEvent

OUTSIDE = frozenset({"message", "error", "done", "heartbeat"})
"""Types that are the name of the outer event as well."""
MESSAGE = "message"
WHOLE = 1 << 53
"""Beyond it not every whole number is a double."""


def envelope(event: TaskEvent) -> str:
    """Return the JSON text of an event."""
    message = task_event_pb2.TaskEvent.FromString(event_bytes(event))
    kind = message.WhichOneof("data")
    if kind is None:
        name, data = UNNAMED, {"bytes": b64encode(event.body).decode()}
    elif kind == "other":
        name, data = message.other.type, _struct(message.other.data)
    else:
        name, data = kind, _data(getattr(message, kind))
    inner = {"id": message.id, "type": name, "data": data, "timestamp": message.timestamp.ToJsonString()}
    outer = {"event": name if kind in OUTSIDE else MESSAGE, "data": inner}
    return json.dumps(outer, ensure_ascii=False, separators=(",", ":"))


def _data(message: Message) -> dict[str, Any]:
    """Return the fields that are set, by their camelCase names."""
    return {field.json_name: _field(field, value) for field, value in message.ListFields()}


def _field(field: FieldDescriptor, value: Any) -> Any:
    kind = field.message_type
    if kind is not None:
        return SHAPES[kind.full_name](value)
    if field.enum_type is not None:
        return STATUSES[field.enum_type.full_name][value]
    return value


def _names(kind: Any) -> Mapping[int, str]:
    prefix = kind.DESCRIPTOR.values[0].name.removesuffix("UNSPECIFIED")
    return {value.number: value.name.removeprefix(prefix).lower() for value in kind.DESCRIPTOR.values}


STATUSES = {
    kind.DESCRIPTOR.full_name: _names(kind) for kind in (task_event_pb2.StepStatus, task_event_pb2.CallStatus)
}


def _milliseconds(span: Duration) -> int | float | str:
    return _number(span.seconds * 1_000 + span.nanos / 1_000_000)


def _struct(struct: Struct) -> dict[str, Any]:
    return {key: _value(value) for key, value in struct.fields.items()}


def _value(value: Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "number_value":
        return _number(value.number_value)
    if kind == "struct_value":
        return _struct(value.struct_value)
    if kind == "list_value":
        return [_value(one) for one in value.list_value.values]
    return None if kind in (None, "null_value") else getattr(value, kind)


def _number(number: float) -> int | float | str:
    """Return a whole number without a point; what is no number in JSON has the name that protobuf gives it there."""
    if math.isfinite(number):
        return int(number) if abs(number) < WHOLE and number == int(number) else number
    return name_of(number)


def name_of(number: float) -> str:
    """Return the name that protobuf gives in JSON to what is no number there."""
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


SHAPES: Mapping[str, Callable[[Any], Any]] = {
    "google.protobuf.Struct": _struct,
    "google.protobuf.Value": _value,
    "google.protobuf.Duration": _milliseconds,
}
