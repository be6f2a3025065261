"""The table people read."""

from __future__ import annotations

from collections.abc import Sequence

from figure import Figure
from machine import BUSY
from rich.console import Console
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
        table.add_row(
            figure.key,
            f"{met}{number(figure.value)} {'' if figure.unit == 'ratio' else figure.unit}",
            number(figure.floor),
            figure.floor_unit,
            f"{figure.ratio:.2f}",
            figure.bar.replace(">=", "≥").replace("<=", "≤"),
            figure.note,
        )
    console.print(table)
    others = max((figure.details["others_cores"] for figure in figures), default=0.0)
    if others > BUSY:
        console.print(
            f"[red]Other programs kept up to {others:.1f} cores busy meanwhile: do not compare these figures."
        )


def number(value: float) -> str:
    """Return a number with three or four digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
