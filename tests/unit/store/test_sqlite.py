"""What is particular to SQLite: its thread, its errors, its file."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from fleetd.core.event import EventFilter
from fleetd.core.ledger import Changes, Due, DueKind, Edge, Keys, Minute
from fleetd.core.task import Checkpoint, Ending, Payload, Run, Spec, Status, TaskFilter
from fleetd.store import migrations
from fleetd.store.base import CommitUnclear, Load, Mark, Retention, StoreBroken, StoreFull, Trimmed, Write
from fleetd.store.connection import Threaded, connect_reader, connect_writer, judged
from fleetd.store.sqlite import SqliteStore
from fleetd.store.transaction import LiveRows, transact
from tests.contract.place import NOW, NewTask, a_task, add, an_event, load, mark, seqs, write


@pytest.fixture
async def make():
    """Make stores that are closed however the test ends: the thread of one left open would keep the whole run from ending."""
    made: list[SqliteStore] = []

    def make(path: str | Path, **options: int) -> SqliteStore:
        made.append(SqliteStore(path, **options))
        return made[-1]

    yield make
    for store in made:
        await store.close()


@pytest.fixture
async def store(tmp_path: Path, make):
    store = make(tmp_path / "fleetd.db")
    await store.open()
    return store


async def test_a_cancelled_caller_does_not_lose_the_commit(store):
    """T8, S7: what was begun ends, and the next transaction finds the store as it should be"""
    begun, go_on = threading.Event(), threading.Event()

    def script():
        begun.set()
        go_on.wait()
        yield Write(Changes(new_tasks=[NewTask(a_task(1), Spec("t"), None)]))
        yield Mark(1, 1, Minute(), {})

    caller = asyncio.create_task(store.transact(script))
    await asyncio.to_thread(begun.wait)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    go_on.set()

    await mark(store, 2)

    assert seqs((await load(store, task_seqs=(1,))).tasks) == [1]
    assert await store.last_batch() == 2


async def test_a_cancelled_caller_leaves_no_transaction_open_when_its_script_raises(store):
    """S7"""
    begun, go_on = threading.Event(), threading.Event()

    def script():
        begun.set()
        go_on.wait()
        yield Write(Changes(new_tasks=[NewTask(a_task(1), Spec("t"), None)]))
        raise KeyError("nobody hears this")

    caller = asyncio.create_task(store.transact(script))
    await asyncio.to_thread(begun.wait)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    go_on.set()

    await add(store, a_task(1))

    assert seqs((await load(store, task_seqs=(1,))).tasks) == [1]


async def test_a_caller_cancelled_before_its_turn_is_served_all_the_same(store):
    """S7: a transaction is either never seen by the store or carried out"""
    caller = asyncio.create_task(add(store, a_task(1)))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller

    await add(store, a_task(2))

    assert seqs((await load(store, task_seqs=(1, 2))).tasks) == [1, 2]


async def test_closing_waits_for_the_transactions_before_it(tmp_path, make):
    """T8"""
    store = make(tmp_path / "fleetd.db")
    await store.open()
    writes = [asyncio.create_task(add(store, a_task(n))) for n in range(1, 6)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*writes)

    again = make(tmp_path / "fleetd.db")
    await again.open()
    assert seqs((await load(again, task_seqs=(1, 2, 3, 4, 5))).tasks) == [1, 2, 3, 4, 5]
    await again.close()


async def test_a_whole_transaction_is_one_hop_to_the_thread(tmp_path):
    """Pins the private call of aiosqlite: it runs a plain function on the connection's thread and hands its result or error back."""
    connection = await Threaded.open(lambda: connect_writer(str(tmp_path / "x.db")))
    try:
        thread, answer = await connection.run(
            lambda plain: (threading.get_ident(), plain.execute("SELECT 42").fetchone())
        )
        assert thread != threading.get_ident()
        assert answer == (42,)
        with pytest.raises(KeyError, match="from the thread"):
            await connection.run(lambda _: {}["from the thread"])
        assert connection.pending == 0
    finally:
        await connection.close()


async def test_reads_go_on_while_a_transaction_is_open(store):
    """S7: readers see the last commit and wait for nobody"""
    await add(store, a_task(1))
    begun, go_on = threading.Event(), threading.Event()

    def script():
        yield Write(Changes(new_tasks=[NewTask(a_task(2), Spec("t"), None)]))
        begun.set()
        go_on.wait()

    writing = asyncio.create_task(store.transact(script))
    await asyncio.to_thread(begun.wait)
    before = seqs((await store.list_tasks(TaskFilter(), 0, 10, 10)).rows)
    go_on.set()
    await writing

    assert before == [1]
    assert seqs((await store.list_tasks(TaskFilter(), 0, 10, 10)).rows) == [2, 1]


