"""A real OpenSSH server on a loopback port, and a way to it that can be cut; for tests."""

from __future__ import annotations

import asyncio
import getpass
import os
import shutil
import socket
from contextlib import suppress
from pathlib import Path

START_LIMIT = 30.0

CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 100
LogLevel VERBOSE
"""


class Sshd:
    """An SSH server of this user, with keys and configuration of its own in `folder`; nothing of the system's is read or changed."""

    def __init__(self, folder: Path, *settings: str) -> None:
        self.folder = folder
        self.port = 0
        self.user = getpass.getuser()
        self.key_file = folder / "user_key"
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    @property
    def host_key(self) -> str:
        """The public key of the server: type and data."""
        return " ".join((self.folder / "host_key.pub").read_text().split()[:2])

    def known_hosts(self, port: int = 0) -> str:
        """The line of known_hosts by which the server is trusted."""
        return f"[127.0.0.1]:{port or self.port} {self.host_key}\n"

    async def start(self) -> None:
        program = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        assert program, "these tests need an SSH server: apt-get install openssh-server"
        self._make_folders()
        await keygen(self.folder / "host_key")
        await keygen(self.key_file)
        shutil.copy(self.key_file.with_suffix(".pub"), self.folder / "authorized_keys")
        self.port = free_port()
        config = self.folder / "sshd_config"
        lines = "\n".join(self._settings)
        config.write_text(CONFIG.format(port=self.port, folder=self.folder) + lines + "\n")
        self._process = await asyncio.create_subprocess_exec(
            program,
            "-D",
            "-e",
            "-f",
            str(config),
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        assert self._process.stderr is not None
        said = []
        async with asyncio.timeout(START_LIMIT):
            while b"listening" not in (line := await self._process.stderr.readline()):
                said.append(line.decode())
                assert line, f"sshd did not start: {''.join(said)}"
        self._reader = asyncio.ensure_future(self._process.stderr.read())

    def _make_folders(self) -> None:
        if os.geteuid() == 0:
            # Started by root it wants this empty directory, which otherwise the service of the system makes at each boot.
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self.folder.mkdir(parents=True, exist_ok=True)

    async def stop(self) -> None:
        if self._process is not None:
            # Sessions that a failed test left open hold the pipe as well; nobody waits for those.
            self._process._transport.close()
            await self._process.wait()
        if self._reader is not None:
            await self._reader


class Way:
    """A port that leads to another one; can be cut, and opened again on the same port."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self.connections = 0
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = asyncio.Event()
        self._open.set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)

    def freeze(self) -> None:
        """Carry nothing more; nobody is told."""
        self._open.clear()

    async def cut(self) -> None:
        """End all connections in the middle, and take no new ones."""
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        there, to = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, to}
        for source, target in ((reader, to), (there, writer)):
            task = asyncio.ensure_future(self._carry(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                await self._open.wait()
                target.write(data)
                await target.drain()
        target.close()


async def keygen(path: Path) -> None:
    """Make a key pair without a passphrase."""
    process = await asyncio.create_subprocess_exec(
        "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)
    )
    assert await process.wait() == 0


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
