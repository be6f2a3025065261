"""Times and durations of messages as integer milliseconds, and back. 0 stands for unset."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from fleetd.api.validate import Fields

FIRST, LAST = -62_135_596_800, 253_402_300_799  # the years 1 to 9999, which Timestamp stands for
NANOS = 1_000_000_000
MILLI = 1_000_000  # nanoseconds


def epoch(stamp: Timestamp, path: str, fields: Fields) -> int:
    """Return UTC epoch milliseconds, at least 1, so that a time long past is not taken for none."""
    if not FIRST <= stamp.seconds <= LAST or not 0 <= stamp.nanos < NANOS:
        fields.refuse(path, "must be a time from the year 1 to 9999 with nanos of 0 to 999,999,999")
        return 0
    at: int = stamp.seconds * 1_000 + stamp.nanos // MILLI
    return max(1, at)


def milliseconds(span: Duration, path: str, fields: Fields, low: int, high: int) -> int:
    """Return milliseconds; refuse what is negative or outside low to high (milliseconds)."""
    seconds, nanos = span.seconds, span.nanos
    value: int = seconds * 1_000 + nanos // MILLI
    mixed = (seconds > 0 > nanos) or (seconds < 0 < nanos) or not -NANOS < nanos < NANOS
    if mixed or not low <= value <= high:
        fields.refuse(path, f"must be a duration of {spoken(low)} to {spoken(high)}")
        return 0
    return value


def timestamp(at: int) -> Timestamp:
    """Return a Timestamp of epoch milliseconds."""
    seconds, rest = divmod(at, 1_000)
    return Timestamp(seconds=seconds, nanos=rest * MILLI)


def duration(value: int) -> Duration:
    """Return a Duration of milliseconds that are not negative."""
    seconds, rest = divmod(max(0, value), 1_000)
    return Duration(seconds=seconds, nanos=rest * MILLI)


def duration_into(message: Duration, value: int) -> None:
    """Fill an empty Duration with milliseconds that are not negative."""
    message.seconds, rest = divmod(max(0, value), 1_000)
    if rest:
        message.nanos = rest * MILLI


def spoken(value: int) -> str:
    """Return milliseconds as people say them."""
    for unit, name in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")):
        if value >= unit and value % unit == 0:
            return f"{value // unit} {name}"
    return f"{value} ms"
