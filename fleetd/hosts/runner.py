"""What starts, watches and ends commands on a host, and the values it takes and gives. Times in milliseconds."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

from fleetd.core.host import VARIABLE
from fleetd.errors import InvalidArgument, Unavailable, WrongState

TASK_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
"""Ids of tasks name files on hosts: no slash, no leading dot, nothing a shell or a pattern could take for something else."""
ELEMENT_BYTES = 128 * 1024 - 1
"""Linux gives a program no longer argument than this."""
ARGUMENTS_BYTES = 1024 * 1024
"""All arguments and variables together; Linux takes about 2 MiB of them."""


@dataclass(frozen=True, slots=True)
class RunSpec:
    """One run of a task: `argv` is given to the program as it is; `work_dir` "" = the home directory; `timeout` 0 = none."""

    task_id: str
    lease_epoch: int
    argv: tuple[str | bytes, ...]
    stdin: bytes = b""
    work_dir: str = ""
    env: Mapping[str, str] = field(default_factory=dict, hash=False)
    timeout: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """
    How a command ended: with `exit_code`, by `signal`, or `lost`: the connection is gone and nobody knows whether it still runs.

    `timed_out` when the runner ended it for its time. A shell stands between: an exit code from 129 on counts as the signal it means.
    """

    exit_code: int | None = None
    signal: int = 0
    lost: bool = False
    timed_out: bool = False
    detail: str = ""


class Problem(StrEnum):
    """What is wrong with a host that cannot be used."""

    NONE = ""
    REFUSED = "refused"
    UNKNOWN_KEY = "unknown_key"
    TIMEOUT = "timeout"
    AUTH = "auth"
    UNUSABLE = "unusable"


class Check(NamedTuple):
    """How a host is: `detail` says what is wrong and what would help; `latency` in ms."""

    ok: bool
    problem: Problem = Problem.NONE
    detail: str = ""
    latency: float | None = None


class Unreachable(Unavailable):
    """The host cannot be used now (HOST_UNREACHABLE); nothing was started."""

    def __init__(self, problem: Problem, message: str, retry_after: int = 1_000) -> None:
        super().__init__("HOST_UNREACHABLE", message, retry_after)
        self.problem = problem


class NotStarted(WrongState):
    """The host refused to start the command (HOST_REFUSED): something on it must be mended."""

    def __init__(self, message: str) -> None:
        super().__init__("HOST_REFUSED", message)


class RunningCommand(Protocol):
    """A command that was started."""

    def lines(self) -> AsyncIterator[bytes]:
        """
        Yield standard output line by line, with the line ends; to be asked for once.

        A line longer than the limit comes in pieces, of which only the last has a line end. Nobody who reads slowly fills the memory: the command waits.
        """
        ...

    @property
    def stderr(self) -> str:
        """The end of standard error so far."""
        ...

    async def wait(self) -> Ended:
        """Wait for the end. Output that nobody has asked for is thrown away; lines() that were begun must be read to their end."""
        ...

    async def kill(self, grace: int) -> None:
        """
        End the whole process group: TERM, then KILL after `grace`. Returns when it is gone; an ended command is left alone.

        Raises:
            Unreachable: the host cannot be asked; whatever runs there is ended by the next start of the task.
        """
        ...


class Runner(Protocol):
    """Commands on one host."""

    async def start(self, run: RunSpec) -> RunningCommand:
        """
        Start a command; when it returns the command has its marker on the host and runs.

        What an older lease of the task left there is ended first.

        Raises:
            InvalidArgument: a field of `run` cannot be used.
            LeaseLost: the host has seen this lease, or a newer one, of the task.
            Unreachable: the host cannot be used now.
            NotStarted: the host lacks something.
        """
        ...

    async def end(self, task_id: str, lease_epoch: int, grace: int) -> None:
        """End what runs under this lease, even when a daemon before this one started it; as `RunningCommand.kill`."""
        ...

    async def check(self) -> Check:
        """Try whether commands can be started."""
        ...

    async def close(self) -> None:
        """End what runs, and let go of the host."""
        ...


def checked(run: RunSpec) -> list[bytes]:
    """Return the argv as bytes. Raises InvalidArgument naming every field that cannot be used."""
    errors = [*_identity_errors(run.task_id, run.lease_epoch)]
    argv = [encoded(element) for element in run.argv]
    if not argv or not argv[0] or argv[0].startswith(b"-"):
        errors.append(("argv", "must begin with the program to run"))
    for place, element in enumerate(argv):
        if b"\0" in element:
            errors.append((f"argv[{place}]", "must have no NUL; standard input may"))
        if len(element) > ELEMENT_BYTES:
            right = f"must have at most {ELEMENT_BYTES:,} bytes, not {len(element):,}; longer texts go to standard input"
            errors.append((f"argv[{place}]", right))
    for name, value in run.env.items():
        if not VARIABLE.fullmatch(name) or "\0" in value or len(encoded(value)) + len(name) >= ELEMENT_BYTES:
            errors.append(
                (
                    f"env.{name}",
                    f"must be a name and a text without NUL, shorter than {ELEMENT_BYTES:,} bytes",
                )
            )
    total = sum(map(len, argv)) + sum(len(encoded(value)) for value in run.env.values())
    if total > ARGUMENTS_BYTES:
        errors.append(
            ("argv", f"must have at most {ARGUMENTS_BYTES:,} bytes together with env, not {total:,}")
        )
    if run.work_dir and (not run.work_dir.startswith("/") or "\0" in run.work_dir):
        errors.append(("work_dir", "must be an absolute path"))
    if errors:
        raise InvalidArgument(errors)
    return argv


def check_identity(task_id: str, lease_epoch: int) -> None:
    """Raise InvalidArgument unless they can name a marker."""
    errors = [*_identity_errors(task_id, lease_epoch)]
    if errors:
        raise InvalidArgument(errors)


def encoded(text: str | bytes) -> bytes:
    """Return the bytes of a text; surrogates that stand for bytes become those bytes again, others are replaced."""
    if isinstance(text, bytes):
        return text
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def _identity_errors(task_id: str, lease_epoch: int) -> list[tuple[str, str]]:
    errors = []
    if not TASK_ID.fullmatch(task_id):
        errors.append(
            ("task_id", "must be a safe file name: up to 200 letters, digits, dots, dashes and underscores")
        )
    if not 0 <= lease_epoch < 2**63:
        errors.append(("lease_epoch", "must be a whole number from 0 on"))
    return errors
