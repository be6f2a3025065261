"""Messages as JSON: the names of proto JSON, every field present, and 64-bit integers as numbers."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict

# Proto JSON writes them as strings for the sake of JavaScript; ours count events and bytes and stay far below 2^53.
WIDE = frozenset({FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64})


def record(message: Any) -> dict[str, Any]:
    """The JSON object of a message; unset messages and optional fields are absent, everything else is there with its default."""
    found: dict[str, Any] = MessageToDict(message, always_print_fields_with_no_presence=True)
    return _numbers(message.DESCRIPTOR, found)


def _numbers(descriptor: Any, found: dict[str, Any]) -> dict[str, Any]:
    for field in descriptor.fields:
        value = found.get(field.json_name)
        if value is None:
            continue
        if field.cpp_type in WIDE:
            found[field.json_name] = [int(one) for one in value] if isinstance(value, list) else int(value)
        elif field.message_type is not None and field.message_type.file.package == descriptor.file.package:
            for one in value if isinstance(value, list) else [value]:
                if not field.message_type.GetOptions().map_entry:
                    _numbers(field.message_type, one)
    return found
