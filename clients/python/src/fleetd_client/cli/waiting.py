"""Waiting for tasks, with their progress shown meanwhile."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from fleetd_client.cli.columns import status
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
# More bars than a window has lines only flicker.
MOST_BARS = 15


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


class Bars:
    """A bar for each task on a terminal."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[str, TaskID] = {}

    def take(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            if task.id not in self._bars and len(self._bars) < MOST_BARS:
                self._bars[task.id] = self._progress.add_task(
                    one_line(task.title)[:40], total=100, message=""
                )
            if task.id in self._bars:
                self._progress.update(
                    self._bars[task.id],
                    completed=task.progress,
                    description=f"{one_line(task.title)[:40]}  {status(task)}",
                    message=one_line(task.progress_message),
                )


class Lines:
    """A line whenever a task moved, where there is no terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: dict[str, tuple[Any, ...]] = {}

    def take(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            seen = (task.status, task.attempt, task.progress, task.progress_message)
            if self._last.get(task.id) != seen:
                self._last[task.id] = seen
                line = f"{task.id} {status(task)} {task.progress}% {one_line(task.progress_message)}"
                self._console.print(line.rstrip(), soft_wrap=True)


class Silence:
    """For those who asked for it."""

    def take(self, tasks: Sequence[Task]) -> None:
        return


def shown_on(console: Console, *, quiet: bool = False) -> tuple[AbstractContextManager[object], Show]:
    """What to enter around the waiting, and what to show on: bars on a terminal, lines elsewhere, nothing when quiet."""
    if quiet:
        return nullcontext(), Silence()
    if not console.is_terminal:
        return nullcontext(), Lines(console)
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[message]}", style="dim", markup=False),
        console=console,
        transient=True,
    )
    return progress, Bars(progress)
