"""Processes of a measurement: the daemon and the children that load it. Each ends with its `async with`, whatever happened inside."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from time import monotonic
from typing import Any

HERE = Path(__file__).parent
PATIENCE = 180.0
"""Seconds until a process that says nothing is given up: a limit, not a wait."""
LOOK = 0.002
"""Seconds between two looks at the daemon's log: the precision of its time to start."""
ASK = 0.02
"""Seconds between two questions to the daemon; one costs it a millisecond."""
LINE = 1 << 24
"""Bytes of a child's longest line: it may list thousands of samples."""
WITH_US = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
"""Even a benchmark that is killed leaves no daemon behind; children notice the end of their stdin."""
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int) -> float:
    """Return the processor time a process has used, all threads, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_bytes(pid: int) -> int:
    """Return the memory a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Ask until it is so: what another process has done brings no event here. Raises TimeoutError when it never is."""
    async with asyncio.timeout(PATIENCE):
        while not await condition():  # noqa: ASYNC110 - see above
            await asyncio.sleep(ASK)


class Child:
    """A program of this folder in a process of its own; speaks lines of JSON, ends when its stdin does."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def say(self, **words: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(words).encode() + b"\n")

    async def hear(self) -> dict[str, Any]:
        """Return the next line. Raises RuntimeError when the child has ended."""
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), PATIENCE)
        if not line:
            raise RuntimeError(f"a child ended early, with code {await self._process.wait()}")
        heard: dict[str, Any] = json.loads(line)
        return heard


@contextlib.asynccontextmanager
async def child(program: str, *arguments: object) -> AsyncIterator[Child]:
    """Start a program of this folder."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE / program),
        *map(str, arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE,
        env=os.environ | {"GRPC_VERBOSITY": "NONE"},
    )
    try:
        yield Child(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


class Daemon:
    """`fleetd serve` on a data directory, with its log in a file as a supervisor would keep it."""

    def __init__(self, data: Path, *settings: str) -> None:
        self.address = ""
        self.ready: dict[str, Any] = {}
        self._data = data
        self._settings = settings
        self._listen = "127.0.0.1:0"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> float:
        """Start; return the seconds until it said that it serves."""
        log = self._data.with_name(self._data.name + ".log")
        command = [*WITH_US, sys.executable, "-m", "fleetd", "serve", "--listen", self._listen]
        command += ["--data-dir", str(self._data), "--set", "log.format=json"]
        for setting in self._settings:
            command += ["--set", setting]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FLEETD_")}
        began = monotonic()
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(command, stderr=stderr, env=environment)  # noqa: ASYNC220 - returns at once
        with log.open("rb") as lines:
            while not (line := lines.readline()).endswith(b"\n") or b'"ready"' not in line:
                if not line and (self._process.poll() is not None or monotonic() - began > PATIENCE):
                    raise RuntimeError(f"the daemon did not start: {log.read_text()[-2_000:]}")
                if not line.endswith(b"\n"):
                    lines.seek(-len(line), os.SEEK_CUR)
                    await asyncio.sleep(LOOK)
        took = monotonic() - began
        self.ready = json.loads(line)
        # The next start takes the same port, as a supervised daemon would.
        self.address = self._listen = self.ready["address"]
        return took

    async def stop(self) -> None:
        """End it as an operator would."""
        assert self._process is not None
        self._process.terminate()
        await asyncio.to_thread(self._process.wait, PATIENCE)

    def kill(self) -> None:
        """End it as a power cut would. Safe to call twice."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@contextlib.asynccontextmanager
async def daemon(data: Path, *settings: str) -> AsyncIterator[Daemon]:
    """Start a daemon on a data directory, which is made when it is missing."""
    one = Daemon(data, *settings)
    try:
        await one.start()
        yield one
    finally:
        one.kill()
