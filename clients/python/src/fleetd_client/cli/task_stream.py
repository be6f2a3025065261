"""fleetctl tasks stream: what agents tell while they work."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any

import typer

from fleetd_client.cli.invocation import Invocation, command
from fleetd_client.cli.output import Column, Shown
from fleetd_client.cli.record import record
from fleetd_client.cli.times import clock, length
from fleetd_client.stubs import TaskEvent
from fleetd_client.task_events import kind

# Of arguments and results, which may be large; -o json has all of them.
JSON_CHARS = 200


def register(app: typer.Typer) -> None:
    """Add the command to `fleetctl tasks`."""
    command(app, "stream")(stream)


async def stream(
    run: Invocation,
    task_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the task; all unless given.")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it has ended.")] = False,
    first: Annotated[
        int | None,
        typer.Option(
            "--from",
            min=0,
            metavar="SEQ",
            help="From this event on; of all tasks a position.",
            show_default="the first; of all tasks with --follow only new ones",
        ),
    ] = None,
    envelopes: Annotated[
        bool, typer.Option("--envelopes", help="The JSON that web pages are sent, a line each.")
    ] = False,
) -> None:
    """
    Print what agents tell while they work on a task.

    Text, plan steps, calls of skills and tools; what becomes of the task itself is told by `tasks watch`.

    Example: fleetctl tasks stream 01JZX3V7Q8M4T2N6B9C5D1E0FG --follow
    """
    client = run.client
    start = first if first is not None else (0 if task_id or not follow else -1)
    columns = EVENT if task_id else EVENT_OF_ANY
    if envelopes:
        texts = client.watch_task_envelopes(task_id, start) if follow else None
        async for text in texts or client.list_task_envelopes(task_id, from_seq=start):
            run.printer.raw(text)
        return
    told = client.watch_task(task_id, start) if follow else None
    async for event in told or client.list_task_events(task_id, from_seq=start):
        run.printer.follow(event, columns)
    if told is not None and told.finished and run.printer.for_people:
        run.say(f"the task has ended: {told.finished}")


def gist(event: TaskEvent) -> str:
    """What an event says, in a line."""
    which = event.WhichOneof("data") or ""
    return GISTS[which](getattr(event, which)) if which in GISTS else ""


def _message(its: Any) -> str:
    return " ".join(
        part for part in (f"{its.role}:" if its.role else "", its.content, _json(its, "data")) if part
    )


def _error(its: Any) -> str:
    where = its.call_id or its.step_id
    text = f"{its.code}: {its.message}" if its.message else its.code
    return f"{text} (in {where})" if where else text


def _done(its: Any) -> str:
    return " ".join(part for part in (its.execution_mode, _json(its, "usage")) if part)


def _step(its: Any) -> str:
    status = _status("plan_step", its.status)
    return " ".join(part for part in (its.step_id, status, its.title, its.tool, _json(its, "params")) if part)


def _call(named: Callable[[Any], str]) -> Callable[[Any], str]:
    def text(its: Any) -> str:
        took = f"in {length(its.duration)}" if its.HasField("duration") else ""
        said = its.error or _json(its, "result") or _json(its, "arguments")
        return " ".join(part for part in (named(its), _status("call", its.status), took, said) if part)

    return text


def _tool(its: Any) -> str:
    return f"{its.server_id}/{its.tool_name}" if its.server_id else str(its.tool_name)


def _status(of: str, number: int) -> str:
    return STATUSES[of].get(number, str(number))


def _json(its: Any, field: str) -> str:
    if not its.HasField(field):
        return ""
    text = json.dumps(record(its)[field], ensure_ascii=False)
    return text if len(text) <= JSON_CHARS else text[: JSON_CHARS - 1] + "…"


STATUSES = {
    "plan_step": {1: "pending", 2: "running", 3: "completed", 4: "failed", 5: "skipped"},
    "call": {1: "calling", 2: "success", 3: "error"},
}
_skill = _call(lambda its: its.skill_name or its.skill_id)
_tooled = _call(_tool)
GISTS: dict[str, Callable[[Any], str]] = {
    "message": _message,
    "error": _error,
    "done": _done,
    "plan_step": _step,
    "skill_call": _skill,
    "skill_result": _skill,
    "mcp_call": _tooled,
    "mcp_result": _tooled,
    "tool_call": _tooled,
    "tool_result": _tooled,
    "other": lambda its: _json(its, "data"),
}
EVENT = (
    Column("SEQ", lambda event, _: str(event.seq), right=True, width=4),
    Column("TIME", lambda event, _: clock(event.timestamp)),
    Column("TYPE", lambda event, _: kind(event), width=12),
    Column("RUN", lambda event, _: str(event.lease_epoch), Shown.WIDE),
    Column("ID", lambda event, _: str(event.id), Shown.WIDE),
    # Last: it may be long.
    Column("SAYS", lambda event, _: gist(event), free=True),
)
EVENT_OF_ANY = (
    Column("POSITION", lambda event, _: str(event.position), right=True),
    Column("TASK", lambda event, _: str(event.task_id), width=26),
    *EVENT,
)
