"""Hosts in a store: what they are and how they are. M5."""

from __future__ import annotations

from dataclasses import fields, replace

from fleetd.core.host import Host, HostAgent, HostState
from fleetd.core.hostbook import HostRow, HostStatus
from tests.contract.place import write

CODER = HostAgent(
    type="coder",
    command=("coder", "--model", "ünïcode \U0001f980", "$(not a shell)"),
    capabilities=("code", "code:rust"),
    max_concurrency=3,
    parser="json_lines",
    prompt="argv",
    timeout=4_000,
    env={"LANG": "C", "EMPTY": ""},
)
BUILD = HostRow(
    Host(
        id="build-1",
        hostname="build-1.example.org",
        user="fleet",
        port=2_222,
        key_file="/keys/one",
        known_hosts="/keys/known",
        work_dir="/srv/work",
        agents=(CODER, HostAgent("plain", ("plain",))),
        enabled=False,
        source="rpc",
    ),
    HostStatus(HostState.STOPPED, "being moved", 1_700_000_000_000, held=True),
)
LOCAL = HostRow(Host("local", "localhost", agents=(HostAgent("sh", ("sh",)),)), HostStatus())


async def hosts(store):
    return {row.host.id: row for row in (await store.snapshot(0)).hosts}


def put(*rows):
    return {row.host.id: row for row in rows}


async def test_hosts_are_kept_with_all_that_is_known_of_them(store):
    """M5"""
    for value in (BUILD.host, CODER):
        plain = [f.name for f in fields(value) if f.default == getattr(value, f.name)]
        assert not plain, "every field must differ from its default, or this test does not look at it"
    assert all(a != b for a, b in zip(BUILD.status, HostStatus(), strict=True))
    await write(store, hosts=put(BUILD, LOCAL))
    found = await hosts(store)
    assert found == put(BUILD, LOCAL)
    assert (type(found["build-1"].status.held), type(found["build-1"].status.state)) == (bool, HostState)
    assert found["build-1"].host.agents[0].env == CODER.env


async def test_a_host_is_replaced_and_removed_and_the_others_stay(store):
    """M5: removing one that is not there is nothing"""
    await write(store, hosts=put(BUILD, LOCAL))
    moved = HostRow(replace(BUILD.host, port=22, agents=()), HostStatus(HostState.OFFLINE, "refused", 5))
    await write(store, hosts=put(moved))
    assert await hosts(store) == put(moved, LOCAL)
    await write(store, hosts={"build-1": None, "nobody": None})
    assert await hosts(store) == put(LOCAL)
    await write(store, hosts=put(BUILD))
    assert await hosts(store) == put(BUILD, LOCAL)


async def test_every_state_is_kept(store):
    """M5"""
    rows = [HostRow(replace(LOCAL.host, id=state.name), HostStatus(state)) for state in HostState]
    await write(store, hosts=put(*rows))
    assert await hosts(store) == put(*rows)


async def test_hosts_are_there_after_a_restart(durable_place):
    """M5"""
    store = await durable_place.open()
    await write(store, hosts=put(BUILD, LOCAL))
    await store.close()
    assert await hosts(await durable_place.open()) == put(BUILD, LOCAL)
