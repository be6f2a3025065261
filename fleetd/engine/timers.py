"""Deadlines in monotonic time: one heap, one entry a key, nothing polled."""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

K = TypeVar("K")


class Timers(Generic[K]):
    """
    When each key is due, in monotonic milliseconds. Setting a key again replaces its time.

    A key that is put off keeps its entry in the heap, which is put right when its turn comes: most leases are put off once or twice
    (from an offer to a run) and end long before their time.
    """

    def __init__(self) -> None:
        # When the key is due, and its entry in the heap: the time it comes up there, never later, and the number that tells it from older ones.
        self._due: dict[K, tuple[int, int, int]] = {}
        self._heap: list[tuple[int, int, K]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._due)

    def set(self, key: K, at: int) -> None:
        entry = self._due.get(key)
        if entry is not None and entry[1] <= at:
            self._due[key] = (at, entry[1], entry[2])
            return
        self._count += 1
        self._due[key] = (at, at, self._count)
        heapq.heappush(self._heap, (at, self._count, key))
        if len(self._heap) > 64 + 4 * len(self._due):
            # Replaced and cancelled entries stay in the heap until their time.
            self._heap = [(queued, count, key) for key, (_, queued, count) in self._due.items()]
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
            queued, count, key = heap[0]
            entry = self._due.get(key)
            if entry is None or entry[2] != count:
                heapq.heappop(heap)
            elif entry[0] > queued:
                self._due[key] = (entry[0], entry[0], count)
                heapq.heapreplace(heap, (entry[0], count, key))
            else:
                return queued
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
