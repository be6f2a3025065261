"""The command line of `fleetctl`, for operators. Exit codes: fleetd_client.cli.exit_codes."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from fleetd_client.cli.invocation import NoColor, Options, Output, Server, Timeout

MODULES = {
    "tasks": ("submission", "tasks", "task_stream", "interventions", "explain"),
    "agents": ("agents",),
    "hosts": ("hosts",),
    "dead-letters": ("dead_letters",),
    "queue": ("queue",),
    "limits": ("limits",),
    "route": ("route",),
    "instances": ("instances",),
    "breakers": ("breakers",),
    "rollouts": ("rollouts",),
    "events": ("events",),
    "audit": ("audit",),
    "status": ("figures",),
    "doctor": ("doctor",),
}
"""Where the commands are; a module has a group of its own as `app`, or a `register` that adds to one."""
GROUPS = {
    "tasks": "Submit tasks, follow them, change their fate.",
    "agents": "See the agents and give them orders.",
}
"""Groups without an `app`, and their help."""


class Commands(TyperGroup):
    """The commands by name. All of them take as long to import as the rest of a call, so each comes when it is asked for."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.commands:
            # What a wrong name may have meant is found among all.
            for name in [cmd_name] if cmd_name in MODULES else MODULES:
                self.commands[name] = _load(name)
        return super().get_command(ctx, cmd_name)

    def list_commands(self, ctx: Any) -> list[str]:
        for name in MODULES:
            self.get_command(ctx, name)
        return list(MODULES)


def _group(name: str | None, text: str | None = None, cls: type[TyperGroup] = TyperGroup) -> typer.Typer:
    """Plain help and plain errors: one line stays one line, in a log, too."""
    return typer.Typer(
        name=name,
        cls=cls,
        help=text,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )


def _load(name: str) -> Any:
    """Import a command of MODULES."""
    parent = _group(None)
    # With it, a single command stays below its parent.
    parent.callback()(lambda: None)
    within = parent
    if name in GROUPS:
        within = _group(name, GROUPS[name])
        parent.add_typer(within)
    for module in (import_module(f"fleetd_client.cli.{one}") for one in MODULES[name]):
        if hasattr(module, "app"):
            parent.add_typer(module.app, name=name)
        else:
            module.register(within)
    made: Any = typer.main.get_command(parent)
    return made.commands[name]


app = _group("fleetctl", cls=Commands)


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
