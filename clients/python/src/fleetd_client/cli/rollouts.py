"""fleetctl rollouts: which of two modes does the work, how both fare, and when the new one is left."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from fleetd_client.cli.flags import span
from fleetd_client.cli.invocation import Invocation, command
from fleetd_client.cli.rollout_columns import COMPARISON, DECISION, FALLBACK, METRICS, ROLLOUT, works
from fleetd_client.decision import Decision, use
from fleetd_client.methods import DECIDE_MODE
from fleetd_client.plan import ask
from fleetd_client.stubs import DecideModeRequest, GetRolloutResponse

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="See and change which of two modes does the work, and how both fare.",
)

Name = Annotated[str, typer.Argument(metavar="ROLLOUT", help="Name of the rollout.")]
OrgOf = Annotated[str, typer.Option("--org", metavar="ORG", help="Of this tenant.", show_default="all")]
Reason = Annotated[str, typer.Option(help="For people; kept in event and audit log.")]


@command(app, "list")
async def list_rollouts(run: Invocation) -> None:
    """
    List rollouts by name, with their fallback.

    Example: fleetctl rollouts list -o wide
    """
    run.printer.many(await run.client.list_rollouts(), ROLLOUT)


@command(app, "get")
async def get(run: Invocation, rollout: Name) -> None:
    """
    Show a rollout, and the orgs that are in fallback on their own.

    Example: fleetctl rollouts get chat
    """
    answer = await run.client.get_rollout(rollout)
    run.printer.one(answer, ROLLOUT)
    if run.printer.for_people and answer.orgs:
        run.printer.raw("")
        run.printer.many(answer.orgs, FALLBACK)


@command(app, "put")
async def put(
    run: Invocation,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="JSON of the definition; - reads standard input.")
    ],
    expected_version: Annotated[int, typer.Option(min=0, help="Refuse when it has changed since.")] = 0,
) -> None:
    """
    Add a rollout, or replace its definition; what it learnt stays.

    The file has the names of the API, spans as "300s" or "5m". What `get -o json` prints is taken, too: only its rollout counts.

    Example: fleetctl rollouts put chat.json
    """
    kept = await run.client.put_rollout(_read(file), expected_version=expected_version)
    if run.printer.for_people:
        run.printer.one(GetRolloutResponse(rollout=kept), ROLLOUT)
    else:
        run.printer.one(kept, ())


@command(app, "remove")
async def remove(run: Invocation, rollout: Name, reason: Reason = "") -> None:
    """
    Forget a rollout, and what it learnt.

    One that environment or file define comes back with them.

    Example: fleetctl rollouts remove chat --reason "all is new"
    """
    await run.client.remove_rollout(rollout, reason=reason)
    if run.printer.for_people:
        run.printer.raw(f"{rollout} removed")
    else:
        run.printer.one({"name": rollout}, ())


@command(app, "decide")
async def decide(
    run: Invocation,
    rollout: Name,
    org: Annotated[str, typer.Option("--org", metavar="ORG", help="For this tenant.")] = "",
    session: Annotated[str, typer.Option("--session", metavar="ID", help="For this session.")] = "",
    take: Annotated[
        bool, typer.Option("--take", help="Use up a place on trial or of a shadow, as a service does.")
    ] = False,
) -> None:
    """
    Tell which mode a piece of work would get, and why.

    Example: fleetctl rollouts decide chat --org acme
    """
    request = DecideModeRequest(use=use(rollout, org, session), dry_run=not take)
    answer = await run.client.perform(ask(DECIDE_MODE, request))
    if run.printer.for_people:
        run.printer.one(Decision.of(answer), DECISION)
    else:
        run.printer.one(answer, ())


@command(app, "metrics")
async def metrics(
    run: Invocation,
    rollout: Name,
    org: OrgOf = "",
    orgs: Annotated[bool, typer.Option("--orgs", help="Also of every org.")] = False,
) -> None:
    """
    Show how both modes fared lately, and the fallback.

    Targets are met or missed; nothing falls back for them.

    Example: fleetctl rollouts metrics chat --orgs
    """
    answer = await run.client.rollout_metrics(rollout, org_id=org, orgs=orgs)
    if not run.printer.for_people:
        run.printer.one(answer, ())
        return
    everything = [answer.metrics, *answer.orgs]
    run.printer.many(works(everything), METRICS)
    run.printer.raw("")
    # What holds for the whole holds for many orgs; one line says it.
    fallbacks = {one.fallback.org_id: one.fallback for one in everything if one.HasField("fallback")}
    run.printer.many(list(fallbacks.values()), FALLBACK)


@command(app, "force")
async def force(
    run: Invocation,
    rollout: Name,
    reason: Annotated[str, typer.Option(help="For people; kept in event and audit log.")],
    org: OrgOf = "",
    off: Annotated[
        bool, typer.Option("--off", help="No fallback by itself, instead of the old mode.")
    ] = False,
    lasting: Annotated[
        float | None,
        typer.Option("--for", parser=span, metavar="SPAN", help="How long.", show_default="until reset"),
    ] = None,
) -> None:
    """
    Give the old mode to all, whatever the definition says.

    With --off the rollout instead does not fall back by itself.

    Example: fleetctl rollouts force chat --for 2h --reason "incident 4711"
    """
    state = await run.client.force_fallback(rollout, reason=reason, org_id=org, off=off, duration=lasting)
    run.printer.one(state, FALLBACK)


@command(app, "reset")
async def reset(
    run: Invocation,
    rollout: Name,
    reason: Annotated[str, typer.Option(help="For people; kept in event and audit log.")],
    org: OrgOf = "",
) -> None:
    """
    End fallback, trial and what was forced.

    A new epoch begins: older outcomes count no more.

    Example: fleetctl rollouts reset chat --reason "runtime is mended"
    """
    run.printer.one(await run.client.reset_fallback(rollout, reason=reason, org_id=org), FALLBACK)


@command(app, "comparisons")
async def comparisons(
    run: Invocation,
    rollout: Annotated[str, typer.Argument(metavar="ROLLOUT", help="Name; all unless given.")] = "",
    of: Annotated[str, typer.Option("--id", metavar="ID", help="Of a task, its shadow or a decision.")] = "",
    different: Annotated[bool, typer.Option("--different", help="Only those whose results differ.")] = False,
    limit: Annotated[int, typer.Option(min=0, help="Most to show; 0 shows all.")] = 50,
) -> None:
    """
    List work beside its shadow, newest first.

    Example: fleetctl rollouts comparisons chat --different
    """
    found: list[Any] = []
    more = False
    page = min(limit + 1, 1_000) if limit else 1_000
    async for one in run.client.comparisons(rollout, id=of, different=different, page_size=page):
        if limit and len(found) == limit:
            more = True
            break
        found.append(one)
    run.printer.many(found, COMPARISON)
    if more and run.printer.for_people:
        run.say(f"there are more: raise --limit {limit}, or filter")


def _read(file: str) -> dict[str, Any]:
    """The definition of a file; usage errors that say what would be right."""
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        content = json.loads(data)
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}", param_hint="FILE") from None
    except ValueError as error:
        raise typer.BadParameter(f"{file}: no JSON: {error}", param_hint="FILE") from None
    if isinstance(content, dict) and isinstance(content.get("rollout"), dict):
        content = content["rollout"]
    if not isinstance(content, dict):
        raise typer.BadParameter(f"{file}: one rollout, an object", param_hint="FILE")
    return content
