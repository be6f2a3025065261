"""fleetctl tasks cancel, retry, assign and update: what changes the fate of tasks."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from typing import Annotated

import typer

from fleetd_client.cli import exit_codes
from fleetd_client.cli.columns import TASK
from fleetd_client.cli.flags import (
    Capabilities,
    Labels,
    Org,
    Reason,
    Statuses,
    Tags,
    TaskId,
    TaskIds,
    Type,
    moment,
    pairs,
    span,
    task_match,
)
from fleetd_client.cli.invocation import Invocation, command
from fleetd_client.tasks import TaskUpdate


def register(app: typer.Typer) -> None:
    """Add the commands to `fleetctl tasks`."""
    command(app, "cancel")(cancel)
    command(app, "retry")(retry)
    command(app, "assign")(assign)
    command(app, "update")(update)


async def cancel(
    run: Invocation,
    task_ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids of tasks.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All tasks that have not ended.")] = False,
    status: Statuses = None,
    org: Org = "",
    task_type: Type = "",
    tag: Annotated[str, typer.Option(metavar="TAG", help="Tag they must have.")] = "",
    label: Labels = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    reason: Reason = "",
) -> int:
    """
    Cancel tasks by id or by filter.

    What waits is cancelled at once, what runs through its agent.

    Example: fleetctl tasks cancel --org acme --tag nightly --dry-run
    """
    match = task_match(status, org, task_type, tag, label)
    if bool(task_ids) + bool(match) + everything != 1:
        raise typer.BadParameter("either ids, or filters, or --all", param_hint="ID")
    client = run.client
    if task_ids and len(task_ids) == 1 and not dry_run:
        run.printer.one(await client.cancel(task_ids[0], reason=reason), TASK)
        return exit_codes.OK
    if not task_ids and not dry_run and not yes:
        count = (await client.cancel_many(dry_run=True, allow_all=everything, **match)).matched
        if count and not sys.stdin.isatty():
            run.say(f"fleetctl: {count} tasks match; pass --yes, nobody is at a terminal to be asked")
            return exit_codes.USAGE
        if count:
            typer.confirm(f"Cancel {count} tasks?", abort=True, err=True)
    answer = await client.cancel_many(
        task_ids or (), reason=reason, dry_run=dry_run, allow_all=everything, **match
    )
    if run.printer.for_people:
        so = "would be cancelled" if dry_run else "matched"
        run.printer.raw(
            f"{answer.matched} {so}"
            + ("" if dry_run else f": {answer.cancelled} cancelled, {answer.requested} asked of their agents")
        )
    else:
        run.printer.one(answer, ())
    for one in answer.skipped_task_ids:
        run.say(f"fleetctl: skipped {one}: there is no such task, or it has ended")
    return exit_codes.PRECONDITION if answer.skipped_task_ids else exit_codes.OK


async def retry(run: Invocation, task_ids: TaskIds, reason: Reason = "") -> None:
    """
    Put failed or dead-lettered tasks back in the queue.

    They get fresh attempts.

    Example: fleetctl tasks retry 01JZX3V7Q8M4T2N6B9C5D1E0FG --reason "the mirror is back"
    """
    run.printer.many([await run.client.retry(one, reason=reason) for one in task_ids], TASK)


async def assign(
    run: Invocation,
    task_id: TaskId,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Agent or host.")],
    mode: Annotated[
        str | None, typer.Option(metavar="MODE", help="Make its mode PULL or SSH_CLI, explicitly.")
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Also one that was offered to another, or needs what NAME lacks."),
    ] = False,
    reason: Reason = "",
) -> None:
    """
    Reserve a waiting task for an agent or host.

    When it was not taken within a minute, it is free again. A second assign replaces the first.

    Example: fleetctl tasks assign 01JZX3V7Q8M4T2N6B9C5D1E0FG build-1 --mode SSH_CLI
    """
    task = await run.client.assign(task_id, name, execution_mode=mode, force=force, reason=reason)
    run.printer.one(task, TASK)


async def update(
    run: Invocation,
    task_id: TaskId,
    title: Annotated[str | None, typer.Option(help="New title.")] = None,
    description: Annotated[str | None, typer.Option(help="New description.")] = None,
    priority: Annotated[str | None, typer.Option(help="LOW, MEDIUM, HIGH or URGENT.")] = None,
    tag: Tags = None,
    capability: Capabilities = None,
    run_at: Annotated[
        datetime | None, typer.Option(parser=moment, metavar="TIME", help="Not before this time.")
    ] = None,
    run_now: Annotated[bool, typer.Option("--run-now", help="As soon as there is an agent.")] = False,
    estimated: Annotated[
        float | None, typer.Option(parser=span, metavar="SPAN", help="How long it may take.")
    ] = None,
    label: Labels = None,
    metadata: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Can be passed multiple times.")
    ] = None,
    expected_version: Annotated[
        int | None, typer.Option(help="Refuse when somebody changed it meanwhile.")
    ] = None,
) -> None:
    """
    Change a task.

    Labels and metadata at any time, the rest while it waits. What is given replaces what was, lists as a whole.

    Example: fleetctl tasks update 01JZX3V7Q8M4T2N6B9C5D1E0FG --priority URGENT --label owner=ada
    """
    changes = TaskUpdate()
    if title is not None:
        changes["title"] = title
    if description is not None:
        changes["description"] = description
    if priority is not None:
        changes["priority"] = priority
    if tag is not None:
        changes["tags"] = tag
    if capability is not None:
        changes["capabilities"] = capability
    if run_at is not None or run_now:
        changes["run_at"] = None if run_now else run_at
    if estimated is not None:
        changes["estimated_duration"] = timedelta(seconds=estimated)
    if label is not None:
        changes["labels"] = pairs(label)
    if metadata is not None:
        changes["metadata"] = pairs(metadata, "--metadata")
    run.printer.one(await run.client.update(task_id, expected_version=expected_version, **changes), TASK)
