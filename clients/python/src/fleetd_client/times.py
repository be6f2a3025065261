"""Spans and points of time: seconds, timedelta and datetime on this side, Duration and Timestamp on the wire."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from fleetd_client.errors import InvalidArgument

# A span in seconds, or a timedelta.
Span = float | timedelta
# A point of time: an aware datetime, or seconds since 1970 in UTC.
Moment = float | datetime


def seconds(span: Span) -> float:
    return span.total_seconds() if isinstance(span, timedelta) else float(span)


def duration(span: Span | None) -> Any:
    """The wire form, to the millisecond; None stays None, which leaves the field unset."""
    if span is None:
        return None
    millis = round(seconds(span) * 1000)
    return Duration(seconds=millis // 1000, nanos=millis % 1000 * 1_000_000)


def timestamp(field: str, moment: Moment | None) -> Any:
    """The wire form, to the microsecond; a datetime without time zone is refused under the name of its field."""
    if moment is None:
        return None
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise InvalidArgument([(field, "a datetime with time zone, for instance datetime.now(UTC)")])
        moment = moment.timestamp()
    micros = round(moment * 1_000_000)
    return Timestamp(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1000)


def span(wire: Any) -> float:
    """Seconds of a Duration."""
    return float(wire.seconds + wire.nanos / 1e9)
