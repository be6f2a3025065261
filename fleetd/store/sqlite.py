"""The embedded store: one SQLite file in write-ahead mode, or `:memory:`."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from fleetd.core.audit import AuditLine
from fleetd.core.event import EventFilter
from fleetd.core.ledger import Due, Edge
from fleetd.core.route import RoutePlan
from fleetd.core.task import Run, TaskFilter
from fleetd.core.task_event import TaskEventPage
from fleetd.store import comparisons, migrations, reads
from fleetd.store.base import (
    ComparisonPage,
    EventPage,
    Retention,
    Script,
    Snapshot,
    StoreBroken,
    StoreStatus,
    TaskPage,
    TaskRow,
    Trimmed,
)
from fleetd.store.connection import (
    MEMORY,
    Connection,
    Inline,
    Threaded,
    connect_reader,
    connect_writer,
    judged,
)
from fleetd.store.retention import trim
from fleetd.store.transaction import LiveRows, transact

T = TypeVar("T")

READERS = 2
"""Connections that read: a slow list must not keep a short read waiting; more would only wait for Python's lock."""


class SqliteStore:
    """
    A Store in one SQLite file.

    `inline` runs everything on the caller's thread, in coroutines that never suspend; `:memory:` always does, and reads on its one
    connection. `max_page_count` limits the file to so many pages of 4 KiB, 0 = as the disk allows.
    """

    def __init__(self, path: str | Path, *, inline: bool = False, max_page_count: int = 0) -> None:
        self._path = str(path)
        self._memory = self._path == MEMORY
        self._inline = inline or self._memory
        self._max_page_count = max_page_count
        self._writer: Connection | None = None
        self._readers: list[Connection] = []
        self._live: LiveRows = {}

    async def open(self) -> None:
        """Open, migrate, and take the next generation. Raises StoreBroken."""
        if self._writer is not None:
            raise StoreBroken(f"the store {self._path} is open already")
        try:
            self._writer = await self._connect(partial(connect_writer, self._path, self._max_page_count))
            await self._ask(self._writer, self._prepare)
            if not self._memory:
                for _ in range(READERS):
                    self._readers.append(await self._connect(partial(connect_reader, self._path)))
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close every connection; safe to call twice, or without `open`."""
        writer, self._writer = self._writer, None
        readers, self._readers = self._readers, []
        self._live = {}
        for reader in readers:
            await reader.close()
        if writer is not None:
            try:
                await writer.run(_empty_log)
            finally:
                await writer.close()

    async def transact(self, script: Callable[[], Script[T]]) -> T:
        """Run a script as one durable transaction. Raises StoreFull, CommitUnclear, or what the script raised (rolled back)."""
        return await self._opened().run(partial(transact, script=script, live=self._live))

    async def last_batch(self) -> int:
        """Return the batch number in the marker row, read on a new connection (in memory: on the only one)."""
        if self._memory:
            return await self._read(reads.last_batch)
        connection = await self._connect(partial(connect_reader, self._path))
        try:
            return await self._ask(connection, reads.last_batch)
        finally:
            await connection.close()

    async def snapshot(self, minutes_since: int) -> Snapshot:
        """Return what memory holds, with the minutes from `minutes_since` (epoch minutes) on."""
        return await self._read(partial(reads.snapshot, minutes_since=minutes_since))

    async def due(self, limit: int) -> list[Due]:
        """Return the first `limit` entries of things to do later, in order of time."""
        return await self._read(partial(reads.due, limit=limit))

    async def get_tasks(self, task_ids: Sequence[str], *, with_parts: bool = False) -> dict[str, TaskRow]:
        """Return the tasks that exist, by id."""
        return await self._read(partial(reads.get_tasks, task_ids=task_ids, with_parts=with_parts))

    async def list_tasks(self, wanted: TaskFilter, before_seq: int, limit: int, examine: int) -> TaskPage:
        """Return up to `limit` matching tasks with seq < before_seq (0 = newest), looking at no more than `examine` rows."""
        return await self._read(
            partial(reads.list_tasks, wanted=wanted, before_seq=before_seq, limit=limit, examine=examine)
        )

    async def get_plans(self, task_id: str) -> list[RoutePlan]:
        """Return every version of a task's route plan, oldest first; none for a task without one, or without such a task."""
        return await self._read(partial(reads.get_plans, task_id=task_id))

    async def get_runs(self, task_id: str) -> list[Run]:
        """Return how the leases of a task ended, oldest first."""
        return await self._read(partial(reads.get_runs, task_id=task_id))

    async def list_events(self, wanted: EventFilter, after_seq: int, limit: int, examine: int) -> EventPage:
        """Return up to `limit` matching events with seq > after_seq, looking at no more than `examine` rows unless an index serves it."""
        return await self._read(
            partial(reads.list_events, wanted=wanted, after_seq=after_seq, limit=limit, examine=examine)
        )

    async def oldest_event(self) -> int:
        """Return the seq of the oldest event kept; of the next one to come when there is none."""
        return await self._read(reads.oldest_event)

    async def list_task_events(self, task_id: str, first: int, limit: int, most: int) -> TaskEventPage | None:
        """Return events of a task from a seq on, or of all from a position on, page by page; None when there is no such task."""
        return await self._read(
            partial(reads.list_task_events, task_id=task_id, first=first, limit=limit, most=most)
        )

    async def lineage(self, task_id: str) -> list[tuple[str, Edge]]:
        """Return edges (task id, edge) that start or end at the task, oldest first."""
        return await self._read(partial(reads.lineage, task_id=task_id))

    async def count_ahead(self, lane: int, place: int, limit: int) -> int:
        """Return how many queued tasks of a lane have a smaller place, at most `limit`."""
        return await self._read(partial(reads.count_ahead, lane=lane, place=place, limit=limit))

    async def count_dead_letters(self, limit: int) -> int:
        """Return how many tasks are dead letters now, at most `limit`."""
        return await self._read(partial(reads.count_dead_letters, limit=limit))

    async def list_audits(self, before_id: int, limit: int, action: str, target: str) -> list[AuditLine]:
        """Return up to `limit` lines of the audit log with id < before_id (0 = newest), newest first; "" means any."""
        return await self._read(
            partial(reads.list_audits, before_id=before_id, limit=limit, action=action, target=target)
        )

    async def list_comparisons(
        self, rollout: str, found: str, before: int, limit: int, examine: int, *, different: bool
    ) -> ComparisonPage:
        """Return up to `limit` comparisons with number < before (0 = newest), looking at no more than `examine` rows."""
        question = partial(
            comparisons.page,
            rollout=rollout,
            found=found,
            before=before,
            limit=limit,
            examine=examine,
            different=different,
        )
        return await self._read(question)

    async def trim(self, retention: Retention, limit: int) -> Trimmed:
        """Delete up to `limit` each of what has been kept long enough. Raises StoreFull, CommitUnclear."""
        return await self._opened().run(partial(trim, retention=retention, limit=limit))

    async def status(self) -> StoreStatus:
        """Return facts for operators."""
        return StoreStatus("sqlite", await self._read(self._bytes))

    def _opened(self) -> Connection:
        if self._writer is None:
            raise StoreBroken(f"the store {self._path} is not open")
        return self._writer

    async def _connect(self, connect: Callable[[], sqlite3.Connection]) -> Connection:
        try:
            return Inline(connect()) if self._inline else await Threaded.open(connect)
        except sqlite3.Error as error:
            raise self._judged(error) from error

    async def _read(self, question: Callable[[sqlite3.Connection], T]) -> T:
        writer = self._opened()
        reader = min(self._readers, key=lambda connection: connection.pending, default=writer)
        return await self._ask(reader, question)

    async def _ask(self, connection: Connection, question: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await connection.run(question)
        except sqlite3.Error as error:
            raise self._judged(error) from error

    def _judged(self, error: sqlite3.Error) -> Exception:
        verdict = judged(error)
        return StoreBroken(f"{self._path}: {verdict}") if isinstance(verdict, StoreBroken) else verdict

    def _prepare(self, connection: sqlite3.Connection) -> None:
        try:
            migrations.migrate(connection, migrations.known("sqlite"))
        except StoreBroken as error:
            raise StoreBroken(f"{self._path}: {error}") from None
        # Memory has the same name every time, so that a simulation repeats itself exactly.
        daemon_id = "memory" if self._memory else secrets.token_hex(8)
        connection.execute(
            "INSERT INTO daemons (daemon_id, generation) SELECT ?, 0 WHERE NOT EXISTS (SELECT 1 FROM daemons)",
            (daemon_id,),
        )
        connection.execute("UPDATE daemons SET generation = generation + 1")

    def _bytes(self, connection: sqlite3.Connection) -> int:
        if self._memory:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            return int(pages * connection.execute("PRAGMA page_size").fetchone()[0])
        files = [Path(self._path + suffix) for suffix in ("", "-wal", "-shm")]
        return sum(file.stat().st_size for file in files if file.exists())


def _empty_log(connection: sqlite3.Connection) -> None:
    """Copy the log back into the file. When that fails the log stays, and the next start reads it."""
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.Error:
        return
