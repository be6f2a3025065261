"""Runners for tests: one on this machine, one through a real SSH server."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fleetd.clock import SystemClock
from fleetd.core.host import Host
from fleetd.hosts.local import LocalRunner
from fleetd.hosts.runner import Runner
from fleetd.hosts.ssh import SshRunner
from tests.integration.hosts.fleet import HostFleet
from tests.integration.hosts.place import Place
from tests.integration.hosts.sshd import Sshd, Way


@pytest.fixture
async def sshd(tmp_path: Path) -> AsyncIterator[Sshd]:
    sshd = Sshd(tmp_path / "sshd")
    try:
        await sshd.start()
        yield sshd
    finally:
        await sshd.stop()


@pytest.fixture
async def way(sshd: Sshd) -> AsyncIterator[Way]:
    way = Way(sshd.port)
    await way.start()
    yield way
    await way.cut()


@pytest.fixture
async def ssh(sshd: Sshd, way: Way, tmp_path: Path) -> AsyncIterator[Place]:
    """A place whose runners reach it by SSH."""
    known = tmp_path / "known_hosts"
    known.write_text(sshd.known_hosts(way.port))

    def make(**more) -> Runner:
        fields = {
            "port": way.port,
            "user": sshd.user,
            "key_file": str(sshd.key_file),
            "known_hosts": str(known),
        }
        fields |= more.pop("fields", {})
        options = {"environ": {"HOME": str(tmp_path)}, "clock": SystemClock(), "grace": 2_000}
        host = Host("build-1", "127.0.0.1", **fields)
        return SshRunner(host, **options | {"markers": str(tmp_path / "markers")} | more)

    place = Place(tmp_path, make)
    yield place
    await place.close()


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Place]:
    """A place whose runners start subprocesses."""

    def make(**more) -> Runner:
        return LocalRunner(
            markers=tmp_path / "markers", environ=os.environ, clock=SystemClock(), **{"grace": 2_000} | more
        )

    place = Place(tmp_path, make)
    yield place
    await place.close()


@pytest.fixture(params=["here", "ssh"])
def place(request: pytest.FixtureRequest) -> Place:
    """Both, one after the other: what holds for one holds for the other."""
    return request.getfixturevalue(request.param)


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[HostFleet]:
    fleet = await HostFleet(tmp_path).open()
    yield fleet
    await fleet.close()
    assert not fleet.log.errors
