"""The file of hosts: what it defines, what is bad about it, and what the daemon makes of it (spec M5)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from fleetd.core.host import Host, HostAgent
from fleetd.core.hosting import PutHosts
from fleetd.host_file import HostFile
from fleetd.host_list import HostList, load
from fleetd.router_files import Unusable
from tests.unit.engine.faults import FULL, FaultyStore
from tests.unit.engine.fleet import Fleet
from tests.unit.test_instance_files import Log, engine

__all__ = ["engine"]


def rows(*ids: str, **fields) -> str:
    agents = [{"type": "t", "command": ["cat"]}]
    return json.dumps(
        {"hosts": [{"id": i, "hostname": "localhost", "agents": agents, **fields} for i in ids]}
    )


def ids(engine) -> dict[str, str]:
    return {name: row.host.source for name, row in engine.hosts.present.items()}


async def read(engine, log: Log, file: Path | str) -> None:
    hosts = HostFile(engine, log, str(file))
    await hosts.take(await hosts.read())


def test_bad_hosts_are_named_and_keep_no_others_out(tmp_path):
    """M5: of two with the same id the first holds."""
    file = tmp_path / "hosts.json"
    good = json.loads(rows("a", "a", "b"))["hosts"]
    good[1]["hostname"] = "other"
    file.write_text(
        json.dumps({"hosts": [*good, {"id": "c", "hostname": "h", "agents": [], "port": "x"}, 7]})
    )
    found = load(str(file))
    assert [(each.id, each.hostname) for each in found.hosts] == [("a", "localhost"), ("b", "localhost")]
    assert [row.name for row in found.problems] == [
        f"{file}: hosts[1] (a)",
        f"{file}: hosts[3] (c)",
        f"{file}: hosts[4]",
    ]
    assert "port: must be a whole number" in found.problems[1].problem
    assert "agents: must name at least an agent" in found.problems[1].problem


@pytest.mark.parametrize("text", ["[]", '{"hosts": {}}', "{}", "7", "not json", '"hosts"'])
def test_a_file_of_another_form_is_unusable(tmp_path, text):
    """M5: taken for an empty one it would remove every host."""
    file = tmp_path / "hosts.json"
    file.write_text(text)
    with pytest.raises(Unusable, match=r"hosts\.json: must be"):
        load(str(file))


def test_a_file_that_is_not_there_is_unusable_and_no_file_defines_nothing(tmp_path):
    """M5."""
    with pytest.raises(Unusable, match="cannot be read"):
        load(str(tmp_path / "none.json"))
    assert load("") == HostList()


async def test_of_the_known_hosts_only_those_of_files_leave(engine, tmp_path):
    """M5: what came by RPC stays."""
    log, file = Log(), tmp_path / "hosts.json"
    by_rpc = Host("rpc", "localhost", agents=(HostAgent("t", ("cat",)),), source="rpc")
    await engine.execute(PutHosts((by_rpc,)))
    file.write_text(rows("a", "b"))
    await read(engine, log, file)
    assert ids(engine) == {"rpc": "rpc", "a": "file", "b": "file"}
    file.write_text(rows("b", "c"))
    await read(engine, log, file)
    assert ids(engine) == {"rpc": "rpc", "b": "file", "c": "file"}
    await read(engine, log, "")
    await read(engine, log, "")
    assert ids(engine) == {"rpc": "rpc"}
    assert [fields for name, fields in log.lines if name == "hosts_loaded"] == [
        {"loaded": 2, "removed": 0, "problems": 0},
        {"loaded": 2, "removed": 1, "problems": 0},
        {"loaded": 0, "removed": 2, "problems": 0},
    ]


async def test_it_is_read_again_when_somebody_asks_and_a_bad_one_changes_nothing(engine, tmp_path):
    """M5."""
    log, file = Log(), tmp_path / "hosts.json"
    hosts = HostFile(engine, log, str(file))
    keeping = asyncio.create_task(hosts.keep_reading())
    file.write_text(rows("a"))
    hosts.ask()
    assert (await log.until("hosts_reloaded"))["loaded"] == 1
    file.write_text("{")
    hosts.ask()
    assert "what was loaded before holds" in (await log.until("files_unusable"))["message"]
    assert ids(engine) == {"a": "file"}
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


async def test_without_a_file_an_ask_is_answered_in_the_log(engine):
    """M5."""
    log = Log()
    hosts = HostFile(engine, log, "")
    keeping = asyncio.create_task(hosts.keep_reading())
    hosts.ask()
    assert "hosts.file is not set" in (await log.until("no_files"))["message"]
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


async def test_a_store_that_takes_nothing_is_told_and_the_daemon_goes_on(tmp_path):
    """M5, S7."""
    store = FaultyStore()
    fleet = await Fleet(store=store).open()
    log, file = Log(), tmp_path / "hosts.json"
    file.write_text(rows("a"))
    hosts = HostFile(fleet.engine, log, str(file))
    reading = await hosts.read()
    store.faults.append(FULL)
    await fleet.run(hosts.take(reading))
    assert [name for name, _ in log.lines] == ["files_not_stored"]
    assert ids(fleet.engine) == {}
    await fleet.run(hosts.take(reading))
    assert ids(fleet.engine) == {"a": "file"}
    await fleet.close()
