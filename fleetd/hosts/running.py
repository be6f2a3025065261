"""A command on a host while it runs, whoever carries its bytes: a pipe or a channel of an SSH connection tells it what happens."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from fleetd.errors import FleetError, LeaseLost
from fleetd.hosts.runner import Ended, NotStarted, Problem, Unreachable
from fleetd.hosts.wrapper import Answer, Preamble

LINE_BYTES = 1024 * 1024
"""A longer line comes in pieces."""
BUFFERED_BYTES = 256 * 1024
"""Of output that nobody has read yet; then the command waits. One line may be longer."""
STDERR_BYTES = 4 * 1024
GREETING_BYTES = 64 * 1024
"""Of what a login shell says before the script answers."""
LEFTOVER_SECONDS = 1.0
"""For output after the end: more only comes from a process that left the group and kept the pipe."""

Kill = Callable[[int], Awaitable[None]]


class Running:
    """
    One command. The carrier calls `out`, `out_closed`, `err`, `exited` and `lost`, and sets `pause`; others use it as a RunningCommand.

    Belongs to the event loop.
    """

    def __init__(self, preamble: Preamble, *, where: str, pause: Callable[[bool], None], kill: Kill) -> None:
        """`where` names the host in errors; `pause` stops and resumes the flow of standard output; `kill` ends the group, grace in ms."""
        self._preamble = preamble
        self._where = where
        self._pause = pause
        self._kill = kill
        loop = asyncio.get_running_loop()
        self.answered: asyncio.Future[Answer] = loop.create_future()
        self.finished: asyncio.Future[Ended] = loop.create_future()
        """The end, once all output is there, too."""
        self._ended: Ended | None = None
        self._timed_out = False
        self._out_open = True
        self._lines: deque[bytes] = deque()
        self._rest = bytearray()
        self._held = 0
        self._paused = False
        self._greeting = 0
        self._wanted = True
        self._asked = False
        self._news = asyncio.Event()
        self._errors = bytearray()
        self._leftover: asyncio.TimerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._killing: asyncio.Task[None] | None = None

    # What the carrier tells.

    def out(self, data: bytes) -> None:
        *complete, rest = data.split(b"\n")
        for piece in complete:
            self._extend(piece)
            self._take(bytes(self._rest) + b"\n")
        self._extend(rest)
        self._balance()

    def out_closed(self) -> None:
        if not self._out_open:
            return
        self._out_open = False
        if self._rest:
            self._take(bytes(self._rest))
        self._settle()

    def err(self, data: bytes) -> None:
        self._errors += data
        del self._errors[:-STDERR_BYTES]

    def exited(self, code: int | None, signal: int = 0) -> None:
        """The script ended: with a code, or by a signal."""
        if code is not None and 128 < code <= 128 + 64:
            self._end(Ended(None, code - 128))
        else:
            self._end(Ended(code, signal))

    def lost(self, detail: str) -> None:
        self._end(Ended(lost=True, detail=detail))
        self.out_closed()

    # What the one who started it does.

    async def started(self) -> None:
        """Wait until the command runs. Raises what `Runner.start` raises."""
        answer = await self.answer()
        if answer.word == "started":
            return
        if answer.word == "stale":
            text = f"{self._where} has seen lease {answer.rest} of the task"
            raise LeaseLost(text, {"newest": answer.rest})
        raise NotStarted(f"{self._where}: {answer.rest or answer.word}")

    async def answer(self) -> Answer:
        """Wait for the script's answer."""
        either: set[asyncio.Future[Any]] = {self.answered, self.finished}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if self.answered.done():
            return self.answered.result()
        ended = self.finished.result()
        if ended.lost:
            raise Unreachable(Problem.REFUSED, f"{self._where}: the connection was lost: {ended.detail}")
        said = self.stderr.strip() or f"it ended with {_how(ended)}"
        raise NotStarted(f"{self._where}: the shell did not run the script: {said}")

    def limit(self, milliseconds: int, grace: int) -> None:
        """End the command after this time, 0 = never."""
        if milliseconds:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(milliseconds / 1_000, self._time_is_over, grace)

    async def abandoned(self) -> Ended:
        """Wait for the end with nobody reading the rest of the output."""
        self._discard()
        return await asyncio.shield(self.finished)

    @property
    def done(self) -> bool:
        return self._ended is not None

    # RunningCommand

    async def lines(self) -> AsyncIterator[bytes]:
        self._asked = True
        try:
            while True:
                while self._lines:
                    line = self._lines.popleft()
                    self._held -= len(line)
                    self._balance()
                    yield line
                if not self._out_open:
                    return
                self._news.clear()
                await self._news.wait()
        finally:
            self._discard()

    @property
    def stderr(self) -> str:
        return self._errors.decode("utf-8", "replace")

    async def wait(self) -> Ended:
        if not self._asked:
            self._discard()
        return await asyncio.shield(self.finished)

    async def kill(self, grace: int) -> None:
        if not self.done:
            await self._kill(grace)
        if not self._asked:
            self._discard()

    # The rest.

    def _extend(self, piece: bytes) -> None:
        """Add to the line that is under way; what is longer than a line may be leaves in pieces."""
        self._rest += piece
        while len(self._rest) > LINE_BYTES:
            cut = bytes(self._rest[:LINE_BYTES])
            del self._rest[:LINE_BYTES]
            self._queue(cut)

    def _take(self, line: bytes) -> None:
        self._rest.clear()
        self._queue(line)

    def _queue(self, line: bytes) -> None:
        if not self.answered.done():
            self._greeting += len(line)
            answer = self._preamble.answer(line)
            if answer is not None:
                self.answered.set_result(answer)
            elif self._greeting > GREETING_BYTES:
                self.answered.set_result(
                    Answer("refused", "the login shell says too much before the script runs")
                )
            return
        if self._wanted:
            self._lines.append(line)
            self._held += len(line)
            self._news.set()

    def _balance(self) -> None:
        """Let the command wait while nobody reads, and go on when half of what was there is read."""
        full = self._held > (BUFFERED_BYTES // 2 if self._paused else BUFFERED_BYTES)
        if full != self._paused and self._out_open:
            self._paused = full
            self._pause(full)

    def _discard(self) -> None:
        self._wanted = False
        self._lines.clear()
        self._held = 0
        self._balance()

    def _end(self, ended: Ended) -> None:
        if self._ended is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._ended = ended
        self._settle()
        if self._out_open:
            self._wait_for_leftover()

    def _wait_for_leftover(self) -> None:
        loop = asyncio.get_running_loop()
        self._leftover = loop.call_later(LEFTOVER_SECONDS, self._leave_leftover)

    def _leave_leftover(self) -> None:
        # While it is not read what was written before the end may still be in the pipe.
        if self._paused:
            self._wait_for_leftover()
        else:
            self.out_closed()

    def _settle(self) -> None:
        """It is finished when it has ended and its output is complete."""
        if self._ended is None or self._out_open or self.finished.done():
            return
        if self._leftover is not None:
            self._leftover.cancel()
        ended = self._ended
        if self._timed_out:
            ended = Ended(ended.exit_code, ended.signal, ended.lost, timed_out=True, detail=ended.detail)
        self.finished.set_result(ended)
        self._news.set()

    def _time_is_over(self, grace: int) -> None:
        self._timed_out = True
        self._killing = asyncio.ensure_future(self._kill_late(grace))

    async def _kill_late(self, grace: int) -> None:
        # A host that cannot be asked ends the run by its lost connection.
        with contextlib.suppress(FleetError):
            await self._kill(grace)
        if not self._asked:
            self._discard()


def _how(ended: Ended) -> str:
    return f"signal {ended.signal}" if ended.signal else f"exit code {ended.exit_code}"