def test_in_memory_nothing_ever_suspends():
    """The simulation drives the store without an event loop."""

    def result_of(coroutine):
        with pytest.raises(StopIteration) as stop:
            coroutine.send(None)
        return stop.value.value

    store = SqliteStore(":memory:")
    before = set(threading.enumerate())
    result_of(store.open())
    result_of(add(store, a_task(1)))
    assert seqs(result_of(store.list_tasks(TaskFilter(), 0, 10, 10)).rows) == [1]
    assert result_of(store.snapshot(0)).daemon_id == "memory"
    assert result_of(store.last_batch()) == 0
    assert set(threading.enumerate()) <= before
    result_of(store.close())


async def test_a_file_may_be_used_inline(tmp_path):
    store = SqliteStore(tmp_path / "fleetd.db", inline=True)
    before = set(threading.enumerate())
    await store.open()
    await mark(store, 5)
    assert await store.last_batch() == 5
    assert set(threading.enumerate()) <= before
    await store.close()


async def test_no_thread_is_left_after_closing(tmp_path, make):
    """S7: a thread left behind would keep the process from ending"""
    before = set(threading.enumerate())
    store = make(tmp_path / "fleetd.db")
    await store.open()
    threads = set(threading.enumerate()) - before
    assert len(threads) == 3, "one writes, two read"
    await store.close()
    with pytest.raises(StoreBroken):
        await SqliteStore(tmp_path / "missing" / "x.db").open()

    # A closed connection's thread may still be in its last line.
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.parametrize("path", ["fleetd.db", ":memory:"])
async def test_a_full_store_refuses_and_goes_on_when_there_is_room(tmp_path, make, path):
    """S7: nothing acknowledged is lost, nothing refused is there, small writes still work"""
    store = make(path if path == ":memory:" else tmp_path / path, max_page_count=200)
    await store.open()
    taken = 0

    async def fill():
        nonlocal taken
        for seq in range(1, 1_000):
            new = NewTask(a_task(seq), Spec("t"), Payload(b"x" * 10_000, "b"))
            await write(store, new_tasks=[new], events=[an_event(ref=seq)])
            taken = seq

    with pytest.raises(StoreFull):
        await fill()
    assert taken > 10

    page = await store.list_tasks(TaskFilter(), 0, 1_000, 1_000)
    events = await store.list_events(EventFilter(), 0, 1_000, 1_000)
    assert seqs(page.rows) == list(range(taken, 0, -1))
    assert seqs(events.events) == list(range(1, taken + 1))
    await mark(store, 7)
    assert await store.last_batch() == 7
    with pytest.raises(StoreFull):
        await write(store, new_tasks=[NewTask(a_task(taken + 1), Spec("t"), Payload(b"x" * 500_000, "b"))])
    await store.close()

    if path != ":memory:":
        roomy = make(tmp_path / path)
        await roomy.open()
        await write(roomy, new_tasks=[NewTask(a_task(taken + 1), Spec("t"), Payload(b"x" * 500_000, "b"))])
        assert seqs((await roomy.list_tasks(TaskFilter(), 0, 1, 10)).rows) == [taken + 1]
        await roomy.close()


class Faulty(sqlite3.Connection):
    """A real connection whose next COMMIT fails as the disk would make it fail."""

    fault: Callable[[], None] | None = None

    def execute(self, statement, *values):
        if statement == "COMMIT" and self.fault is not None:
            fault, self.fault = self.fault, None
            fault()
        return super().execute(statement, *values)


def disk_error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = code
    return error


@pytest.fixture
def faulty():
    with closing(sqlite3.connect(":memory:", isolation_level=None, factory=Faulty)) as connection:
        migrations.migrate(connection, migrations.known("sqlite"))
        connection.execute("INSERT INTO daemons (daemon_id, generation) VALUES ('d', 1)")
        yield connection


def a_script(seq: int):
    def script():
        yield Write(Changes(new_tasks=[NewTask(a_task(seq), Spec("t"), None)]))

    return script


def stored(connection: sqlite3.Connection) -> list[int]:
    return [seq for (seq,) in connection.execute("SELECT seq FROM tasks ORDER BY seq")]


