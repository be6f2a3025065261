"""Migrations: applied once, in order, whole; a schema this release does not know is refused."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from fleetd.core.task import Mode, RetryPolicy, Status, Task
from fleetd.store import rows
from fleetd.store.base import StoreBroken
from fleetd.store.migrations import Migration, known, migrate
from fleetd.store.sqlite import SqliteStore

ONE = Migration(
    1, "0001_one.sql", "-- first; with a semicolon\nCREATE TABLE a (x);\nINSERT INTO a\nVALUES ('1;2');\n"
)
TWO = Migration(2, "0002_two.sql", "CREATE TABLE b (y);\nCREATE INDEX b_y ON b (y)")

RELEASED = {
    "0001_first.sql",
    "0002_router.sql",
    "0003_hosts.sql",
    "0004_web.sql",
    "0005_task_events.sql",
    "0006_rollouts.sql",
}
"""Every file of the schema must be named here, so that a number is never given twice."""


@pytest.fixture
def connection():
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        yield connection


def names(connection: sqlite3.Connection) -> set[str]:
    return {
        name
        for (name,) in connection.execute("SELECT name FROM sqlite_master")
        if not name.startswith("sqlite_")
    }


def test_migrations_are_applied_once_and_in_order(connection):
    """S7"""
    assert migrate(connection, [ONE]) == 1
    assert migrate(connection, [ONE, TWO]) == 1
    assert migrate(connection, [ONE, TWO]) == 0

    assert names(connection) == {"migrations", "a", "b", "b_y"}
    assert connection.execute("SELECT x FROM a").fetchall() == [("1;2",)]
    assert connection.execute("SELECT number, name, checksum FROM migrations").fetchall() == [
        (1, ONE.name, ONE.checksum),
        (2, TWO.name, TWO.checksum),
    ]


def test_a_migration_that_fails_leaves_nothing_behind(connection):
    """S7"""
    migrate(connection, [ONE])
    bad = Migration(2, "0002_bad.sql", "CREATE TABLE b (y);\nINSERT INTO nowhere VALUES (1);\n")

    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        migrate(connection, [ONE, bad])

    assert names(connection) == {"migrations", "a"}
    assert not connection.in_transaction
    assert migrate(connection, [ONE, TWO]) == 1


def test_a_newer_schema_is_refused_by_number(connection):
    """S7: an older daemon must not touch what it does not understand"""
    migrate(connection, [ONE, TWO])

    with pytest.raises(StoreBroken, match=r"has schema 2, this fleetd knows schemas up to 1: .*newer fleetd"):
        migrate(connection, [ONE])


def test_a_migration_that_was_edited_is_refused_by_name(connection):
    """S7"""
    migrate(connection, [ONE])

    with pytest.raises(StoreBroken, match=r"another version of migration 0001_one\.sql"):
        migrate(connection, [Migration(1, ONE.name, ONE.sql + "-- edited")])


def test_a_database_of_somebody_else_is_left_alone(connection):
    """S7"""
    connection.execute("CREATE TABLE recipes (a)")

    with pytest.raises(StoreBroken, match="not one of fleetd"):
        migrate(connection, [ONE])

    assert names(connection) == {"recipes"}


async def test_a_store_with_a_newer_schema_says_which_file(tmp_path):
    """S7"""
    path = tmp_path / "fleetd.db"
    store = SqliteStore(path)
    await store.open()
    await store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("INSERT INTO migrations VALUES (9999, '9999_later.sql', 'x')")

    with pytest.raises(StoreBroken, match=r"fleetd\.db: the database has schema 9999"):
        await store.open()
    await store.close()


async def test_tasks_from_before_the_router_read_back_without_a_route(tmp_path):
    """S7, R13: a database that only the first migration made"""
    tasks = [
        Task(seq=1, id="delayed", place=1, run_at=5),
        Task(seq=2, id="queued", org_id="o", place=2, queued=True, lane=1, external_ref="r"),
        Task(
            seq=3, id="running", status=Status.RUNNING, mode=Mode.PULL, agent_id="a", lease_epoch=2, place=3
        ),
        Task(seq=4, id="over", status=Status.COMPLETED, retry=RetryPolicy(1, 1.5, 3, 0.25), body_hash=b"h"),
    ]
    path = tmp_path / "fleetd.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert migrate(connection, known("sqlite")[:1]) == 1
        old = [name for _, name, *_ in connection.execute("PRAGMA table_info(tasks)")]
        assert {"route", "blocked"}.isdisjoint(old)
        for task in tasks:
            row = dict(zip(rows.TASK_COLUMNS, rows.task_values(task), strict=True))
            values = [row[name] for name in old]
            connection.execute(
                f"INSERT INTO tasks ({rows.columns(old)}) VALUES ({rows.marks(len(old))})", values
            )
            connection.execute("INSERT INTO task_specs VALUES (?, ?)", (task.seq, '{"title":"t"}'))
    store = SqliteStore(path)
    await store.open()
    try:
        found = await store.get_tasks([task.id for task in tasks])
        snapshot = await store.snapshot(0)
    finally:
        await store.close()

    assert [found[task.id].task for task in tasks] == tasks
    assert {(row.task.route, row.task.blocked) for row in found.values()} == {(None, 0)}
    assert snapshot.live == [tasks[2]]
    assert snapshot.delayed == {"default": 1}
    assert (snapshot.instances, snapshot.breakers, snapshot.blocked) == ([], [], {})


def test_the_files_are_numbered_without_gaps():
    found = known("sqlite")

    assert [migration.number for migration in found] == list(range(1, len(found) + 1))
    assert {migration.name for migration in found} == RELEASED
