"""fleetctl tasks explain: why a task is not running."""

from __future__ import annotations

from typing import Annotated

import typer

from fleetd_client.cli.columns import EXPLANATION, REASON
from fleetd_client.cli.invocation import Invocation, command


def register(app: typer.Typer) -> None:
    """Add the command to fleetctl tasks."""
    command(app, "explain")(explain)


async def explain(
    run: Invocation, task_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the task.")]
) -> None:
    """
    Tell why a task is not running.

    Example: fleetctl tasks explain 01JZX3V7Q8M4T2N6B9C5D1E0FG
    """
    answer = await run.client.explain(task_id)
    run.printer.one(answer, EXPLANATION)
    if run.printer.for_people:
        run.printer.raw("")
        run.printer.many(answer.reasons, REASON)
