"""Hosts in a real daemon: its file at the start and on SIGHUP, tasks that run there, and the end (spec M1, M2, M4, M5)."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from fleetd import exit_codes
from fleetd_client import FleetClient
from fleetd_client import stubs as s
from tests.integration.cli.conftest import Fleetctl, ended, happened
from tests.integration.daemon import Daemon
from tests.integration.hosts.place import is_alive

LIMIT = 30.0
"""Seconds for what should happen at once on a busy machine: a limit, not a wait."""
ONLINE, STOPPED = s.HostState.Value("HOST_STATE_ONLINE"), s.HostState.Value("HOST_STATE_STOPPED")

Make = Callable[..., Daemon]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Make daemons on the same data that do not outlive the test; the file of hosts is `hosts.json`."""
    made: list[Daemon] = []

    def one(*settings: str) -> Daemon:
        file = f"hosts.file={tmp_path / 'hosts.json'}"
        made.append(Daemon(tmp_path / "data", file, "hosts.grace=2s", "agents.heartbeat_min=1s", *settings))
        return made[-1]

    yield one
    for daemon in made:
        await daemon.close()


def here(host_id: str, *command: str, **fields: Any) -> dict[str, Any]:
    """Return a definition of this machine as a host with one agent that can `shell`."""
    agent = {"type": "sh", "command": list(command), "capabilities": ["shell"], **fields}
    return {"id": host_id, "hostname": "localhost", "agents": [agent]}


def write(folder: Path, *hosts: dict[str, Any]) -> None:
    """Write the file of hosts as an editor does it: all at once."""
    fresh = folder / "hosts.new"
    fresh.write_text(json.dumps({"hosts": hosts}))
    fresh.replace(folder / "hosts.json")


async def hosts(client: FleetClient) -> dict[str, Any]:
    return {one.host.id: one async for one in client.hosts()}


async def became(client: FleetClient, host_id: str, state: str) -> None:
    """Wait until a host comes, or came, into a state."""
    async with asyncio.timeout(LIMIT):
        async for event in client.watch_events(0, types=["HOST_STATE"]):
            if (event.payload["host"], event.payload["state"]) == (host_id, state):
                return


SLEEPER = "import os, sys, time; print(os.getpid(), flush=True); sys.stdin.read(); time.sleep(1000)"


async def sleeping(client: FleetClient, task_id: str) -> int:
    """Wait until the sleeper of a task runs; return its process id."""
    async with asyncio.timeout(LIMIT):
        async for event in client.watch_events(0, types=["TASK_PROGRESS"], task_id=task_id):
            return int(event.payload["message"])
    raise AssertionError


async def test_a_task_runs_on_the_host_of_the_file_and_fleetctl_shows_it(make, tmp_path):
    """M1, M2, M5: from submit to result, with columns, a check, and what helps."""
    write(tmp_path, here("local", "tr", "a-z", "A-Z"), {"id": "bad", "hostname": "localhost"})
    daemon = await make().start()
    assert (await daemon.logged("hosts_loaded"))["problems"] == 1
    assert (await daemon.logged("ready"))["hosts"] == 1
    fleetctl = Fleetctl(daemon.address)
    async with FleetClient(daemon.address) as client:
        await became(client, "local", "ONLINE")
        task = await client.submit("shout", input="hello", capabilities=["shell"])
        result = (await client.wait(task.id, timeout=LIMIT)).result
        assert (result.output.text, result.agent_id) == ("HELLO", "host:local/sh")
        said = await fleetctl("tasks", "submit", "wait for me", "--cap", "shell", "--input", "x", "--wait")
        assert said.code == 0, said.err
    wide = (await fleetctl("tasks", "list", "-o", "wide")).out
    header, *rows = (line.split() for line in wide.splitlines())
    assert header[5:7] == ["MODE", "HOST"]
    assert all({"SSH_CLI", "(auto)", "local"} <= set(row) for row in rows)
    alone = (await fleetctl("tasks", "get", task.id)).out
    assert re.search(r"^MODE +SSH_CLI \(auto\)$", alone, re.MULTILINE)
    assert re.search(r"^HOST +local$", alone, re.MULTILINE)
    row = (await fleetctl("hosts", "list")).out.splitlines()[1].split()
    assert row[:6] == ["local", "ONLINE", "localhost", "sh", "0/1", "shell"]
    checked = await fleetctl("hosts", "check")
    assert checked.code == 0
    stopped = await fleetctl("hosts", "stop", "local", "--reason", "new disk")
    assert "new disk" in stopped.out
    checked = await fleetctl("hosts", "check", "local")
    assert checked.code == 1
    assert "fleetctl hosts start local" in checked.out
    assert (await fleetctl("hosts", "check", "nobody")).code == 3
    assert (await fleetctl("hosts", "start", "local")).code == 0
    assert await daemon.stop() == exit_codes.OK


