"""Fixtures for the command line tools: real daemon, real processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fleetd_client import FleetClient
from fleetd_client.stubs import Event, EventType
from tests.integration.daemon import Daemon

BIN = Path(sys.executable).parent
# For what should happen at once on a busy machine; a limit, not a wait.
LIMIT = 30.0


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Fleetctl:
    """Calls fleetctl as people do, with neither terminal nor input unless given."""

    def __init__(self, address: str) -> None:
        self.address = address

    async def __call__(self, *arguments: str, stdin: bytes = b"") -> Said:
        process = await self.start(*arguments)
        out, err = await asyncio.wait_for(process.communicate(stdin), LIMIT)
        return Said(process.returncode or 0, out.decode(), err.decode())

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            str(BIN / "fleetctl"),
            *arguments,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env=os.environ | {"FLEETCTL_SERVER": self.address},
        )


class Agents:
    """Starts `fleet-agent exec` processes and leaves none of them."""

    def __init__(self, address: str, folder: Path) -> None:
        self._address = address
        self._folder = folder
        self._processes: list[asyncio.subprocess.Process] = []

    def script(self, name: str, text: str) -> tuple[str, str]:
        """A shell program with the tests' directory as $HERE."""
        path = self._folder / name
        path.write_text(f"HERE={self._folder}\n{text}")
        return "sh", str(path)

    async def start(
        self, name: str, *program: str, flags: tuple[str, ...] = ()
    ) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            str(BIN / "fleet-agent"), "exec", "--id", name, "--capability", "work", *flags, "--", *program,
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | {"FLEETCTL_SERVER": self._address},
        )  # fmt: skip
        self._processes.append(process)
        return process

    async def close(self) -> None:
        for process in self._processes:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
            await process.communicate()


async def ended(pid: int) -> None:
    """Wait until a process, of whatever parent, has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    gone = loop.create_future()
    loop.add_reader(descriptor, lambda: gone.done() or gone.set_result(None))
    try:
        await asyncio.wait_for(gone, LIMIT)
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def happened(client: FleetClient, kind: str, **match: str) -> Event:
    """Wait for an event, for instance TASK_STARTED, of a task or an agent."""
    async with asyncio.timeout(LIMIT):
        async for event in client.watch_events(0, types=[kind], **match):
            assert event.type == EventType.Value(f"EVENT_TYPE_{kind}")
            return event
    raise AssertionError(kind)


@pytest.fixture
async def brisk(tmp_path: Path) -> AsyncIterator[Daemon]:
    """A daemon that misses agents and retries tasks soon."""
    daemon = Daemon(tmp_path / "brisk", "agents.heartbeat_min=1s", "tasks.retry_initial=10ms")
    await daemon.start()
    yield daemon
    await daemon.close()


@pytest.fixture
async def client(brisk: Daemon) -> AsyncIterator[FleetClient]:
    async with FleetClient(brisk.address) as client:
        yield client


@pytest.fixture
def fleetctl(brisk: Daemon) -> Fleetctl:
    return Fleetctl(brisk.address)


@pytest.fixture
async def agents(brisk: Daemon, tmp_path: Path) -> AsyncIterator[Agents]:
    agents = Agents(brisk.address, tmp_path)
    yield agents
    await agents.close()
