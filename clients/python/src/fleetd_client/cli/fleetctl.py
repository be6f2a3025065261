"""The command line of `fleetctl`, for operators. Exit codes: fleetd_client.cli.exit_codes."""

from __future__ import annotations

import os

import typer

from fleetd_client.cli import (
    agents,
    audit,
    breakers,
    dead_letters,
    doctor,
    events,
    explain,
    figures,
    instances,
    interventions,
    limits,
    queue,
    route,
    submission,
    tasks,
)
from fleetd_client.cli.invocation import NoColor, Options, Output, Server, Timeout


def _group(name: str | None, text: str | None = None) -> typer.Typer:
    """Plain help and plain errors: one line stays one line, in a log, too."""
    return typer.Typer(
        name=name,
        help=text,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )


app = _group("fleetctl")
of_tasks = _group("tasks", "Submit tasks, follow them, change their fate.")
of_agents = _group("agents", "See the agents and give them orders.")
submission.register(of_tasks)
tasks.register(of_tasks)
interventions.register(of_tasks)
explain.register(of_tasks)
agents.register(of_agents)
app.add_typer(of_tasks)
app.add_typer(of_agents)
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(queue.app, name="queue")
app.add_typer(limits.app, name="limits")
app.add_typer(route.app, name="route")
app.add_typer(instances.app, name="instances")
app.add_typer(breakers.app, name="breakers")
events.register(app)
audit.register(app)
figures.register(app)
doctor.register(app)


@app.callback()
def root(
    context: typer.Context,
    server: Server = None,
    timeout: Timeout = None,
    output: Output = None,
    no_color: NoColor = False,
) -> None:
    """
    Control a fleet of agents.

    Exit codes: 0 done, 1 error, 2 bad flag or field, 3 not found, 4 not possible now, 5 daemon unavailable or time over,
    10 the task that was waited for did not complete.
    """
    context.obj = Options(server, timeout, output, no_color)


def main() -> None:
    # grpc's own lines about lost connections are said better by ours.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    app()
