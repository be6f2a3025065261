"""Commands on the machine of the daemon itself: subprocesses, each in a session of its own (spec M5)."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import cast

from fleetd.clock import Clock
from fleetd.errors import FleetError
from fleetd.hosts import wrapper
from fleetd.hosts.runner import Check, NotStarted, Problem, RunSpec, Unreachable, check_identity, checked
from fleetd.hosts.running import Kill, Running


class LocalRunner:
    """A Runner for this machine."""

    def __init__(
        self,
        *,
        markers: Path,
        environ: Mapping[str, str],
        clock: Clock,
        work_dir: str = "",
        grace: int = 10_000,
        timeout: int = 30_000,
    ) -> None:
        """
        Make a runner.

        Args:
            markers: the directory of the markers; made when it is not there.
            environ: the daemon's environment, of which commands get no more than a login gives.
            clock: for the latency of checks.
            work_dir: where commands run that name no other directory; "" = the home directory.
            grace: between TERM and KILL where the runner itself ends something: for older leases, timeouts and `close`, ms.
            timeout: for the script to answer, ms; what it waits for older leases is added.
        """
        self._markers = str(markers.absolute())
        self._environ = wrapper.login_variables(environ)
        self._home = self._environ.get("HOME", "/")
        self._clock = clock
        self._work_dir = work_dir
        self._grace = grace
        self._timeout = timeout
        self._running: dict[tuple[str, int], Running] = {}
        self._closed = False

    async def start(self, run: RunSpec) -> Running:
        argv = checked(run)
        if self._closed:
            raise Unreachable(Problem.UNUSABLE, "localhost: the runner is closed")
        run = replace(run, work_dir=run.work_dir or self._work_dir)
        command, group = await self._spawn(
            wrapper.to_run(run, argv, self._markers, self._grace),
            run.stdin,
            lambda grace: self.end(run.task_id, run.lease_epoch, grace),
        )
        try:
            async with asyncio.timeout((self._timeout + 2 * self._grace) / 1_000):
                await command.started()
        except BaseException as error:
            # Nobody will ever hold this command.
            await _abandon(command, group)
            if isinstance(error, TimeoutError):
                raise Unreachable(Problem.TIMEOUT, "localhost: the script did not answer in time") from None
            raise
        key = (run.task_id, run.lease_epoch)
        self._running[key] = command
        command.finished.add_done_callback(lambda _: self._running.pop(key))
        command.limit(run.timeout, self._grace)
        return command

    async def end(self, task_id: str, lease_epoch: int, grace: int) -> None:
        check_identity(task_id, lease_epoch)
        await self._ask(wrapper.to_end(task_id, lease_epoch, self._markers, grace), self._timeout + 2 * grace)

    async def check(self) -> Check:
        began = self._clock.now()
        try:
            await self._ask(wrapper.to_check(self._work_dir, self._markers), self._timeout)
        except Unreachable as error:
            return Check(ok=False, problem=error.problem, detail=error.message)
        except FleetError as error:
            return Check(ok=False, problem=Problem.UNUSABLE, detail=error.message)
        return Check(ok=True, latency=float(self._clock.now() - began))

    async def close(self) -> None:
        self._closed = True
        running = dict(self._running)
        ends = [self.end(*key, self._grace) for key in running]
        await asyncio.gather(*ends, return_exceptions=True)
        await asyncio.gather(*(command.abandoned() for command in running.values()))

    async def _ask(self, preamble: wrapper.Preamble, timeout: int) -> None:
        """Let the script do something other than run a command."""
        command, group = await self._spawn(preamble, b"", _left_alone)
        try:
            async with asyncio.timeout(timeout / 1_000):
                answer = await command.answer()
        except TimeoutError:
            raise Unreachable(Problem.TIMEOUT, "localhost: the script did not answer in time") from None
        finally:
            await _abandon(command, group)
        if answer.word == "refused":
            raise NotStarted(f"localhost: {answer.rest}")

    async def _spawn(self, preamble: wrapper.Preamble, stdin: bytes, kill: Kill) -> tuple[Running, int]:
        """Start the script and send it all it will read. Returns the command and its process group."""
        pipes = _Pipes(preamble, kill)
        starting = asyncio.ensure_future(
            asyncio.get_running_loop().subprocess_exec(
                lambda: pipes,
                *wrapper.BOOT_ARGV,
                start_new_session=True,
                env=self._environ,
                cwd=self._home,
            )
        )
        try:
            transport, _ = await asyncio.shield(starting)
        except asyncio.CancelledError:
            # There may be a process by now, and then it can be ended.
            with suppress(OSError):
                transport, _ = await starting
                await _abandon(pipes.command, transport.get_pid())
            raise
        except OSError as error:
            raise NotStarted(f"localhost: the shell cannot be started: {error}") from None
        pipe = cast("asyncio.WriteTransport", transport.get_pipe_transport(0))
        pipe.write(preamble.data + stdin)
        pipe.write_eof()
        return pipes.command, transport.get_pid()


class _Pipes(asyncio.SubprocessProtocol):
    """Tells a command what comes out of its pipes."""

    def __init__(self, preamble: wrapper.Preamble, kill: Kill) -> None:
        self.command = Running(preamble, where="localhost", pause=self._pause, kill=kill)
        self._transport: asyncio.SubprocessTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self.command.finished.add_done_callback(lambda _: transport.close())

    def pipe_data_received(self, fd: int, data: bytes | str) -> None:
        assert isinstance(data, bytes)  # noqa: S101 - the protocol's signature is wider than pipes are
        if fd == 1:
            self.command.out(data)
        else:
            self.command.err(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 1:
            self.command.out_closed()

    def process_exited(self) -> None:
        code = self._transport.get_returncode() or 0
        if code < 0:
            self.command.exited(None, -code)
        else:
            self.command.exited(code)

    def _pause(self, full: bool) -> None:  # noqa: FBT001 - it is called with nothing else
        pipe = cast("asyncio.ReadTransport", self._transport.get_pipe_transport(1))
        if full:
            pipe.pause_reading()
        else:
            pipe.resume_reading()


async def _left_alone(grace: int) -> None:
    """What runs no command ends by itself."""


async def _abandon(command: Running, group: int) -> None:
    """Kill a script that nobody waits for any more, and let go of its pipes."""
    # A number whose process has ended may soon be another's.
    if not command.done:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    await command.abandoned()
