"""What people read: rows under headers that fit into their terminal, and the lines of a single thing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from fleetd_client.cli.output import Column

STYLES = {
    "COMPLETED": "green",
    "IDLE": "green",
    "SERVING": "green",
    "ok": "green",
    "READY": "green",
    "ONLINE": "green",
    "CLOSED": "green",
    "NORMAL": "green",
    "done": "green",
    "same": "green",
    "equal": "green",
    "ASSIGNED": "cyan",
    "RUNNING": "yellow",
    "DRAINING": "yellow",
    "warn": "yellow",
    "DEGRADED": "yellow",
    "HALF_OPEN": "yellow",
    "TRIAL": "yellow",
    "FORCED": "magenta",
    "CANCELLED": "magenta",
    "STOPPED": "magenta",
    "DISABLED": "magenta",
    "BLOCKED": "magenta",
    "FAILED": "red",
    "DEAD_LETTER": "red",
    "ERROR": "red",
    "DISCONNECTED": "red",
    "OFFLINE": "red",
    "OPEN": "red",
    "FALLBACK": "red",
    "error": "red",
    "different": "red",
    "fail": "bold red",
}
# Of a row's second line, where a terminal has no room for all columns in one.
INDENT = "    "


class Tables:
    """Prints cells; each is one line of text."""

    def __init__(self, stdout: TextIO, *, color: bool) -> None:
        self._console = Console(file=stdout, no_color=not color or None, highlight=False, markup=False)
        self._widths: list[int] | None = None

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
        """A table of all rows."""
        self._widths = [
            max([cell_len(column.header), *(cell_len(row[at]) for row in rows)])
            for at, column in enumerate(columns)
        ]
        # Into a pipe nothing is cut: the other end may be looking for just that.
        if self._console.is_terminal:
            self._widths = fitted(self._widths, columns, self._console.width)
        self._header(columns)
        for row in rows:
            self._row(row, columns)

    def alone(self, columns: Sequence[Column], cells: Sequence[str]) -> None:
        """A line for each cell that is not empty."""
        width = max(len(column.header) for column in columns)
        for column, cell in zip(columns, cells, strict=True):
            if cell:
                line = Text(f"{column.header:<{width}}  ").append(cell, STYLES.get(cell, ""))
                self._console.print(line, soft_wrap=True)

    def follow(self, columns: Sequence[Column], cells: Sequence[str]) -> None:
        """One more row of a table without end; the first one brings the header."""
        if self._widths is None:
            self._widths = [
                max(column.width, cell_len(column.header), cell_len(cell))
                for column, cell in zip(columns, cells, strict=True)
            ]
            self._header(columns)
        self._widths = [max(width, cell_len(cell)) for width, cell in zip(self._widths, cells, strict=True)]
        self._row(cells, columns)

    def _header(self, columns: Sequence[Column]) -> None:
        self._row([column.header for column in columns], columns, style="bold")

    def _row(self, cells: Sequence[str], columns: Sequence[Column], style: str = "") -> None:
        line, used = Text(style=style), 0
        for cell, column, width in zip(cells, columns, self._widths or [], strict=True):
            text = Text(cell, STYLES.get(cell, ""))
            text.truncate(width, overflow="ellipsis")
            room = " " * (width - text.cell_len)
            # The last cell needs no room behind it, and one that is wider than any line is left to the terminal.
            needed = text.cell_len if column is columns[-1] else width
            if self._console.is_terminal and used and used + needed > self._console.width:
                line.rstrip()
                line.append("\n" + INDENT)
                used = len(INDENT)
            line.append(room if column.right else "").append_text(text).append("" if column.right else room)
            line.append("  ")
            used += width + 2
        line.rstrip()
        self._console.print(line, soft_wrap=True)


def fitted(widths: list[int], columns: Sequence[Column], room: int) -> list[int]:
    """Widths of columns with two spaces between them that fit into the room: free ones give way, the widest first, but keep some words."""
    fitting = list(widths)
    over = sum(widths) + 2 * (len(widths) - 1) - room
    least = [
        max(cell_len(column.header), column.least) if column.free else width
        for column, width in zip(columns, widths, strict=True)
    ]
    while over > 0:
        at = max(range(len(fitting)), key=lambda at: (fitting[at] > least[at], fitting[at]))
        if fitting[at] <= least[at]:
            break  # wider than the terminal: rows take two lines, better than columns that are missing
        fitting[at] -= 1
        over -= 1
    return fitting