def assigned(seq: int, agent_id: str, *, fails: bool = False):
    """Return a script that gives a task to an agent, then fails or not."""

    def script():
        yield Write(Changes(tasks={seq: a_task(seq, status=Status.ASSIGNED, agent_id=agent_id)}))
        if fails:
            raise KeyError

    return script


def holder(connection: sqlite3.Connection, live: LiveRows) -> str:
    def script():
        loaded = yield Load(Keys(task_ids=("task-1",)))
        return loaded.tasks[0].agent_id

    return transact(connection, script, live)


def test_rows_of_live_tasks_are_not_read_again(faulty):
    """T5: what an agent says about its lease costs no search"""
    live: LiveRows = {}
    transact(faulty, a_script(1), live)
    assert live == {}
    transact(faulty, assigned(1, "a"), live)
    faulty.execute("UPDATE tasks SET agent_id = 'behind our back'")
    assert holder(faulty, live) == "a"

    ended = a_task(1, status=Status.COMPLETED)

    def end():
        yield Write(Changes(tasks={1: ended}))

    transact(faulty, end, live)
    assert live == {}


def test_rows_of_live_tasks_are_forgotten_when_a_script_fails(faulty):
    """T5, T8: memory never knows more than the disk"""
    live: LiveRows = {}
    transact(faulty, a_script(1), live)
    transact(faulty, assigned(1, "a"), live)

    with pytest.raises(KeyError):
        transact(faulty, assigned(1, "b", fails=True), live)

    assert holder(faulty, live) == "a"


@pytest.mark.parametrize("committed", [True, False])
def test_rows_of_live_tasks_are_forgotten_when_a_commit_is_unclear(faulty, committed):
    """T5, T8"""
    live: LiveRows = {}
    transact(faulty, a_script(1), live)
    transact(faulty, assigned(1, "a"), live)

    def fault():
        sqlite3.Connection.execute(faulty, "COMMIT" if committed else "ROLLBACK")
        raise disk_error(sqlite3.SQLITE_IOERR_FSYNC)

    faulty.fault = fault
    with pytest.raises(CommitUnclear):
        transact(faulty, assigned(1, "b"), live)

    assert holder(faulty, live) == ("b" if committed else "a")


@pytest.mark.parametrize("committed", [True, False])
def test_a_commit_that_fails_with_its_transaction_gone_is_unclear(faulty, committed):
    """T8, S7: the engine must look before it answers"""

    def fault():
        sqlite3.Connection.execute(faulty, "COMMIT" if committed else "ROLLBACK")
        raise disk_error(sqlite3.SQLITE_IOERR_FSYNC)

    faulty.fault = fault
    with pytest.raises(CommitUnclear):
        transact(faulty, a_script(1))

    assert stored(faulty) == ([1] if committed else [])
    transact(faulty, a_script(2))
    assert stored(faulty)[-1] == 2


def test_a_commit_that_fails_with_its_transaction_open_is_rolled_back(faulty):
    """S7"""

    def fault():
        raise disk_error(sqlite3.SQLITE_IOERR_WRITE)

    faulty.fault = fault
    with pytest.raises(StoreBroken, match="rolled back"):
        transact(faulty, a_script(1))

    assert stored(faulty) == []
    assert not faulty.in_transaction


@pytest.mark.parametrize("still_open", [True, False])
def test_a_commit_that_finds_the_disk_full_is_no_riddle(faulty, still_open):
    """S7"""

    def fault():
        if not still_open:
            sqlite3.Connection.execute(faulty, "ROLLBACK")
        raise disk_error(sqlite3.SQLITE_FULL)

    faulty.fault = fault
    with pytest.raises(StoreFull):
        transact(faulty, a_script(1))

    assert stored(faulty) == []
    assert not faulty.in_transaction


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_FULL, StoreFull),
        (sqlite3.SQLITE_CORRUPT_INDEX, StoreBroken),
        (sqlite3.SQLITE_NOTADB, StoreBroken),
        (sqlite3.SQLITE_CANTOPEN, StoreBroken),
        (sqlite3.SQLITE_READONLY_DBMOVED, StoreBroken),
        (sqlite3.SQLITE_IOERR_READ, StoreBroken),
        (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.OperationalError),
    ],
)
def test_errors_of_sqlite_are_told_apart_by_their_code(code, kind):
    """S7"""
    assert type(judged(disk_error(code))) is kind


