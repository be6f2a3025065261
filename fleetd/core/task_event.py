"""What a run tells while it works: kept in order for each task, whatever it says (spec G6)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from fleetd.core.task import Status


class Told(NamedTuple):
    """
    One event as its agent told it. `body` is a fleet.v1.TaskEvent in bytes without what the daemon sets; the flags say that the agent chose an id,
    and that it said when it happened.
    """

    body: bytes
    named: bool = False
    timed: bool = False


@dataclass(slots=True)
class TaskEvent:
    """
    One event of a task. `seq` counts within the task from 1 over all its leases, without gaps; `position` is given by the store, in commit order over all
    tasks, and is never given again. `time` is when it was taken (epoch ms). `sent` keeps the bytes that whoever gives it out first has put together for all
    others. The other parts are those of Told.
    """

    task_ref: int
    task_id: str
    seq: int
    lease_epoch: int
    time: int
    body: bytes
    named: bool = False
    timed: bool = False
    position: int = 0
    sent: bytes = field(default=b"", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class TaskEventPage:
    """
    Task events in order. `oldest` is the seq (of all tasks: position) of the oldest one kept, `last` that of the newest one ever taken; `oldest` is last + 1 when none
    is kept. `end` when nothing is known beyond these. `status` is that of the task in the same moment, None when all were asked for.
    """

    events: list[TaskEvent]
    oldest: int
    last: int
    end: bool
    status: Status | None = None
