"""The Router's files in front of a real engine on the real SQL."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fleetd.clock import SystemClock
from fleetd.core.instance import Instance, InstanceState
from fleetd.core.registration import PutInstances
from fleetd.core.settings import Rules
from fleetd.engine.engine import Engine
from fleetd.instance_files import InstanceFiles
from fleetd.read_again import SHOWN
from fleetd.router_files import Unusable
from tests.unit.engine.faults import FULL, FaultyStore
from tests.unit.engine.fleet import Fleet

LONG = 60.0
"""Seconds after which what did not come will not come."""


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[str, dict]] = []
        self.wrote = asyncio.Event()

    def note(self, event: str, **fields) -> None:
        self.lines.append((event, fields))
        self.wrote.set()

    info = warning = error = note

    async def until(self, event: str, number: int = 1) -> dict:
        """Wait for a line and return its fields: the first one, the second one, …"""
        async with asyncio.timeout(LONG):
            while len(found := [fields for name, fields in self.lines if name == event]) < number:
                self.wrote.clear()
                await self.wrote.wait()
        return found[number - 1]


def providers(*ids: str, **fields) -> str:
    return json.dumps({"providers": [{"provider_id": "p", "instances": [{"id": i, **fields} for i in ids]}]})


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    """An engine that runs by itself."""
    store = FaultyStore()
    await store.open()
    engine = Engine(store, SystemClock(), Rules(), Log())
    await engine.recover()
    engine.start()
    yield engine
    await engine.stop()
    await store.close()


def known(engine: Engine) -> dict[str, Instance]:
    return dict(engine.routes.outside.registry.index.instances)


async def load(engine: Engine, log: Log, **paths: Path) -> InstanceFiles:
    files = InstanceFiles(engine, log, {}, **{name: str(path) for name, path in paths.items()})
    await files.take(await files.read())
    return files


async def test_of_what_is_registered_only_instances_of_files_leave(engine, tmp_path):
    """R1: what came by RPC stays, and so does what did not change."""
    log, file = Log(), tmp_path / "providers.json"
    await engine.execute(PutInstances((Instance("p:rpc", "p"),)))
    file.write_text(providers("a", "b"))
    await load(engine, log, providers=file)
    before = engine.routes.outside.registry.version
    await load(engine, log, providers=file)
    assert engine.routes.outside.registry.version == before
    file.write_text(providers("b", "c"))
    await load(engine, log, providers=file)
    assert set(known(engine)) == {"p:rpc", "p:b", "p:c"}
    assert [fields for _, fields in log.lines] == [
        {"loaded": 2, "removed": 0, "problems": 0},
        {"loaded": 2, "removed": 0, "problems": 0},
        {"loaded": 2, "removed": 1, "problems": 0},
    ]


async def test_without_files_what_earlier_ones_left_leaves_and_else_nothing_is_said(engine, tmp_path):
    """R1: an empty configuration means no instances of files."""
    log, file = Log(), tmp_path / "providers.json"
    file.write_text(providers("a"))
    await load(engine, log, providers=file)
    await engine.execute(PutInstances((Instance("p:rpc", "p"),)))
    await load(engine, log)
    assert set(known(engine)) == {"p:rpc"}
    assert log.lines[1:] == [("files_loaded", {"loaded": 0, "removed": 1, "problems": 0})]
    await load(engine, log)
    assert len(log.lines) == 2


async def test_an_entry_of_the_failover_list_changes_an_instance_of_others_and_never_takes_it_away(
    engine, tmp_path
):
    """R1, F1: it is read again and again, and the instance still belongs to whoever registered it."""
    log, file = Log(), tmp_path / "failover.json"
    await engine.execute(PutInstances((Instance("p:rpc", "p", ctx=8_192),)))
    for priority in (1, 2):
        file.write_text(json.dumps([{"name": "p:rpc", "priority": priority}]))
        await load(engine, log, failover=file)
        assert known(engine) == {
            "p:rpc": Instance("p:rpc", "p", ctx=8_192, priority=priority, failover=True, source="rpc")
        }
    file.write_text("[]")
    await load(engine, log, failover=file)
    assert set(known(engine)) == {"p:rpc"}
    assert [fields["problems"] for _, fields in log.lines] == [0, 0, 0]


async def test_states_of_files_and_missing_credentials_are_conditions_from_the_first_moment(engine, tmp_path):
    """R1: an instance whose credential is missing is never chosen, not even before the first look of the prober."""
    file = tmp_path / "providers.json"
    (tmp_path / "token").write_text("secret")
    rows = [
        {"id": "stopped", "state": "STOPPED"},
        {"id": "set", "credential": "env:SET"},
        {"id": "unset", "credential": "env:UNSET"},
        {"id": "there", "credential": f"file:{tmp_path}/token"},
        {"id": "away", "credential": f"file:{tmp_path}/none"},
        {"id": "probed", "probe_url": "http://127.0.0.1:9/health"},
    ]
    file.write_text(json.dumps({"providers": [{"provider_id": "p", "instances": rows}]}))
    files = InstanceFiles(engine, Log(), {"SET": "x"}, providers=str(file))
    await files.take(await files.read())
    registry = engine.routes.outside.registry
    found = {name: registry.condition(f"p:{name}") for name in (row["id"] for row in rows)}
    assert {name for name, condition in found.items() if not condition.credentials} == {"unset", "away"}
    assert {name: condition.state for name, condition in found.items()} == {
        "stopped": InstanceState.STOPPED,
        "set": InstanceState.READY,
        "unset": InstanceState.READY,
        "there": InstanceState.READY,
        "away": InstanceState.READY,
        "probed": InstanceState.UNKNOWN,
    }


async def test_bad_rows_are_told_by_name_as_long_as_they_are_few(engine, tmp_path):
    """R1: a warning each, then how many more there are."""
    log, file = Log(), tmp_path / "providers.json"
    file.write_text(providers("good", *(f"bad{n}" for n in range(SHOWN + 3)), ctx=-1))
    await load(engine, log, providers=file)
    told = [fields for name, fields in log.lines if name == "row_skipped"]
    assert len(told) == SHOWN
    assert told[1]["row"] == f"{file}: p:bad0"
    assert told[1]["problem"].startswith("ctx: ")
    assert log.lines[SHOWN][0] == "rows_skipped"
    assert log.lines[SHOWN][1]["more"] == 4
    assert log.lines[-1] == ("files_loaded", {"loaded": 0, "removed": 0, "problems": SHOWN + 4})


async def test_a_file_that_cannot_be_used_is_an_error_at_the_start(engine, tmp_path):
    """R1: it is not taken for an empty one."""
    with pytest.raises(Unusable, match="cannot be read"):
        await load(engine, Log(), providers=tmp_path / "missing.json")


async def test_a_second_ask_during_a_reading_is_not_lost_and_nobody_waits_for_the_file(engine, tmp_path):
    """R1: the file is a pipe at first, so that a reading takes as long as the test wants."""
    log, pipe = Log(), tmp_path / "providers.json"
    os.mkfifo(pipe)
    files = InstanceFiles(engine, log, {}, providers=str(pipe))
    keeping = asyncio.create_task(files.keep_reading())
    files.ask()
    # Whoever opens a pipe waits for its other side: the first reading is under way now.
    with await asyncio.to_thread(pipe.open, "w") as writer:
        pipe.unlink()
        pipe.write_text(providers("b", "c"))
        files.ask()
        files.ask()
        await engine.execute(PutInstances((Instance("p:rpc", "p"),)))
        writer.write(providers("a"))
    assert await log.until("files_reloaded") == {"loaded": 1, "removed": 0, "problems": 0}
    assert await log.until("files_reloaded", 2) == {"loaded": 2, "removed": 1, "problems": 0}
    assert set(known(engine)) == {"p:rpc", "p:b", "p:c"}
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    assert len(log.lines) == 2


async def test_a_store_that_takes_nothing_is_told_and_the_daemon_goes_on(tmp_path):
    """R1, S7: what was known before holds."""
    store = FaultyStore()
    fleet = await Fleet(store=store).open()
    log, file = Log(), tmp_path / "providers.json"
    file.write_text(providers("a"))
    files = InstanceFiles(fleet.engine, log, {}, providers=str(file))
    reading = await files.read()
    store.faults.append(FULL)
    await fleet.run(files.take(reading))
    assert [name for name, _ in log.lines] == ["files_not_stored"]
    assert known(fleet.engine) == {}
    await fleet.run(files.take(reading))
    assert set(known(fleet.engine)) == {"p:a"}
    await fleet.close()
