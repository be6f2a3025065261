"""The audit log knows every order that operators gave in the acts before, in order and with its reason."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text
from scene import Order, Scene
from screen import GAP


async def play(scene: Scene) -> None:
    lines = [line async for line in scene.client.audits()]
    table = Table.grid(padding=(0, GAP, 0, 0))
    for line in reversed(lines):
        at = line.time.ToDatetime().strftime("%H:%M:%S")
        table.add_row("  ", Text(at, "dim"), Text(line.action, "cyan"), line.target, Text(line.reason))
    scene.screen.show(table)
    found = [Order(line.action, line.target, line.reason) for line in reversed(lines)]
    scene.saw(
        "ListAudits",
        f"{len(found)} orders, each written down in the transaction that obeyed it",
        "" if found == scene.orders else _difference(found, scene.orders),
    )


def _difference(found: list[Order], given: list[Order]) -> str:
    missing = [" ".join(order) for order in given if order not in found]
    return (
        f"missing: {'; '.join(missing)}"
        if missing
        else "there are others, or in another order, than were given"
    )
