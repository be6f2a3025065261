"""The console of the demo: headings, lines with a verdict before them, and pictures that live on a terminal only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

# What is printed fits into so many columns; where there is no terminal that is all there are.
WIDTH = 100
# The longest method that an act shows is ReplayDeadLetters.
WHAT_WIDTH = 17
MARK_WIDTH = 2
GAP = 2


class Screen:
    """Where everything is shown; `terminal` tells whether pictures may move."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, markup=False)
        self.terminal = self.console.is_terminal
        if not self.terminal:
            self.console.width = WIDTH

    @property
    def width(self) -> int:
        return min(WIDTH, self.console.width)

    @property
    def room(self) -> int:
        """Columns for what came of a step."""
        return self.width - MARK_WIDTH - WHAT_WIDTH - 2 * GAP

    def show(self, picture: RenderableType) -> None:
        """Print something; what was padded to fill a terminal is not when there is none."""
        if self.terminal:
            self.console.print(picture, width=self.width)
            return
        with self.console.capture() as printed:
            self.console.print(picture)
        for line in printed.get().splitlines():
            self.text(line.rstrip())

    def heading(self, text: str) -> None:
        """A new part of the story begins."""
        self.text("")
        self.text(text, "bold")
        self.text("─" * self.width, "dim")

    def text(self, text: str, style: str = "") -> None:
        """A line of its own, whole."""
        self.console.print(Text(text, style), soft_wrap=True)

    def line(self, what: str, text: RenderableType, verdict: Text | None = None) -> None:
        """What was done or asked, and what came of it, wrapped into its column."""
        grid = Table.grid(padding=(0, GAP, 0, 0), expand=True)
        grid.add_column(width=MARK_WIDTH)
        grid.add_column(width=WHAT_WIDTH, no_wrap=True)
        grid.add_column(ratio=1)
        grid.add_row(verdict or Text(), Text(what, "cyan"), text)
        self.show(grid)

    @contextmanager
    def live(self, picture: Callable[[], RenderableType]) -> Iterator[None]:
        """Show a picture that moves, until the block ends; nothing where there is no terminal."""
        if not self.terminal:
            yield
            return
        with Live(get_renderable=picture, console=self.console, refresh_per_second=10, transient=True):
            yield


def verdict(problem: str) -> Text:
    """The mark of what was judged: ok when there is no problem."""
    return Text("no", "bold red") if problem else Text("ok", "green")
