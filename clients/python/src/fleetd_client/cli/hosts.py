"""fleetctl hosts: the machines on which the daemon runs tasks itself."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from fleetd_client.cli import exit_codes
from fleetd_client.cli.columns import HOST, host_state
from fleetd_client.cli.invocation import Invocation, command
from fleetd_client.cli.output import Column

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="See, add and switch the hosts on which the daemon runs tasks itself.",
)

HostId = Annotated[str, typer.Argument(metavar="HOST", help="Id of the host, as build-1.")]
Reason = Annotated[str, typer.Option(help="For people; kept with the state and in the audit log.")]

HELPS = {
    "UNKNOWN": "the daemon has not finished its first check: ask again",
    "STOPPED": "fleetctl hosts start {id}",
    "DISABLED": "set enabled in its definition",
    "OFFLINE": "mend what WHY says; the daemon checks again by itself",
}
CHECK = (
    *HOST[:3],
    Column("SINCE", HOST[6].cell),
    Column("WHY", HOST[7].cell, free=True),
    Column("HELPS", lambda one, _: HELPS.get(host_state(one), "").format(id=one.host.id), free=True),
)


@command(app, "list")
async def list_hosts(
    run: Invocation,
    state: Annotated[
        list[str] | None,
        typer.Option(metavar="STATE", help="For instance ONLINE. Can be passed multiple times."),
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="Most hosts to show; 0 shows all.")] = 100,
) -> None:
    """
    List hosts in order of their ids, as they are now.

    Example: fleetctl hosts list --state OFFLINE -o wide
    """
    found, more = await _found(run, state or (), limit)
    run.printer.many(found, HOST)
    if more and run.printer.for_people:
        run.say(f"there are more: raise --limit {limit}, or filter")


@command(app, "check")
async def check(
    run: Invocation,
    host_ids: Annotated[
        list[str] | None, typer.Argument(metavar="HOST", help="Ids; all unless given.")
    ] = None,
) -> int:
    """
    Tell how hosts are, why, and what would help.

    The exit code is 1 when one of them takes no work.

    Example: fleetctl hosts check build-1
    """
    found, _ = await _found(run, (), 0)
    unknown = set(host_ids or ()) - {one.host.id for one in found}
    if host_ids:
        found = [one for one in found if one.host.id in host_ids]
    run.printer.many(found, CHECK)
    for host_id in sorted(unknown):
        run.say(f"fleetctl: there is no host {host_id}; see fleetctl hosts list")
    if unknown:
        return exit_codes.NOT_FOUND
    return exit_codes.OK if all(host_state(one) == "ONLINE" for one in found) else exit_codes.ERROR


@command(app, "add")
async def add(
    run: Invocation,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="JSON of one host, or of many; - reads standard input.")
    ],
) -> int:
    """
    Add hosts, or replace their definition.

    The file has one host as an object, or {"hosts": [...]}, as the daemon's file of hosts. The exit code is 2 when one was refused.

    Example: fleetctl hosts add build-1.json
    """
    results = await run.client.upsert_hosts(_read(file))
    refused = [one for one in results if one.error]
    if run.printer.for_people:
        run.printer.raw(f"{len(results) - len(refused)} hosts added, {len(refused)} refused")
        for one in refused:
            run.say(f"fleetctl: {one.id or 'a host without id'}: {one.error}")
    else:
        run.printer.many(results, ())
    return exit_codes.USAGE if refused else exit_codes.OK


@command(app, "remove")
async def remove(run: Invocation, host_id: HostId, reason: Reason = "") -> None:
    """
    Forget a host; what runs there is ended and handed back.

    One that the daemon's file defines comes back when that is read again.

    Example: fleetctl hosts remove build-1
    """
    await run.client.remove_host(host_id, reason=reason)
    if run.printer.for_people:
        run.printer.raw(f"{host_id} removed")
    else:
        run.printer.one({"id": host_id}, ())


@command(app, "stop")
async def stop(run: Invocation, host_id: HostId, reason: Reason = "") -> None:
    """
    Give a host no more work; what runs there is ended and handed back.

    Example: fleetctl hosts stop build-1 --reason "new disk"
    """
    run.printer.one(await run.client.set_host_state(host_id, "STOPPED", reason=reason), HOST)


@command(app, "start")
async def start(run: Invocation, host_id: HostId, reason: Reason = "") -> None:
    """
    Give a host work again, as soon as a check went well.

    Example: fleetctl hosts start build-1
    """
    run.printer.one(await run.client.set_host_state(host_id, "ONLINE", reason=reason), HOST)


async def _found(run: Invocation, states: Iterable[str], limit: int) -> tuple[list[Any], bool]:
    """The hosts, and whether there are more than the limit."""
    found: list[Any] = []
    page = min(limit + 1, 1_000) if limit else 1_000
    async for one in run.client.hosts(states=states, page_size=page):
        if limit and len(found) == limit:
            return found, True
        found.append(one)
    return found, False


def _read(file: str) -> list[Any]:
    """The hosts of a file; usage errors that say what would be right."""
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        content = json.loads(data)
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}", param_hint="FILE") from None
    except ValueError as error:
        raise typer.BadParameter(f"{file}: no JSON: {error}", param_hint="FILE") from None
    if isinstance(content, dict) and isinstance(content.get("hosts"), list):
        content = content["hosts"]
    rows = [content] if isinstance(content, dict) else content
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise typer.BadParameter(f'{file}: one host, or {{"hosts": [...]}}', param_hint="FILE")
    return rows
