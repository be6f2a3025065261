"""Messages as JSON: the names of proto JSON, every field present in the order of the API, whole numbers as such."""

from __future__ import annotations

import math
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict, SerializeToJsonError
from google.protobuf.struct_pb2 import Value

# Proto JSON writes them as strings for the sake of JavaScript; ours count events and bytes and stay far below 2^53.
WIDE = frozenset({FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64})
# Free JSON, whose numbers are all floats on the wire.
FREE = frozenset({"google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue"})


def record(message: Any) -> dict[str, Any]:
    """The JSON object of a message; unset messages and optional fields are absent, everything else is there with its default."""
    try:
        found: dict[str, Any] = MessageToDict(message, always_print_fields_with_no_presence=True)
    except SerializeToJsonError:
        whole = type(message)()
        whole.CopyFrom(message)
        _name_numbers(whole)
        found = MessageToDict(whole, always_print_fields_with_no_presence=True)
    return _shape(message.DESCRIPTOR, found)


def _name_numbers(message: Any) -> None:
    """Put the names that protobuf has for them in the place of numbers in free JSON that JSON does not know."""
    if isinstance(message, Value) and message.HasField("number_value"):
        if not math.isfinite(message.number_value):
            message.string_value = (
                "NaN"
                if math.isnan(message.number_value)
                else "Infinity"
                if message.number_value > 0
                else "-Infinity"
            )
        return
    for field, value in message.ListFields():
        kind = field.message_type
        if kind is None:
            continue
        if not field.is_repeated:
            _name_numbers(value)
            continue
        entry = kind.fields_by_name["value"].message_type if kind.GetOptions().map_entry else kind
        if entry is not None:
            for one in value.values() if entry is not kind else value:
                _name_numbers(one)


def _shape(descriptor: Any, found: dict[str, Any]) -> dict[str, Any]:
    return {
        field.json_name: _value(field, found[field.json_name])
        for field in descriptor.fields
        if field.json_name in found
    }


def _value(field: Any, value: Any) -> Any:
    kind = field.message_type
    if field.cpp_type in WIDE:
        return [int(one) for one in value] if isinstance(value, list) else int(value)
    if kind is None or kind.GetOptions().map_entry:
        return value
    if kind.full_name in FREE:
        return _whole(value)
    # The other well-known types are strings in JSON.
    if kind.full_name.startswith("google.protobuf."):
        return value
    return [_shape(kind, one) for one in value] if isinstance(value, list) else _shape(kind, value)


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_whole(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
