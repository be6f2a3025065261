"""A bounded window on the table of things to do later: delays, retries, deadlines, reservations. The table may hold millions."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from fleetd.core.ledger import Due, DueKind

WINDOW = 1_000
"""Entries read at once; one transaction fires about as many."""

FAR = 1 << 62


class DueWindow:
    """
    The earliest entries of the due table, in monotonic milliseconds from the moment they are seen: a jump of the wall clock moves none.

    Everything in the table before `horizon` (epoch ms) is in the window; what lies beyond is read when the window runs dry. After a jump of the
    wall clock the two times order entries differently, so that the window may hold others, too: all that come before `until` (monotonic ms).
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, Due]] = []
        self._horizon = 0
        self._until = 0
        self._at: dict[tuple[int, int], int] = {}
        self._deadlines_after = 0

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def dry(self) -> bool:
        """True when the table must be read before anything beyond can be known."""
        return not self._heap and self._horizon != FAR

    def refill(self, entries: list[Due], now: int, wall: int) -> None:
        """Take in the first entries of the table; fewer than WINDOW means that there are no others."""
        self._horizon = entries[-1].at if len(entries) >= WINDOW else FAR
        self._until = now + max(0, self._horizon - wall)
        for entry in entries:
            self._push(entry, now, wall, self._deadlines_after if entry.kind == DueKind.DEADLINE else 0)

    def add(self, entries: Iterable[Due], now: int, wall: int) -> None:
        """Note entries that were just written; those beyond the horizon wait in the table."""
        for entry in entries:
            if entry.at < self._horizon or now + entry.at - wall < self._until:
                self._push(entry, now, wall)
            else:
                self._at.pop((entry.task_seq, entry.kind), None)
        if len(self._heap) > 4 * WINDOW:
            self._trim()

    def hold_back(self, until: int) -> None:
        """Let no deadline fire before monotonic `until`: after a restart, results that wait in agents come first."""
        self._deadlines_after = until
        self._heap = [
            (max(at, until) if entry.kind == DueKind.DEADLINE else at, entry) for at, entry in self._heap
        ]
        heapq.heapify(self._heap)

    def next(self) -> int | None:
        """Return the monotonic time of the earliest entry."""
        return self._heap[0][0] if self._heap else None

    def pop(self, now: int) -> tuple[Due, ...]:
        """Remove and return the entries whose time has come, at most WINDOW."""
        entries: list[Due] = []
        while self._heap and self._heap[0][0] <= now and len(entries) < WINDOW:
            entry = heapq.heappop(self._heap)[1]
            if self._stands(entry):
                del self._at[entry.task_seq, entry.kind]
                entries.append(entry)
        return tuple(entries)

    def postpone(self, entries: Iterable[Due], at: int) -> None:
        """Put entries back that could not be fired, to be tried at monotonic time `at`."""
        for entry in entries:
            if (entry.task_seq, entry.kind) not in self._at:
                self._at[entry.task_seq, entry.kind] = entry.at
                heapq.heappush(self._heap, (at, entry))

    def _trim(self) -> None:
        """Leave to the table what comes last."""
        standing = sorted(item for item in self._heap if self._stands(item[1]))
        self._heap, dropped = standing[: 2 * WINDOW], standing[2 * WINDOW :]
        self._at = {(entry.task_seq, entry.kind): entry.at for _, entry in self._heap}
        if dropped:
            self._until = dropped[0][0]
            self._horizon = min(self._horizon, *(entry.at for _, entry in dropped))

    def _stands(self, entry: Due) -> bool:
        """Tell whether the entry was not replaced by another one of its kind."""
        return self._at.get((entry.task_seq, entry.kind)) == entry.at

    def _push(self, entry: Due, now: int, wall: int, earliest: int = 0) -> None:
        if not self._stands(entry):
            self._at[entry.task_seq, entry.kind] = entry.at
            heapq.heappush(self._heap, (max(earliest, now + max(0, entry.at - wall)), entry))
