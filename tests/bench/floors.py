"""Floors: what grpc.aio and SQLite do on this machine when no daemon is between them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from echo import CALL, MESSAGE, TALK

PRAGMAS = ("journal_mode = WAL", "synchronous = FULL", "cache_size = -65536", "wal_autocheckpoint = 4000")
"""As the daemon's writer has them: a floor with other flushes would be another machine."""


async def rate(call: Callable[[], Awaitable[object]], callers: int, seconds: float) -> float:
    """Return calls a second of so many callers, each with one call at a time."""
    done, until = 0, perf_counter() + seconds

    async def caller() -> None:
        nonlocal done
        while perf_counter() < until:
            await call()
            done += 1

    began = perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return done / (perf_counter() - began)


def echo_call(channel: Any) -> Callable[[], Awaitable[bytes]]:
    """Return a unary call of the bare server."""
    method = channel.unary_unary(CALL)

    async def call() -> bytes:
        answer: bytes = await method(MESSAGE)
        return answer

    return call


class Echo:
    """One stream of the bare server."""

    def __init__(self, channel: Any) -> None:
        self._stream = channel.stream_stream(TALK)()

    async def round_trip(self) -> None:
        await self._stream.write(MESSAGE)
        await self._stream.read()

    def close(self) -> None:
        self._stream.cancel()


def connect(file: Path) -> sqlite3.Connection:
    """Open a database with the daemon's pragmas."""
    connection = sqlite3.connect(file, isolation_level=None)
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}").fetchall()
    return connection


class OneRow:
    """A table that gets one row of a message's size in each commit."""

    def __init__(self, file: Path) -> None:
        self._connection = connect(file)
        self._connection.execute("CREATE TABLE one (seq INTEGER PRIMARY KEY, data BLOB NOT NULL)")

    def commit(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute("INSERT INTO one (data) VALUES (?)", (MESSAGE,))
        self._connection.execute("COMMIT")

    def close(self) -> None:
        self._connection.close()
