"""The progress of tasks on a terminal, a bar for each."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from fleetd_client.cli.columns import status
from fleetd_client.cli.output import one_line
from fleetd_client.stubs import Task

# More bars than a window has lines only flicker.
MOST_BARS = 15


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


def progress_bars(*, color: bool) -> Progress:
    """What Bars are shown in, on stderr; to be entered, and gone without a trace when left."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[message]}", style="dim", markup=False),
        console=Console(stderr=True, no_color=not color or None, highlight=False, markup=False),
        transient=True,
    )
