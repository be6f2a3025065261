"""From waiting tasks and free slots to leases: lanes in order of policy, agents by water filling, rows read lane by lane."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
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


FIRST_READ = 4
"""Tasks read of a lane at first: with many lanes each gives few; a lane that gives more is read in chunks that grow fourfold."""


@dataclass(slots=True)
class _Reading:
    """How far a lane was read in this transaction; what was given is still in the table as it was."""

    rows: deque[Task] = field(default_factory=deque)
    place: int = 0
    chunk: int = FIRST_READ


def dispatch(
    ledger: Ledger, lanes: LaneBook, slots: SlotBook, sessions: Mapping[str, Session]
) -> Script[list[Claimed]]:
    """
    Give leases until tasks or slots run out, or the limit is reached.

    The best lane first (its rank), in a lane strictly by place, each task to the least loaded agent that is able.
    """
    given: list[tuple[Task, str]] = []
    readings: dict[int, _Reading] = {}
    heap: list[tuple[Rank, int, Group]] = []
    for index, group in enumerate(lanes.ready()):
        group.floor = max(group.floor, slots.floor(group.key))
        lane = group.top()
        if lane is not None and slots.best(group.key) is not None:
            heap.append((group.rank(lane), index, group))
    heapq.heapify(heap)
    while heap and slots.free and len(given) < CLAIMS_LIMIT:
        rank, index, group = heap[0]
        seat = slots.best(group.key)
        lane = group.top() if seat is not None else None
        if seat is None or lane is None:
            heapq.heappop(heap)
            continue
        true = group.rank(lane)
        if true != rank:
            # An org of this group was served by way of another group meanwhile.
            heapq.heapreplace(heap, (true, index, group))
            continue
        task = yield from _next(ledger, lanes, lane, readings)
        if task is not None:
            session = sessions[seat.agent_id]
            runs.claim(ledger, task, seat.agent_id, session.epoch, accepted=session.accepts_by_itself)
            slots.take(seat.agent_id, true[1])
            lanes.gates.enter(lane.gates)
            lanes.gates.charge(lane.org, true[1])
            group.floor = max(group.floor, true[1])
            given.append((task, seat.agent_id))
        following = group.top()
        if following is None:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (group.rank(following), index, group))
    if not given:
        return []
    parts: dict[int, TaskParts] = yield Parts([task.seq for task, _ in given])
    return [Claimed(task, agent_id, task.lease_epoch, parts[task.seq]) for task, agent_id in given]


def _next(ledger: Ledger, lanes: LaneBook, lane: Lane, readings: dict[int, _Reading]) -> Script[Task | None]:
    """Take the lane's first task and note the new head."""
    reading = readings.get(lane.id)
    if reading is None:
        reading = readings[lane.id] = _Reading()
    if len(reading.rows) < 2 and lane.count > len(reading.rows):
        # One more than is given: the head that stays is known without another read.
        limit = min(lane.count - len(reading.rows), reading.chunk) + 1
        rows: list[Task] = yield Heads(lane.id, limit, reading.place)
        reading.chunk = min(4 * reading.chunk, CLAIMS_LIMIT)
        if rows:
            reading.place = rows[-1].place
            reading.rows.extend(ledger.adopt(row) for row in rows)
    task = reading.rows.popleft() if reading.rows else None
    head = reading.rows[0] if reading.rows else None
    if head is None:
        lanes.advance(lane.id, 0, 0, 0)
    else:
        lanes.advance(lane.id, max(1, lane.count - 1), head.place, head.queued_at)
    return task if task is not None and task.status is Status.PENDING else None
