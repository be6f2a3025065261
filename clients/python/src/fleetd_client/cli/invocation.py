"""One call of fleetctl: the options every command takes, and what surrounds its work."""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from fleetd_client.channel import DEFAULT_ADDRESS
from fleetd_client.cli import exit_codes
from fleetd_client.cli.failure import exit_code, explain
from fleetd_client.cli.flags import span
from fleetd_client.cli.narrator import Narrator
from fleetd_client.cli.output import Format, Printer
from fleetd_client.client import DEFAULT_TIMEOUT, FleetClient
from fleetd_client.errors import FleetError

P = ParamSpec("P")
Command = Callable[Concatenate["Invocation", P], Coroutine[Any, Any, int | None]]

# Taken before the command and after it: people type them where they think of them. The later one wins.
Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="ADDRESS",
        show_default=f"$FLEETCTL_SERVER or {DEFAULT_ADDRESS}",
        help="Daemon: host:port or unix:PATH.",
    ),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout", metavar="SPAN", parser=span, show_default=f"{DEFAULT_TIMEOUT:.0f}s", help="Longest call."
    ),
]
Output = Annotated[
    Format | None,
    typer.Option("--output", "-o", show_default=Format.TABLE.value, help="How data is printed."),
]
NoColor = Annotated[bool, typer.Option("--no-color", help="No colours, as with NO_COLOR.")]
COMMON = {"server": Server, "timeout": Timeout, "output": Output, "no_color": NoColor}


@dataclass(frozen=True, slots=True)
class Options:
    """The common options as they were given; None is not given."""

    server: str | None = None
    timeout: float | None = None
    output: Format | None = None
    no_color: bool = False

    def then(self, later: Options) -> Options:
        return Options(
            later.server or self.server,
            self.timeout if later.timeout is None else later.timeout,
            later.output or self.output,
            later.no_color or self.no_color,
        )


@dataclass(frozen=True, slots=True)
class Invocation:
    """What a command works with: `client` speaks to `server`, `printer` takes data, `narrator` (stderr) everything else."""

    server: str
    client: FleetClient
    printer: Printer
    narrator: Narrator

    def say(self, text: str) -> None:
        """A line for people, on stderr."""
        self.narrator.say(text)


def command(app: typer.Typer, name: str) -> Callable[[Command[P]], Command[P]]:
    """Make a coroutine function a command: it gets its Invocation, returns its exit code (None is 0), and may raise any FleetError."""

    def register(function: Command[P]) -> Command[P]:
        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        taken = {one.name for one in own}
        # Where a command has a --timeout of its own, the common one is taken before the command only.
        common = [
            inspect.Parameter(
                key, inspect.Parameter.KEYWORD_ONLY, default=getattr(Options(), key), annotation=annotation
            )
            for key, annotation in COMMON.items()
            if key not in taken
        ]
        context = inspect.Parameter(
            "context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
        )

        def invoke(context: typer.Context, **arguments: Any) -> None:
            given = Options(**{one.name: arguments.pop(one.name) for one in common})
            options = (context.obj or Options()).then(given)
            raise typer.Exit(perform(options, lambda run: function(run, **arguments)))  # type: ignore[call-arg]

        parameters = [
            context,
            *(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own),
            *common,
        ]
        invoke.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        invoke.__annotations__ = {one.name: one.annotation for one in parameters}
        invoke.__doc__ = function.__doc__
        app.command(name)(invoke)
        return function

    return register


def perform(options: Options, work: Callable[[Invocation], Coroutine[Any, Any, int | None]]) -> int:
    """Do the work of a command and turn however it ends into an exit code; nobody is shown a traceback."""
    server = options.server or os.environ.get("FLEETCTL_SERVER") or DEFAULT_ADDRESS
    narrator = Narrator(color=not options.no_color)
    printer = Printer(options.output or Format.TABLE, sys.stdout, color=not options.no_color)

    async def whole() -> int | None:
        timeout = DEFAULT_TIMEOUT if options.timeout is None else options.timeout
        async with FleetClient(server, timeout=timeout) as client:
            return await work(Invocation(server, client, printer, narrator))

    try:
        return asyncio.run(whole()) or exit_codes.OK
    except FleetError as error:
        for line in explain(error, server):
            narrator.say(f"fleetctl: {line}" if not line.startswith(" ") else line)
        return exit_code(error)
    except (typer.BadParameter, typer.Abort, typer.Exit):
        raise
    except KeyboardInterrupt:
        return exit_codes.INTERRUPTED
    except BrokenPipeError:
        # Whoever read along has seen enough. What is still buffered must not fail again at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_codes.ERROR
    except Exception as error:
        if "FLEETCTL_TRACEBACK" in os.environ:
            raise
        narrator.say(f"fleetctl: {type(error).__name__}: {error}; FLEETCTL_TRACEBACK=1 shows where")
        return exit_codes.ERROR
