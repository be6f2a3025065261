"""From waiting tasks and free slots to leases: lanes in order of policy, agents by water filling, rows read lane by lane."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from fleetd.core import routed, runs
from fleetd.core.lanes import Group, Lane, LaneBook, Rank
from fleetd.core.ledger import Ledger
from fleetd.core.slots import SlotBook
from fleetd.core.task import Task
from fleetd.engine.outbox import Assignment
from fleetd.engine.session import Session
from fleetd.store.base import Heads, Parts, Script, TaskParts

CLAIMS_LIMIT = 1_000
"""Leases given in one transaction at most: keeps a transaction under some 50 ms."""


class Claimed(NamedTuple):
    """A lease that was given, with what is delivered with it."""

    task: Task
    agent_id: str
    lease_epoch: int
    parts: TaskParts
    route: Assignment | None = None


FIRST_READ = 1
"""Tasks to give that are read of a lane at first: with many lanes each gives one; a lane that gives more is read in chunks that grow fourfold."""


@dataclass(slots=True)
class _Reading:
    """
    The order of one lane as far as it is known in this transaction: `stored` tasks were read, `fresh` ones take their place only with its commit.

    `place` is how far the store was read, `over` that there is no more.
    """

    fresh: deque[Task]
    stored: deque[Task] = field(default_factory=deque)
    place: int = 0
    chunk: int = FIRST_READ
    over: bool = False

    def first(self) -> deque[Task] | None:
        """Return the queue that holds the lane's first task; None when nothing is left."""
        if self.fresh and (not self.stored or self.fresh[0].place < self.stored[0].place):
            return self.fresh
        return self.stored or None


def dispatch(
    ledger: Ledger, lanes: LaneBook, slots: SlotBook, sessions: Mapping[str, Session]
) -> Script[tuple[list[Claimed], bool]]:
    """
    Give leases until tasks or slots run out, or the limit is reached; return them, and whether the limit was.

    The best lane first (its rank), in a lane strictly by place, each task to the least loaded agent that is able. A task whose route finds no
    instance leaves its lane, and the next one gets the slot.
    """
    looked = 0
    given: list[tuple[Task, str]] = []
    readings = _fresh(ledger)
    heap: list[tuple[Rank, int, Group]] = []
    for index, group in enumerate(lanes.ready()):
        group.floor = max(group.floor, slots.floor(group.key))
        lane = group.top()
        if lane is not None and slots.best(group.key) is not None:
            heap.append((group.rank(lane), index, group))
    heapq.heapify(heap)
    while heap and slots.free and looked < CLAIMS_LIMIT:
        rank, index, group = heap[0]
        seat = slots.best(group.key)
        lane = group.top() if seat is not None else None
        if seat is None or lane is None:
            heapq.heappop(heap)
            continue
        true = group.rank(lane)
        if true != rank:
            # It was served, or an org of this group was by way of another group.
            heapq.heapreplace(heap, (true, index, group))
            if heap[0][1] != index:
                continue
        task = yield from _next(ledger, lanes, lane, readings)
        if task is None:
            # Memory that is not what the store says must not be asked for ever.
            lane.count = 0
            continue
        looked += 1
        task.queued = False
        if not routed.admit(ledger, task):
            continue
        session = sessions[seat.agent_id]
        runs.claim(
            ledger,
            task,
            seat.agent_id,
            session.epoch,
            accepted=session.accepts_by_itself,
            host=seat.host,
        )
        slots.take(seat.agent_id, true[1])
        lanes.gates.enter(lane.gates)
        lanes.gates.charge(lane.org, true[1])
        group.floor = max(group.floor, true[1])
        given.append((task, seat.agent_id))
    claimed = yield from _with_parts(ledger, given)
    return claimed, looked >= CLAIMS_LIMIT


def _fresh(ledger: Ledger) -> dict[int, _Reading]:
    """Return, by lane, what enters it in this transaction: the store does not show it yet."""
    entered: dict[int, list[Task]] = {}
    for task in ledger.entered.values():
        entered.setdefault(task.lane, []).append(task)
    return {
        lane: _Reading(deque(sorted(tasks, key=lambda task: task.place))) for lane, tasks in entered.items()
    }


def _next(ledger: Ledger, lanes: LaneBook, lane: Lane, readings: dict[int, _Reading]) -> Script[Task | None]:
    """Take the lane's first task and note the new head."""
    reading = readings.get(lane.id)
    if reading is None:
        reading = readings[lane.id] = _Reading(deque())
    yield from _read(ledger, lane, reading)
    queue = reading.first()
    task = queue.popleft() if queue else None
    queue = reading.first()
    if queue is None:
        lanes.advance(lane.id, 0, 0, 0)
    else:
        lanes.advance(lane.id, max(1, lane.count - 1), queue[0].place, queue[0].queued_at)
    return task


def _read(ledger: Ledger, lane: Lane, reading: _Reading) -> Script[None]:
    """Read so much of the lane that its first two tasks are known: the one that is given, and the head that stays."""
    while len(reading.stored) < 2 and not reading.over:
        unread = lane.count - len(reading.stored) - len(reading.fresh)
        if unread <= 0:
            return
        limit = min(unread, reading.chunk) + 1
        rows: list[Task] = yield Heads(lane.id, limit, reading.place)
        reading.chunk = min(4 * reading.chunk, CLAIMS_LIMIT)
        reading.over = len(rows) < limit
        if rows:
            reading.place = rows[-1].place
        for row in rows:
            task = ledger.adopt(row)
            # A command may have taken it out of this lane, or out and in again.
            if task is row or (task.queued and task.lane == lane.id and task.seq not in ledger.entered):
                reading.stored.append(task)


def _with_parts(ledger: Ledger, given: list[tuple[Task, str]]) -> Script[list[Claimed]]:
    """Add what is delivered with the leases: of new tasks it is at hand, of others it is read, less what this transaction changes."""
    if not given:
        return []
    changes = ledger.changes
    new = {item.task.seq: item for item in changes.new_tasks}
    wanted = [task.seq for task, _ in given if task.seq not in new]
    stored: dict[int, TaskParts] = (yield Parts(wanted)) if wanted else {}
    found = {
        seq: TaskParts(
            changes.specs.get(seq, parts.spec), parts.input, changes.checkpoints.get(seq, parts.checkpoint)
        )
        for seq, parts in stored.items()
    }
    for task, _ in given:
        if task.seq in new:
            found[task.seq] = TaskParts(new[task.seq].spec, new[task.seq].input, None)
    return [
        Claimed(task, agent_id, task.lease_epoch, found[task.seq], _assignment(ledger, task))
        for task, agent_id in given
    ]


def _assignment(ledger: Ledger, task: Task) -> Assignment | None:
    route = task.route
    if route is None:
        return None
    return Assignment(task.id, route.version, ledger.routes.instance(route.instance), route.fallback)
