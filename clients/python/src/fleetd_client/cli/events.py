"""fleetctl events: what happened, and what happens."""

from __future__ import annotations

from typing import Annotated

import typer

from fleetd_client.cli.columns import EVENT
from fleetd_client.cli.invocation import Invocation, command
from fleetd_client.tasks import EventMatch


def register(app: typer.Typer) -> None:
    """Add the command to fleetctl."""
    command(app, "events")(events)


async def events(
    run: Invocation,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as they happen.")] = False,
    task: Annotated[str, typer.Option(metavar="ID", help="Of this task.")] = "",
    agent: Annotated[str, typer.Option(metavar="AGENT", help="Of this agent.")] = "",
    org: Annotated[str, typer.Option(metavar="ORG", help="Of this tenant.")] = "",
    event_type: Annotated[
        list[str] | None,
        typer.Option(
            "--type", metavar="TYPE", help="For instance TASK_FAILED. Can be passed multiple times."
        ),
    ] = None,
    since_seq: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="SEQ",
            help="After this event.",
            show_default="0; with --follow only new ones",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="Stop after so many; 0 never stops.")] = 0,
) -> None:
    """
    Print events, oldest first.

    Every event has a seq; a later --since-seq goes on where this call ended and misses nothing.

    Example: fleetctl events --follow --type TASK_FAILED --type AGENT_LOST -o jsonl
    """
    match = EventMatch(task_id=task, agent_id=agent, org_id=org, types=event_type or ())
    start = since_seq if since_seq is not None else (-1 if follow else 0)
    found = run.client.watch_events(start, **match) if follow else run.client.events(after_seq=start, **match)
    count = 0
    async for event in found:
        run.printer.follow(event, EVENT)
        count += 1
        if count == limit:
            break
