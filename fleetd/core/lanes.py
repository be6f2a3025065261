"""
Lanes: which task next (spec D3, D10).

A lane holds waiting tasks that any policy must treat alike: same org, capabilities, mode class, priority and reservation. Inside a lane order is
strict FIFO by seq, so that a claim is a range scan of one lane; policy looks at lane heads only, and its cost does not depend on the backlog.

Among lanes: effective priority (one step up for every `ageing` the head has waited, so that LOW finishes under endless URGENT), then the
org's virtual time (start-time fair queueing: a lease costs 1/weight; P. Goyal et al., SIGCOMM 1996), then the age of the head.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import NamedTuple

from fleetd.core.limits import Gate, Gates
from fleetd.core.task import Priority


class LaneKey(NamedTuple):
    """
    What the tasks of a lane have in common. `capabilities` sorted; `agent` is "" unless reserved; `mode` is what the submitter named, UNDECIDED when
    nobody did: such tasks are for agents and hosts alike.
    """

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


Rank = tuple[int, float, int, int]
"""Order among lanes, smallest first: (−effective priority, virtual time of the org, epoch ms since when the head waits, place of the head)."""


@dataclass(slots=True)
class Lane:
    """One lane as memory knows it; the head is a hint (never newer than the true one) until the lane is read."""

    id: int
    key: LaneKey
    gates: tuple[Gate, ...]
    count: int = 0
    head_seq: int = 0
    head_at: int = 0
    level: int = 0

    @property
    def org(self) -> Gate:
        return self.gates[0]


@dataclass(slots=True)
class Group:
    """
    Lanes that the same agents may serve.

    The heap holds for every lane that can be served an entry that is not greater than its true rank: ranks grow by service and are corrected
    when they come to the top; whatever makes a rank smaller pushes a new entry. `floor` is the virtual time of the latest service by the
    agents of this group: an org that was idle, or had no agent, starts from there and has saved up nothing.
    """

    key: GroupKey
    floor: float = 0.0
    lanes: dict[int, Lane] = field(default_factory=dict)
    heap: list[tuple[Rank, int]] = field(default_factory=list)

    def rank(self, lane: Lane) -> Rank:
        return (-lane.level, max(lane.org.vtime, self.floor), lane.head_at, lane.head_seq)

    def push(self, lane: Lane) -> None:
        heapq.heappush(self.heap, (self.rank(lane), lane.id))

    def top(self) -> Lane | None:
        """Return the best lane that can be served now; lanes behind a closed gate are parked at the gate."""
        heap = self.heap
        while heap:
            rank, lane_id = heap[0]
            lane = self.lanes.get(lane_id)
            if lane is None or lane.count <= 0:
                heapq.heappop(heap)
                continue
            true = self.rank(lane)
            if true > rank:
                heapq.heapreplace(heap, (true, lane_id))
                continue
            if true < rank:
                heapq.heappop(heap)
                continue
            shut = next((gate for gate in lane.gates if gate.shut), None)
            if shut is None:
                return lane
            heapq.heappop(heap)
            shut.parked[lane_id] = None
        return None


class LaneBook:
    """
    Every lane that was ever used, in memory.

    Changes belong to a transaction: `begin` opens it, `commit` keeps them, `rollback` takes them back.
    """

    def __init__(self, gates: Gates, ageing: int) -> None:
        self.gates = gates
        self._ageing = ageing
        self._now = 0
        self._lanes: dict[int, Lane] = {}
        self._ids: dict[LaneKey, int] = {}
        self._groups: dict[GroupKey, Group] = {}
        self._ready: dict[GroupKey, Group] = {}
        self._rises: list[tuple[int, int]] = []
        self._undo: dict[int, tuple[int, int, int]] = {}
        self._learned: list[int] = []

    def find(self, key: LaneKey) -> int:
        """Return the id of the lane with this key, 0 when it is not known."""
        return self._ids.get(key, 0)

    def learn(self, lane_id: int, key: LaneKey, count: int = 0, head_seq: int = 0, head_at: int = 0) -> None:
        """Add a lane."""
        self._learned.append(lane_id)
        lane = Lane(lane_id, key, self.gates.of(key.org_id, key.capabilities), count, head_seq, head_at)
        self._lanes[lane_id] = lane
        self._ids[key] = lane_id
        group_key = GroupKey(key.capabilities, key.mode, key.agent)
        group = self._groups.get(group_key)
        if group is None:
            group = self._groups[group_key] = Group(group_key)
        group.lanes[lane_id] = lane
        if count:
            self._offer(lane)

    def lane(self, lane_id: int) -> Lane:
        return self._lanes[lane_id]

    def lanes(self) -> list[Lane]:
        """Return every lane; a copy, because a transaction may learn of lanes on another thread meanwhile."""
        return list(self._lanes.values())

    def begin(self, now: int) -> None:
        """Open a transaction at `now` (epoch ms): heads that have waited long enough rise by a step."""
        self._now = max(self._now, now)
        rises = self._rises
        while rises and rises[0][0] <= self._now:
            lane = self._lanes.get(heapq.heappop(rises)[1])
            if lane is not None and lane.count > 0:
                self._offer(lane)

    def enter(self, lane_id: int, seq: int, queued_at: int) -> None:
        """Note that a task took its place in a lane."""
        lane = self._touch(lane_id)
        lane.count += 1
        if lane.count == 1 or seq < lane.head_seq:
            lane.head_seq, lane.head_at = seq, queued_at
            self._offer(lane)

    def leave(self, lane_id: int) -> None:
        """Note that a task left a lane other than by a claim; the head stays a hint."""
        lane = self._touch(lane_id)
        lane.count = max(0, lane.count - 1)

    def advance(self, lane_id: int, count: int, head_seq: int, head_at: int) -> None:
        """Set what a claim saw of the lane: tasks left and their head (0 when none). Ranks only grow by it."""
        lane = self._touch(lane_id)
        older = head_at < lane.head_at
        lane.count, lane.head_seq, lane.head_at = count, head_seq, head_at
        if not count:
            return
        level = self._level(lane)
        if older or level > lane.level:
            self._offer(lane)
        else:
            lane.level = level

    def reopen(self, gate: Gate) -> None:
        """Offer the lanes that were parked at a gate which may be open again."""
        if gate.parked and not gate.shut:
            parked, gate.parked = gate.parked, {}
            for lane_id in parked:
                lane = self._lanes.get(lane_id)
                if lane is not None and lane.count > 0:
                    self._offer(lane)

    def ready(self) -> list[Group]:
        """Return the groups that have a task which could be served, in the order in which they became ready."""
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
        """Take back what the transaction did. Ranks may shrink by it, so every heap is built anew; transactions that fail are rare."""
        if not self._undo and not self._learned:
            return
        for lane_id, before in self._undo.items():
            lane = self._lanes[lane_id]
            lane.count, lane.head_seq, lane.head_at = before
        for lane_id in self._learned:
            key = self._lanes.pop(lane_id).key
            del self._ids[key]
            del self._groups[GroupKey(key.capabilities, key.mode, key.agent)].lanes[lane_id]
        self._undo.clear()
        self._learned.clear()
        self.rebuild()

    def rebuild(self) -> None:
        """Offer every lane anew."""
        for group in self._groups.values():
            group.heap.clear()
        self._rises.clear()
        for lane in self._lanes.values():
            if lane.count > 0:
                self._offer(lane)

    def _level(self, lane: Lane) -> int:
        """Return the effective priority of a lane (D3)."""
        steps = max(0, self._now - lane.head_at) // self._ageing
        return min(int(Priority.URGENT), lane.key.priority + steps)

    def _touch(self, lane_id: int) -> Lane:
        lane = self._lanes[lane_id]
        if lane_id not in self._undo:
            self._undo[lane_id] = (lane.count, lane.head_seq, lane.head_at)
        return lane

    def _offer(self, lane: Lane) -> None:
        """Put the lane where its rank belongs, and remember when its head rises."""
        lane.level = self._level(lane)
        key = GroupKey(lane.key.capabilities, lane.key.mode, lane.key.agent)
        group = self._groups[key]
        group.push(lane)
        self._ready[key] = group
        if lane.level < Priority.URGENT:
            steps = lane.level - lane.key.priority + 1
            heapq.heappush(self._rises, (lane.head_at + steps * self._ageing, lane.id))
