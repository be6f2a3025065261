"""
What a command wrote becomes the result of its task (spec M5), and its exit code the verdict (spec F4).

    raw          standard output is the result
    json         the whole of it is one JSON value, and that is the result
    json_lines   lines that are JSON objects of these keys speak to fleetd, all others are output:
                 {"progress": 40, "message": "half"}, {"checkpoint": "17", "step_id": "s1"} ({"data_base64": "..."} for bytes),
                 {"event": ...} for people who watch, {"result": ...}: the result; without one the output is
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from signal import Signals
from typing import NamedTuple, Protocol

from fleetd.hosts.runner import Ended

OUTPUT_BYTES = 1024 * 1024
"""Of output that is kept; of the rest only the number of bytes is."""
MESSAGE_CHARS = 4_096
STEP_CHARS = 256  # as for all agents

# EX_USAGE, EX_DATAERR, EX_CONFIG of sysexits.h: the task itself is wrong, and another run would find it as wrong.
FATAL_CODES = {64: "usage error", 65: "data error", 78: "configuration error"}
RETRY_CODE = 75  # EX_TEMPFAIL


@dataclass(frozen=True, slots=True)
class Said:
    """What one line told: `progress` 0 to 100, `checkpoint` with its `step_id`, `event` as JSON."""

    progress: float | None = None
    message: str | None = None
    checkpoint: bytes | None = None
    step_id: str = ""
    event: str | None = None


class Output(NamedTuple):
    """What a command wrote in all. `error` says why it cannot be a result; `dropped` bytes were not kept."""

    data: bytes
    content_type: str = ""
    dropped: int = 0
    error: str = ""

    @property
    def text(self) -> str:
        """The output for people: what is no UTF-8 is replaced."""
        return self.data.decode("utf-8", "replace")


class Verdict(NamedTuple):
    """How a run ended: `code` "" = completed, else of the error table; `result` goes with a failure, too."""

    code: str
    message: str
    result: Output


class Parser(Protocol):
    """Reads the output of one command, once."""

    def feed(self, line: bytes) -> Said | None:
        """Take a line, or a piece of one without its line end, as RunningCommand.lines yields them; return what it tells."""
        ...

    def close(self) -> Output:
        """Return what there was, when there is no more."""
        ...


def parser(name: str) -> Parser:
    """Return a parser by its name in core.host.PARSERS. Raises KeyError."""
    return PARSERS[name]()


def verdict(ended: Ended, output: Output, stderr: str) -> Verdict:
    """Return what the end of a command means (F4); the end of standard error tells most, so it is the message of a failure."""
    if ended.lost:
        return Verdict(
            "HOST_UNREACHABLE", _message("the connection to the host was lost", ended.detail), output
        )
    if ended.timed_out:
        return Verdict("RUN_TIMEOUT", _message("the command was ended: its time was over", stderr), output)
    code = ended.exit_code
    if code is None:
        return Verdict("AGENT_ERROR", _message(f"killed by {_signal(ended.signal)}", stderr), output)
    if code in FATAL_CODES:
        return Verdict("LOGIC_ERROR", _message(f"exit code {code} ({FATAL_CODES[code]})", stderr), output)
    if code == RETRY_CODE:
        return Verdict("AGENT_ERROR", _message(f"exit code {code} (try again)", stderr), output)
    if code:
        return Verdict("AGENT_ERROR", _message(f"exit code {code}", stderr), output)
    if output.error:
        return Verdict("AGENT_ERROR", output.error, output)
    return Verdict("", "", output)


class _Kept:
    """Output, as much of it as is kept."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._dropped = 0

    def add(self, piece: bytes) -> None:
        kept = piece[: OUTPUT_BYTES - len(self._data)]
        self._data += kept
        self._dropped += len(piece) - len(kept)

    def output(self) -> Output:
        return Output(bytes(self._data), dropped=self._dropped)


class Raw:
    """Standard output is the result."""

    def __init__(self) -> None:
        self._kept = _Kept()

    def feed(self, line: bytes) -> Said | None:
        self._kept.add(line)
        return None

    def close(self) -> Output:
        output = self._kept.output()
        if output.dropped:
            return output._replace(error=_too_large(output))
        return output