async def test_hosts_come_and_go_with_fleetctl(make, tmp_path):
    """M5: add, assign, remove; the seats of one that was removed are agents no more."""
    write(tmp_path)
    daemon = await make().start()
    fleetctl, file = Fleetctl(daemon.address), tmp_path / "one.json"
    file.write_text(json.dumps(here("one", "cat", timeout_sec=60)))
    added = await fleetctl("hosts", "add", str(file))
    assert (added.code, added.out) == (0, "1 hosts added, 0 refused\n")
    bad = await fleetctl("hosts", "add", "-", stdin=json.dumps(here("two", "cat", parser="xml")).encode())
    assert bad.code == 2
    assert "two: agents[0].parser: must be one of raw, json, json_lines" in bad.err
    strange = await fleetctl(
        "hosts", "add", "-", stdin=json.dumps({**here("two", "cat"), "ports": 1}).encode()
    )
    assert strange.code == 2
    assert "ports" in strange.err
    async with FleetClient(daemon.address) as client:
        await became(client, "one", "ONLINE")
        task = await client.submit("later", capabilities=["gpu"], input="x")
        refused = await fleetctl("tasks", "assign", task.id, "one", "--mode", "SSH_CLI")
        assert refused.code == 4
        assert "lacks gpu" in refused.err
        moved = await fleetctl("tasks", "assign", task.id, "one", "--mode", "ssh_cli", "--force")
        assert moved.code == 0, moved.err
        done = await client.wait(task.id, timeout=LIMIT)
        assert (done.task.host_id, done.task.mode_source) == (
            "one",
            s.ModeSource.Value("MODE_SOURCE_EXPLICIT"),
        )
        assert (await fleetctl("hosts", "remove", "one")).out == "one removed\n"
        await happened(client, "AGENT_UNREGISTERED", agent_id="host:one/sh")
        assert await hosts(client) == {}
    assert (await fleetctl("hosts", "remove", "one")).code == 3
    assert await daemon.stop() == exit_codes.OK


async def test_sighup_reads_the_file_again_and_what_ran_on_a_host_that_left_is_ended_and_handed_back(
    make, tmp_path
):
    """M5, T5: no attempt is burnt, and the other host runs it."""
    write(tmp_path, here("old", sys.executable, "-c", SLEEPER))
    daemon = await make().start()
    async with FleetClient(daemon.address) as client:
        task = await client.submit("work", capabilities=["shell"], input="x")
        pid = await sleeping(client, task.id)
        write(tmp_path, here("new", "cat"))
        daemon.signal(signal.SIGHUP)
        assert (await daemon.logged("hosts_reloaded"))["removed"] == 1
        done = await client.wait(task.id, timeout=LIMIT)
        assert (done.task.host_id, done.task.attempt, done.task.losses) == ("new", 1, 0)
        await ended(pid)
        assert list(await hosts(client)) == ["new"]
    assert await daemon.stop() == exit_codes.OK


async def test_what_runs_on_a_host_when_the_daemon_stops_is_ended_handed_back_and_runs_after_the_start(
    make, tmp_path
):
    """M5, T5: nothing of it is left behind."""
    write(tmp_path, here("local", sys.executable, "-c", SLEEPER))
    daemon = make("drain.deadline=1s")
    await daemon.start()
    async with FleetClient(daemon.address) as client:
        task = await client.submit("work", capabilities=["shell"], input="x")
        pid = await sleeping(client, task.id)
    assert await daemon.stop() == exit_codes.OK
    assert not is_alive(pid)
    write(tmp_path, here("local", "cat"))
    await daemon.start()
    async with FleetClient(daemon.address) as client:
        done = await client.wait(task.id, timeout=LIMIT)
        assert (done.result.output.text, done.task.attempt, done.task.losses) == ("x", 1, 0)
    assert await daemon.stop() == exit_codes.OK


async def test_a_daemon_that_was_killed_ends_what_it_left_behind_before_the_task_runs_again(make, tmp_path):
    """M5, T5: one task, one process."""
    write(tmp_path, here("local", sys.executable, "-c", SLEEPER))
    daemon = make()
    await daemon.start()
    async with FleetClient(daemon.address) as client:
        task = await client.submit("work", capabilities=["shell"], input="x")
        pid = await sleeping(client, task.id)
    await daemon.kill()
    assert is_alive(pid)
    write(tmp_path, here("local", "cat"))
    await daemon.start()
    async with FleetClient(daemon.address) as client:
        done = await client.wait(task.id, timeout=LIMIT)
        assert (done.result.output.text, done.task.losses) == ("x", 0)
        await ended(pid)
    assert await daemon.stop() == exit_codes.OK


async def test_a_host_that_needs_ssh_is_offline_with_what_would_help_where_asyncssh_is_not_installed(
    make, tmp_path, monkeypatch
):
    """M5: the daemon starts, and says it in its log and in the host's reason."""
    hidden = tmp_path / "hidden" / "asyncssh"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ModuleNotFoundError('no asyncssh', name='asyncssh')\n")
    before = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(hidden.parent), before))))
    write(tmp_path, {**here("far", "cat"), "hostname": "far.example.org"})
    daemon = await make().start()
    assert "fleetd[ssh]" in (await daemon.logged("host_unusable", host="far"))["message"]
    async with FleetClient(daemon.address) as client:
        await became(client, "far", "OFFLINE")
        assert "fleetd[ssh]" in (await hosts(client))["far"].reason
        task = await client.submit("work", capabilities=["shell"], execution_mode="SSH_CLI")
        assert [one.code for one in (await client.explain(task.id)).reasons] == ["HOSTS_OFFLINE"]
    assert await daemon.stop() == exit_codes.OK


async def test_a_file_of_hosts_that_is_unusable_keeps_the_daemon_from_starting(make, tmp_path):
    """M5: taken for an empty one it would remove every host."""
    (tmp_path / "hosts.json").write_text("[]")
    daemon = make()
    with pytest.raises(AssertionError, match="config_unusable"):
        await daemon.start()
    assert await daemon.wait() == exit_codes.USAGE


async def test_markers_of_this_machine_lie_below_the_data_directory(make, tmp_path):
    """M5."""
    write(tmp_path, here("local", sys.executable, "-c", SLEEPER))
    daemon = await make("hosts.markers=runs", "drain.deadline=0s").start()
    async with FleetClient(daemon.address) as client:
        task = await client.submit("work", capabilities=["shell"], input="x")
        await sleeping(client, task.id)
        assert [each.name for each in (tmp_path / "data" / "runs").iterdir()] == [f"{task.id}@1"]
    assert await daemon.stop() == exit_codes.OK
