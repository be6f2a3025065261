"""What the clients' methods ask about model instances and their breakers; `routes` chooses among them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fleetd_client import methods as m
from fleetd_client import stubs as s
from fleetd_client.plan import Page, Plan, ask
from fleetd_client.tasks import BATCH_BYTES, BATCH_ITEMS, in_batches
from fleetd_client.times import Span, duration
from fleetd_client.words import number


def upsert_instances(instances: Iterable[s.Instance]) -> Plan[list[s.InstanceResult]]:
    """Add instances or replace their definition; each gets its own answer, in order, with an `error` when it was refused."""
    results: list[s.InstanceResult] = []
    for batch in in_batches(instances, BATCH_ITEMS, BATCH_BYTES):
        response = yield from ask(m.UPSERT_INSTANCES, s.UpsertInstancesRequest(instances=batch))
        results += response.results
    return results


def instance_page(
    position: Any,
    *,
    provider_id: str = "",
    states: Iterable[str | int] = (),
    tag: str = "",
    page_size: int = 1_000,
) -> Plan[Page[s.InstanceStatus]]:
    """Instances that match, in order of their ids, as they are now."""
    request = s.ListInstancesRequest(
        provider_id=provider_id,
        states=[_state(one, "states") for one in states],
        tag=tag,
        page_size=page_size,
        page_token=position or "",
    )
    response = yield from ask(m.LIST_INSTANCES, request)
    return Page(response.instances, response.next_page_token or None)


def remove_instance(instance_id: str, *, reason: str = "") -> Plan[int]:
    """Forget an instance; what runs on it goes on. The version of the registry without it; NotFound (INSTANCE_NOT_FOUND)."""
    response = yield from ask(m.REMOVE_INSTANCE, s.RemoveInstanceRequest(id=instance_id, reason=reason))
    return response.registry_version


def set_instance_state(instance_id: str, state: str | int, *, reason: str = "") -> Plan[s.InstanceStatus]:
    """Set the state by hand: STOPPED stays until it is set to READY again, any other until the next probe or outcome."""
    request = s.SetInstanceStateRequest(id=instance_id, state=_state(state, "state"), reason=reason)
    return ask(m.SET_INSTANCE_STATE, request)


def import_catalogue(
    format: str | int,  # noqa: A002 - as the API calls it
    data: bytes | str | os.PathLike[str],
    *,
    dry_run: bool = False,
) -> Plan[s.ImportCatalogueResponse]:
    """
    Load a catalogue of the format PROVIDERS, LITELLM or FAILOVER; `data` is its text, or the Path of its file. Bad rows are named in
    `.problems` and skipped, good ones load; dry_run only checks.
    """
    if isinstance(data, os.PathLike):
        data = Path(data).read_bytes()
    request = s.ImportCatalogueRequest(
        format=number(s.CatalogueFormat, "CATALOGUE_FORMAT", format, "format"),
        data=data.encode() if isinstance(data, str) else data,
        dry_run=dry_run,
    )
    return ask(m.IMPORT_CATALOGUE, request)


def breakers(kind: str | int | None = None, name: str = "", *, all: bool = False) -> Plan[list[s.Breaker]]:  # noqa: A002 - as the API calls it
    """Breakers that are not closed, or all that were ever struck; `kind` is PROVIDER, INSTANCE or HOST."""
    response = yield from ask(m.LIST_BREAKERS, s.ListBreakersRequest(kind=_kind(kind), name=name, all=all))
    return list(response.breakers)


def reset_breakers(kind: str | int | None = None, name: str = "", *, reason: str = "") -> Plan[int]:
    """Close one breaker, all of a kind, or all; how many there were."""
    request = s.ResetBreakersRequest(kind=_kind(kind), name=name, reason=reason)
    response = yield from ask(m.RESET_BREAKERS, request)
    return response.reset


def force_breaker(
    kind: str | int, name: str, *, reason: str = "", open_for: Span | None = None
) -> Plan[s.Breaker]:
    """Open a breaker by hand, for 5 minutes unless `open_for` says otherwise."""
    request = s.ForceBreakerRequest(kind=_kind(kind), name=name, reason=reason, duration=duration(open_for))
    return ask(m.FORCE_BREAKER, request)


def _state(value: str | int, field: str) -> Any:
    return number(s.InstanceState, "INSTANCE_STATE", value, field)


def _kind(value: str | int | None) -> Any:
    return number(s.BreakerKind, "BREAKER_KIND", value, "kind")
