"""Waiting for tasks, with their progress shown meanwhile."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from fleetd_client.cli.columns import status
from fleetd_client.cli.narrator import Narrator
from fleetd_client.cli.output import one_line
from fleetd_client.client import FleetClient
from fleetd_client.errors import DeadlineExceeded
from fleetd_client.stubs import Task, TaskStatus

ENDS = frozenset(
    {
        TaskStatus.TASK_STATUS_COMPLETED,
        TaskStatus.TASK_STATUS_FAILED,
        TaskStatus.TASK_STATUS_CANCELLED,
        TaskStatus.TASK_STATUS_DEAD_LETTER,
        TaskStatus.TASK_STATUS_DISCARDED,
    }
)
# One call a second brings the progress of all tasks; the end of one comes at once, whatever is left of the second.
LOOK_SECONDS = 1.0


class Show(Protocol):
    """Shows how tasks stand."""

    def take(self, tasks: Sequence[Task]) -> None: ...


async def wait_for(
    client: FleetClient, task_ids: Sequence[str], limit: float | None, show: Show
) -> list[Task]:
    """The tasks, all terminal, in the order of their ids. DeadlineExceeded after `limit` seconds; None waits for ever."""
    ended: dict[str, Task] = {}
    waiting = list(dict.fromkeys(task_ids))
    over = None if limit is None else time.monotonic() + limit
    # The first look does not wait: it tells how things stand.
    look = 0.0
    while True:
        tasks = (await client.wait_many(waiting, first=True, timeout=look)).tasks
        show.take(tasks)
        ended |= {task.id: task for task in tasks if task.status in ENDS}
        waiting = [one for one in waiting if one not in ended]
        if not waiting:
            return [ended[one] for one in task_ids]
        look = LOOK_SECONDS if over is None else min(LOOK_SECONDS, over - time.monotonic())
        if look <= 0:
            message = f"still not ended after {limit:g}s: {', '.join(waiting)}"
            raise DeadlineExceeded("WAIT_TIMEOUT", message)


class Lines:
    """A line whenever a task moved, where there is no terminal."""

    def __init__(self, narrator: Narrator) -> None:
        self._narrator = narrator
        self._last: dict[str, tuple[Any, ...]] = {}

    def take(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            seen = (task.status, task.attempt, task.progress, task.progress_message)
            if self._last.get(task.id) != seen:
                self._last[task.id] = seen
                line = f"{task.id} {status(task)} {task.progress}% {one_line(task.progress_message)}"
                self._narrator.say(line.rstrip())


class Silence:
    """For those who asked for it."""

    def take(self, tasks: Sequence[Task]) -> None:
        return


def shown_by(narrator: Narrator, *, quiet: bool = False) -> tuple[AbstractContextManager[object], Show]:
    """What to enter around the waiting, and what to show with: bars on a terminal, lines elsewhere, nothing when quiet."""
    if quiet:
        return nullcontext(), Silence()
    if not narrator.at_terminal:
        return nullcontext(), Lines(narrator)
    from fleetd_client.cli.bars import Bars, progress_bars  # noqa: PLC0415 - rich takes time that a log need not spend

    progress = progress_bars(color=narrator.color)
    return progress, Bars(progress)
