"""Payloads: Python values on this side, bytes with a content type on the wire."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf.json_format import MessageToDict

from fleetd_client.errors import InvalidArgument
from fleetd_client.stubs import Payload

JSON = "application/json"


def pack(value: Any, content_type: str = "", field: str = "input") -> Payload | None:
    """bytes and str as they are, None as nothing, anything else as compact JSON; what JSON cannot hold is InvalidArgument."""
    if value is None:
        return None
    if isinstance(value, Payload):
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return Payload(data=bytes(value), content_type=content_type)
    if isinstance(value, str):
        return Payload(text=value, content_type=content_type)
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise InvalidArgument([(field, f"bytes, str or a value JSON can hold: {error}")]) from error
    return Payload(data=text.encode(), content_type=content_type or JSON)


def content(payload: Payload) -> bytes:
    """The bytes, however they travelled; empty when there are none."""
    body = payload.WhichOneof("body")
    if body == "text":
        return payload.text.encode()
    if body == "json":
        return json.dumps(MessageToDict(payload)["json"], ensure_ascii=False, separators=(",", ":")).encode()
    return payload.data


def unpack(payload: Payload) -> Any:
    """The Python value: JSON parsed, text as str, the rest as bytes; None when there is nothing."""
    if payload.WhichOneof("body") is None:
        return None
    if payload.content_type.split(";")[0].strip() == JSON:
        return json.loads(content(payload))
    if payload.WhichOneof("body") == "text":
        return payload.text
    return content(payload)
