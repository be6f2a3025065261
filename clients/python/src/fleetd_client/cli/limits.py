"""fleetctl limits: shares and limits of orgs and capabilities."""

from __future__ import annotations

from typing import Annotated

import typer

from fleetd_client.cli.columns import QUEUE_LIMITS
from fleetd_client.cli.invocation import Invocation, command
from fleetd_client.cli.queue import Capability, Org, Reason, which

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="See and set limits of orgs and capabilities."
)


@command(app, "list")
async def list_limits(
    run: Invocation,
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help="ORG or CAPABILITY.", show_default="both")
    ] = None,
) -> None:
    """
    List orgs and capabilities that have a rule or something to do.

    Example: fleetctl limits list --kind org
    """
    run.printer.many([one async for one in run.client.queue_limits(kind=kind)], QUEUE_LIMITS)


@command(app, "set")
async def set_limits(
    run: Invocation,
    org: Org = "",
    capability: Capability = "",
    weight: Annotated[
        float | None, typer.Option(help="Share among orgs; orgs only.", show_default="as it is")
    ] = None,
    max_running: Annotated[
        int | None, typer.Option(help="Leases at once; 0 lifts the limit.", show_default="as it is")
    ] = None,
    max_pending: Annotated[
        int | None,
        typer.Option(help="Waiting tasks; 0 is the daemon's default; orgs only.", show_default="as it is"),
    ] = None,
    reason: Reason = "",
) -> None:
    """
    Set the share and the limits of an org, or the limit of a capability.

    Example: fleetctl limits set --org acme --weight 2 --max-running 50
    """
    kind, name = which(org, capability)
    changed = await run.client.set_queue_limits(
        kind, name, weight=weight, max_running=max_running, max_pending=max_pending, reason=reason
    )
    run.printer.one(changed, QUEUE_LIMITS)
