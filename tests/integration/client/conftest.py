"""Fixtures of the client's tests against a real daemon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from fleetd_client import Agent, FleetClient
from tests.integration.daemon import Daemon

# A limit for what should happen at once, not a wait.
LIMIT = 30.0

Ending = asyncio.Task[str]


@pytest.fixture
async def brisk(tmp_path: Path) -> AsyncIterator[Daemon]:
    """A daemon that wants a heartbeat every 200 ms."""
    daemon = Daemon(tmp_path / "brisk", "agents.heartbeat_min=200ms")
    await daemon.start()
    yield daemon
    await daemon.close()


@pytest.fixture
async def client(daemon: Daemon) -> AsyncIterator[FleetClient]:
    async with FleetClient(daemon.address) as client:
        yield client


@pytest.fixture
async def running() -> AsyncIterator[Callable[[Agent], Ending]]:
    """Runs agents until the test is over."""
    tasks: list[Ending] = []

    def start(agent: Agent) -> Ending:
        tasks.append(asyncio.create_task(agent.run(signals=False)))
        return tasks[-1]

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def soon() -> Callable[[Awaitable[object]], Awaitable[object]]:
    """Waits for something that must happen, but not for ever."""
    return lambda what: asyncio.wait_for(what, LIMIT)
