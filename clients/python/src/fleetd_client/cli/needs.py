"""What a task needs of a model instance, as flags of more than one command."""

from __future__ import annotations

from typing import Annotated

import typer

from fleetd_client.requirements import RouteNeeds

Need = Annotated[
    list[str] | None,
    typer.Option(
        "--need",
        metavar="TAG",
        help="Tag that counts, as coding. Can be passed multiple times.",
        show_default="from the text",
    ),
]
Prefer = Annotated[
    list[str] | None,
    typer.Option(
        "--prefer", metavar="WHAT", help="local, cloud, fast or cheap. Can be passed multiple times."
    ),
]
Required = Annotated[
    list[str] | None,
    typer.Option(
        "--required", metavar="TAG", help="Tag an instance must have. Can be passed multiple times."
    ),
]
MinCtx = Annotated[
    int | None,
    typer.Option(
        "--min-ctx", min=0, metavar="TOKENS", help="Smallest context.", show_default="from the text"
    ),
]
Latency = Annotated[
    str | None,
    typer.Option("--latency", metavar="CLASS", help="NORMAL, FAST or BATCH.", show_default="NORMAL"),
]
Model = Annotated[str, typer.Option("--model", metavar="NAME", help="Instance or model wanted first.")]


def needs_of(
    need: list[str] | None,
    prefer: list[str] | None,
    required: list[str] | None,
    min_ctx: int | None,
    latency: str | None,
    model: str,
) -> RouteNeeds:
    """What these flags ask for; empty when none was given."""
    needs = RouteNeeds()
    if need:
        needs["needs"] = need
    if prefer:
        needs["prefer"] = prefer
    if required:
        needs["required"] = required
    if min_ctx is not None:
        needs["min_ctx"] = min_ctx
    if latency is not None:
        needs["latency_class"] = latency
    if model:
        needs["model"] = model
    return needs
