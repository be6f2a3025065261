"""fleetctl agents: who is there, and orders to them."""

from __future__ import annotations

from typing import Annotated

import typer

from fleetd_client.cli.columns import AGENT
from fleetd_client.cli.flags import pairs, span
from fleetd_client.cli.invocation import Invocation, command

app = typer.Typer(no_args_is_help=True, help="See the agents and give them orders.")

AgentId = Annotated[str, typer.Argument(metavar="AGENT", help="Name of the agent.")]
Reason = Annotated[str, typer.Option(help="For people; kept in the event.")]
Deadline = Annotated[
    float | None,
    typer.Option(
        parser=span,
        metavar="SPAN",
        help="When what still runs is handed back.",
        show_default="it may finish",
    ),
]


@command(app, "list")
async def list_agents(
    run: Invocation,
    capability: Annotated[str, typer.Option(help="What they can do; code finds code:rust, too.")] = "",
    status: Annotated[
        list[str] | None,
        typer.Option(help="IDLE, RUNNING, ERROR or STOPPED. Can be passed multiple times."),
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


@command(app, "get")
async def get(run: Invocation, agent_id: AgentId) -> None:
    """
    Show an agent.

    Example: fleetctl agents get coder-1
    """
    run.printer.one(await run.client.get_agent(agent_id), AGENT)


@command(app, "drain")
async def drain(run: Invocation, agent_id: AgentId, deadline: Deadline = None, reason: Reason = "") -> None:
    """
    Let an agent finish what it runs and give it no more.

    Example: fleetctl agents drain coder-1 --deadline 10m --reason "kernel update"
    """
    run.printer.one(await run.client.drain_agent(agent_id, deadline=deadline, reason=reason), AGENT)


@command(app, "undrain")
async def undrain(run: Invocation, agent_id: AgentId, reason: Reason = "") -> None:
    """
    Give a drained agent work again.

    Example: fleetctl agents undrain coder-1
    """
    run.printer.one(await run.client.undrain_agent(agent_id, reason=reason), AGENT)


@command(app, "stop")
async def stop(run: Invocation, agent_id: AgentId, deadline: Deadline = None, reason: Reason = "") -> None:
    """
    Drain an agent and let it rest, connected, until it is started.

    Example: fleetctl agents stop coder-1 --deadline 5m
    """
    run.printer.one(await run.client.stop_agent(agent_id, deadline=deadline, reason=reason), AGENT)


@command(app, "start")
async def start(run: Invocation, agent_id: AgentId, reason: Reason = "") -> None:
    """
    Let an agent work again after a stop, a drain or an error.

    Example: fleetctl agents start coder-1
    """
    run.printer.one(await run.client.start_agent(agent_id, reason=reason), AGENT)


@command(app, "restart")
async def restart(run: Invocation, agent_id: AgentId, deadline: Deadline = None, reason: Reason = "") -> None:
    """
    Drain an agent and let its process start anew.

    Example: fleetctl agents restart coder-1 --reason "new version"
    """
    run.printer.one(await run.client.restart_agent(agent_id, deadline=deadline, reason=reason), AGENT)
