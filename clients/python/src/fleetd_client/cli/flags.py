"""What people type after a flag, turned into values; a bad one is a usage error that says what would be right."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import typer

from fleetd_client.cli.times import parse_moment, parse_span


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
