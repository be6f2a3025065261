"""Page tokens: the position to go on from, bound to the filter it belongs to."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from hashlib import blake2b
from typing import TypeVar

from google.protobuf.message import Message

from fleetd.api.validate import Fields

M = TypeVar("M", bound=Message)

_MARK = 8
_LONGEST = 2_048
"""Characters of a token: the longest position is the id of an instance, a kilobyte in the widest letters."""


def make_token(position: str, wanted: bytes) -> str:
    """Return an opaque token for a position in the list that `wanted` (a serialised filter) selects."""
    return base64.urlsafe_b64encode(_mark(wanted) + position.encode()).decode().rstrip("=")


def read_token(token: str, wanted: bytes, fields: Fields) -> str:
    """Return the position, "" for the first page; refuse page_token when it is not of this list."""
    if not token:
        return ""
    try:
        raw = base64.b64decode(token[:_LONGEST] + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        position = raw[_MARK:].decode()
    except (ValueError, binascii.Error):
        raw, position = b"", ""
    if not position or raw[:_MARK] != _mark(wanted):
        fields.refuse("page_token", "must be the next_page_token of the page before, with the same filter")
        return ""
    return position


def read_number(token: str, wanted: bytes, fields: Fields) -> int:
    """Return a position that is a number, 0 for the first page."""
    position = read_token(token, wanted, fields)
    if position and not (position.isascii() and position.isdigit() and len(position) < 19):  # fits int64
        fields.refuse("page_token", "must be the next_page_token of the page before, with the same filter")
        return 0
    return int(position or 0)


def page_size(value: int, default: int, limit: int, fields: Fields) -> int:
    """Return the number of entries wanted; refuse what is not 0 (default) to limit."""
    return fields.number("page_size", value, 0, limit) or default


def fitting(messages: Iterable[M], limit: int) -> list[M]:
    """Return the first messages that together have at most `limit` bytes, at least one if there is one: a page may be short."""
    found: list[M] = []
    size = 0
    for message in messages:
        size += message.ByteSize()
        if found and size > limit:
            break
        found.append(message)
    return found


def _mark(wanted: bytes) -> bytes:
    return blake2b(wanted, digest_size=_MARK).digest()
