"""Spans and points of time as people type and read them: "90s", "1h30m", "2026-01-31T08:00:00Z", "3m ago"."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def parse_span(text: str) -> float:
    """Seconds of "500ms", "30s", "1h30m"; ValueError says what would be right. A number without a unit is refused: of what?"""
    compact = text.replace(" ", "").lower()
    parts = list(PART.finditer(compact))
    if not parts or "".join(part[0] for part in parts) != compact:
        raise ValueError(f"a number with a unit (ms, s, m, h, d), for instance 30s or 1h30m, not {text!r}")
    return sum(float(part[1]) * UNITS[part[2]] for part in parts)


def parse_moment(text: str) -> datetime:
    """An ISO-8601 time with its zone; ValueError says what would be right."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError(f"an ISO-8601 time with time zone, for instance 2026-01-31T08:00:00Z, not {text!r}")
    return moment


def since(stamp: Any, now: float) -> str:
    """How long ago a Timestamp was ("3m ago"), or how long until it is ("in 3m"). `now` in seconds since 1970."""
    gone = now - (stamp.seconds + stamp.nanos / 1e9)
    # Clocks of two machines differ a little; nobody wants to read "in 20ms" of something that has happened.
    if -1.0 < gone < 1.0:
        return "now"
    return f"{_short(gone)} ago" if gone > 0 else f"in {_short(-gone)}"


def length(wire: Any) -> str:
    """A Duration for people: 12ms, 3.4s, 5m, 2h."""
    return _short(wire.seconds + wire.nanos / 1e9)


def clock(stamp: Any) -> str:
    """The time of a Timestamp, in UTC, to the millisecond."""
    moment = datetime.fromtimestamp(stamp.seconds, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{stamp.nanos // 1_000_000:03d}"


def _short(seconds: float) -> str:
    if seconds < 1.0:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 10.0:
        return f"{seconds:.1f}s"
    for unit, size, next_size in (("s", 1.0, 60.0), ("m", 60.0, 3_600.0), ("h", 3_600.0, 86_400.0)):
        if seconds < next_size:
            return f"{int(seconds / size)}{unit}"
    return f"{int(seconds / 86_400.0)}d"
