"""How a run ends: what a handler may return and raise, and the word the daemon gets for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fleetd_client.payload import pack
from fleetd_client.stubs import Artifact, CompleteWord, FailWord, Report

# The daemon keeps so much of a message; more would only travel.
MESSAGE_CHARS = 4_096
DIGEST_CHARS = 128
# One word must fit a message with others; the daemon's own limit (1 MiB by default) is lower and answered by it.
WORD_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Result:
    """
    What a handler may return instead of its output alone: `output` (bytes, str or anything JSON can hold) and `artifacts`. The results of a
    task and its shadow are equal when their digests are: at most 128 characters of your choice.
    """

    output: Any = None
    artifacts: Iterable[Artifact] = ()
    content_type: str = ""
    digest: str = ""


class AgentFail(Exception):
    """Raised by a handler: the run failed with this structured code; `output` and `artifacts` are what it produced before."""

    def __init__(
        self, code: str, message: str, *, output: Any = None, artifacts: Iterable[Artifact] = ()
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.output = output
        self.artifacts = tuple(artifacts)


class Fatal(AgentFail):
    """Raised by a handler: no retry can mend this (LOGIC_ERROR)."""

    def __init__(self, message: str, *, output: Any = None, artifacts: Iterable[Artifact] = ()) -> None:
        super().__init__("LOGIC_ERROR", message, output=output, artifacts=artifacts)


class Retry(AgentFail):
    """Raised by a handler: try again (AGENT_ERROR), as after any other exception, but on purpose."""

    def __init__(self, message: str, *, output: Any = None, artifacts: Iterable[Artifact] = ()) -> None:
        super().__init__("AGENT_ERROR", message, output=output, artifacts=artifacts)


class GiveUp(AgentFail):
    """
    Raised where an instance was asked for and there is none to go on with: the error is final, the tries are over, or nothing fits.
    `code` says which (NO_AVAILABLE_INSTANCE: nothing fits now; `retry_at`, seconds since 1970, when to look again, None when nobody
    knows). An agent's handler lets it pass, and its run fails with that code.
    """

    def __init__(self, code: str, message: str, *, retry_at: float | None = None) -> None:
        super().__init__(code, message)
        self.retry_at = retry_at


class Cancelled(Exception):
    """Raised in a plain handler by ctx.check() when the run shall stop; asyncio.CancelledError is its twin in async ones."""


def completed(task_id: str, lease_epoch: int, value: Any, digest: str = "") -> Report:
    """The word for a returned value; a value that cannot travel is a failure of the handler. Its own digest wins over `digest`."""
    try:
        if isinstance(value, Result):
            output, artifacts = pack(value.output, value.content_type, "output"), value.artifacts
            digest = value.digest or digest
        else:
            output, artifacts = pack(value, field="output"), ()
        if len(digest) > DIGEST_CHARS:
            raise ValueError(f"a digest has at most {DIGEST_CHARS} characters, not {len(digest)}")  # noqa: TRY301
        word = CompleteWord(output=output, artifacts=artifacts, digest=digest)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with the value, the handler returned it
        return failed(task_id, lease_epoch, error)
    if (size := word.ByteSize()) > WORD_BYTES:
        return failed(
            task_id, lease_epoch, ValueError(f"the result is too large: {size} bytes of at most {WORD_BYTES}")
        )
    return Report(task_id=task_id, lease_epoch=lease_epoch, complete=word)


def failed(task_id: str, lease_epoch: int, error: BaseException) -> Report:
    """The word for a raised exception."""
    if not isinstance(error, AgentFail):
        return plain_failure(task_id, lease_epoch, "AGENT_ERROR", describe(error))
    try:
        output = pack(error.output, field="output")
        word = FailWord(
            code=error.code, message=clean(error.message), output=output, artifacts=error.artifacts
        )
    except Exception:  # noqa: BLE001 - the failure itself must arrive, whatever was to travel with it
        return plain_failure(task_id, lease_epoch, error.code, error.message)
    if word.ByteSize() > WORD_BYTES:
        return plain_failure(task_id, lease_epoch, error.code, error.message)
    return Report(task_id=task_id, lease_epoch=lease_epoch, fail=word)


def plain_failure(task_id: str, lease_epoch: int, code: str, message: str) -> Report:
    """A failure without output."""
    word = FailWord(code=clean(code), message=clean(message))
    return Report(task_id=task_id, lease_epoch=lease_epoch, fail=word)


def describe(error: BaseException) -> str:
    """The kind and the words of an exception."""
    kind = type(error).__name__
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an exception that cannot even be shown is a failure like any other
        return kind
    return f"{kind}: {text}" if text else kind


def clean(text: str) -> str:
    """Text short enough and fit to be encoded: a lone surrogate, as in the name of an odd file, must not hide the message."""
    return str(text)[:MESSAGE_CHARS].encode("utf-8", "replace").decode()
