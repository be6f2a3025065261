"""Runs one program per task: the task as JSON on its standard input, what it says on its standard output, its exit code the verdict."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

from fleetd_client.cli.lines import Lines
from fleetd_client.cli.record import record
from fleetd_client.cli.speech import Said, parse
from fleetd_client.cli.verdict import RESULT_BYTES, verdict
from fleetd_client.cli.warden import Warden, kill_group
from fleetd_client.context import Context
from fleetd_client.outcome import AgentFail, Result
from fleetd_client.stubs import Lease

log = logging.getLogger("fleet_agent")

LINE_BYTES = 1024 * 1024
# What is kept of standard error, for the message of a failure.
ERROR_BYTES = 4 * 1024
# Of an error's message in one line of the log.
LOG_CHARS = 200
# After the program has ended, what it had written is read in less; more only comes from a process that left the group and kept the pipe.
LEFTOVER_SECONDS = 1.0


class ResultFrom(StrEnum):
    """What the result is when the program wrote no FLEET_RESULT_FILE: the last line of its output that is no event, or all of them."""

    LAST_LINE = "last-line"
    STDOUT = "stdout"


class StdinGets(StrEnum):
    """What the program reads: the whole task as JSON, or only the bytes of its input."""

    TASK = "task"
    INPUT = "input"


class Program:
    """
    A command that becomes an agent's handler: `run` is given to it.

    A run that is told to stop gets SIGTERM, and SIGKILL `grace` seconds later; both go to its whole process group.
    """

    def __init__(
        self,
        command: Sequence[str],
        warden: Warden,
        *,
        grace: float,
        result_from: ResultFrom = ResultFrom.LAST_LINE,
        stdin_gets: StdinGets = StdinGets.TASK,
    ) -> None:
        self._command = list(command)
        self._warden = warden
        self._grace = grace
        self._result_from = result_from
        self._stdin_gets = stdin_gets

    async def run(self, ctx: Context) -> Result:
        """One run; returns or raises as handlers do."""
        began = time.monotonic()
        log.info("%s attempt %d: %s", ctx.task_id, ctx.attempt, ctx.title)
        how = "stopped"
        try:
            with tempfile.TemporaryDirectory(dir=self._warden.scratch) as folder:
                result = await self._run(ctx, Path(folder) / "result")
            how = "completed"
        except Exception as error:
            how = f"failed ({_short(error)})"
            raise
        else:
            return result
        finally:
            log.info("%s attempt %d %s after %.1fs", ctx.task_id, ctx.attempt, how, time.monotonic() - began)

    async def _run(self, ctx: Context, result_file: Path) -> Result:
        talk = Talk(ctx)
        transport = await self._start(talk, ctx, result_file)
        group = transport.get_pid()
        try:
            stdin = cast("asyncio.WriteTransport", transport.get_pipe_transport(0))
            stdin.write(brief(ctx.lease) if self._stdin_gets is StdinGets.TASK else ctx.input)
            stdin.close()
            await asyncio.shield(talk.exited)
        except asyncio.CancelledError:
            kill_group(group, signal.SIGTERM)
            await asyncio.wait({talk.exited}, timeout=self._grace)
            raise
        finally:
            # Whatever happened, and whatever the program itself left behind in its group.
            kill_group(group, signal.SIGKILL)
            await asyncio.wait({talk.exited})
            await asyncio.wait({talk.quiet}, timeout=LEFTOVER_SECONDS)
            transport.close()
            self._warden.forget(group)
        if talk.fault is not None:
            raise AgentFail("AGENT_ERROR", f"the program's checkpoint cannot be kept: {talk.fault}")
        return verdict(talk.exited.result(), self._output(talk, result_file), talk.errors)

    async def _start(self, talk: Talk, ctx: Context, result_file: Path) -> asyncio.SubprocessTransport:
        """Start the program; a cancellation in this very moment waits until there is a process that can be ended."""
        starting = asyncio.ensure_future(
            asyncio.get_running_loop().subprocess_exec(
                lambda: talk,
                *self._warden.launch(self._command),
                pass_fds=(self._warden.fd,),
                start_new_session=True,
                env=os.environ
                | {
                    "FLEET_TASK_ID": ctx.task_id,
                    "FLEET_ATTEMPT": str(ctx.attempt),
                    "FLEET_RESULT_FILE": str(result_file),
                    "FLEET_MODE": ctx.mode,
                    "FLEET_SHADOW": "1" if ctx.shadow else "",
                },
            )
        )
        try:
            transport, _ = await asyncio.shield(starting)
        except asyncio.CancelledError:
            transport, _ = await starting
            kill_group(transport.get_pid(), signal.SIGKILL)
            await asyncio.wait({talk.exited})
            transport.close()
            self._warden.forget(transport.get_pid())
            raise
        return transport

    def _output(self, talk: Talk, result_file: Path) -> bytes:
        if result_file.is_file():
            with result_file.open("rb") as file:
                return file.read(RESULT_BYTES + 1)
        return talk.last_line if self._result_from is ResultFrom.LAST_LINE else talk.output()


class Talk(asyncio.SubprocessProtocol):
    """What one program says; belongs to the loop. `exited` becomes its exit code, `quiet` is done when it has closed its outputs."""

    def __init__(self, ctx: Context) -> None:
        loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[int] = loop.create_future()
        self.quiet: asyncio.Future[None] = loop.create_future()
        self.last_line = b""
        self.fault: ValueError | None = None
        self._ctx = ctx
        self._transport: Any = None
        self._percent = 0.0
        self._lines = Lines(LINE_BYTES)
        self._kept: deque[bytes] = deque()
        self._kept_bytes = 0
        self._errors = bytearray()
        self._open = {1, 2}

    @property
    def errors(self) -> str:
        """The end of standard error."""
        return self._errors.decode("utf-8", "replace")

    def output(self) -> bytes:
        """The lines that are no events; of more than RESULT_BYTES the last ones, and still too many to be a result."""
        return b"\n".join(self._kept)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def pipe_data_received(self, fd: int, data: bytes | str) -> None:
        assert isinstance(data, bytes)  # noqa: S101 - the protocol's signature is wider than pipes are
        if fd == 2:
            self._errors += data
            del self._errors[:-ERROR_BYTES]
        else:
            self._take(self._lines.feed(data))

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 1:
            self._take(self._lines.close())
        self._open.discard(fd)
        if not self._open and not self.quiet.done():
            self.quiet.set_result(None)

    def process_exited(self) -> None:
        if not self.exited.done():
            self.exited.set_result(self._transport.get_returncode())

    def _take(self, lines: list[bytes]) -> None:
        for line in lines:
            if self.fault is not None:
                return
            try:
                said = parse(line)
                if said is None:
                    self._keep(line)
                else:
                    self._pass_on(said)
            except ValueError as error:
                self.fault = error
                kill_group(self._transport.get_pid(), signal.SIGKILL)

    def _pass_on(self, said: Said) -> None:
        if said.progress is not None:
            self._percent = said.progress
        if said.progress is not None or said.message is not None:
            self._ctx.progress(self._percent, said.message or "")
        if said.checkpoint is not None:
            self._ctx.checkpoint(said.checkpoint, step_id=said.step_id)

    def _keep(self, line: bytes) -> None:
        if line.strip():
            self.last_line = line
        self._kept.append(line)
        self._kept_bytes += len(line) + 1
        # One line more than fits stays, so that an output that is too large shows it.
        while self._kept_bytes - len(self._kept[0]) > RESULT_BYTES + 1:
            self._kept_bytes -= len(self._kept.popleft()) + 1


def _short(error: Exception) -> str:
    """The first line of an error, for the log; the daemon gets all of it."""
    first = str(error).partition("\n")[0]
    return first[:LOG_CHARS] or type(error).__name__


def brief(lease: Lease) -> bytes:
    """The task for the program: the lease as JSON in one line, with the checkpoint's bytes also as text when they are UTF-8."""
    found = record(lease)
    if "checkpoint" in found:
        with contextlib.suppress(UnicodeDecodeError):
            found["checkpoint"]["text"] = lease.checkpoint.data.decode()
    return json.dumps(found, ensure_ascii=False).encode() + b"\n"
