"""What an exception says about the instance it came from: a structured code of the error table, never guessed from its message (F4)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from fleetd_client.outcome import Cancelled, clean, describe
from fleetd_client.times import Span, seconds

AGENT_ERROR = "AGENT_ERROR"
CODE = re.compile(r"[A-Z][A-Z0-9_]{0,127}|[1-5][0-9]{2}")
# Statuses that the table knows by name. The rest travel as numbers; 500, 502, 503, 504, 529 and 429 are codes themselves.
STATUSES = {
    400: "BAD_REQUEST",
    401: "AUTH",
    402: "BILLING",
    403: "AUTH",
    408: "TIMEOUT",
    422: "BAD_REQUEST",
}
# An exception that wraps another is judged by the first one that says something; so deep is looked.
CAUSES = 6


class Fault(NamedTuple):
    """`code` of the error table, `message` for people, `retry_after` in seconds when the provider asked for a wait."""

    code: str
    message: str
    retry_after: float | None


def fault_of(
    error: BaseException | str,
    message: str = "",
    retry_after: Span | None = None,
    otherwise: str = AGENT_ERROR,
) -> Fault:
    """
    The fault that an exception, or a code, stands for; `message` and `retry_after` win over what the exception says.

    An exception says its code by an attribute `code` ("CONN_REFUSED", or 503 as urllib's), or by an HTTP status: `status_code`, `status` or
    `response.status_code`, as the errors of httpx, requests, aiohttp and most model clients have them. A refused connection is
    CONN_REFUSED, one that broke PROCESS_EXITED, a TimeoutError TIMEOUT, a cancellation CANCELLED, also where another exception wraps
    them. Everything else is `otherwise`.
    """
    if isinstance(error, str):
        return Fault(error, clean(message), None if retry_after is None else seconds(retry_after))
    chain = _chain(error)
    code = next(filter(None, map(_code, chain)), otherwise)
    waits = (wait for wait in map(_retry_after, chain) if wait is not None)
    wait = next(waits, None) if retry_after is None else seconds(retry_after)
    return Fault(code, clean(message or describe(error)), wait)


def _chain(error: BaseException) -> list[BaseException]:
    chain = [error]
    while (cause := _cause(chain[-1])) is not None and len(chain) < CAUSES:
        chain.append(cause)
    return chain


def _cause(error: BaseException) -> BaseException | None:
    """What it was raised from, or what it holds: urllib and requests keep the first error as argument, urllib3 as `reason`."""
    held = (error.__cause__, *error.args[:1], getattr(error, "reason", None))
    return next((one for one in held if isinstance(one, BaseException)), None)


def _code(error: BaseException) -> str:
    code = getattr(error, "code", None)
    if isinstance(code, str) and CODE.fullmatch(code):
        return code
    status = next(filter(None, map(_status, (code, *_statuses(error)))), 0)
    if status:
        return STATUSES.get(status, str(status))
    if isinstance(error, ConnectionRefusedError):
        return "CONN_REFUSED"
    if isinstance(error, ConnectionError):  # who had answered is gone
        return "PROCESS_EXITED"
    if isinstance(error, TimeoutError):
        return "TIMEOUT"
    return "CANCELLED" if isinstance(error, (asyncio.CancelledError, Cancelled)) else ""


def _retry_after(error: BaseException) -> float | None:
    """Seconds of a `retry_after` attribute or of the Retry-After header; its form with a date is left alone."""
    wait = getattr(error, "retry_after", None)
    if wait is None:
        headers: Any = getattr(getattr(error, "response", None), "headers", None) or getattr(
            error, "headers", None
        )
        wait = headers.get("retry-after") if hasattr(headers, "get") else None
    try:
        found = seconds(float(wait) if isinstance(wait, str) else wait)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return found if 0 <= found < float("inf") else None


def _statuses(error: BaseException) -> Iterable[Any]:
    yield getattr(error, "status_code", None)
    yield getattr(error, "status", None)
    yield getattr(getattr(error, "response", None), "status_code", None)


def _status(value: Any) -> int:
    """An HTTP status that is an error; 0 for anything else (an exit code, a method of that name)."""
    return int(value) if isinstance(value, int) and 400 <= value < 600 else 0
