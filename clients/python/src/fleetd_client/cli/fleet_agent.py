"""The command line of `fleet-agent`: makes an agent of any program."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from fleetd_client.agent import Agent
from fleetd_client.channel import DEFAULT_ADDRESS
from fleetd_client.cli import exit_codes
from fleetd_client.cli.failure import exit_code, explain
from fleetd_client.cli.flags import pairs, span
from fleetd_client.cli.program import Program, ResultFrom, StdinGets
from fleetd_client.cli.warden import Warden
from fleetd_client.errors import FleetError

app = typer.Typer(
    name="fleet-agent",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def root() -> None:
    """Make an agent of any program."""


# Without interspersed options everything after the command's name is the command's own, with or without `--`.
@app.command("exec", context_settings={"allow_interspersed_args": False})
def execute(
    command: Annotated[list[str], typer.Argument(metavar="COMMAND", help="Program to run for each task.")],
    capability: Annotated[
        list[str] | None,
        typer.Option(metavar="CAPABILITY", help="What the program can do. Can be passed multiple times."),
    ] = None,
    agent_id: Annotated[
        str, typer.Option("--id", metavar="NAME", help="Name in the fleet. [default: PROGRAM-HOST-PID]")
    ] = "",
    agent_type: Annotated[str, typer.Option("--type", help="Kind of agent, for filters.")] = "",
    label: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Label. Can be passed multiple times.")
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=10_000, help="Tasks at once.")] = 1,
    grace: Annotated[
        float,
        typer.Option(
            parser=span,
            metavar="SPAN",
            show_default="10s",
            help="From SIGTERM to SIGKILL when a run must stop.",
        ),
    ] = 10.0,
    result: Annotated[
        ResultFrom,
        typer.Option(help="What the result is when the program writes no $FLEET_RESULT_FILE."),
    ] = ResultFrom.LAST_LINE,
    stdin: Annotated[
        StdinGets,
        typer.Option(help="What the program reads: the whole task as JSON, or only the bytes of its input."),
    ] = StdinGets.TASK,
    server: Annotated[
        str,
        typer.Option(metavar="ADDRESS", envvar="FLEETCTL_SERVER", help="Daemon: host:port or unix:PATH."),
    ] = DEFAULT_ADDRESS,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say only what is wrong.")] = False,
) -> None:
    """
    Run a program for each task this agent is given.

    The task comes as JSON on standard input (with --stdin input: only its input, as it is). Lines like {"progress": 40, "message": "half"} and {"checkpoint": "17"} on standard
    output are passed on; the last other line, or the content of $FLEET_RESULT_FILE, is the result. Exit code 0 completes the task,
    64, 65 and 78 fail it for good, 75 and any other let it be tried again. SIGTERM drains: what runs may finish.

    Example: fleet-agent exec --capability coding --concurrency 2 -- python worker.py --fast
    """
    if shutil.which(command[0]) is None:
        raise typer.BadParameter(f"there is no program {command[0]!r}", param_hint="COMMAND")
    labels = pairs(label)
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.WARNING if quiet else logging.INFO,
        format="fleet-agent: %(message)s",
    )
    try:
        with Warden() as warden:
            program = Program(command, warden, grace=grace, result_from=result, stdin_gets=stdin)
            agent = Agent(
                agent_id or f"{Path(command[0]).name}-{socket.gethostname()}-{os.getpid()}",
                server,
                capabilities=capability or (),
                max_concurrency=concurrency,
                agent_type=agent_type,
                labels=labels,
            )
            agent.handler(program.run)
            logging.getLogger("fleet_agent").info("%s works for %s", agent.agent_id, agent.address)
            ending = asyncio.run(agent.run())
    except FleetError as error:
        for line in explain(error, server):
            typer.echo(f"fleet-agent: {line}", err=True)
        raise typer.Exit(exit_code(error)) from None
    except OSError as error:
        typer.echo(f"fleet-agent: {error}", err=True)
        raise typer.Exit(exit_codes.ERROR) from None
    if ending == "restart":
        # In place: the process keeps its id, so that its supervisor sees nothing but the same child.
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - its own command line


def main() -> None:
    # grpc's own lines about lost connections are said better by ours.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    app()
