"""Connections to a SQLite database: how they are set up, on which thread they run, and what their errors mean."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import aiosqlite

from fleetd.store.base import StoreBroken, StoreFull

T = TypeVar("T")

MEMORY = ":memory:"

BUSY_TIMEOUT = 5_000
"""Milliseconds to wait for another process's lock; only backups and curious operators take one."""

WRITER_CACHE = -65_536
"""KiB when negative: 64 MiB keep the hot ends of all indexes of a million tasks in memory."""

AUTOCHECKPOINT = 4_000
"""Pages (16 MiB): pages that change in every batch are copied back once in many batches, and the log stays small."""

LOG_LIMIT = 64 * 1024 * 1024
"""Bytes the write-ahead log keeps on disk after a checkpoint; a long read can make it grow beyond."""

_BROKEN = {
    sqlite3.SQLITE_BUSY: "another process has kept it locked for too long",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_CORRUPT: "it is damaged; restore a backup",
    sqlite3.SQLITE_IOERR: "the disk reports an error",
    sqlite3.SQLITE_NOTADB: "it is not a SQLite database",
    sqlite3.SQLITE_PERM: "permission denied",
    sqlite3.SQLITE_READONLY: "it cannot be written",
}


def primary_code(error: sqlite3.Error) -> int:
    """Return the primary result code of SQLite, 0 when the error did not come from it."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def judged(error: sqlite3.Error) -> Exception:
    """Return what an error means to the engine: StoreFull, StoreBroken, or the error itself when it is a defect of ours."""
    code = primary_code(error)
    if code == sqlite3.SQLITE_FULL:
        return StoreFull("there is no room for the database")
    if code in _BROKEN:
        return StoreBroken(f"the database cannot be used: {_BROKEN[code]} ({error})")
    return error


def connect_writer(path: str, max_page_count: int = 0) -> sqlite3.Connection:
    """Open the connection that writes; `max_page_count` limits the database to so many pages of 4 KiB (0 = as the disk allows)."""
    pragmas = [
        "journal_mode = WAL",
        # An acknowledged task must survive a power cut; one batch shares one flush.
        "synchronous = FULL",
        f"cache_size = {WRITER_CACHE}",
        f"wal_autocheckpoint = {AUTOCHECKPOINT}",
        f"journal_size_limit = {LOG_LIMIT}",
    ]
    if max_page_count:
        pragmas.append(f"max_page_count = {max_page_count}")
    return _connect(path, pragmas)


def connect_reader(path: str) -> sqlite3.Connection:
    """Open a connection that cannot write."""
    return _connect(f"file:{quote(str(Path(path).absolute()))}?mode=ro", ["query_only = ON"], uri=True)


def _connect(path: str, pragmas: list[str], *, uri: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT / 1_000, isolation_level=None, uri=uri)
    try:
        for pragma in ["temp_store = MEMORY", *pragmas]:
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


class Connection(Protocol):
    """A connection on its thread; `pending` counts functions that have not returned."""

    pending: int

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function with the connection and return its result."""
        ...

    async def close(self) -> None:
        """Close; what was asked for before is finished first."""
        ...


class Inline:
    """A connection on the caller's thread; its coroutines never suspend."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.pending = 0

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        return function(self._connection)

    async def close(self) -> None:
        self._connection.close()


class Threaded:
    """A connection on a thread of its own: functions run one after the other, each in one hop, whatever becomes of their callers."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self.pending = 0

    @classmethod
    async def open(cls, connect: Callable[[], sqlite3.Connection]) -> Threaded:
        """Start the thread and connect on it. Raises what `connect` raises."""
        failure: sqlite3.Error | None = None

        def attempt() -> sqlite3.Connection:
            nonlocal failure
            try:
                return connect()
            except sqlite3.Error as error:
                # Raised here, it would make aiosqlite stop the thread without waiting for it, and the thread's last
                # message could find the loop closed. A stand-in lets it be closed like any other connection.
                failure = error
                return sqlite3.connect(MEMORY)

        opened = cls(await aiosqlite.Connection(attempt, iter_chunk_size=64))
        if failure is not None:
            await opened.close()
            raise failure
        return opened

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        # The one use of a private call: nothing public runs a whole transaction in one hop. The task is shielded, because a
        # cancelled caller must neither stop a transaction half way nor hide how it ended from those who come next.
        task: asyncio.Task[T] = asyncio.ensure_future(_in_one_hop(self._connection, function))
        self.pending += 1
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    async def close(self) -> None:
        # Shielded: a connection left open keeps its thread, and the thread keeps the process.
        await asyncio.shield(asyncio.ensure_future(self._connection.close()))

    def _done(self, _: asyncio.Task[Any]) -> None:
        self.pending -= 1


async def _in_one_hop(connection: aiosqlite.Connection, function: Callable[[sqlite3.Connection], T]) -> T:
    result: T = await connection._execute(_on_thread, connection, function)  # type: ignore[no-untyped-call]  # noqa: SLF001
    return result


def _on_thread(connection: aiosqlite.Connection, function: Callable[[sqlite3.Connection], T]) -> T:
    return function(connection._conn)  # noqa: SLF001
