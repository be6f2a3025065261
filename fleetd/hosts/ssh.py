"""
Commands on other machines, over SSH (spec M5, M5a). The only module that knows asyncssh (docs/decisions/0020).

A host has one connection for all its runs; when it is full of them, another. Where a connection is lost nobody knows whether its runs go on: they are
lost, and what is left of them is ended on the host by the next start of the task there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from signal import Signals

import asyncssh

from fleetd.clock import Clock
from fleetd.core.failover import backoff
from fleetd.core.host import Host
from fleetd.core.task import RetryPolicy
from fleetd.errors import FleetError
from fleetd.hosts import wrapper
from fleetd.hosts.runner import Check, NotStarted, Problem, RunSpec, Unreachable, check_identity, checked
from fleetd.hosts.running import Kill, Running

CHANNELS = 8
"""Sessions on one connection: OpenSSH allows 10 where nobody has changed MaxSessions."""
KEEPALIVE_SECONDS, KEEPALIVES = 15, 3
"""A connection that answers none of so many questions is lost."""
RETRY = RetryPolicy(initial_backoff=1_000, multiplier=2.0, max_backoff=60_000, jitter=0.2)
"""From one failed connection to the next try."""
MARKERS = ".fleetd/runs"
"""Below the home directory on the host."""


class SshRunner:
    """A Runner for a machine that is reached by SSH."""

    def __init__(
        self,
        host: Host,
        *,
        environ: Mapping[str, str],
        clock: Clock,
        markers: str = MARKERS,
        grace: int = 10_000,
        timeout: int = 30_000,
        connect_timeout: int = 10_000,
        random: Random | None = None,
    ) -> None:
        """
        Make a runner; it connects when it is first used.

        Args:
            host: where, and as whom.
            environ: the daemon's environment: HOME for known_hosts, SSH_AUTH_SOCK for the agent. The host sees nothing of it.
            clock: for the backoff, and the latency of checks.
            markers: the directory of the markers on the host; a relative one lies below the home directory.
            grace: between TERM and KILL where the runner itself ends something: for older leases, timeouts and `close`, ms.
            timeout: for the script to answer, ms; what it waits for older leases is added.
            connect_timeout: for a connection with its login, ms.
            random: for the jitter of the backoff.
        """
        self._host = host
        self._where = host.hostname if host.port == 22 else f"{host.hostname}:{host.port}"
        self._environ = environ
        self._clock = clock
        self._markers = markers
        self._grace = grace
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._random = random or Random()  # noqa: S311 - jitter, nothing secret
        self._links: list[_Link] = []
        self._connecting = asyncio.Lock()
        self._failures = 0
        self._try_at = 0
        self._failure = Unreachable(Problem.UNUSABLE, "")
        self._running: set[tuple[str, int]] = set()
        self._late: set[asyncio.Task[None]] = set()
        self._closed = False

    async def start(self, run: RunSpec) -> Running:
        argv = checked(run)
        key = (run.task_id, run.lease_epoch)
        run = replace(run, work_dir=run.work_dir or self._host.work_dir)
        preamble = wrapper.to_run(run, argv, self._markers, self._grace)
        command, channel = await self._open(preamble, run.stdin, lambda grace: self.end(*key, grace))
        try:
            async with asyncio.timeout((self._timeout + 2 * self._grace) / 1_000):
                await command.started()
        except BaseException as error:
            channel.close()
            if isinstance(error, TimeoutError | asyncio.CancelledError):
                # It may have started in between, and nobody will ever hold it.
                self._later(self.end(*key, 0))
            if isinstance(error, TimeoutError):
                raise Unreachable(
                    Problem.TIMEOUT, f"{self._where}: the script did not answer in time"
                ) from None
            raise
        self._running.add(key)
        command.finished.add_done_callback(lambda _: self._running.discard(key))
        command.finished.add_done_callback(lambda _: channel.close())
        command.limit(run.timeout, self._grace)
        return command

    async def end(self, task_id: str, lease_epoch: int, grace: int) -> None:
        check_identity(task_id, lease_epoch)
        await self._ask(wrapper.to_end(task_id, lease_epoch, self._markers, grace), self._timeout + 2 * grace)

    async def check(self) -> Check:
        began = self._clock.now()
        # Whoever asks wants to know how it is now.
        self._try_at = 0
        try:
            await self._ask(wrapper.to_check(self._host.work_dir, self._markers), self._timeout, drop=True)
        except Unreachable as error:
            return Check(ok=False, problem=error.problem, detail=error.message)
        except FleetError as error:
            return Check(ok=False, problem=Problem.UNUSABLE, detail=error.message)
        return Check(ok=True, latency=float(self._clock.now() - began))

    async def close(self) -> None:
        ends = [self.end(*key, self._grace) for key in tuple(self._running)]
        await asyncio.gather(*ends, *self._late, return_exceptions=True)
        self._closed = True
        links, self._links = self._links, []
        for link in links:
            link.connection.close()
        for link in links:
            try:
                async with asyncio.timeout(self._connect_timeout / 1_000):
                    await link.connection.wait_closed()
            except TimeoutError:
                link.connection.abort()

    def _later(self, work: Coroutine[object, object, None]) -> None:
        async def quietly() -> None:
            # What cannot be ended now is ended by the next start of the task there.
            with suppress(FleetError):
                await work

        task = asyncio.ensure_future(quietly())
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _ask(self, preamble: wrapper.Preamble, timeout: int, *, drop: bool = False) -> None:
        """Let the script do something other than run a command; `drop` a connection over which no answer comes."""
        command, channel = await self._open(preamble, b"", _left_alone, drop=drop)
        try:
            async with asyncio.timeout(timeout / 1_000):
                answer = await command.answer()
        except TimeoutError:
            if drop:
                channel.link.connection.abort()
            raise Unreachable(Problem.TIMEOUT, f"{self._where}: the script did not answer in time") from None
        finally:
            channel.close()
        if answer.word == "refused":
            raise NotStarted(f"{self._where}: {answer.rest}")

    async def _open(
        self, preamble: wrapper.Preamble, stdin: bytes, kill: Kill, *, drop: bool = False
    ) -> tuple[Running, _Channel]:
        """Start the script in a session of its own and send it all it will read."""
        while True:
            link = await self._link()
            channel = _Channel(link, preamble, self._where, kill)
            link.channels.add(channel)
            try:
                async with asyncio.timeout(self._timeout / 1_000):
                    session, _ = await link.connection.create_session(
                        channel.itself, command=wrapper.COMMAND, encoding=None
                    )
            except asyncssh.ChannelOpenError as error:
                link.leave(channel)
                if not link.channels:
                    raise Unreachable(
                        Problem.UNUSABLE, f"{self._where}: it opens no session: {error.reason}"
                    ) from None
                # It allows fewer sessions than others; the next connection takes this one.
                link.room = len(link.channels)
                continue
            except TimeoutError:
                channel.close()
                link.leave(channel)
                if drop:
                    link.connection.abort()
                raise Unreachable(Problem.TIMEOUT, f"{self._where}: no session was opened in time") from None
            except (asyncssh.Error, OSError) as error:
                link.leave(channel)
                raise Unreachable(
                    Problem.REFUSED, f"{self._where}: the connection was lost: {error}"
                ) from None
            except BaseException:
                channel.close()
                link.leave(channel)
                raise
            with suppress(OSError):  # a channel that is lost by now tells so itself
                session.write(preamble.data + stdin)
                session.write_eof()
            return channel.command, channel

    async def _link(self) -> _Link:
        """Return a connection with room for one more session."""
        async with self._connecting:
            if self._closed:
                raise Unreachable(Problem.UNUSABLE, f"{self._where}: the runner is closed")
            for link in self._links:
                if len(link.channels) < link.room:
                    return link
            wait = self._try_at - self._clock.now()
            if wait > 0:
                raise Unreachable(self._failure.problem, self._failure.message, wait)
            try:
                link = await self._connect()
            except Unreachable as error:
                self._failures += 1
                wait = backoff(RETRY, self._failures, self._random.random())
                self._try_at = self._clock.now() + wait
                self._failure = error
                error.retry_after = wait
                raise
            self._failures = 0
            self._links.append(link)
            return link

    async def _connect(self) -> _Link:
        known, path = await self._known_hosts()
        client = _Client()
        try:
            async with asyncio.timeout(self._connect_timeout / 1_000):
                connection = await asyncssh.connect(
                    self._host.hostname,
                    self._host.port,
                    config=None,
                    username=self._host.user or (),
                    known_hosts=known,
                    client_factory=lambda: client,
                    client_keys=self._keys(),
                    agent_path=self._environ.get("SSH_AUTH_SOCK", ""),
                    preferred_auth="publickey",
                    gss_host=None,
                    disable_trivial_auth=True,
                    keepalive_interval=KEEPALIVE_SECONDS,
                    keepalive_count_max=KEEPALIVES,
                )
        except TimeoutError:
            text = f"no connection within {self._connect_timeout:,} ms"
            raise Unreachable(Problem.TIMEOUT, f"{self._where}: {text}") from None
        except asyncssh.HostKeyNotVerifiable as error:
            text = client.stranger(known, path, self._host) or str(error)
            raise Unreachable(Problem.UNKNOWN_KEY, f"{self._where}: {text}") from None
        except asyncssh.PermissionDenied as error:
            keys = self._host.key_file or "the keys of the SSH agent and of ~/.ssh"
            text = f"the login as {self._host.user or 'the user of the daemon'} with {keys} was refused: {error.reason}"
            raise Unreachable(Problem.AUTH, f"{self._where}: {text}") from None
        except ConnectionRefusedError:
            text = f"connection refused on port {self._host.port}"
            raise Unreachable(Problem.REFUSED, f"{self._where}: {text}") from None
        except asyncssh.KeyImportError as error:
            text = f"a key of ~/.ssh cannot be used: {error}; mend it, or name another as key_file"
            raise Unreachable(Problem.AUTH, f"{self._where}: {text}") from None
        except (asyncssh.Error, OSError, ValueError) as error:  # ValueError: of a name that is none
            text = f"no connection: {str(error) or type(error).__name__}"
            raise Unreachable(Problem.UNUSABLE, f"{self._where}: {text}") from None
        link = _Link(connection, self._links)
        client.gone = link.gone
        return link

    async def _known_hosts(self) -> tuple[asyncssh.SSHKnownHosts, Path]:
        """Return the keys that are trusted; a file that is not there trusts none."""
        path = Path(self._host.known_hosts or Path(self._environ.get("HOME", "/"), ".ssh", "known_hosts"))
        try:
            text = await asyncio.to_thread(path.read_text, "utf-8", "replace")
        except FileNotFoundError:
            text = ""
        except OSError as error:
            raise Unreachable(
                Problem.UNKNOWN_KEY, f"{self._where}: known_hosts cannot be read: {error}"
            ) from None
        try:
            return asyncssh.import_known_hosts(text), path
        except ValueError as error:
            raise Unreachable(Problem.UNKNOWN_KEY, f"{self._where}: {path} cannot be used: {error}") from None

    def _keys(self) -> list[asyncssh.SSHKey] | tuple[()]:
        """Return the key of the key file; nothing leaves the choice to the agent and the usual files."""
        path = self._host.key_file
        if not path:
            return ()
        try:
            return [asyncssh.read_private_key(path)]
        except (OSError, asyncssh.KeyImportError) as error:
            text = f"the key file {path} cannot be used: {error}"
            if _has_passphrase(path):
                # Its owner may have told the agent.
                if self._environ.get("SSH_AUTH_SOCK"):
                    return ()
                text = f"{path} has a passphrase: load it into an SSH agent, or use a key without one"
        raise Unreachable(Problem.AUTH, f"{self._where}: {text}")


class _Link:
    """One connection, and the sessions on it."""

    def __init__(self, connection: asyncssh.SSHClientConnection, links: list[_Link]) -> None:
        self.connection = connection
        self.channels: set[_Channel] = set()
        self.room = CHANNELS
        self._links = links

    def leave(self, channel: _Channel) -> None:
        """A session is over. A connection that was only opened for more sessions than one carries closes with its last."""
        self.channels.discard(channel)
        if not self.channels and len(self._links) > 1:
            self.gone()
            self.connection.close()

    def gone(self) -> None:
        """Take no more sessions."""
        if self in self._links:
            self._links.remove(self)


class _Client(asyncssh.SSHClient):
    """Remembers the key a host shows that nobody trusts."""

    def __init__(self) -> None:
        self.gone: Callable[[], None] = _nothing
        self._key: asyncssh.SSHKey | None = None
        self._address = ""

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        self._key, self._address = key, addr
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone()

    def stranger(self, known: asyncssh.SSHKnownHosts, path: Path, host: Host) -> str:
        """Return what to do about the key; "" when it was not the key that was refused."""
        if self._key is None:
            return ""
        name = host.hostname if host.port == 22 else f"[{host.hostname}]:{host.port}"
        line = f"{name} {self._key.export_public_key('openssh').decode().strip()}"
        print_ = self._key.get_fingerprint()
        if known.match(host.hostname, self._address, host.port)[0]:
            return (
                f"its key is not the one in {path}: somebody may be in between. If the host has a new key ({print_}), "
                f"replace its line by: {line}"
            )
        return f"its key is unknown ({print_}). If that is the host's, add this line to {path}: {line}"


class _Channel(asyncssh.SSHClientSession[bytes]):
    """Tells a command what comes over its channel."""

    def __init__(self, link: _Link, preamble: wrapper.Preamble, where: str, kill: Kill) -> None:
        self.link = link
        self.command = Running(preamble, where=where, pause=self._pause, kill=kill)
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None

    def itself(self) -> _Channel:
        return self

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self._channel = chan

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        if datatype == asyncssh.EXTENDED_DATA_STDERR:
            self.command.err(data)
        else:
            self.command.out(data)

    def eof_received(self) -> bool:
        self.command.out_closed()
        return False

    def exit_status_received(self, status: int) -> None:
        self.command.exited(status)

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:  # noqa: FBT001 - asyncssh calls it so
        number = Signals.__members__.get(f"SIG{signal}")
        self.command.exited(None, number.value if number else 0)

    def connection_lost(self, exc: Exception | None) -> None:
        self.command.lost(str(exc) if exc else "the session was closed before the command ended")
        self.link.leave(self)

    def _pause(self, full: bool) -> None:  # noqa: FBT001 - it is called with nothing else
        if self._channel is not None:
            if full:
                self._channel.pause_reading()
            else:
                self._channel.resume_reading()

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()


def _has_passphrase(path: str) -> bool:
    """Tell whether a key file that cannot be read is encrypted: then a wrong passphrase is what is wrong."""
    try:
        asyncssh.read_private_key(path, "-")
    except asyncssh.KeyEncryptionError:
        return True
    except (OSError, asyncssh.KeyImportError):
        return False
    return False


async def _left_alone(grace: int) -> None:
    """What runs no command ends by itself."""


def _nothing() -> None:
    """For a connection that is not there yet."""
