"""What the demo shows: a table that lives on a terminal, lines anywhere else."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

STYLES = {
    "PENDING": "dim",
    "ASSIGNED": "cyan",
    "RUNNING": "yellow",
    "COMPLETED": "green",
    "FAILED": "red",
    "CANCELLED": "magenta",
    "DEAD_LETTER": "red",
}
ENDS = frozenset({"COMPLETED", "FAILED", "CANCELLED", "DEAD_LETTER"})
# Of what happened, so many lines are shown below the table.
HAPPENINGS = 6


@dataclass(slots=True)
class Row:
    """One job as it is seen."""

    title: str
    status: str = "PENDING"
    agent: str = ""
    run: int = 0
    percent: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one job ended: `took` in seconds, `problem` empty when all is as expected."""

    title: str
    status: str
    agents: str
    took: float
    note: str
    problem: str


class Screen:
    """A console with the jobs' rows and the latest happenings."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.rows: list[Row] = []
        self._began = time.monotonic()
        self._happenings: list[str] = []

    @contextmanager
    def live(self) -> Iterator[None]:
        """Show what changes until the block ends; then what happened stays."""
        if not self.console.is_terminal:
            yield
            return
        with Live(get_renderable=self._picture, console=self.console, refresh_per_second=10, transient=True):
            yield
        for line in self._happenings:
            self.console.print(line, markup=False)

    def tell(self, text: str) -> None:
        """Something worth a line of its own."""
        line = f"{time.monotonic() - self._began:6.2f}s  {text}"
        self._happenings.append(line)
        if not self.console.is_terminal:
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def changed(self, row: Row, what: str) -> None:
        """A job moved; its row says where to."""
        if not self.console.is_terminal:
            self.tell(f"   {row.title:<36} {what}")

    def summary(self, verdicts: Sequence[Verdict]) -> None:
        """The last table."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("", width=2)
        table.add_column("job", no_wrap=True)
        table.add_column("ended", width=11)
        table.add_column("took", width=6, justify="right")
        table.add_column("run by", no_wrap=True)
        table.add_column("", style="dim")
        for one in verdicts:
            table.add_row(
                Text("no", "bold red") if one.problem else Text("ok", "green"),
                one.title,
                Text(one.status, STYLES.get(one.status, "")),
                f"{one.took:.1f}s",
                one.agents,
                Text(one.problem, "bold red") if one.problem else one.note,
            )
        self.console.print()
        self.console.print(table)

    def _picture(self) -> Group:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), expand=True)
        table.add_column("job", no_wrap=True)
        table.add_column("status", width=11)
        table.add_column("agent", width=7)
        table.add_column("run", width=3, justify="right")
        table.add_column("", width=10)
        table.add_column("", no_wrap=True, ratio=1, style="dim")
        room = self.console.height - HAPPENINGS - 4  # header, blank line, cursor, one to spare
        # In a small window the jobs that ended make room for the others.
        shown = self.rows if len(self.rows) <= room else sorted(self.rows, key=lambda row: row.status in ENDS)
        for row in shown[:room]:
            table.add_row(
                row.title,
                Text(row.status, STYLES.get(row.status, "")),
                row.agent,
                str(row.run or ""),
                ProgressBar(100, row.percent, width=10) if row.agent else "",
                Text(row.message),
            )
        return Group(table, Text(), *(Text(line) for line in self._happenings[-HAPPENINGS:]))
