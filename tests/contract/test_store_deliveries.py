"""Deliveries of webhooks: remembered once, found again, forgotten with the events of their time."""

from __future__ import annotations

from fleetd.core.ledger import Changes, Delivered, Keys
from fleetd.store.base import Load, Retention, Trimmed, Write
from tests.contract.place import NOW, run

ONE = Delivered("forgejo", "d-1", "task-1", "", NOW)
OTHER = Delivered("gitea", "d-1", "", "the issue is closed", NOW + 5)


async def found(store, *names):
    return (await run(store, Load(Keys(deliveries=names))))[0].deliveries


async def test_a_delivery_is_found_by_forge_and_id(store):
    """M6"""
    await run(store, Write(Changes(deliveries=[ONE, OTHER])))
    assert await found(store, ("forgejo", "d-1")) == [ONE]
    assert await found(store, ("gitea", "d-1"), ("forgejo", "d-2")) == [OTHER]
    assert await found(store) == []


async def test_deliveries_are_there_after_a_restart(durable_place):
    """M6"""
    first = await durable_place.open()
    await run(first, Write(Changes(deliveries=[ONE])))
    await first.close()
    assert await found(await durable_place.open(), ("forgejo", "d-1")) == [ONE]


async def test_deliveries_leave_with_the_events_of_their_time(store):
    """M6, D12: oldest first, in batches."""
    many = [ONE._replace(id=f"d-{n}", at=NOW + n) for n in range(5)]
    await run(store, Write(Changes(deliveries=[*many, OTHER])))
    assert await store.trim(Retention(), 100) == Trimmed()
    assert await store.trim(Retention(events_before=NOW + 3), 2) == Trimmed(deliveries=2, more=True)
    assert await store.trim(Retention(events_before=NOW + 3), 2) == Trimmed(deliveries=1)
    names = [("forgejo", f"d-{n}") for n in range(5)]
    assert {one.id for one in await found(store, *names)} == {"d-3", "d-4"}
