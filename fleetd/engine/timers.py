"""Deadlines in monotonic time: one heap, one entry a key, nothing polled."""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

K = TypeVar("K")


class Timers(Generic[K]):
    """When each key is due, in monotonic milliseconds. Setting a key again replaces its time."""

    def __init__(self) -> None:
        self._due: dict[K, tuple[int, int]] = {}
        self._heap: list[tuple[int, int, K]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._due)

    def set(self, key: K, at: int) -> None:
        self._count += 1
        self._due[key] = (at, self._count)
        heapq.heappush(self._heap, (at, self._count, key))
        if len(self._heap) > 64 + 4 * len(self._due):
            # Replaced and cancelled entries stay in the heap until their time; most leases end long before theirs.
            self._heap = [(at, count, key) for key, (at, count) in self._due.items()]
            heapq.heapify(self._heap)

    def cancel(self, key: K) -> None:
        self._due.pop(key, None)

    def at(self, key: K) -> int | None:
        entry = self._due.get(key)
        return entry[0] if entry else None

    def next(self) -> int | None:
        """Return the earliest time, None when nothing is due ever."""
        heap = self._heap
        while heap:
            at, count, key = heap[0]
            if self._due.get(key) == (at, count):
                return at
            heapq.heappop(heap)
        return None

    def pop(self, now: int, limit: int) -> list[K]:
        """Remove and return up to `limit` keys whose time has come, earliest first."""
        keys: list[K] = []
        while len(keys) < limit:
            at = self.next()
            if at is None or at > now:
                break
            key = heapq.heappop(self._heap)[2]
            del self._due[key]
            keys.append(key)
        return keys
