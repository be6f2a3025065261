"""JSON as it is stored."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any


def encoder(make: Callable[..., Callable[[Any, int], Iterable[str]]] | None) -> Callable[[Any], str]:
    """
    Return a function that makes JSON as it is stored.

    `make` is what `JSONEncoder.encode` calls anew for every value, which takes longer than its work on the small values of a row;
    None where Python has no such function.
    """
    plain = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
    if make is None:
        return plain.encode
    chunks = make(None, plain.default, json.encoder.encode_basestring, None, ":", ",", False, False, True)
    return lambda value: "".join(chunks(value, 0))


encode = encoder(getattr(json.encoder, "c_make_encoder", None))
decode = json.JSONDecoder().decode
