"""Where commands run in a test: a directory, its markers, and runners for it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

from fleetd.errors import FleetError
from fleetd.hosts.runner import Ended, Runner, RunningCommand, RunSpec

LIMIT = 30.0
"""Seconds until a test that hears nothing is given up."""

ALONE = """
import fcntl, os, sys, time
lock = open(sys.argv[1] + "/lock", "w")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    open(sys.argv[1] + "/overlap", "a").write("x")
print("alone", os.getpid(), flush=True)
while True:
    time.sleep(1_000)
"""
"""A program that leaves a file "overlap" when it is not the only one; a lock of the kernel's, which goes with the process."""


class Place:
    """`runner` is the first runner; `another` makes one more, like a daemon that was started again."""

    def __init__(self, folder: Path, make: Callable[..., Runner]) -> None:
        self.folder = folder
        self._make = make
        self._runners: list[Runner] = []
        self.runner = self.another()

    def another(self, **options) -> Runner:
        runner = self._make(**options)
        self._runners.append(runner)
        return runner

    @property
    def markers(self) -> list[str]:
        folder = self.folder / "markers"
        return sorted(each.name for each in folder.iterdir()) if folder.exists() else []

    @property
    def overlapped(self) -> bool:
        return (self.folder / "overlap").exists()

    def alone(self, lease_epoch: int, task_id: str = "task-1") -> RunSpec:
        return RunSpec(task_id, lease_epoch, (sys.executable, "-c", ALONE, str(self.folder)))

    async def run(self, *argv: str | bytes, **more) -> tuple[bytes, Ended]:
        """Run a command to its end; returns its output."""
        async with asyncio.timeout(LIMIT):
            command = await self.runner.start(RunSpec("task-1", 1, argv, **more))
            output = b"".join([line async for line in command.lines()])
            return output, await command.wait()

    async def close(self) -> None:
        for runner in self._runners:
            with suppress(FleetError):
                await runner.close()


async def first_line(command: RunningCommand) -> tuple[bytes, AsyncIterator[bytes]]:
    """Return the first line a command writes, and where the others come from."""
    lines = command.lines()
    async with asyncio.timeout(LIMIT):
        return await anext(lines), lines


async def end_of(command: RunningCommand) -> Ended:
    async with asyncio.timeout(LIMIT):
        return await command.wait()


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that nobody has collected does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in {"Z", "X"}


async def until(condition: Callable[[], bool]) -> None:
    """Let others go on until a condition holds that nobody tells of."""
    while not condition():  # noqa: ASYNC110 - see above
        await asyncio.sleep(0)
