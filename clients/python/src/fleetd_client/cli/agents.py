"""fleetctl agents: who is there, and orders to them."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from fleetd_client.cli import exit_codes
from fleetd_client.cli.columns import AGENT
from fleetd_client.cli.flags import Reason, pairs, span
from fleetd_client.cli.invocation import Invocation, command

AgentId = Annotated[str, typer.Argument(metavar="AGENT", help="Name of the agent.")]
Deadline = Annotated[
    float | None,
    typer.Option(
        parser=span,
        metavar="SPAN",
        help="When what still runs is handed back.",
        show_default="it may finish",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands to `fleetctl agents`."""
    command(app, "list")(list_agents)
    command(app, "get")(get)
    command(app, "drain")(drain)
    command(app, "undrain")(undrain)
    command(app, "stop")(stop)
    command(app, "start")(start)
    command(app, "restart")(restart)


async def list_agents(
    run: Invocation,
    capability: Annotated[
        str, typer.Option(metavar="CAPABILITY", help="What they can do; code finds code:rust, too.")
    ] = "",
    status: Annotated[
        list[str] | None,
        typer.Option(metavar="STATUS", help="IDLE, RUNNING, ERROR or STOPPED. Can be passed multiple times."),
    ] = None,
    connected: Annotated[
        bool | None, typer.Option("--connected/--offline", help="Only these.", show_default="both")
    ] = None,
    agent_type: Annotated[str, typer.Option("--type", help="Kind of agent.")] = "",
    label: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Label. Can be passed multiple times.")
    ] = None,
) -> None:
    """
    List agents in order of their names.

    Example: fleetctl agents list --capability code --connected
    """
    found = run.client.list_agents(
        capability=capability,
        statuses=status or (),
        connected=connected,
        agent_type=agent_type,
        labels=pairs(label),
    )
    run.printer.many([agent async for agent in found], AGENT)


async def get(run: Invocation, agent_id: AgentId) -> None:
    """
    Show an agent.

    Example: fleetctl agents get coder-1
    """
    run.printer.one(await run.client.get_agent(agent_id), AGENT)


async def drain(
    run: Invocation,
    agent_id: Annotated[str, typer.Argument(metavar="AGENT", help="Name of the agent.")] = "",
    match: Annotated[
        str, typer.Option(metavar="PATTERN", help="All whose names match, with * and ?, as 'build-*'.")
    ] = "",
    label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=PATTERN", help="All whose label matches, as zone=eu-*. Can be passed multiple times."
        ),
    ] = None,
    deadline: Deadline = None,
    reason: Reason = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list those that match.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> int:
    """
    Let agents finish what they run and give them no more.

    Example: fleetctl agents drain coder-1 --deadline 10m --reason "kernel update"
    """
    if bool(agent_id) == bool(match or label):
        raise typer.BadParameter("either a name, or --match and --label", param_hint="AGENT")
    if agent_id and not dry_run:
        run.printer.one(await run.client.drain_agent(agent_id, deadline=deadline, reason=reason), AGENT)
        return exit_codes.OK
    labels = pairs(label)
    pattern = agent_id or match
    if not dry_run and not yes:
        count = len(await run.client.drain_agents(pattern, labels=labels, dry_run=True))
        if count and not sys.stdin.isatty():
            run.say(f"fleetctl: {count} agents match; pass --yes, nobody is at a terminal to be asked")
            return exit_codes.USAGE
        if count:
            typer.confirm(f"Drain {count} agents?", abort=True, err=True)
    found = await run.client.drain_agents(
        pattern, labels=labels, deadline=deadline, reason=reason, dry_run=dry_run
    )
    if run.printer.for_people:
        for one in found:
            run.printer.raw(one)
    else:
        run.printer.one({"agentIds": found}, ())
    return exit_codes.OK


async def undrain(run: Invocation, agent_id: AgentId, reason: Reason = "") -> None:
    """
    Give a drained agent work again.

    Example: fleetctl agents undrain coder-1
    """
    run.printer.one(await run.client.undrain_agent(agent_id, reason=reason), AGENT)


async def stop(run: Invocation, agent_id: AgentId, deadline: Deadline = None, reason: Reason = "") -> None:
    """
    Drain an agent and let it rest, connected, until it is started.

    Example: fleetctl agents stop coder-1 --deadline 5m
    """
    run.printer.one(await run.client.stop_agent(agent_id, deadline=deadline, reason=reason), AGENT)


async def start(run: Invocation, agent_id: AgentId, reason: Reason = "") -> None:
    """
    Let an agent work again after a stop, a drain or an error.

    Example: fleetctl agents start coder-1
    """
    run.printer.one(await run.client.start_agent(agent_id, reason=reason), AGENT)


async def restart(run: Invocation, agent_id: AgentId, deadline: Deadline = None, reason: Reason = "") -> None:
    """
    Drain an agent and let its process start anew.

    Example: fleetctl agents restart coder-1 --reason "new version"
    """
    run.printer.one(await run.client.restart_agent(agent_id, deadline=deadline, reason=reason), AGENT)
