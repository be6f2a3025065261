"""
JSON ↔ messages, in protobuf's own JSON form: 64-bit numbers as texts, bytes as base64, enums by their names.

What comes in is looked through field by field before protobuf converts it, so that every bad field is named by its path at once, and a field that
nobody knows is an error. Enums may leave out their prefix ("HIGH", "high"), and the execution mode has the predecessors' names (spec M1).
"""

from __future__ import annotations

import binascii
import difflib
import json
import math
import re
from base64 import b64decode
from collections.abc import Mapping
from functools import cache
from typing import Any, NoReturn, TypeVar

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import DecodeError, EncodeError, Message
from google.protobuf.struct_pb2 import Value

from fleetd.api.envelopes import name_of
from fleetd.errors import InvalidArgument

M = TypeVar("M", bound=Message)
Bad = list[tuple[str, str]]
"""Bad fields as (path, what would be right)."""

SYNONYMS: Mapping[str, Mapping[str, str]] = {"fleet.v1.ExecutionMode": {"HTTP_PULL": "EXECUTION_MODE_PULL"}}
"""Further names of enum values, as they are after `_shouted`."""
MOST = 20
"""Bad fields that are named; the rest is counted."""
LISTED = 12
"""Names of an enum that are listed when a value is none of them."""
PLAIN = {
    FieldDescriptor.TYPE_STRING: (str, "must be a text"),
    FieldDescriptor.TYPE_BOOL: (bool, "must be true or false"),
}


def parse_object(data: bytes) -> dict[str, Any]:
    """Return the object of a body; an empty body is one without fields. Raises InvalidArgument."""
    try:
        # Decoded here: json.loads would guess at other encodings, and let through what is no UTF-8.
        text = data.decode()
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_number) if text.strip() else {}
        if "\\u" in text:
            # Half of a surrogate pair can be escaped, though it is no text that anybody could store.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise InvalidArgument([("request", f"must be JSON in UTF-8: {error}")]) from None
    if not isinstance(value, dict):
        raise InvalidArgument([("request", "must be a JSON object")])
    return value


