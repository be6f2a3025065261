"""fleetctl dead-letters: what failed for good, and what becomes of it."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Annotated, Any

import typer

from fleetd_client.cli import exit_codes
from fleetd_client.cli.columns import DEAD_LETTER, RESULT, TRY
from fleetd_client.cli.flags import moment, span
from fleetd_client.cli.invocation import Invocation, command
from fleetd_client.deadletters import DeadLetterMatch

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="See tasks that failed for good, and replay them."
)

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids of tasks.")]
Org = Annotated[str, typer.Option("--org", metavar="ORG", help="Tenant.")]
Type = Annotated[str, typer.Option("--type", metavar="TYPE", help="Type of task.")]
Cause = Annotated[
    str,
    typer.Option(
        metavar="LIMIT",
        help="Limit exhausted: ATTEMPTS_EXHAUSTED, PROVIDERS_EXHAUSTED, TASK_TIMEOUT or POISON.",
    ),
]
Code = Annotated[str, typer.Option("--code", metavar="CODE", help="Code of the last error.")]
Tag = Annotated[str, typer.Option(metavar="TAG", help="Tag they must have.")]
After = Annotated[
    datetime | None, typer.Option(parser=moment, metavar="TIME", help="Dead at or after this time.")
]
Before = Annotated[
    datetime | None, typer.Option(parser=moment, metavar="TIME", help="Dead before this time.")
]
Everything = Annotated[bool, typer.Option("--all", help="All dead letters.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Rate = Annotated[
    float, typer.Option("--max-per-second", help="At most so many a second.", show_default="no limit")
]
Patience = Annotated[
    float,
    typer.Option(
        parser=span, metavar="SPAN", help="How much longer than --timeout it may take.", show_default="0s"
    ),
]
Reason = Annotated[str, typer.Option(help="For people; kept in event and audit log.")]


@command(app, "list")
async def list_dead_letters(
    run: Invocation,
    org: Org = "",
    task_type: Type = "",
    cause: Cause = "",
    code: Code = "",
    tag: Tag = "",
    after: After = None,
    before: Before = None,
    limit: Annotated[int, typer.Option(min=0, help="Most entries to show; 0 shows all.")] = 50,
) -> None:
    """
    List dead letters, newest first.

    Example: fleetctl dead-letters list --cause POISON --org acme
    """
    match = _match(org, task_type, cause, code, tag, after, before)
    found: list[Any] = []
    more = False
    async for entry in run.client.dead_letters(page_size=min(limit + 1, 1_000) if limit else 1_000, **match):
        if limit and len(found) == limit:
            more = True
            break
        found.append(entry)
    run.printer.many(found, DEAD_LETTER)
    if more and run.printer.for_people:
        run.say(f"there are more: raise --limit {limit}, or filter")


@command(app, "get")
async def get(run: Invocation, task_id: Annotated[str, typer.Argument(metavar="ID", help="Id.")]) -> None:
    """
    Show a dead letter with every attempt.

    Example: fleetctl dead-letters get 01JZX3V7Q8M4T2N6B9C5D1E0FG
    """
    entry = await run.client.dead_letter(task_id)
    run.printer.one(entry, DEAD_LETTER)
    if run.printer.for_people and entry.attempts:
        run.printer.raw("")
        run.printer.many(entry.attempts, RESULT)
    if run.printer.for_people and entry.tries:
        run.printer.raw("")
        run.printer.many(entry.tries, TRY)


@command(app, "replay")
async def replay(
    run: Invocation,
    task_ids: Ids = None,
    everything: Everything = False,
    org: Org = "",
    task_type: Type = "",
    cause: Cause = "",
    code: Code = "",
    tag: Tag = "",
    after: After = None,
    before: Before = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    max_per_second: Rate = 0.0,
    patience: Patience = 0.0,
    reason: Reason = "",
) -> int:
    """
    Put dead letters back in the queue.

    By id or by filter; they get fresh attempts, each at most three times.

    Example: fleetctl dead-letters replay --code HOST_UNREACHABLE --max-per-second 5 --reason "the mirror is back"
    """
    match = _match(org, task_type, cause, code, tag, after, before)
    _one_way(task_ids, match, everything=everything)
    client = run.client
    if not task_ids and not dry_run and not yes:
        dry = await client.replay_dead_letters(dry_run=True, allow_all=everything, **match)
        if not _agreed(run, "Replay", dry.matched):
            return exit_codes.USAGE
    answer = await client.replay_dead_letters(
        task_ids or (),
        reason=reason,
        dry_run=dry_run,
        allow_all=everything,
        max_per_second=max_per_second,
        patience=patience,
        **match,
    )
    return _told(run, answer, f"{answer.replayed} replayed", dry_run=dry_run)


@command(app, "discard")
async def discard(
    run: Invocation,
    task_ids: Ids = None,
    everything: Everything = False,
    org: Org = "",
    task_type: Type = "",
    cause: Cause = "",
    code: Code = "",
    tag: Tag = "",
    after: After = None,
    before: Before = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    max_per_second: Rate = 0.0,
    patience: Patience = 0.0,
    reason: Reason = "",
) -> int:
    """
    Throw dead letters away.

    By id or by filter; they stay readable as tasks until their time is over.

    Example: fleetctl dead-letters discard --org acme --tag experiment --dry-run
    """
    match = _match(org, task_type, cause, code, tag, after, before)
    _one_way(task_ids, match, everything=everything)
    client = run.client
    if not task_ids and not dry_run and not yes:
        dry = await client.discard_dead_letters(dry_run=True, allow_all=everything, **match)
        if not _agreed(run, "Discard", dry.matched):
            return exit_codes.USAGE
    answer = await client.discard_dead_letters(
        task_ids or (),
        reason=reason,
        dry_run=dry_run,
        allow_all=everything,
        max_per_second=max_per_second,
        patience=patience,
        **match,
    )
    return _told(run, answer, f"{answer.discarded} discarded", dry_run=dry_run)


@command(app, "purge")
async def purge(
    run: Invocation,
    older_than: Annotated[float, typer.Option(parser=span, metavar="SPAN", help="Only what is older.")],
    yes: Yes = False,
    reason: Reason = "",
) -> int:
    """
    Delete old dead letters for good.

    Discarded tasks of that age go with them.

    Example: fleetctl dead-letters purge --older-than 30d
    """
    if not yes:
        if not sys.stdin.isatty():
            run.say(
                "fleetctl: what is purged is gone for good; pass --yes, nobody is at a terminal to be asked"
            )
            return exit_codes.USAGE
        typer.confirm("What is purged is gone for good. Go on?", abort=True, err=True)
    count = await run.client.purge_dead_letters(older_than, confirm=True, reason=reason)
    if run.printer.for_people:
        run.printer.raw(f"{count} purged")
    else:
        run.printer.one({"purged": count}, ())
    return exit_codes.OK


def _match(
    org: str,
    task_type: str,
    cause: str,
    code: str,
    tag: str,
    after: datetime | None,
    before: datetime | None,
) -> DeadLetterMatch:
    match = DeadLetterMatch()
    if org:
        match["org_id"] = org
    if task_type:
        match["task_type"] = task_type
    if cause:
        match["cause"] = cause
    if code:
        match["error_code"] = code
    if tag:
        match["tag"] = tag
    if after is not None:
        match["after"] = after
    if before is not None:
        match["before"] = before
    return match


def _one_way(task_ids: list[str] | None, match: DeadLetterMatch, *, everything: bool) -> None:
    if bool(task_ids) + bool(match) + everything != 1:
        raise typer.BadParameter("either ids, or filters, or --all", param_hint="ID")


def _agreed(run: Invocation, verb: str, count: int) -> bool:
    """Ask whoever is there; nobody is asked about nothing."""
    if count and not sys.stdin.isatty():
        run.say(f"fleetctl: {count} dead letters match; pass --yes, nobody is at a terminal to be asked")
        return False
    if count:
        typer.confirm(f"{verb} {count} dead letters?", abort=True, err=True)
    return True


def _told(run: Invocation, answer: Any, done: str, *, dry_run: bool) -> int:
    """Print what became of them; the exit code says whether all of it could be done."""
    if run.printer.for_people:
        run.printer.raw(f"{answer.matched} match" if dry_run else f"{answer.matched} matched, {done}")
        for one in answer.refused:
            run.say(f"fleetctl: refused {one.id}: {one.message} ({one.reason})")
    else:
        run.printer.one(answer, ())
    if answer.more:
        run.say("fleetctl: time was over before the last one; repeat it, or give it more --patience")
        return exit_codes.UNAVAILABLE
    return exit_codes.PRECONDITION if answer.refused else exit_codes.OK
