"""Work in flight on each instance: what saturates it, and which of equal instances is the least busy (spec R3, R4, D10r)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fleetd.core.index import Index


class Load(Mapping[str, int]):
    """
    In-flight counts by instance id; absent means 0. One owner changes it.

    It keeps its counts as sets over the slots of one index, so that a route does not read them one by one; another index (instances were
    added, changed or removed) makes it build the sets anew.
    """

    __slots__ = ("_busy", "_counts", "_full", "_index", "_levels")

    def __init__(self, counts: Mapping[str, int] | None = None) -> None:
        self._counts = {instance_id: count for instance_id, count in (counts or {}).items() if count > 0}
        self._index: Index | None = None
        self._levels: dict[float, int] = {}
        self._busy = self._full = 0

    def __getitem__(self, instance_id: str) -> int:
        return self._counts[instance_id]

    def __contains__(self, instance_id: object) -> bool:
        return instance_id in self._counts

    def __iter__(self) -> Iterator[str]:
        return iter(self._counts)

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, instance_id: str, change: int = 1) -> None:
        """Count work that began (or, with a negative change, ended); a count never falls below 0."""
        before = self._counts.get(instance_id, 0)
        count = max(0, before + change)
        if count:
            self._counts[instance_id] = count
        else:
            self._counts.pop(instance_id, None)
        if self._index is not None and count != before:
            self._move(self._index, instance_id, before, count)

    def on(self, index: Index) -> Load:
        """Return itself, with its sets made for this index."""
        if index is not self._index:
            self._forget()
            self._index = index
            for instance_id, count in self._counts.items():
                self._move(index, instance_id, 0, count)
        return self

    @property
    def full(self) -> int:
        """Instances that have no room for one more."""
        return self._full

    def split(self, mask: int) -> Iterator[int]:
        """Yield the parts of a set that are equally busy, the least busy first."""
        busy = mask & self._busy
        idle = mask ^ busy
        if idle:
            yield idle
        if not busy:
            return
        for level in sorted(self._levels):
            part = busy & self._levels[level]
            if part:
                yield part
                busy ^= part
                if not busy:
                    return

    def _forget(self) -> None:
        self._levels = {}
        self._busy = self._full = 0

    def _move(self, index: Index, instance_id: str, before: int, count: int) -> None:
        slot = index.slots.get(instance_id)
        if slot is None:
            return
        bit, room = 1 << slot, index.instances[instance_id].max_inflight
        for old in (before, count):
            if old:
                level = utilisation(old, room)
                mask = self._levels.get(level, 0) ^ bit
                if mask:
                    self._levels[level] = mask
                else:
                    del self._levels[level]
        if not before or not count:
            self._busy ^= bit
        if room and (before >= room) != (count >= room):
            self._full ^= bit


def utilisation(count: int, room: int) -> float:
    """Return how busy an instance is: the share of its room that is taken, or the count as such when it has no limit."""
    return count / room if room else count