def message_of(kind: type[M], value: Mapping[str, Any]) -> M:
    """Return the message of a JSON object. Raises InvalidArgument naming the bad fields."""
    bad: Bad = []
    fitted = _fitted(kind.DESCRIPTOR, value, "", bad)
    if len(bad) > MOST:
        bad[MOST:] = [("…", f"and {len(bad) - MOST} more")]
    if bad:
        raise InvalidArgument(bad)
    message: M = kind()
    try:
        json_format.ParseDict(fitted, message)
        # Free JSON can be nested deeper than messages may be: it could be stored, and nobody could read it again.
        kind.FromString(message.SerializeToString())
    except (json_format.ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidArgument([_told(kind.DESCRIPTOR, str(error))]) from None
    except (DecodeError, EncodeError):
        raise InvalidArgument([("request", "is nested too deep")]) from None
    return message


def json_of(message: Message) -> dict[str, Any]:
    """Return the JSON object of a message; fields at their default are left out."""
    return fields_of(message)


def fields_of(message: Message, **options: Any) -> dict[str, Any]:
    """Return what protobuf's MessageToDict returns; in free JSON numbers that JSON does not know are their names."""
    try:
        found: dict[str, Any] = json_format.MessageToDict(message, **options)
    except json_format.SerializeToJsonError:
        found = json_format.MessageToDict(_finite(message), **options)
    return found


def _finite(message: Message) -> Message:
    """Return a message with the names of such numbers in their place."""
    whole = type(message)()
    whole.CopyFrom(message)
    _name_numbers(whole)
    return whole


def _name_numbers(message: Any) -> None:
    if isinstance(message, Value) and message.HasField("number_value"):
        if not math.isfinite(message.number_value):
            message.string_value = name_of(message.number_value)
        return
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if not field.is_repeated:
            _name_numbers(value)
        elif not field.message_type.GetOptions().map_entry:
            for one in value:
                _name_numbers(one)
        elif field.message_type.fields_by_name["value"].message_type is not None:
            for one in value.values():
                _name_numbers(one)


def encoded(value: object) -> bytes:
    """Return compact JSON in UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def _fitted(descriptor: Descriptor, value: Any, path: str, bad: Bad) -> Any:
    """Return an object as protobuf will take it; what it would not take, or silently change, is noted."""
    if descriptor.full_name.startswith("google.protobuf."):
        return value
    if not isinstance(value, Mapping):
        bad.append((path or "request", "must be a JSON object"))
        return value
    names, prefix = _names(descriptor), f"{path}." if path else ""
    found = {}
    for key, inner in value.items():
        field = names.get(key)
        if field is None:
            # Not for those that are only counted: it takes a tenth of a millisecond.
            nearest = difflib.get_close_matches(key, names, n=1, cutoff=0.6) if len(bad) < MOST else ()
            hint = f"; did you mean {nearest[0]}?" if nearest else ""
            bad.append((prefix + str(key)[:128], f"is no field of {descriptor.full_name}{hint}"))
        elif inner is not None:
            found[field.json_name] = _field(field, inner, prefix + field.name, bad)
    return found


def _field(field: FieldDescriptor, value: Any, path: str, bad: Bad) -> Any:
    if not field.is_repeated:
        return _single(field, value, path, bad)
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        if not isinstance(value, Mapping):
            bad.append((path, "must be a JSON object"))
            return value
        inner = kind.fields_by_name["value"]
        return {key: _single(inner, one, f"{path}[{key}]", bad) for key, one in value.items()}
    if not isinstance(value, list):
        bad.append((path, "must be a list"))
        return value
    return [_single(field, one, f"{path}[{place}]", bad) for place, one in enumerate(value)]


def _single(field: FieldDescriptor, value: Any, path: str, bad: Bad) -> Any:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return _fitted(field.message_type, value, path, bad)
    if field.type == FieldDescriptor.TYPE_ENUM:
        return _enum(field.enum_type, value, path, bad)
    if field.type == FieldDescriptor.TYPE_BYTES:
        if not isinstance(value, str) or not _is_base64(value):
            bad.append((path, "must be base64"))
        return value
    wanted = PLAIN.get(field.type)
    if wanted is not None and not isinstance(value, wanted[0]):
        bad.append((path, wanted[1]))
    elif wanted is None and not _is_number(field, value):
        whole = (
            ""
            if field.cpp_type in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT)
            else "whole "
        )
        bad.append((path, f"must be a {whole}number"))
    return value


def _enum(kind: EnumDescriptor, value: Any, path: str, bad: Bad) -> Any:
    """Return the full name of an enum value, or its number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value  # whether it is one is asked where it means something
    if isinstance(value, str):
        shouted = _shouted(value)
        first = kind.values[0].name.removesuffix("UNSPECIFIED")
        for name in (value, shouted, first + shouted, SYNONYMS.get(kind.full_name, {}).get(shouted)):
            if name in kind.values_by_name:
                return name
    names = [one.name for one in kind.values if one.number][:LISTED]
    more = ", …" if len(kind.values) - 1 > LISTED else ""
    bad.append((path, f"must be one of {', '.join(names)}{more}"))
    return value


def _shouted(name: str) -> str:
    """Return SSH_CLI for SshCli, ssh_cli and ssh-cli."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("-", "_").upper()


def _is_base64(text: str) -> bool:
    try:
        b64decode(text.translate({45: "+", 95: "/"}) + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _is_number(field: FieldDescriptor, value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return False
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return False
    real = field.cpp_type in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT)
    return real or number.is_integer()


@cache
def _names(descriptor: Descriptor) -> Mapping[str, FieldDescriptor]:
    """Return the fields by both of their names: required_capabilities and requiredCapabilities."""
    names = {field.json_name: field for field in descriptor.fields}
    return names | {field.name: field for field in descriptor.fields}


def _told(descriptor: Descriptor, text: str) -> tuple[str, str]:
    """Return path and words of protobuf's refusal, which ends with `at Message.path` or begins with the field."""
    text = text.partition("\n")[0]
    at = re.search(rf" at \"?{descriptor.name}\.([\w.\[\]]+)", text)
    field = re.match(r"Failed to parse (\w+) field", text)
    path = at[1].rstrip(".") if at else field[1] if field else "request"
    words = re.sub(r"^(Failed to parse \w+ field: )+", "", text)
    words = re.sub(rf" at \"?{descriptor.name}[\w.\[\]]*\"?\.*$", "", words).rstrip(".")
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", path).lower()
    return snake, f"is no such value: {words}"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")
