"""Printers: the same messages as a table for people or as JSON for programs. Data goes to stdout, everything else to stderr."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from fleetd_client.cli.record import record


class Format(StrEnum):
    """How data is printed."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    JSONL = "jsonl"


class Shown(IntEnum):
    """Where a column appears: in every table, in wide ones, or only where one thing is shown alone."""

    ALWAYS = 0
    WIDE = 1
    ALONE = 2


@dataclass(frozen=True, slots=True)
class Column:
    """
    `cell` makes the text of a message, given the time in seconds since 1970; `free` text gives way where a terminal is narrow,
    of it `least` letters stay. `width` is kept free for what is to come in lists that are printed row by row.
    """

    header: str
    cell: Callable[[Any, float], str]
    shown: Shown = Shown.ALWAYS
    free: bool = False
    right: bool = False
    width: int = 0
    least: int = 12


STYLES = {
    "COMPLETED": "green",
    "IDLE": "green",
    "SERVING": "green",
    "ok": "green",
    "READY": "green",
    "CLOSED": "green",
    "ASSIGNED": "cyan",
    "RUNNING": "yellow",
    "DRAINING": "yellow",
    "warn": "yellow",
    "DEGRADED": "yellow",
    "HALF_OPEN": "yellow",
    "CANCELLED": "magenta",
    "STOPPED": "magenta",
    "BLOCKED": "magenta",
    "FAILED": "red",
    "DEAD_LETTER": "red",
    "ERROR": "red",
    "DISCONNECTED": "red",
    "OPEN": "red",
    "fail": "bold red",
}
# Of a row's second line, where a terminal has no room for all columns in one.
INDENT = "    "


class Printer:
    """Prints messages of the API, or plain dicts, in one format. `now` is for "3m ago"."""

    def __init__(
        self, form: Format, stdout: TextIO, *, color: bool = True, now: Callable[[], float] = time.time
    ) -> None:
        self.form = form
        self._out = stdout
        self._now = now
        self._console = Console(file=stdout, no_color=not color or None, highlight=False, markup=False)
        self._widths: list[int] | None = None

    @property
    def for_people(self) -> bool:
        return self.form in {Format.TABLE, Format.WIDE}

    def many(self, things: Iterable[Any], columns: Sequence[Column]) -> None:
        """A list: one table, one JSON array, or a line of JSON for each."""
        if self.form is Format.JSON:
            self._line(_pretty([_plain(thing) for thing in things]))
        elif self.form is Format.JSONL:
            for thing in things:
                self._line(_compact(thing))
        else:
            self._table(list(things), self._chosen(columns))

    def one(self, thing: Any, columns: Sequence[Column]) -> None:
        """A single thing: a line for each of its columns that is not empty, or a JSON object."""
        if self.form is Format.JSON:
            self._line(_pretty(_plain(thing)))
        elif self.form is Format.JSONL:
            self._line(_compact(thing))
        else:
            cells = [(column.header, one_line(column.cell(thing, self._now()))) for column in columns]
            width = max(len(header) for header, _ in cells)
            for header, cell in cells:
                if cell:
                    self._console.print(
                        Text(f"{header:<{width}}  ").append(cell, STYLES.get(cell, "")), soft_wrap=True
                    )

    def follow(self, thing: Any, columns: Sequence[Column]) -> None:
        """One more of a list without end, at once: a row, or a line of JSON in both JSON formats."""
        if not self.for_people:
            self._line(_compact(thing))
            return
        chosen = self._chosen(columns)
        cells = [one_line(column.cell(thing, self._now())) for column in chosen]
        if self._widths is None:
            self._widths = [
                max(column.width, cell_len(column.header), cell_len(cell))
                for column, cell in zip(chosen, cells, strict=True)
            ]
            self._row([column.header for column in chosen], chosen, style="bold")
        self._widths = [max(width, cell_len(cell)) for width, cell in zip(self._widths, cells, strict=True)]
        self._row(cells, chosen)

    def raw(self, text: str) -> None:
        """Text as it is, one line."""
        self._line(text)

    def _chosen(self, columns: Sequence[Column]) -> list[Column]:
        most = Shown.WIDE if self.form is Format.WIDE else Shown.ALWAYS
        return [column for column in columns if column.shown <= most]

    def _table(self, things: list[Any], columns: list[Column]) -> None:
        rows = [[one_line(column.cell(thing, self._now())) for column in columns] for thing in things]
        self._widths = [
            max([cell_len(column.header), *(cell_len(row[at]) for row in rows)])
            for at, column in enumerate(columns)
        ]
        # Into a pipe nothing is cut: the other end may be looking for just that.
        if self._console.is_terminal:
            self._widths = fitted(self._widths, columns, self._console.width)
        self._row([column.header for column in columns], columns, style="bold")
        for row in rows:
            self._row(row, columns)

    def _row(self, cells: list[str], columns: list[Column], style: str = "") -> None:
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

    def _line(self, text: str) -> None:
        self._out.write(text + "\n")
        # Whoever reads along a pipe shall not wait for the buffer.
        self._out.flush()


def one_line(text: str) -> str:
    """Text of others for a cell: without line ends, and without the control characters that could drive a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


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


def _plain(thing: Any) -> Any:
    return thing if isinstance(thing, dict) else record(thing)


def _compact(thing: Any) -> str:
    return json.dumps(_plain(thing), ensure_ascii=False, separators=(",", ":"))


def _pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)
