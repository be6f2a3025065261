"""
The shell script around every command on a host (wrapper.sh): how it gets there, what it is told, what it answers.

What a host's shell is given as a line is always the same text, `COMMAND`. The script, the argv, the variables and the text of the task follow on
standard input, encoded so that no shell looks into them (spec M5a): a line "=text" is the text itself, "%text" has octal escapes in it.
"""

from __future__ import annotations

import re
import secrets
import shlex
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import NamedTuple

from fleetd.hosts.runner import RunSpec, encoded

# Read by line, byte after byte, so that all that follows is still there for the script and then for the command.
BOOT = 'IFS= read -r script; eval "$(printf %b "${script#%}")"'
BOOT_ARGV = ("/bin/sh", "-c", BOOT, "fleetd")
COMMAND = f"exec {shlex.join(BOOT_ARGV)}"
"""For the shell of a login: nothing in it means anything else to csh or fish. `exec`: the script must lead its process group."""

PLAIN = re.compile(rb"[A-Za-z0-9 !-/:-@\[\]^_`{|}~]*")
"""All that can be printed but the backslash, which begins an escape."""
COMMENT = re.compile(r"^ *#.*\n|^\n|^ +", re.MULTILINE)
TENTH = 100
"""Milliseconds in a tenth of a second, the script's unit of time."""


class Answer(NamedTuple):
    """What the script said: `word` is started, stale, refused, ended or ok."""

    word: str
    rest: str


class Preamble(NamedTuple):
    """What the script is sent before the standard input of the command, and the word by which its answer is known."""

    data: bytes
    nonce: str

    def answer(self, line: bytes) -> Answer | None:
        """Return the answer in a line of output; None for what a login shell says by itself."""
        mark = f"fleetd {self.nonce} ".encode()
        if not line.startswith(mark):
            return None
        word, _, rest = line[len(mark) :].decode("utf-8", "replace").strip().partition(" ")
        return Answer(word, rest)


def to_run(run: RunSpec, argv: Iterable[bytes], markers: str, grace: int) -> Preamble:
    """Return what starts a run; what an older lease left gets `grace` ms between TERM and KILL."""
    arguments = list(argv)
    variables = [encoded(f"{name}={value}") for name, value in run.env.items()]
    counts = len(arguments), len(variables) + len(arguments)
    told: tuple[str | int | bytes, ...] = (run.task_id, run.lease_epoch, *counts, *variables, *arguments)
    return _preamble("run", markers, run.work_dir, grace, *told)


def to_end(task_id: str, lease_epoch: int, markers: str, grace: int) -> Preamble:
    """Return what ends a run; `grace` in ms."""
    return _preamble("end", markers, "", grace, task_id, lease_epoch)


def to_check(work_dir: str, markers: str) -> Preamble:
    """Return what finds out whether commands can be started."""
    return _preamble("check", markers, work_dir, 0)


def login_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what a local command gets of the daemon's environment: what a login gives, and none of its secrets."""
    return {name: environ[name] for name in LOGIN if name in environ}


LOGIN = ("HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "LC_ALL", "TZ", "TMPDIR")


def _preamble(mode: str, markers: str, work_dir: str, grace: int, *more: str | int | bytes) -> Preamble:
    nonce = secrets.token_hex(8)
    told = [mode, nonce, markers, work_dir, -(-grace // TENTH), *more]
    lines = [SCRIPT, *(_line(part if isinstance(part, bytes) else encoded(str(part))) for part in told)]
    return Preamble(b"".join(line + b"\n" for line in lines), nonce)


def _line(text: bytes) -> bytes:
    if PLAIN.fullmatch(text):
        return b"=" + text
    return b"%" + _escaped(text)


def _escaped(text: bytes) -> bytes:
    return b"".join(
        piece if PLAIN.fullmatch(piece) else b"".join(b"\\0%03o" % byte for byte in piece)
        for piece in re.split(rb"([^A-Za-z0-9 !-/:-@\[\]^_`{|}~]+)", text)
    )


SCRIPT = b"%" + _escaped(
    COMMENT.sub("", files("fleetd.hosts").joinpath("wrapper.sh").read_text("ascii")).encode("ascii")
)
"""The script without what only people need of it."""
