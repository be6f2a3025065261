"""A real daemon in a process of its own, for tests."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

START_LIMIT = 30.0
"""Seconds until a daemon that says nothing is given up: machines under test are busy, and this is a limit, not a wait."""


class Daemon:
    """`fleetd serve` on a free port and a data directory; can be killed and started again on the same data."""

    def __init__(self, data_dir: Path, *settings: str, listen: str = "127.0.0.1:0") -> None:
        self.data_dir = data_dir
        self.address = ""
        self.log: list[dict[str, Any]] = []
        self._settings = settings
        self._listen = listen
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> Daemon:
        """Start, and return when it serves. Raises AssertionError with its log when it does not."""
        self.log.clear()
        arguments = [argument for setting in self._settings for argument in ("--set", setting)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FLEETD_")}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "fleetd",
            "serve",
            "--listen",
            self._listen,
            "--data-dir",
            str(self.data_dir),
            "--set",
            "log.format=json",
            *arguments,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
            limit=1 << 20,
        )
        self._reader = asyncio.create_task(self._read())
        ready = await self.logged("ready")
        self.address = ready["address"]
        if not self.address.startswith("unix:"):
            # The next start on the same data takes the same port, as a supervised daemon would.
            self._listen = self.address
        return self

    async def logged(self, event: str, number: int = 1, **fields: Any) -> dict[str, Any]:
        """Wait for a line of the log with these fields and return it: the first one, the second one, …"""

        async def look() -> dict[str, Any]:
            while True:
                self._changed.clear()
                wanted = {"event": event, **fields}.items()
                found = [line for line in self.log if wanted <= line.items()]
                if len(found) >= number:
                    return found[number - 1]
                assert self._reader is not None
                assert not self._reader.done(), f"the daemon ended without {event!r}: {self.log}"
                await self._changed.wait()

        return await asyncio.wait_for(look(), START_LIMIT)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def wait(self) -> int:
        """Wait until it has ended; return its exit code."""
        assert self._process is not None
        assert self._reader is not None
        await self._reader
        return await self._process.wait()

    async def kill(self) -> None:
        """End it as a power cut would."""
        self.signal(signal.SIGKILL)
        await self.wait()

    async def stop(self) -> int:
        """End it as an operator would; return its exit code."""
        self.signal(signal.SIGTERM)
        return await self.wait()

    async def close(self) -> None:
        """Leave nothing running, whatever the test did."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self.wait()

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            try:
                entry = json.loads(line)
            except ValueError:
                entry = {"event": "text", "text": line.decode(errors="replace")}
            self.log.append(entry)
            self._changed.set()
        self._changed.set()
