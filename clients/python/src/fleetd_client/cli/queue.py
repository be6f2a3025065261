"""fleetctl queue: how much there is to do, and pauses."""

from __future__ import annotations

from typing import Annotated

import typer

from fleetd_client.cli.columns import QUEUE_LIMITS
from fleetd_client.cli.figures import queue
from fleetd_client.cli.invocation import (
    Invocation,
    NoColor,
    Options,
    Output,
    Server,
    Timeout,
    command,
    perform,
)

app = typer.Typer(rich_markup_mode=None)

Org = Annotated[str, typer.Option("--org", metavar="ORG", help="Tasks of this tenant.")]
Capability = Annotated[
    str, typer.Option("--cap", metavar="CAPABILITY", help="Tasks that need this; code means code:rust, too.")
]
Reason = Annotated[str, typer.Option(help="For people; kept in the audit log.")]


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    server: Server = None,
    timeout: Timeout = None,
    output: Output = None,
    no_color: NoColor = False,
) -> None:
    """
    Show how many tasks there are, and how long they wait; pause and resume.

    Example: fleetctl queue -o json
    """
    options = (context.obj or Options()).then(Options(server, timeout, output, no_color))
    context.obj = options
    if context.invoked_subcommand is None:
        raise typer.Exit(perform(options, queue))


@command(app, "pause")
async def pause(run: Invocation, org: Org = "", capability: Capability = "", reason: Reason = "") -> None:
    """
    Let no further task begin, of an org or with a capability.

    What runs goes on.

    Example: fleetctl queue pause --cap gpu --reason "driver update"
    """
    kind, name = which(org, capability)
    run.printer.one(await run.client.pause_queue(kind, name, reason=reason), QUEUE_LIMITS)


@command(app, "resume")
async def resume(run: Invocation, org: Org = "", capability: Capability = "", reason: Reason = "") -> None:
    """
    Let tasks begin again.

    Example: fleetctl queue resume --cap gpu
    """
    kind, name = which(org, capability)
    run.printer.one(await run.client.resume_queue(kind, name, reason=reason), QUEUE_LIMITS)


def which(org: str, capability: str) -> tuple[str, str]:
    """The kind and the name of what a rule is about; a usage error unless exactly one is given."""
    if bool(org) == bool(capability):
        raise typer.BadParameter("either this or --cap", param_hint="--org")
    return ("ORG", org) if org else ("CAPABILITY", capability)
