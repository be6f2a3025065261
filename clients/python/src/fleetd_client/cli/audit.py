"""fleetctl audit: what operators did."""

from __future__ import annotations

from typing import Annotated

import typer

from fleetd_client.cli.columns import AUDIT
from fleetd_client.cli.invocation import Invocation, command


def register(app: typer.Typer) -> None:
    """Add the command to fleetctl."""
    command(app, "audit")(audit)


async def audit(
    run: Invocation,
    action: Annotated[str, typer.Option(metavar="METHOD", help="Of this method, as CancelTask.")] = "",
    target: Annotated[
        str, typer.Option(metavar="TARGET", help="To this target: an id, org:NAME, capability:NAME.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, help="Most lines to show.")] = 50,
) -> None:
    """
    List what operators did, newest first.

    Example: fleetctl audit --target org:acme
    """
    lines = []
    async for line in run.client.audits(action=action, target=target, page_size=min(limit, 1_000)):
        lines.append(line)
        if len(lines) == limit:
            break
    run.printer.many(lines, AUDIT)
