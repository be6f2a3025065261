"""Counts and times for people, kept incrementally: nothing counts rows on a hot path (spec D7)."""

from __future__ import annotations

from collections.abc import Mapping

from fleetd.core.ledger import Minute
from fleetd.core.task import Status

MINUTE = 60_000
HOUR = 60


class Figures:
    """How many tasks are in each state, what happened in all, and minute by minute over the last hour."""

    def __init__(self) -> None:
        self.counts: dict[Status, int] = dict.fromkeys(Status, 0)
        self.totals = Minute()
        self._minutes: dict[int, Minute] = {}

    def load(self, counts: Mapping[Status, int], totals: Minute, minutes: Mapping[int, Minute]) -> None:
        self.counts.update(counts)
        self.totals = totals
        self._minutes = dict(minutes)

    def add(self, minute: int, figures: Minute, counts: Mapping[Status, int]) -> None:
        """Add what one transaction changed in epoch minute `minute`."""
        for status, change in counts.items():
            self.counts[status] += change
        self.totals.add(figures)
        bucket = self._minutes.get(minute)
        if bucket is None:
            bucket = self._minutes[minute] = Minute()
            for old in [m for m in self._minutes if m <= minute - HOUR]:
                del self._minutes[old]
        bucket.add(figures)

    def last_hour(self, minute: int) -> Minute:
        """Return the sum over the 60 minutes that end with `minute`."""
        total = Minute()
        for at, bucket in self._minutes.items():
            if minute - HOUR < at <= minute:
                total.add(bucket)
        return total
