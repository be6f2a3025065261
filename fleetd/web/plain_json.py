"""Messages in the JSON of the predecessors' paths: small_names, enums by their short names, every number a number, and no field left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from fleetd.web.message_json import fields_of

BIG = {
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT64,
}


def plain(message: Message) -> dict[str, Any]:
    """Return the JSON object of a message."""
    value = fields_of(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    found: dict[str, Any] = _object(message.DESCRIPTOR, value)
    return found


def _object(descriptor: Descriptor, value: Any) -> Any:
    if descriptor.full_name.startswith("google.protobuf."):
        return value
    fields = descriptor.fields_by_name
    return {name: _field(fields[name], inner) for name, inner in value.items()}


def _field(field: FieldDescriptor, value: Any) -> Any:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        inner = kind.fields_by_name["value"]
        return {key: _single(inner, one) for key, one in value.items()}
    if field.is_repeated:
        return [_single(field, one) for one in value]
    return _single(field, value)


def _single(field: FieldDescriptor, value: Any) -> Any:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return _object(field.message_type, value)
    if field.type == FieldDescriptor.TYPE_ENUM and isinstance(value, str):
        prefix = field.enum_type.values[0].name.removesuffix("UNSPECIFIED")
        return value.removeprefix(prefix)
    return int(value) if field.cpp_type in BIG else value


def renamed(fields: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return fields with the predecessors' names replaced by ours; ours win where both are given."""
    found = {names.get(name, name): value for name, value in fields.items() if name in names}
    return found | {name: value for name, value in fields.items() if name not in names}
