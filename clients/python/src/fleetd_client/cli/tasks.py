"""fleetctl tasks get, list, wait, result and watch: what people ask about tasks."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Annotated, Any

import typer

from fleetd_client.cli import exit_codes
from fleetd_client.cli.columns import EVENT, RESULT, TASK
from fleetd_client.cli.flags import (
    Labels,
    Org,
    Statuses,
    TaskId,
    TaskIds,
    Type,
    WaitLimit,
    moment,
    task_match,
)
from fleetd_client.cli.invocation import Invocation, command
from fleetd_client.cli.waiting import ENDS, shown_by, wait_for
from fleetd_client.payload import content
from fleetd_client.stubs import TaskStatus


def register(app: typer.Typer) -> None:
    """Add the commands to `fleetctl tasks`."""
    command(app, "get")(get)
    command(app, "list")(list_tasks)
    command(app, "wait")(wait_tasks)
    command(app, "result")(result)
    command(app, "watch")(watch)


async def get(
    run: Invocation,
    task_id: TaskId,
    include_input: Annotated[bool, typer.Option("--input", help="Also its input and checkpoint.")] = False,
) -> None:
    """
    Show a task.

    Example: fleetctl tasks get 01JZX3V7Q8M4T2N6B9C5D1E0FG --input -o json
    """
    run.printer.one(await run.client.get(task_id, include_input=include_input), TASK)


async def list_tasks(
    run: Invocation,
    status: Statuses = None,
    org: Org = "",
    agent: Annotated[str, typer.Option(metavar="AGENT", help="Agent that has or had it.")] = "",
    task_type: Type = "",
    tag: Annotated[str, typer.Option(metavar="TAG", help="Tag it must have.")] = "",
    label: Labels = None,
    ref: Annotated[str, typer.Option(help="Name in another system.")] = "",
    parent: Annotated[str, typer.Option(metavar="ID", help="Task it belongs to.")] = "",
    since: Annotated[
        datetime | None,
        typer.Option(parser=moment, metavar="TIME", help="Created at or after this time."),
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="Most tasks to show; 0 shows all.")] = 50,
) -> None:
    """
    List tasks, newest first.

    Example: fleetctl tasks list --status RUNNING --status PENDING --org acme -o wide
    """
    match = task_match(status, org, task_type, tag, label)
    if agent:
        match["agent_id"] = agent
    if ref:
        match["external_ref"] = ref
    if parent:
        match["parent_task_id"] = parent
    if since is not None:
        match["created_after"] = since
    tasks: list[Any] = []
    more = False
    async for task in run.client.list(page_size=min(limit + 1, 1_000) if limit else 1_000, **match):
        if limit and len(tasks) == limit:
            more = True
            break
        tasks.append(task)
    run.printer.many(tasks, TASK)
    if more and run.printer.for_people:
        run.say(f"there are more: raise --limit {limit}, or filter")


async def wait_tasks(
    run: Invocation,
    task_ids: TaskIds,
    timeout: WaitLimit = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> int:
    """
    Wait until tasks have ended and print their results.

    The exit code is 10 when one of them did not complete.

    Example: fleetctl tasks wait 01JZX3V7Q8M4T2N6B9C5D1E0FG --timeout 10m
    """
    return await print_results(run, task_ids, timeout, quiet=quiet)


async def result(
    run: Invocation,
    task_id: TaskId,
    history: Annotated[bool, typer.Option("--history", help="List how every run ended.")] = False,
) -> int:
    """
    Print the output of a task that has ended.

    Byte for byte; with -o json all that is known of its result.

    Example: fleetctl tasks result 01JZX3V7Q8M4T2N6B9C5D1E0FG > review.md
    """
    if history:
        run.printer.many(await run.client.history(task_id), RESULT)
        return exit_codes.OK
    found = await run.client.result(task_id)
    if not run.printer.for_people:
        run.printer.one(found, RESULT)
    else:
        sys.stdout.buffer.write(content(found.output))
        sys.stdout.buffer.flush()
        if found.HasField("error"):
            run.say(f"fleetctl: {found.error.code}: {found.error.message}")
    return exit_codes.OK if found.status == TaskStatus.TASK_STATUS_COMPLETED else exit_codes.TASK_FAILED


async def watch(run: Invocation, task_id: TaskId) -> None:
    """
    Print the events of a task until it has ended.

    From the first on, then as they happen.

    Example: fleetctl tasks watch 01JZX3V7Q8M4T2N6B9C5D1E0FG
    """
    client, seq = run.client, 0
    # What is there already is read as a list: the end of a task that ended long ago may have left the log.
    while True:
        ended = (await client.get(task_id)).status in ENDS
        async for event in client.events(after_seq=seq, task_id=task_id):
            run.printer.follow(event, EVENT)
            seq = event.seq
        if ended:
            return
        async for event in client.watch_events(seq, task_id=task_id):
            run.printer.follow(event, EVENT)
            seq = event.seq
            if (await client.get(task_id)).status in ENDS:
                break


async def print_results(
    run: Invocation, task_ids: list[str], limit: float | None, *, quiet: bool, results: bool = True
) -> int:
    """Wait, with the progress shown unless quiet, print the results if asked, and say by the exit code how it went."""
    around, show = shown_by(run.narrator, quiet=quiet)
    with around:
        ended = await wait_for(run.client, task_ids, limit, show)
    if results:
        found = [await run.client.result(task.id) for task in ended]
        if len(found) == 1 and not run.printer.for_people:
            run.printer.one(found[0], RESULT)
        else:
            run.printer.many(found, RESULT)
    well = all(task.status == TaskStatus.TASK_STATUS_COMPLETED for task in ended)
    return exit_codes.OK if well else exit_codes.TASK_FAILED
