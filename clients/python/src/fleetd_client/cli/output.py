"""Printers: the same messages as a table for people or as JSON for programs. Data goes to stdout, everything else to stderr."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any, TextIO

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


class Printer:
    """Prints messages of the API, or plain dicts, in one format. `now` is for "3m ago"."""

    def __init__(
        self, form: Format, stdout: TextIO, *, color: bool = True, now: Callable[[], float] = time.time
    ) -> None:
        self.form = form
        self._out = stdout
        self._now = now
        self._tables = None
        if self.for_people:
            from fleetd_client.cli.tables import Tables  # noqa: PLC0415 - rich takes time that JSON need not spend

            self._tables = Tables(stdout, color=color)

    @property
    def for_people(self) -> bool:
        return self.form in {Format.TABLE, Format.WIDE}

    def many(self, things: Iterable[Any], columns: Sequence[Column]) -> None:
        """A list: one table, one JSON array, or a line of JSON for each."""
        if self._tables is not None:
            chosen = self._chosen(columns)
            self._tables.table(chosen, [self._cells(thing, chosen) for thing in things])
        elif self.form is Format.JSON:
            self._line(_pretty([_plain(thing) for thing in things]))
        else:
            for thing in things:
                self._line(_compact(thing))

    def one(self, thing: Any, columns: Sequence[Column]) -> None:
        """A single thing: a line for each of its columns that is not empty, or a JSON object."""
        if self._tables is not None:
            self._tables.alone(columns, self._cells(thing, columns))
        elif self.form is Format.JSON:
            self._line(_pretty(_plain(thing)))
        else:
            self._line(_compact(thing))

    def follow(self, thing: Any, columns: Sequence[Column]) -> None:
        """One more of a list without end, at once: a row, or a line of JSON in both JSON formats."""
        if self._tables is not None:
            chosen = self._chosen(columns)
            self._tables.follow(chosen, self._cells(thing, chosen))
        else:
            self._line(_compact(thing))

    def raw(self, text: str) -> None:
        """Text as it is, one line."""
        self._line(text)

    def _chosen(self, columns: Sequence[Column]) -> list[Column]:
        most = Shown.WIDE if self.form is Format.WIDE else Shown.ALWAYS
        return [column for column in columns if column.shown <= most]

    def _cells(self, thing: Any, columns: Sequence[Column]) -> list[str]:
        return [one_line(column.cell(thing, self._now())) for column in columns]

    def _line(self, text: str) -> None:
        self._out.write(text + "\n")
        # Whoever reads along a pipe shall not wait for the buffer.
        self._out.flush()


def one_line(text: str) -> str:
    """Text of others for a cell: without line ends, and without the control characters that could drive a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _plain(thing: Any) -> Any:
    return thing if isinstance(thing, dict) else record(thing)


def _compact(thing: Any) -> str:
    return json.dumps(_plain(thing), ensure_ascii=False, separators=(",", ":"))


def _pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)