async def test_a_file_that_is_no_database_is_refused_by_name(tmp_path):
    """S7"""
    path = tmp_path / "fleetd.db"
    path.write_bytes(b"this is not a database, " * 100)

    with pytest.raises(StoreBroken, match=r"fleetd\.db: .*not a SQLite database"):
        await SqliteStore(path).open()


async def test_a_damaged_file_is_found_when_it_is_read(tmp_path, make):
    """S7"""
    path = tmp_path / "fleetd.db"
    store = make(path)
    await store.open()
    await add(store, *(a_task(n) for n in range(1, 200)))
    await store.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(8_192)
        file.write(b"\xee" * (size - 8_192))

    with pytest.raises(StoreBroken, match="damaged"):
        await _open_and_read(path)


async def _open_and_read(path: Path) -> None:
    store = SqliteStore(path)
    try:
        await store.open()
        await store.snapshot(0)
    finally:
        await store.close()


async def test_a_directory_that_is_missing_is_named(tmp_path):
    """S7"""
    with pytest.raises(StoreBroken, match=r"missing/fleetd\.db: .*cannot be opened"):
        await SqliteStore(tmp_path / "missing" / "fleetd.db").open()


async def test_opening_twice_is_refused(store):
    with pytest.raises(StoreBroken, match="open already"):
        await store.open()
    await mark(store, 1)


def test_the_writer_flushes_every_commit_and_the_reader_cannot_write(tmp_path):
    """S7: an acknowledged task survives a power cut"""
    path = str(tmp_path / "a file?with#odd%20name.db")
    with closing(connect_writer(path)) as writer, closing(connect_reader(path)) as reader:
        full = 2
        assert writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert writer.execute("PRAGMA synchronous").fetchone() == (full,)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("CREATE TABLE t (a)")


async def test_closing_copies_the_log_into_the_file(tmp_path, make):
    """S7: a copy of the one file is a backup when the daemon is down"""
    store = make(tmp_path / "fleetd.db")
    await store.open()
    await add(store, a_task(1))
    await store.close()

    assert [file.name for file in tmp_path.iterdir()] == ["fleetd.db"]
    with closing(sqlite3.connect(tmp_path / "fleetd.db")) as connection:
        assert stored(connection) == [1]


async def test_seqs_are_never_used_twice_even_when_rows_are_gone(tmp_path, make):
    """T8: retention removes rows; a watcher's position must never point at something else"""
    path = tmp_path / "fleetd.db"
    store = make(path)
    await store.open()
    await write(store, new_tasks=[NewTask(a_task(1), Spec("t"), None)], events=[an_event(), an_event()])
    await store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM tasks")
        connection.execute("DELETE FROM events")

    store = make(path)
    await store.open()
    event = an_event()
    loaded = await load(store)
    await write(store, events=[event])

    assert loaded.next_task_seq == 2
    assert event.seq == 3
    assert await store.oldest_event() == 3
    assert (await store.list_events(EventFilter(), 0, 10, 10)).position == 3
    await store.close()


async def test_a_task_that_left_has_no_row_in_any_table(tmp_path, make):
    """D12: what belonged to it would take room for ever"""
    path = tmp_path / "fleetd.db"
    store = make(path)
    await store.open()
    over = a_task(1, status=Status.COMPLETED, finished_at=1, due=DueKind.REPLAY)
    await write(
        store,
        new_tasks=[NewTask(over, Spec("t"), Payload(b"input", "b"))],
        checkpoints={1: Checkpoint(b"state", "s", 1)},
        runs=[
            Run(
                task_seq=1,
                lease_epoch=1,
                agent_id="a",
                attempt=1,
                ending=Ending.COMPLETED,
                status=Status.COMPLETED,
            )
        ],
        due=[Due(1, DueKind.REPLAY, 1)],
        edges=[Edge(1, "retry_of", "task-1", 1, "")],
        events=[an_event(ref=1)],
    )
    before = rows_of_tables(path)
    assert await store.trim(Retention(2, 2, NOW + 1), 10) == Trimmed(1, 1)

    assert {table for table, count in before.items() if count} == {
        "daemons",
        "due",
        "events",
        "lineage",
        "runs",
        "task_checkpoints",
        "task_inputs",
        "task_specs",
        "tasks",
        "totals",
    }
    assert {table for table, count in rows_of_tables(path).items() if count} == {"daemons", "totals"}


def rows_of_tables(path: Path) -> dict[str, int]:
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        return {
            name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
            for (name,) in tables
            if name != "migrations"
        }
