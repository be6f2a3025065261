"""
What a program says on its standard output while it works: JSON objects, one a line, made of these keys and no other.

    {"progress": 40, "message": "half"}     how far it is, 0 to 100, and a line for people
    {"message": "reading"}                  a line for people alone
    {"checkpoint": "17", "step_id": "s1"}   a point to go on from; {"data_base64": "..."} for bytes
"""

from __future__ import annotations

import base64
import contextlib
import json
from dataclasses import dataclass
from types import NoneType
from typing import Any

NEWS = frozenset({"progress", "message", "checkpoint"})
KEYS = NEWS | {"step_id"}


@dataclass(frozen=True, slots=True)
class Said:
    """One such line."""

    progress: float | None = None
    message: str | None = None
    checkpoint: bytes | None = None
    step_id: str = ""


def parse(line: bytes) -> Said | None:
    """
    What the line says; None when it is ordinary output, as is any JSON that does not have just this shape.

    ValueError for a checkpoint that cannot be one: what nobody keeps is better found at once than when it is needed.
    """
    if not line.lstrip().startswith(b"{"):
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not KEYS.issuperset(found) or not NEWS.intersection(found):
        return None
    progress, message, step_id = found.get("progress"), found.get("message"), found.get("step_id", "")
    # A bool is an int to Python alone.
    if not isinstance(progress, (int, float, NoneType)) or isinstance(progress, bool):
        return None
    if not isinstance(message, (str, NoneType)) or not isinstance(step_id, str):
        return None
    return Said(
        None if progress is None else min(max(progress, 0.0), 100.0),
        message,
        _data(found["checkpoint"]) if "checkpoint" in found else None,
        step_id,
    )


def _data(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    if isinstance(value, dict) and value.keys() == {"data_base64"}:
        with contextlib.suppress(TypeError, ValueError):
            return base64.b64decode(value["data_base64"], validate=True)
    raise ValueError('checkpoint: a string, or {"data_base64": "..."}')
