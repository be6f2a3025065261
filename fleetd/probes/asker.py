"""One probe: a GET or a connection, and how it ended."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httpx

from fleetd.clock import Clock
from fleetd.core.instance import Instance, ProbeKind
from fleetd.core.probing import Outcome, ProbeResult
from fleetd.probes.answer import BODY, problem_of

HEADERS = {"User-Agent": "fleetd", "Accept": "*/*", "Accept-Encoding": "identity"}
"""Answers come as they are: a small compressed one could unpack to gigabytes."""


class Asker:
    """
    Asks instances whether they are well. Used as a context: it holds the HTTP client.

    Every probe has a connection of its own: one kept open would tell that a connection from before still works, and servers close idle ones just when
    the next probe comes. Proxies and certificates of the environment are left alone: the environment is configuration's.
    """

    def __init__(self, timeout: int, clock: Clock) -> None:
        """`timeout` is for one whole probe, in milliseconds."""
        self._timeout = timeout
        self._clock = clock
        self._client = httpx.AsyncClient(
            headers=HEADERS,
            timeout=None,  # noqa: S113 - the whole probe has one, below
            trust_env=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def ask(self, instance: Instance) -> ProbeResult:
        """Return how the probe of the instance ended. Everything but a good answer in time is a failure."""
        began = self._clock.now()
        ask = self._connect if instance.probe is ProbeKind.TCP else self._get
        try:
            async with asyncio.timeout(self._timeout / 1_000):
                problem = await ask(instance.probe_url)
        except TimeoutError:
            return ProbeResult(Outcome.FAILED, detail=f"no answer within {self._timeout:,} ms")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            if any(map(_is_refusal, _causes(error))):
                return ProbeResult(Outcome.REFUSED, detail="connection refused")
            return ProbeResult(Outcome.FAILED, detail=f"{type(error).__name__}: {error}"[:200])
        if problem:
            return ProbeResult(Outcome.FAILED, detail=problem)
        return ProbeResult(Outcome.OK, float(self._clock.now() - began))

    async def _get(self, url: str) -> str:
        body = bytearray()
        async with self._client.stream("GET", url) as response:
            async for part in response.aiter_raw():
                body += part
                if len(body) > BODY:
                    break
        return problem_of(url, response.status_code, bytes(body[: BODY + 1]))

    async def _connect(self, target: str) -> str:
        parts = urlsplit(f"//{target}")
        _, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.close()
        # It did connect; how the other side takes the goodbye is no matter.
        with suppress(OSError):
            await writer.wait_closed()
        return ""


def _is_refusal(error: BaseException) -> bool:
    # asyncio joins the failures of several addresses of a host into one OSError without a number.
    return isinstance(error, ConnectionRefusedError) or f"[Errno {errno.ECONNREFUSED}]" in str(error)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that led to it: the HTTP client wraps those of the network several times."""
    yield error
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _causes(inner)
    cause = error.__cause__ or error.__context__
    if cause is not None:
        yield from _causes(cause)
