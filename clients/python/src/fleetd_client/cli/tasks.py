"""fleetctl tasks: what operators do with tasks."""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from fleetd_client.cli import exit_codes
from fleetd_client.cli.columns import EVENT, RESULT, TASK
from fleetd_client.cli.flags import moment, pairs, span
from fleetd_client.cli.invocation import Invocation, command
from fleetd_client.cli.waiting import ENDS, shown_on, wait_for
from fleetd_client.payload import content
from fleetd_client.stubs import TaskStatus
from fleetd_client.tasks import TaskMatch, TaskOptions, TaskUpdate

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Submit tasks, follow them, change their fate."
)

TaskId = Annotated[str, typer.Argument(metavar="ID", help="Id of the task.")]
TaskIds = Annotated[list[str], typer.Argument(metavar="ID", help="Ids of tasks.")]
Reason = Annotated[str, typer.Option(help="For people; kept in the event.")]
Statuses = Annotated[
    list[str] | None,
    typer.Option("--status", metavar="STATUS", help="For instance RUNNING. Can be passed multiple times."),
]
Org = Annotated[str, typer.Option("--org", metavar="ORG", help="Tenant.")]
Type = Annotated[str, typer.Option("--type", metavar="TYPE", help="Type of task.")]
Labels = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="KEY=VALUE", help="Label. Can be passed multiple times."),
]
Capabilities = Annotated[
    list[str] | None,
    typer.Option(
        "--cap", metavar="CAPABILITY", help="Capability the agent must have. Can be passed multiple times."
    ),
]
Tags = Annotated[
    list[str] | None, typer.Option("--tag", metavar="TAG", help="Tag. Can be passed multiple times.")
]
WaitLimit = Annotated[
    float | None,
    typer.Option(parser=span, metavar="SPAN", help="Longest wait.", show_default="no limit"),
]


@command(app, "submit")
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
    agent: Annotated[str, typer.Option(metavar="AGENT", help="Reserve it for this agent.")] = "",
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
    if priority is not None:
        options["priority"] = priority
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
    return await _await(run, [task.id], wait_timeout, quiet=quiet)


@command(app, "get")
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


@command(app, "list")
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
    match = _match(status, org, task_type, tag, label)
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


@command(app, "wait")
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
    return await _await(run, task_ids, timeout, quiet=quiet, results=True)


@command(app, "result")
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


@command(app, "cancel")
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
    match = _match(status, org, task_type, tag, label)
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


@command(app, "retry")
async def retry(run: Invocation, task_ids: TaskIds, reason: Reason = "") -> None:
    """
    Put failed or dead-lettered tasks back in the queue.

    They get fresh attempts.

    Example: fleetctl tasks retry 01JZX3V7Q8M4T2N6B9C5D1E0FG --reason "the mirror is back"
    """
    run.printer.many([await run.client.retry(one, reason=reason) for one in task_ids], TASK)


@command(app, "update")
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


@command(app, "watch")
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


async def _await(
    run: Invocation, task_ids: list[str], limit: float | None, *, quiet: bool, results: bool = False
) -> int:
    """Wait, print the results unless quiet (or when asked for all the same), and say by the exit code how it went."""
    around, show = shown_on(run.narrator, quiet=quiet)
    with around:
        ended = await wait_for(run.client, task_ids, limit, show)
    if results or not quiet:
        found = [await run.client.result(task.id) for task in ended]
        if len(found) == 1 and not run.printer.for_people:
            run.printer.one(found[0], RESULT)
        else:
            run.printer.many(found, RESULT)
    well = all(task.status == TaskStatus.TASK_STATUS_COMPLETED for task in ended)
    return exit_codes.OK if well else exit_codes.TASK_FAILED


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


def _match(
    status: list[str] | None, org: str, task_type: str, tag: str, label: list[str] | None
) -> TaskMatch:
    match = TaskMatch()
    if status:
        match["statuses"] = status
    if org:
        match["org_id"] = org
    if task_type:
        match["task_type"] = task_type
    if tag:
        match["tag"] = tag
    if label:
        match["labels"] = pairs(label)
    return match
