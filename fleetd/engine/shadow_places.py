"""Shadows at once: tasks and services take their places from one count (spec G2)."""

from __future__ import annotations

from threading import Lock


class ShadowPlaces:
    """The shadows of each rollout. Transactions take places on a thread of their own, the event loop on another."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._taken: dict[str, int] = {}

    def take(self, rollout: str, limit: int) -> bool:
        """Take a place, if one is free."""
        with self._lock:
            taken = self._taken.get(rollout, 0)
            if taken >= limit:
                return False
            self._taken[rollout] = taken + 1
            return True

    def give(self, rollout: str) -> None:
        """Give a place back."""
        with self._lock:
            left = self._taken.get(rollout, 0) - 1
            if left > 0:
                self._taken[rollout] = left
            else:
                self._taken.pop(rollout, None)

    def taken(self, rollout: str) -> int:
        """Return how many places are taken now."""
        with self._lock:
            return self._taken.get(rollout, 0)
