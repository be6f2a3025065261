"""fleetctl instances: the model instances that tasks are routed to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fleetd_client.cli import exit_codes
from fleetd_client.cli.catalogue import Format, read, tell_problems
from fleetd_client.cli.invocation import Invocation, command
from fleetd_client.cli.route_columns import INSTANCE

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="See, load and switch the instances tasks are routed to.",
)

InstanceId = Annotated[str, typer.Argument(metavar="INSTANCE", help="Id of the instance, as ollama:qwen2.5.")]
Reason = Annotated[str, typer.Option(help="For people; kept in event and audit log.")]


@command(app, "list")
async def list_instances(
    run: Invocation,
    provider: Annotated[str, typer.Option(metavar="PROVIDER", help="Of this provider.")] = "",
    state: Annotated[
        list[str] | None,
        typer.Option(metavar="STATE", help="For instance READY. Can be passed multiple times."),
    ] = None,
    tag: Annotated[str, typer.Option(metavar="TAG", help="Tag they have.")] = "",
    limit: Annotated[int, typer.Option(min=0, help="Most instances to show; 0 shows all.")] = 100,
) -> None:
    """
    List instances in order of their ids, as they are now.

    Example: fleetctl instances list --state READY --tag coding -o wide
    """
    found: list[Any] = []
    more = False
    page = min(limit + 1, 1_000) if limit else 1_000
    async for one in run.client.instances(provider_id=provider, states=state or (), tag=tag, page_size=page):
        if limit and len(found) == limit:
            more = True
            break
        found.append(one)
    run.printer.many(found, INSTANCE)
    if more and run.printer.for_people:
        run.say(f"there are more: raise --limit {limit}, or filter")


@command(app, "import")
async def import_catalogue(
    run: Invocation,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Catalogue or list of instances, JSON.")],
    form: Format = None,
) -> int:
    """
    Load the instances of a file.

    Bad rows are named and skipped, good ones load; the exit code is 1 when nothing did.

    Example: fleetctl instances import --format litellm model_prices.json
    """
    format_name, data = read(file, form)
    answer = await run.client.import_catalogue(format_name, data)
    if not run.printer.for_people:
        run.printer.one(answer, ())
    else:
        run.printer.raw(f"{answer.loaded} instances loaded from {file}, {answer.skipped} rows skipped")
        tell_problems(run, answer)
    return exit_codes.ERROR if answer.skipped and not answer.loaded else exit_codes.OK


@command(app, "set-state")
async def set_state(
    run: Invocation,
    instance_id: InstanceId,
    state: Annotated[
        str, typer.Argument(metavar="STATE", help="READY, DEGRADED, ERROR, STOPPED or DISCONNECTED.")
    ],
    reason: Reason = "",
) -> None:
    """
    Set the state of an instance by hand.

    STOPPED stays until it is set to READY again, any other until the next probe or outcome.

    Example: fleetctl instances set-state ollama:qwen2.5 STOPPED --reason "new card"
    """
    run.printer.one(await run.client.set_instance_state(instance_id, state, reason=reason), INSTANCE)


@command(app, "remove")
async def remove(run: Invocation, instance_id: InstanceId, reason: Reason = "") -> None:
    """
    Forget an instance; what runs on it goes on.

    Example: fleetctl instances remove ollama:qwen2.5
    """
    version = await run.client.remove_instance(instance_id, reason=reason)
    if run.printer.for_people:
        run.printer.raw(f"{instance_id} removed")
    else:
        run.printer.one({"id": instance_id, "registryVersion": version}, ())
