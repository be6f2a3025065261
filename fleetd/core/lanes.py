"""
Lanes: which task next.

A lane holds waiting tasks that any policy must treat alike: same org, capabilities, mode class, priority and reservation. Inside a lane order is
strict FIFO by seq, so that a claim is a range scan of one lane; policy looks at lane heads only, and its cost does not depend on the backlog.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple


class LaneKey(NamedTuple):
    """What the tasks of a lane have in common. `capabilities` sorted; `agent` is "" unless reserved; `mode` is PULL or SSH_CLI."""

    org_id: str
    capabilities: tuple[str, ...]
    mode: int
    priority: int
    agent: str


class GroupKey(NamedTuple):
    """What decides which agents may serve a lane."""

    capabilities: tuple[str, ...]
    mode: int
    agent: str


Rank = tuple[int, int]
"""Order among lanes, smallest first: (−priority, seq of the head)."""


@dataclass(slots=True)
class Lane:
    """One lane as memory knows it; the head is a hint (never newer than the true one) until the lane is read."""

    id: int
    key: LaneKey
    count: int = 0
    head_seq: int = 0
    head_at: int = 0

    @property
    def rank(self) -> Rank:
        """The lane's place among lanes; smallest first."""
        return (-self.key.priority, self.head_seq)


def closure(capabilities: Iterable[str]) -> frozenset[str]:
    """Close a capability set over prefixes: `code:rust` brings `code` (D3)."""
    closed: set[str] = set()
    for capability in capabilities:
        parts = capability.split(":")
        closed.update(":".join(parts[:end]) for end in range(1, len(parts) + 1))
    return frozenset(closed)


@dataclass(slots=True)
class Group:
    """Lanes that the same agents may serve, best first; entries of the heap that no longer tell the truth are skipped."""

    key: GroupKey
    lanes: dict[int, Lane] = field(default_factory=dict)
    heap: list[tuple[Rank, int]] = field(default_factory=list)

    def push(self, lane: Lane) -> None:
        heapq.heappush(self.heap, (lane.rank, lane.id))

    def top(self) -> Lane | None:
        """Return the best lane that is not empty."""
        heap = self.heap
        while heap:
            rank, lane_id = heap[0]
            lane = self.lanes.get(lane_id)
            if lane is not None and lane.count > 0 and lane.rank == rank:
                return lane
            heapq.heappop(heap)
        return None


class LaneBook:
    """
    Every lane that was ever used, in memory.

    Changes belong to a transaction: `commit` keeps them, `rollback` takes them back.
    """

    def __init__(self) -> None:
        self._lanes: dict[int, Lane] = {}
        self._ids: dict[LaneKey, int] = {}
        self._groups: dict[GroupKey, Group] = {}
        self._ready: dict[GroupKey, Group] = {}
        self._undo: dict[int, tuple[int, int, int]] = {}
        self._learned: list[int] = []

    def find(self, key: LaneKey) -> int:
        """Return the id of the lane with this key, 0 when it is not known."""
        return self._ids.get(key, 0)

    def learn(self, lane_id: int, key: LaneKey, count: int = 0, head_seq: int = 0, head_at: int = 0) -> None:
        """Add a lane."""
        self._learned.append(lane_id)
        lane = self._lanes[lane_id] = Lane(lane_id, key, count, head_seq, head_at)
        self._ids[key] = lane_id
        group_key = GroupKey(key.capabilities, key.mode, key.agent)
        group = self._groups.get(group_key)
        if group is None:
            group = self._groups[group_key] = Group(group_key)
        group.lanes[lane_id] = lane
        if count:
            group.push(lane)
            self._ready[group_key] = group

    def lane(self, lane_id: int) -> Lane:
        return self._lanes[lane_id]

    def lanes(self) -> list[Lane]:
        """Return every lane; a copy, because a transaction may learn of lanes on another thread meanwhile."""
        return list(self._lanes.values())

    def enter(self, lane_id: int, seq: int, queued_at: int) -> None:
        """Note that a task took its place in a lane."""
        lane = self._touch(lane_id)
        lane.count += 1
        if lane.count == 1 or seq < lane.head_seq:
            lane.head_seq, lane.head_at = seq, queued_at
            self._push(lane)

    def leave(self, lane_id: int) -> None:
        """Note that a task left a lane other than by a claim; the head stays a hint."""
        lane = self._touch(lane_id)
        lane.count = max(0, lane.count - 1)

    def advance(self, lane_id: int, count: int, head_seq: int, head_at: int) -> None:
        """Set what a claim saw of the lane: tasks left and their head (0 when none)."""
        lane = self._touch(lane_id)
        lane.count, lane.head_seq, lane.head_at = count, head_seq, head_at
        if count:
            self._push(lane)

    def ready(self) -> list[Group]:
        """Return the groups that have a task waiting, in the order in which they became ready."""
        groups = []
        for key, group in list(self._ready.items()):
            if group.top() is None:
                del self._ready[key]
            else:
                groups.append(group)
        return groups

    def commit(self) -> None:
        self._undo.clear()
        self._learned.clear()

    def rollback(self) -> None:
        for lane_id, before in self._undo.items():
            lane = self._lanes[lane_id]
            lane.count, lane.head_seq, lane.head_at = before
            if lane.count:
                self._push(lane)
        for lane_id in self._learned:
            key = self._lanes.pop(lane_id).key
            del self._ids[key]
            del self._groups[GroupKey(key.capabilities, key.mode, key.agent)].lanes[lane_id]
        self._undo.clear()
        self._learned.clear()

    def _touch(self, lane_id: int) -> Lane:
        lane = self._lanes[lane_id]
        if lane_id not in self._undo:
            self._undo[lane_id] = (lane.count, lane.head_seq, lane.head_at)
        return lane

    def _push(self, lane: Lane) -> None:
        key = GroupKey(lane.key.capabilities, lane.key.mode, lane.key.agent)
        group = self._groups[key]
        group.push(lane)
        self._ready[key] = group
