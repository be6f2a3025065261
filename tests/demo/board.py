"""The board of the twenty jobs: rows that move on a terminal, lines anywhere else, and a table of verdicts at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from screen import GAP, MARK_WIDTH, Screen, verdict

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
# Seconds with one decimal, up to some minutes.
TOOK_WIDTH = 5
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


class Board:
    """The jobs' rows and the latest happenings."""

    def __init__(self, screen: Screen) -> None:
        self.rows: list[Row] = []
        self._screen = screen
        self._began = time.monotonic()
        self._happenings: list[str] = []

    @contextmanager
    def live(self) -> Iterator[None]:
        """Show what changes until the block ends; then what happened stays."""
        with self._screen.live(self._picture):
            yield
        if self._screen.terminal:
            for line in self._happenings:
                self._screen.text(line)

    def tell(self, text: str) -> None:
        """Something worth a line of its own."""
        line = f"{time.monotonic() - self._began:6.2f}s  {text}"
        self._happenings.append(line)
        if not self._screen.terminal:
            self._screen.text(line)

    def changed(self, row: Row, what: str) -> None:
        """A job moved; its row says where to."""
        if not self._screen.terminal:
            self.tell(f"   {row.title:<28} {what}")

    def summary(self, verdicts: Sequence[Verdict]) -> None:
        """The last table; its notes stand behind the rows where all of them fit there, else below their jobs."""
        titles = max(len(one.title) for one in verdicts)
        table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
        table.add_column("", width=MARK_WIDTH)
        table.add_column("job", min_width=titles)
        table.add_column("ended", no_wrap=True)
        table.add_column("took", width=TOOK_WIDTH, justify="right")
        table.add_column("run by", no_wrap=True)
        table.add_column("")
        taken = (
            MARK_WIDTH
            + titles
            + max(len(one.status) for one in verdicts)
            + TOOK_WIDTH
            + max(len(one.agents) for one in verdicts)
            + 5 * GAP
        )
        behind = taken + max(len(one.problem or one.note) for one in verdicts) <= self._screen.width
        for one in verdicts:
            note = Text(one.problem, "bold red") if one.problem else Text(one.note, "dim")
            table.add_row(
                verdict(one.problem),
                one.title if behind or not note else Text(f"{one.title}\n  ").append_text(note),
                Text(one.status, STYLES.get(one.status, "")),
                f"{one.took:.1f}s",
                one.agents,
                note if behind else "",
            )
        self._screen.text("")
        self._screen.show(table)

    def _picture(self) -> Group:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), expand=True)
        table.add_column("job", no_wrap=True)
        table.add_column("status", width=11)
        table.add_column("agent", width=7)
        table.add_column("run", width=3, justify="right")
        table.add_column("", width=10)
        table.add_column("", no_wrap=True, ratio=1, style="dim")
        # Header, blank line, cursor, one to spare.
        room = self._screen.console.height - HAPPENINGS - 4
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
