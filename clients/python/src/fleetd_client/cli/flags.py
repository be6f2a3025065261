"""What people type after a flag, turned into values; a bad one is a usage error that says what would be right."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

import typer

from fleetd_client.cli.times import parse_moment, parse_span
from fleetd_client.tasks import TaskMatch


def span(text: str | float) -> float:
    """Seconds of "30s"; the parser of such flags. Defaults come as seconds."""
    if isinstance(text, float):
        return text
    try:
        return parse_span(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def moment(text: str | datetime) -> datetime:
    """An aware datetime; the parser of such flags."""
    if isinstance(text, datetime):
        return text
    try:
        return parse_moment(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def pairs(given: Iterable[str] | None, flag: str = "--label") -> dict[str, str]:
    """The mapping of KEY=VALUE flags."""
    found = {}
    for one in given or ():
        key, equals, value = one.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"KEY=VALUE, not {one!r}", param_hint=flag)
        found[key] = value
    return found


# What more than one command takes.
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


def task_match(
    status: list[str] | None, org: str, task_type: str, tag: str, label: list[str] | None
) -> TaskMatch:
    """The filter of tasks that these flags make; empty when none was given."""
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
