"""The table people read."""

from __future__ import annotations

from collections.abc import Sequence

from figure import Figure
from machine import BUSY
from rich.console import Console
from rich.markup import escape
from rich.table import Table

PLAIN_WIDTH = 180
"""Characters of a line where there is no terminal."""


def show(figures: Sequence[Figure], console: Console) -> None:
    """Print figures beside their floors."""
    table = Table(title="fleetd, each figure beside its floor of the same run", title_justify="left")
    for name, right in (
        ("key", 0),
        ("value", 1),
        ("floor", 1),
        ("", 0),
        ("÷ floor", 1),
        ("bar", 1),
        ("note", 0),
    ):
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for figure in figures:
        met = {None: "", True: "[green]", False: "[red]"}[figure.met]
        known = figure.value is not None
        table.add_row(
            figure.key,
            f"{met}{shown(figure)}",
            number(figure.floor) if known else "",
            figure.floor_unit,
            "" if figure.ratio is None else f"{figure.ratio:.2f}",
            figure.bar.replace(">=", "≥").replace("<=", "≤"),
            escape(figure.note),
        )
    console.print(table)
    others = max((figure.details["others_cores"] for figure in figures), default=0.0)
    if others > BUSY:
        console.print(
            f"[red]Other programs kept up to {others:.1f} cores busy meanwhile: do not compare these figures."
        )


def shown(figure: Figure) -> str:
    """Return the value with its unit."""
    if figure.value is None:
        return "[yellow]not measured[/]"
    return f"{number(figure.value)} {'' if figure.unit == 'ratio' else figure.unit}".strip()


def number(value: float) -> str:
    """Return a number with three or four digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
