"""What the end of a program means: its exit code decides, sysexits.h names the codes."""

from __future__ import annotations

import json
import signal

from fleetd_client.outcome import MESSAGE_CHARS, AgentFail, Fatal, Result, Retry

# EX_USAGE, EX_DATAERR, EX_CONFIG: the task itself is wrong, and another run would find it as wrong.
FATAL_CODES = {64: "usage error", 65: "data error", 78: "configuration error"}
# EX_TEMPFAIL.
RETRY_CODE = 75
# The daemon's default limit of an output.
RESULT_BYTES = 1024 * 1024


def verdict(code: int, output: bytes, errors: str) -> Result:
    """
    The result of a program that ended with exit code `code` (negative: the signal that killed it).

    `output` is its result when it ended well, and goes with the failure otherwise; `errors` is the end of its standard error. Raises
    Fatal for 64, 65 and 78, Retry for 75, AgentFail for any other code but 0.
    """
    if code == 0:
        if len(output) > RESULT_BYTES:
            raise AgentFail("AGENT_ERROR", f"the result is too large: more than {RESULT_BYTES} bytes")
        return Result(text_or_bytes(output), content_type=_json_type(output))
    found = text_or_bytes(output[-RESULT_BYTES:])
    if code in FATAL_CODES:
        raise Fatal(_message(f"exit code {code} ({FATAL_CODES[code]})", errors), output=found)
    if code == RETRY_CODE:
        raise Retry(_message(f"exit code {code} (try again)", errors), output=found)
    how = f"exit code {code}" if code > 0 else f"killed by {_signal(-code)}"
    raise AgentFail("AGENT_ERROR", _message(how, errors), output=found)


def text_or_bytes(data: bytes) -> str | bytes | None:
    """Text when it is UTF-8; None when there is nothing."""
    try:
        return data.decode() or None
    except UnicodeDecodeError:
        return data


def _json_type(output: bytes) -> str:
    """Objects and arrays are JSON on purpose; a bare 42 is more likely a line of text."""
    if output[:1] not in {b"{", b"["}:
        return ""
    try:
        json.loads(output)
    except (ValueError, RecursionError):
        return ""
    return "application/json"


def _message(how: str, errors: str) -> str:
    """The end of standard error tells most, so that it is the beginning that is cut."""
    errors = errors.strip()
    return f"{how}: {errors[-(MESSAGE_CHARS - len(how) - 2) :]}" if errors else how


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
