"""Payloads, artifacts and checkpoints."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

from google.protobuf.struct_pb2 import Value

from fleet.v1 import task_pb2 as pb
from fleetd.api.convert_times import timestamp
from fleetd.api.limits import Limits
from fleetd.api.validate import Fields
from fleetd.core.task import Artifact, Checkpoint, Payload

DEFAULT_TYPES = {"data": "application/octet-stream", "text": "text/plain", "json": "application/json"}
CONTENT_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+( *;[ -~]*)?")
SHA256 = re.compile(r"[0-9a-f]{64}")
EXACT = 1 << 53
"""Doubles below it hold every integer."""


def payload_in(message: pb.Payload, path: str, limit: int, fields: Fields) -> Payload | None:
    """Return the payload as bytes with a content type; None when it has no body."""
    body = message.WhichOneof("body")
    if body is None:
        if message.content_type:
            fields.refuse(path, "must have one of data, text and json beside content_type")
        return None
    if body == "data":
        data = message.data
    elif body == "text":
        data = message.text.encode()
    else:
        try:
            plain = _plain(message.json)
        except ValueError as error:
            fields.refuse(f"{path}.json", str(error))
            return None
        data = json.dumps(plain, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
    if len(data) > limit:
        fields.refuse(path, f"must have at most {limit:,} bytes, not {len(data):,}")
    kind = message.content_type
    if kind and (len(kind) > 256 or not CONTENT_TYPE.fullmatch(kind)):
        fields.refuse(
            f"{path}.content_type", "must be a MIME type of at most 256 characters, such as text/plain"
        )
    return Payload(data, kind or DEFAULT_TYPES[body])


def payload_out(payload: Payload) -> pb.Payload:
    """Return the payload as text when its type says so and its bytes are UTF-8, else as data."""
    main = payload.content_type.partition(";")[0].strip().lower()
    if main.startswith("text/") or main == "application/json" or main.endswith("+json"):
        try:
            return pb.Payload(text=payload.data.decode(), content_type=payload.content_type)
        except UnicodeDecodeError:
            pass
    return pb.Payload(data=payload.data, content_type=payload.content_type)


def artifacts_in(
    messages: Sequence[pb.Artifact], path: str, limits: Limits, fields: Fields
) -> tuple[Artifact, ...]:
    """Return what a run left somewhere; names are unique."""
    if not fields.count(path, len(messages), limits.artifacts):
        return ()
    found: dict[str, Artifact] = {}
    for place, message in enumerate(messages):
        here = f"{path}[{place}]"
        name = fields.text(f"{here}.name", message.name, 256, required=True)
        if name in found:
            fields.refuse(f"{here}.name", "must be unique within the result")
        fields.text(f"{here}.uri", message.uri, 4_096)
        if message.size < 0:
            fields.refuse(f"{here}.size", "must not be negative")
        if message.sha256 and not SHA256.fullmatch(message.sha256):
            fields.refuse(f"{here}.sha256", "must be 64 lower-case hexadecimal digits, or empty")
        found[name] = Artifact(name, message.uri, message.size, message.sha256)
    return tuple(found.values())


def artifacts_out(artifacts: Sequence[Artifact]) -> list[pb.Artifact]:
    return [pb.Artifact(name=a.name, uri=a.uri, size=a.size, sha256=a.sha256) for a in artifacts]


def checkpoint_out(checkpoint: Checkpoint) -> pb.Checkpoint:
    return pb.Checkpoint(
        data=checkpoint.data,
        step_id=checkpoint.step_id,
        saved_at=timestamp(checkpoint.saved_at),
        completed_steps=checkpoint.completed_steps,
    )


def _plain(value: Value) -> Any:
    """Return a JSON value; whole numbers become integers again, since Value holds doubles only. Raises ValueError."""
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return {key: _plain(inner) for key, inner in value.struct_value.fields.items()}
    if kind == "list_value":
        return [_plain(inner) for inner in value.list_value.values]
    if kind == "number_value":
        number = value.number_value
        if not math.isfinite(number):
            raise ValueError("must hold finite numbers only")
        return int(number) if number.is_integer() and abs(number) < EXACT else number
    return {"string_value": value.string_value, "bool_value": value.bool_value}.get(kind)
