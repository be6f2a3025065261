"""fleetctl route: which model instance a task gets, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fleetd_client.cli import exit_codes
from fleetd_client.cli.catalogue import Format, read, tell_problems
from fleetd_client.cli.flags import Org, span
from fleetd_client.cli.invocation import Invocation, command
from fleetd_client.cli.needs import Latency, MinCtx, Model, Need, Prefer, Required, needs_of
from fleetd_client.cli.rollout_columns import DECISION
from fleetd_client.cli.route_columns import (
    ELIMINATION,
    PLAN,
    PROVIDER,
    REMOVED,
    STATS,
    VERSION,
    ranked,
    removed,
    score_columns,
)
from fleetd_client.decision import Decision

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="See which instance a task gets and why, and change it."
)

TaskId = Annotated[str, typer.Argument(metavar="TASK", help="Id of the task, or name of the route.")]


@command(app, "explain")
async def explain(
    run: Invocation,
    title: Annotated[
        str, typer.Argument(metavar="TITLE", help="As the task's; needs are read from it.")
    ] = "",
    description: Annotated[str, typer.Option(help="As the task's.")] = "",
    need: Need = None,
    prefer: Prefer = None,
    required: Required = None,
    min_ctx: MinCtx = None,
    latency: Latency = None,
    model: Model = "",
    seed: Annotated[str, typer.Option(help="Decides ties.", show_default="the id of the route")] = "",
    rollout: Annotated[
        str, typer.Option(metavar="NAME", help="Also which mode this rollout would give it.")
    ] = "",
    org: Org = "",
    session: Annotated[str, typer.Option(metavar="ID", help="As the task's, for the rollout.")] = "",
    fallbacks: Annotated[int, typer.Option(min=0, max=10, help="Instances after the selected one.")] = 2,
) -> None:
    """
    Show how every instance would fare, without routing anything.

    Each is removed by a filter, which tells what it observed and required, or has a score, the sum of its terms.

    Example: fleetctl route explain "Fix the parser" --min-ctx 16384
    """
    if (org or session) and not rollout:
        raise typer.BadParameter("needs --rollout", param_hint="--org" if org else "--session")
    answer = await run.client.route(
        title,
        description=description,
        rollout=rollout,
        org_id=org,
        session_id=session,
        seed=seed,
        fallbacks=fallbacks,
        trace=True,
        dry_run=True,
        **needs_of(need, prefer, required, min_ctx, latency, model),
    )
    plan = answer.plan
    if not run.printer.for_people:
        run.printer.one(answer, ())
        return
    eligible, out = ranked(plan), removed(plan)
    if eligible:
        run.printer.many(eligible, score_columns(eligible))
        run.printer.raw("")
    if out:
        run.printer.many(out, REMOVED)
        run.printer.raw("")
    if len(plan.trace) < plan.considered:
        # What the trace left out is still counted.
        run.printer.many(plan.eliminated, ELIMINATION)
        run.printer.raw("")
        run.say(f"{len(plan.trace)} of {plan.considered} instances are shown")
    run.printer.one(plan, PLAN)
    if answer.HasField("decision"):
        run.printer.raw("")
        run.printer.one(Decision.of(answer.decision), DECISION)


@command(app, "plan")
async def plan(
    run: Invocation,
    task_id: TaskId = "",
    plan_id: Annotated[
        str, typer.Option("--plan-id", metavar="PLAN", help="The plan instead of its task.")
    ] = "",
) -> None:
    """
    Show the plan of a task, and every version it had.

    Example: fleetctl route plan 01JZX3V7Q8M4T2N6B9C5D1E0FG
    """
    if bool(task_id) == bool(plan_id):
        raise typer.BadParameter("either a task, or --plan-id", param_hint="TASK")
    answer = await run.client.route_plan(task_id, plan_id=plan_id)
    if not run.printer.for_people:
        run.printer.one(answer, ())
        return
    run.printer.one(answer.plan, PLAN)
    run.printer.raw("")
    run.printer.many(answer.versions, VERSION)


@command(app, "check")
async def check(
    run: Invocation,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Catalogue or list of instances, JSON.")],
    form: Format = None,
) -> int:
    """
    Verify a file of instances without loading it.

    Says what would load and names every bad row; the exit code is 1 when there is one.

    Example: fleetctl route check providers.json
    """
    format_name, data = read(file, form)
    answer = await run.client.import_catalogue(format_name, data, dry_run=True)
    if not run.printer.for_people:
        run.printer.one(answer, ())
    else:
        run.printer.raw(f"{answer.loaded} instances would load from {file}, {answer.skipped} rows are bad")
        tell_problems(run, answer)
    return exit_codes.ERROR if answer.skipped else exit_codes.OK


@command(app, "override")
async def override(
    run: Invocation,
    task_id: TaskId,
    instance: Annotated[str, typer.Argument(metavar="INSTANCE", help="Instance it shall run on.")],
    reason: Annotated[str, typer.Option(help="For people; kept in the event.")],
    expires: Annotated[
        float | None, typer.Option(parser=span, metavar="SPAN", help="How long it holds.", show_default="1h")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Although a filter says no.")] = False,
    plan_version: Annotated[int, typer.Option(min=0, help="Refuse when the plan has changed since.")] = 0,
) -> None:
    """
    Pin a task to an instance.

    Example: fleetctl route override 01JZX3V7Q8M4T2N6B9C5D1E0FG ollama:qwen2.5 --reason "the cloud is slow today"
    """
    pinned = await run.client.override_route(
        task_id,
        instance=instance,
        reason=reason,
        expires_after=expires,
        force=force,
        plan_version=plan_version,
    )
    run.printer.one(pinned, PLAN)


@command(app, "stats")
async def stats(run: Invocation) -> None:
    """
    Show how often routes were found and changed, and how long providers were ready.

    Example: fleetctl route stats
    """
    answer = await run.client.routing_stats()
    run.printer.one(answer, STATS)
    if run.printer.for_people and answer.providers:
        run.printer.raw("")
        run.printer.many(answer.providers, PROVIDER)
