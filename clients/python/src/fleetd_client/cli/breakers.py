"""fleetctl breakers: what keeps work away from providers, instances and hosts."""

from __future__ import annotations

from typing import Annotated

import typer

from fleetd_client.cli.flags import span
from fleetd_client.cli.invocation import Invocation, command
from fleetd_client.cli.route_columns import BREAKER

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="See, close and open the breakers of providers and instances.",
)

Kind = Annotated[
    str | None,
    typer.Option("--kind", metavar="KIND", help="PROVIDER, INSTANCE or HOST.", show_default="any"),
]
Name = Annotated[str, typer.Option("--name", metavar="NAME", help="Id of the provider, instance or host.")]
Reason = Annotated[str, typer.Option(help="For people; kept in event and audit log.")]


@command(app, "list")
async def list_breakers(
    run: Invocation,
    kind: Kind = None,
    name: Name = "",
    everything: Annotated[bool, typer.Option("--all", help="Also closed ones.")] = False,
) -> None:
    """
    List breakers that are not closed.

    Example: fleetctl breakers list --kind provider --all
    """
    run.printer.many(await run.client.breakers(kind, name, all=everything), BREAKER)


@command(app, "reset")
async def reset(
    run: Invocation,
    kind: Kind = None,
    name: Name = "",
    everything: Annotated[bool, typer.Option("--all", help="Every breaker.")] = False,
    reason: Reason = "",
) -> None:
    """
    Close one breaker, all of a kind, or all.

    Example: fleetctl breakers reset --kind provider --name openai --reason "paid the bill"
    """
    if everything == bool(kind):
        raise typer.BadParameter(
            "either this, with --name or for all of the kind, or --all", param_hint="--kind"
        )
    if name and not kind:
        raise typer.BadParameter("needs --kind", param_hint="--name")
    count = await run.client.reset_breakers(kind, name, reason=reason)
    if run.printer.for_people:
        run.printer.raw(f"{count} reset")
    else:
        run.printer.one({"reset": count}, ())


@command(app, "open")
async def open_breaker(
    run: Invocation,
    kind: Annotated[str, typer.Argument(metavar="KIND", help="PROVIDER, INSTANCE or HOST.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Id of the provider, instance or host.")],
    open_for: Annotated[
        float | None,
        typer.Option("--for", parser=span, metavar="SPAN", help="How long.", show_default="5m"),
    ] = None,
    reason: Reason = "",
) -> None:
    """
    Open a breaker by hand: no work goes there until it half-opens.

    Example: fleetctl breakers open provider openai --for 30m --reason "incident 4711"
    """
    run.printer.one(await run.client.force_breaker(kind, name, reason=reason, open_for=open_for), BREAKER)
