"""From waiting tasks and free slots to leases: lanes in order of policy, agents by water filling, rows read lane by lane."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from fleetd.core import runs
from fleetd.core.lanes import Group, Lane, LaneBook, Rank
from fleetd.core.ledger import Ledger
from fleetd.core.slots import SlotBook
from fleetd.core.task import Status, Task
from fleetd.engine.sessions import Session
from fleetd.store.base import Heads, Parts, Script, TaskParts

CLAIMS_LIMIT = 1_000
"""Leases given in one transaction at most: keeps a transaction under some 50 ms."""


class Claimed(NamedTuple):
    """A lease that was given, with what is delivered with it."""

    task: Task
    agent_id: str
    lease_epoch: int
    parts: TaskParts


def dispatch(
    ledger: Ledger, lanes: LaneBook, slots: SlotBook, sessions: Mapping[str, Session]
) -> Script[list[Claimed]]:
    """
    Give leases until tasks or slots run out, or the limit is reached.

    The best lane first (its rank), in a lane strictly by seq, each task to the least loaded agent that is able. Every lane that is touched is
    read once: the number of slots bounds how much of it can be needed.
    """
    given: list[tuple[Task, str]] = []
    read: dict[int, deque[Task]] = {}
    heap: list[tuple[Rank, int, Group]] = []
    for index, group in enumerate(lanes.ready()):
        lane = group.top()
        if lane is not None and slots.best(group.key) is not None:
            heap.append((lane.rank, index, group))
    heapq.heapify(heap)
    while heap and slots.free and len(given) < CLAIMS_LIMIT:
        _, index, group = heap[0]
        seat = slots.best(group.key)
        lane = group.top() if seat is not None else None
        if seat is None or lane is None:
            heapq.heappop(heap)
            continue
        if lane.id not in read:
            wanted = min(lane.count, slots.free, CLAIMS_LIMIT - len(given)) + 1
            rows: list[Task] = yield Heads(lane.id, wanted)
            read[lane.id] = deque(ledger.adopt(row) for row in rows)
        task = _next(lanes, lane, read[lane.id])
        if task is not None:
            session = sessions[seat.agent_id]
            runs.claim(ledger, task, seat.agent_id, session.epoch, accepted=session.accepts_by_itself)
            slots.take(seat.agent_id)
            given.append((task, seat.agent_id))
        following = group.top()
        if following is None:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (following.rank, index, group))
    if not given:
        return []
    parts: dict[int, TaskParts] = yield Parts([task.seq for task, _ in given])
    return [Claimed(task, agent_id, task.lease_epoch, parts[task.seq]) for task, agent_id in given]


def _next(lanes: LaneBook, lane: Lane, rows: deque[Task]) -> Task | None:
    """Take the lane's first task off what was read of it and note the new head."""
    task = rows.popleft() if rows else None
    head = rows[0] if rows else None
    left = lane.count - 1 if head is not None else 0
    lanes.advance(lane.id, max(left, len(rows)), head.seq if head else 0, head.queued_at if head else 0)
    return task if task is not None and task.status is Status.PENDING else None
