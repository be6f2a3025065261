"""Files of instances: read whole, their format told by what is in them."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fleetd_client.channel import MESSAGE_LIMIT
from fleetd_client.cli.invocation import Invocation
from fleetd_client.cli.output import one_line
from fleetd_client.stubs import ImportCatalogueResponse

# What surrounds the file in its message.
ENVELOPE = 64 * 1024


class CatalogueName(StrEnum):
    """Formats, as people name them."""

    PROVIDERS = "providers"
    LITELLM = "litellm"
    FAILOVER = "failover"


Format = Annotated[
    CatalogueName | None,
    typer.Option("--format", show_default="by the content", help="What kind of file it is."),
]


def read(file: Path, form: CatalogueName | None) -> tuple[str, bytes]:
    """The format and the bytes of a file; usage errors that say what would be right."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}", param_hint="FILE") from None
    if len(data) > MESSAGE_LIMIT - ENVELOPE:
        size = f"{len(data) / 2**20:.1f} MiB, and one call takes {(MESSAGE_LIMIT - ENVELOPE) / 2**20:.1f} MiB"
        raise typer.BadParameter(f"{file}: {size}: split it", param_hint="FILE")
    return (_guess(file, data) if form is None else form).value, data


def tell_problems(run: Invocation, answer: ImportCatalogueResponse) -> None:
    """A line for each bad row, never cut: it says what would be right."""
    for problem in answer.problems:
        run.printer.raw(f"  {one_line(problem.name)}: {one_line(problem.problem)}")
    if answer.skipped > len(answer.problems):
        run.say(f"the first {len(answer.problems)} of {answer.skipped} bad rows are shown")


def _guess(file: Path, data: bytes) -> CatalogueName:
    """A list is a failover list, `providers` are named by their key, any other object is a catalogue of models."""
    try:
        content = json.loads(data)
    except ValueError as error:
        raise typer.BadParameter(f"{file}: no JSON: {error}", param_hint="FILE") from None
    if isinstance(content, list):
        return CatalogueName.FAILOVER
    if isinstance(content, dict):
        return (
            CatalogueName.PROVIDERS if isinstance(content.get("providers"), list) else CatalogueName.LITELLM
        )
    raise typer.BadParameter(f"{file}: an object or a list, not {type(content).__name__}", param_hint="FILE")
