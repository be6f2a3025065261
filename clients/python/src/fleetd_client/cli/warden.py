"""
Ends what an agent left running when the agent itself was killed: nobody else could.

The warden is a process of its own at the other end of a pipe. Every program is started through a shell that says its process group
into that pipe before it becomes the program, so that there is no moment in which a program runs unknown. When the pipe closes, the
agent is gone: the warden kills the groups it still knows, removes the scratch directory, and ends.

Run as a script by the agent, with nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

# Shells know file descriptors of one digit.
HIGHEST_FD = 9


class Warden:
    """The agent's end; to be opened before anything else opens files, closed when no program runs."""

    def __init__(self) -> None:
        self.scratch = Path(tempfile.mkdtemp(prefix="fleet-agent-"))
        reader, self.fd = os.pipe()
        if self.fd > HIGHEST_FD:
            raise OSError(
                f"the agent was started with too many open files: descriptor {HIGHEST_FD} or lower must be free"
            )
        self._process = subprocess.Popen(  # noqa: S603 - this very file
            # -I and -S: neither the user's nor the project's modules may get in its way.
            [sys.executable, "-I", "-S", __file__, str(self.scratch)],
            stdin=reader,
            stdout=subprocess.DEVNULL,
            # Ctrl-C in the terminal is for the agent.
            start_new_session=True,
        )
        os.close(reader)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.fd)
        self._process.wait()

    def launch(self, command: Sequence[str]) -> list[str]:
        """The command line that announces its process group, then becomes `command`; it needs `fd` passed on."""
        # The trap: a warden that was killed must not take the programs with it.
        announce = (
            f'trap "" PIPE; echo "+$$" >&{self.fd} 2>/dev/null; trap - PIPE; exec {self.fd}>&-; exec "$@"'
        )
        return ["/bin/sh", "-c", announce, "sh", *command]

    def forget(self, group: int) -> None:
        """The group has ended."""
        # A warden that is gone has nothing to forget.
        with contextlib.suppress(BrokenPipeError):
            os.write(self.fd, b"-%d\n" % group)


def kill_group(group: int, number: int) -> None:
    """Send a signal to every process of a group, when there are any."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def watch(words: Iterable[bytes], scratch: str) -> None:
    """Listen until the agent is gone, then end what it left."""
    groups: set[int] = set()
    for word in words:
        (groups.add if word.startswith(b"+") else groups.discard)(int(word[1:]))
    for group in sorted(groups):
        kill_group(group, signal.SIGKILL)
    shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)
    watch(sys.stdin.buffer, sys.argv[1])
