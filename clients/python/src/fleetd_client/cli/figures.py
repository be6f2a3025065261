"""fleetctl queue and fleetctl status: how much there is to do, and how the daemon is."""

from __future__ import annotations

from typing import Any

import typer

from fleet.v1.health_pb2 import DaemonState, GetQueueStatusResponse, GetStatusResponse, QueueFigures
from fleetd_client.cli.invocation import Invocation, command
from fleetd_client.cli.output import Column
from fleetd_client.cli.times import length, since
from fleetd_client.words import name

# Where tasks are, and what happened to them: a dead letter that was replayed is none now, and was one for ever.
PLACES = ("pending", "assigned", "running", "blocked")
HAPPENINGS = {
    "submitted": "submitted",
    "completed": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
    "dead_letter": "dead_lettered",
}
MEANS = ("average_wait", "average_execution")

QUEUE = (
    Column("TASKS", lambda row, _: str(row["tasks"])),
    Column("NOW", lambda row, _: str(row.get("now", "")), right=True),
    Column("LAST HOUR", lambda row, _: str(row.get("lastHour", "")), right=True),
    Column("EVER", lambda row, _: str(row.get("ever", "")), right=True),
)

STATUS = (
    Column("STATE", lambda status, _: name(DaemonState, "DAEMON_STATE", status.state)),
    Column("VERSION", lambda status, _: str(status.version)),
    Column("STARTED", lambda status, now: since(status.started_at, now)),
    Column("STORE", lambda status, _: f"{status.store}, {_size(status.store_bytes)}"),
    Column("WRITABLE", lambda status, _: _writable(status)),
    Column("COMMANDS", lambda status, _: f"{status.queued_commands} waiting of at most {status.queue_limit}"),
    Column("AGENTS", lambda status, _: f"{status.connected_agents} connected"),
    Column("LEASES", lambda status, _: f"{status.live_leases} live"),
    Column("LAST EVENT", lambda status, _: str(status.last_event_seq)),
    Column("DAEMON", lambda status, _: f"{status.daemon_id}, start {status.generation}"),
)


def register(app: typer.Typer) -> None:
    """Add the command to fleetctl."""
    command(app, "status")(status)


async def queue(run: Invocation) -> None:
    """
    Show how many tasks there are, and how long they wait.

    Example: fleetctl queue -o json
    """
    answer = await run.client.queue_status()
    if not run.printer.for_people:
        run.printer.one(answer, ())
        return
    run.printer.many(queue_rows(answer), QUEUE)


def queue_rows(answer: GetQueueStatusResponse) -> list[dict[str, Any]]:
    """The rows for QUEUE: how things stand first, then what happened."""
    rows: list[dict[str, Any]] = [{"tasks": field, "now": getattr(answer.all, field)} for field in PLACES]
    if answer.HasField("oldest_wait"):
        rows.append({"tasks": "oldest_wait", "now": length(answer.oldest_wait)})
    rows += [
        {"tasks": word, "lastHour": getattr(answer.last_hour, field), "ever": getattr(answer.all, field)}
        for field, word in HAPPENINGS.items()
    ]
    return rows + [
        {"tasks": field, "lastHour": _mean(answer.last_hour, field), "ever": _mean(answer.all, field)}
        for field in MEANS
    ]


async def status(run: Invocation) -> None:
    """
    Show the daemon itself.

    Example: fleetctl status --server unix:/run/fleetd.sock
    """
    run.printer.one(await run.client.status(), STATUS)


def _mean(figures: QueueFigures, field: str) -> str:
    return length(getattr(figures, field)) if field in _present(figures) else "-"


def _present(figures: QueueFigures) -> set[str]:
    return {field.name for field, _ in figures.ListFields()}


def _writable(status: GetStatusResponse) -> str:
    return f"yes, in {length(status.commit_time)}" if status.writable else "no"


def _size(size: int) -> str:
    value, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
