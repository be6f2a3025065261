"""The processes of the demo: one daemon and its agents, and the promise that none of them stays."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
# The server for SSH is the one of the tests; a script finds only what lies beside it.
sys.path.append(str(ROOT))

from tests.integration.hosts.sshd import Sshd  # noqa: E402

PROGRAMS = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent
START_SECONDS = 20.0
STOP_SECONDS = 10.0

DAEMON = (
    "--set=agents.heartbeat_min=1s",  # a killed agent is missed within seconds
    "--set=tasks.retry_initial=300ms",
    "--set=drain.deadline=5s",
    "--set=probes.interval=500ms",  # a model server that is back is found within a second
    "--set=router.breaker_open_for=2s",
    "--set=web.listen=127.0.0.1:0",
)
SECRET = "between the forge and us"
# Agents that fleet-agent makes of programs: name, capabilities, program. They start with the daemon.
CREW = {
    "builder": (("python", "digest"), (sys.executable, str(PROGRAMS / "builder.py"))),
    "linter": (("lint", "digest"), (sys.executable, str(PROGRAMS / "linter.py"))),
    "text": (("text",), ("sh", str(PROGRAMS / "text.sh"))),
}
# Agents that are programs of their own, given the daemon's address. They start when an act asks for them.
OTHERS = {name: (sys.executable, str(PROGRAMS / f"{name}.py")) for name in ("clerk", "novelist")}


class Stage:
    """
    `address` is where the daemon serves, `web` the URL of its side port, `scratch` a directory for everything, removed at the end; while the file `broken`
    exists the new mode of the rollout fails.
    """

    def __init__(self) -> None:
        self.scratch = Path(tempfile.mkdtemp(prefix="fleetd-demo-"))
        self.address = ""
        self.web = ""
        self.broken = self.scratch / "broken"
        self._sshd: Sshd | None = None
        self.problems: list[str] = []
        self._running: dict[str, asyncio.subprocess.Process] = {}

    async def __aenter__(self) -> Self:
        try:
            data, secret = self.scratch / "data", self.scratch / "secret"
            secret.write_text(SECRET)
            here = (
                f"--set=hosts.markers={self.scratch / 'markers'}",
                f"--set=webhooks.secret_file={secret}",
                f"--data-dir={data}",
            )
            await self._start("daemon", str(BIN / "fleetd"), "serve", "--listen=127.0.0.1:0", *here, *DAEMON)
            await self._written("daemon", data / "listen")
            self.address = (data / "listen").read_text().strip()
            self.web = "http://" + (data / "web-listen").read_text().strip()
            for name in CREW:
                await self.start_agent(name)
        except BaseException:
            await self._stop_all()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop_all()

    async def start_agent(self, name: str) -> None:
        if name in OTHERS:
            await self._start(name, *OTHERS[name], self.address)
            return
        capabilities, program = CREW[name]
        flags = [f"--capability={one}" for one in capabilities]
        await self._start(
            name,
            str(BIN / "fleet-agent"), "exec", f"--id={name}", f"--server={self.address}", "--concurrency=2", "--grace=2s", *flags, "--", *program,
        )  # fmt: skip

    async def start_chatter(self, mode: str) -> None:
        """Start the agent that answers in a mode."""
        program = (sys.executable, str(PROGRAMS / "chatter.py"))
        await self._start(mode, *program, self.address, mode, str(self.broken))

    async def kill_agent(self, name: str) -> None:
        """As the kernel would when the memory is full: no goodbye."""
        process = self._running.pop(name)
        process.kill()
        await process.wait()

    async def start_model(self, name: str) -> int:
        """Start a fake model server, on its old port when it had one; return the port."""
        file = self.scratch / f"{name}.port"
        before = file.stat().st_mtime_ns if file.exists() else 0
        await self._start(name, sys.executable, str(PROGRAMS / "model.py"), name, str(file))
        await self._written(name, file, before)
        return int(file.read_text())

    async def kill_model(self, name: str) -> None:
        """As kill_agent."""
        await self.kill_agent(name)

    async def start_sshd(self) -> dict[str, Any]:
        """Start an SSH server of our own; return how a host is reached by it: not by SSH where there is no sshd, or no client."""
        sshd = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        if sshd is None or find_spec("asyncssh") is None:
            return {"hostname": "localhost"}
        self._sshd = Sshd(self.scratch / "sshd")
        await self._sshd.start()
        known_hosts = self.scratch / "known_hosts"
        known_hosts.write_text(self._sshd.known_hosts())
        login = {"user": self._sshd.user, "key_file": str(self._sshd.key_file), "port": self._sshd.port}
        return {"hostname": "127.0.0.1", "known_hosts": str(known_hosts), **login}

    async def fleetctl(self, *arguments: str) -> str:
        """Run fleetctl on the daemon; what it prints."""
        process = await asyncio.create_subprocess_exec(
            str(BIN / "fleetctl"),
            *arguments,
            f"--server={self.address}",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=os.environ | {"COLUMNS": "96", "DEMO_SCRATCH": str(self.scratch)},
        )
        out, _ = await process.communicate()
        return out.decode()

    async def _written(self, name: str, file: Path, before: int = 0) -> None:
        """Wait until a process has written its address, which it does when it serves; `before`: when the file was last written, by an earlier one."""
        async with asyncio.timeout(START_SECONDS):
            while not file.exists() or file.stat().st_mtime_ns == before:  # noqa: ASYNC240 - no event tells, and one small local file
                if self._running[name].returncode is not None:
                    raise RuntimeError((self.scratch / f"{name}.log").read_text())
                await asyncio.sleep(0.02)

    async def _start(self, name: str, *command: str) -> None:
        with (self.scratch / f"{name}.log").open("ab") as log:
            self._running[name] = await asyncio.create_subprocess_exec(
                *command,
                cwd=ROOT,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Inherited by everything they start: the mark by which what is left over would be found.
                # What they leave in temporary files, killed as they may be, goes with the stage, too.
                env=os.environ | {"DEMO_SCRATCH": str(self.scratch), "TMPDIR": str(self.scratch)},
                # Ctrl-C is for the demo, which then stops them in order.
                start_new_session=True,
            )

    async def _stop_all(self) -> None:
        """The agents first, so that they can say goodbye; `problems` tells what did not end as it should."""
        for group in ([name for name in self._running if name != "daemon"], ["daemon"]):
            await asyncio.gather(*(self._stop(name) for name in group if name in self._running))
        if self._sshd is not None:
            await self._sshd.stop()
        self.problems += [f"still running: {one}" for one in self._left_over()]
        shutil.rmtree(self.scratch, ignore_errors=True)

    async def _stop(self, name: str) -> None:
        process = self._running.pop(name)
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                code = await process.wait()
        except TimeoutError:
            process.kill()
            code = await process.wait()
        if code != 0:
            self.problems.append(f"{name} ended with exit code {code}")

    def _left_over(self) -> list[str]:
        """Processes that carry the stage's mark; found where there is a /proc."""
        mark = f"DEMO_SCRATCH={self.scratch}".encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                    found.append(f"{process.name} {command}")
            except OSError:  # it has just ended, or is another user's
                continue
        return found