class Json:
    """The whole of standard output is one JSON value."""

    def __init__(self) -> None:
        self._kept = _Kept()

    def feed(self, line: bytes) -> Said | None:
        self._kept.add(line)
        return None

    def close(self) -> Output:
        output = self._kept.output()
        if output.dropped:
            return output._replace(error=_too_large(output))
        try:
            json.loads(output.data, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            return output._replace(error=f"the output is not one JSON value: {error}")
        return output._replace(data=output.data.strip(), content_type="application/json")


class JsonLines:
    """Lines that are objects of known keys speak to fleetd, all others are output."""

    def __init__(self) -> None:
        self._kept = _Kept()
        self._result: bytes | None = None
        self._fault = ""
        self._within = False

    def feed(self, line: bytes) -> Said | None:
        # What is too long for one piece is output, all of it.
        begins, self._within = not self._within, not line.endswith(b"\n")
        found = _object(line) if begins and line.lstrip().startswith(b"{") else None
        if found is None:
            self._kept.add(line)
            return None
        if "result" in found:
            self._result = json.dumps(found["result"], ensure_ascii=False).encode("utf-8", "replace")
            return None
        try:
            return _said(found)
        except ValueError as error:
            self._fault = self._fault or f"the command's checkpoint cannot be kept: {error}"
            return None

    def close(self) -> Output:
        output = self._kept.output()
        if self._result is not None:
            output = Output(self._result, "application/json")
            if len(self._result) > OUTPUT_BYTES:
                kept = self._result[:OUTPUT_BYTES]
                output = Output(kept, "", len(self._result) - OUTPUT_BYTES)
        error = self._fault or (_too_large(output) if output.dropped else "")
        return output._replace(error=error) if error else output


PARSERS: Mapping[str, Callable[[], Parser]] = {"raw": Raw, "json": Json, "json_lines": JsonLines}

KEYS = (
    {"progress", "message"},
    {"checkpoint", "step_id", "progress", "message"},
    {"event", "message"},
    {"result"},
)
"""Which keys stand together; an object with any other is output."""
TELLING = {"progress", "message", "checkpoint", "event", "result"}


def _object(line: bytes) -> dict[str, object] | None:
    """Return the object of a line that speaks to fleetd."""
    try:
        found = json.loads(line, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not TELLING.intersection(found):
        return None
    if not any(keys.issuperset(found) for keys in KEYS):
        return None
    progress, message = found.get("progress"), found.get("message")
    # A bool is an int to Python alone.
    if not isinstance(progress, int | float | None) or isinstance(progress, bool):
        return None
    step_id = found.get("step_id", "")
    if not isinstance(message, str | None) or not isinstance(step_id, str) or len(step_id) > STEP_CHARS:
        return None
    return found


def _said(found: Mapping[str, object]) -> Said:
    progress, message, step_id = found.get("progress"), found.get("message"), found.get("step_id", "")
    return Said(
        progress=float(min(max(progress, 0), 100)) if isinstance(progress, int | float) else None,
        message=_whole(message) if isinstance(message, str) else None,
        checkpoint=_data(found["checkpoint"]) if "checkpoint" in found else None,
        step_id=_whole(str(step_id)),
        event=_whole(json.dumps(found["event"], ensure_ascii=False)) if "event" in found else None,
    )


def _whole(text: str) -> str:
    """Return a text that can be stored: half of a surrogate pair, which JSON can escape, is replaced."""
    return text.encode("utf-8", "replace").decode()


def _data(value: object) -> bytes:
    if isinstance(value, str):
        data = value.encode("utf-8", "replace")
    elif (
        isinstance(value, dict) and value.keys() == {"data_base64"} and isinstance(value["data_base64"], str)
    ):
        data = base64.b64decode(value["data_base64"], validate=True)
    else:
        raise ValueError('checkpoint: must be a string, or {"data_base64": "..."}')
    if len(data) > OUTPUT_BYTES:
        raise ValueError(f"checkpoint: must have at most {OUTPUT_BYTES:,} bytes, not {len(data):,}")
    return data


def _too_large(output: Output) -> str:
    total = len(output.data) + output.dropped
    return f"the result is too large: {total:,} bytes, more than {OUTPUT_BYTES:,}"


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def _message(how: str, more: str) -> str:
    """Return both; it is the beginning of the second that is cut."""
    more = more.strip()
    return f"{how}: {more[-(MESSAGE_CHARS - len(how) - 2) :]}" if more else how


def _signal(number: int) -> str:
    try:
        return Signals(number).name
    except ValueError:
        return f"signal {number}"
