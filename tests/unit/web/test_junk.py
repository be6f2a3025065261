"""Whatever stands in a field, the answer is a task or an error that names what is bad, never a defect of ours."""

import json
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor

from fleet.v1 import dispatcher_pb2

JUNK = [
    None, True, -1, 1.5, 1e308, 10**30, "", "x", "1e400s", "99999999999999999999s", "9999-99-99T00:00:00Z", "\ud800", "\u0000", [], [None], [{}],
    {}, {"": {}}, {"a": [1]}, {"json": {"a": [1, {"b": None}]}}, "Infinity",
]  # fmt: skip


def places(kind: Descriptor, depth: int = 0) -> Iterator[list[Any]]:
    """Yield the path of every field, with True behind the name of a list that is gone through."""
    for field in kind.fields:
        yield [field.json_name]
        inner = field.message_type
        ours = inner is not None and inner.full_name.startswith("fleet.") and not inner.GetOptions().map_entry
        if ours and depth < 2:
            for rest in places(inner, depth + 1):
                yield [field.json_name, field.is_repeated, *rest]


def body(path: list[Any], value: Any) -> dict[str, Any]:
    if len(path) == 1:
        return {path[0]: value}
    inner = body(path[2:], value)
    return {path[0]: [inner] if path[1] else inner}


async def test_no_value_of_any_field_is_a_defect(wire):
    """S3, S7"""
    for path in places(dispatcher_pb2.SubmitTaskRequest.DESCRIPTOR):
        for value in JUNK:
            content = json.dumps({"title": "a"} | body(path, value)).encode()
            response = await wire.post("/fleet.v1.Dispatcher/SubmitTask", content)
            assert response.status_code in (200, 400, 404), (path, value, response.text)
    assert "call_failed" not in {event for event, _ in wire.log.lines}
