"""fleetctl tasks submit."""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from fleetd_client.cli import exit_codes
from fleetd_client.cli.columns import TASK
from fleetd_client.cli.flags import Capabilities, Labels, Org, Tags, Type, WaitLimit, moment, pairs, span
from fleetd_client.cli.invocation import Invocation, command
from fleetd_client.cli.needs import Latency, MinCtx, Model, Need, Prefer, Required, needs_of
from fleetd_client.cli.tasks import print_results
from fleetd_client.tasks import TaskOptions


def register(app: typer.Typer) -> None:
    """Add the command to `fleetctl tasks`."""
    command(app, "submit")(submit)


async def submit(
    run: Invocation,
    title: Annotated[str, typer.Argument(metavar="TITLE", help="One line for people.")],
    description: Annotated[str, typer.Option(help="Text for the agent.")] = "",
    text: Annotated[str | None, typer.Option("--input", metavar="TEXT", help="Input as text.")] = None,
    input_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="Input from a file, or - for standard input.")
    ] = None,
    is_json: Annotated[bool, typer.Option("--json", help="The input is JSON.")] = False,
    task_type: Type = "",
    capability: Capabilities = None,
    priority: Annotated[
        str | None, typer.Option(help="LOW, MEDIUM, HIGH or URGENT.", show_default="MEDIUM")
    ] = None,
    tag: Tags = None,
    label: Labels = None,
    org: Org = "",
    timeout: Annotated[
        float | None,
        typer.Option(
            parser=span, metavar="SPAN", help="Longest run, not longest call.", show_default="the daemon's"
        ),
    ] = None,
    max_attempts: Annotated[
        int, typer.Option(help="Runs before it is a dead letter.", show_default="the daemon's")
    ] = 0,
    run_at: Annotated[
        datetime | None, typer.Option(parser=moment, metavar="TIME", help="Not before this time.")
    ] = None,
    delay: Annotated[
        float | None, typer.Option(parser=span, metavar="SPAN", help="Not before so long from now.")
    ] = None,
    deadline: Annotated[
        datetime | None, typer.Option(parser=moment, metavar="TIME", help="End of everything.")
    ] = None,
    agent: Annotated[str, typer.Option(metavar="AGENT", help="Reserve it for this agent or host.")] = "",
    mode: Annotated[
        str | None, typer.Option(metavar="MODE", help="UNDECIDED, PULL or SSH_CLI.", show_default="UNDECIDED")
    ] = None,
    route: Annotated[
        bool, typer.Option("--route", help="Route it to a model instance; implied by the flags below.")
    ] = False,
    need: Need = None,
    prefer: Prefer = None,
    required: Required = None,
    min_ctx: MinCtx = None,
    latency: Latency = None,
    model: Model = "",
    rollout: Annotated[
        str, typer.Option(metavar="NAME", help="Rollout that decides in which mode it is done.")
    ] = "",
    session: Annotated[str, typer.Option(metavar="ID", help="Session that the rollout keeps together.")] = "",
    key: Annotated[
        str, typer.Option(help="Idempotency key: a repeat returns the first task.", show_default="random")
    ] = "",
    ref: Annotated[str, typer.Option(help="Name in another system.")] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the result.")] = False,
    wait_timeout: WaitLimit = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but the id.")] = False,
) -> int:
    """
    Submit a task.

    With --wait its result is printed, and the exit code is 10 when it did not complete.

    Example: fleetctl tasks submit "Review the parser" --cap code:python --input-file parser.py --wait
    """
    if delay is not None and run_at is not None:
        raise typer.BadParameter("either this or --run-at, not both", param_hint="--delay")
    options = TaskOptions(
        description=description,
        org_id=org,
        task_type=task_type,
        input=_input(text, input_file, is_json=is_json),
        tags=tag or (),
        labels=pairs(label),
        capabilities=capability or (),
        max_attempts=max_attempts,
        external_ref=ref,
        idempotency_key=key,
        agent_id=agent,
    )
    needs = needs_of(need, prefer, required, min_ctx, latency, model)
    if route or needs:
        options["route"] = needs
    if session and not rollout:
        raise typer.BadParameter("needs --rollout", param_hint="--session")
    if rollout:
        options["rollout"] = rollout
        options["session_id"] = session
    if priority is not None:
        options["priority"] = priority
    if mode is not None:
        options["execution_mode"] = mode
    if timeout is not None:
        options["timeout"] = timeout
    if run_at is not None or delay is not None:
        options["run_at"] = run_at if run_at is not None else time.time() + (delay or 0.0)
    if deadline is not None:
        options["deadline"] = deadline
    task = await run.client.submit(title, **options)
    if quiet:
        run.printer.raw(task.id)
    elif not wait:
        run.printer.one(task, TASK)
    if not wait:
        return exit_codes.OK
    return await print_results(run, [task.id], wait_timeout, quiet=quiet, results=not quiet)


def _input(text: str | None, file: str | None, *, is_json: bool) -> Any:
    """The input of a new task: text as text, a file's bytes as text when they are UTF-8, JSON as what it says."""
    if text is not None and file is not None:
        raise typer.BadParameter("either this or --input, not both", param_hint="--input-file")
    data: bytes | str | None = text
    if file is not None:
        try:
            data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        except OSError as error:
            raise typer.BadParameter(f"{file}: {error.strerror}", param_hint="--input-file") from None
        try:
            data = data.decode()
        except UnicodeDecodeError:
            if is_json:
                raise typer.BadParameter("JSON in UTF-8", param_hint="--input-file") from None
    if is_json and data is not None:
        try:
            return json.loads(data)
        except ValueError as error:
            raise typer.BadParameter(f"the input is no JSON: {error}", param_hint="--json") from None
    return data
