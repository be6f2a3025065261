"""Values as columns."""

from __future__ import annotations

import json

import pytest

from fleetd.store import json_text

VALUES = [
    {"attempt": 1, "run_ms": 2.5, "final": True, "none": None},
    {"text": 'quotes " and \\, a line\nbreak, a NUL \x00, ünïcode, 🦊'},
    [],
    {},
    {"nested": [{"a": [1, [2, (3,)]]}, {}]},
    "a string",
    7,
    {1: "a key that is no string"},
    [0.1, 1e300, float("inf")],
    [2**70, -1],
]


@pytest.mark.parametrize("encode", [json_text.encode, json_text.encoder(None)], ids=["kept", "plain"])
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_json_is_stored_as_the_standard_library_writes_it(encode, value):
    """T8: pins the undocumented function that makes it fast; without it the documented one serves"""
    assert encode(value) == json.dumps(value, separators=(",", ":"), ensure_ascii=False)


@pytest.mark.parametrize("encode", [json_text.encode, json_text.encoder(None)], ids=["kept", "plain"])
def test_what_is_no_json_is_refused(encode):
    with pytest.raises(TypeError, match="not JSON serializable"):
        encode({"bytes": b"x"})
