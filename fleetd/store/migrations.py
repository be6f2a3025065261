"""
Migrations: numbered SQL files, applied in order, each in its own transaction, and never edited once released.

The table `migrations` remembers what was applied with the SHA-256 of the file.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources

from fleetd.store.base import StoreBroken


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file of a schema."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def known(engine: str) -> list[Migration]:
    """Return the migrations of this release for an engine (`sqlite`), in order."""
    folder = resources.files("fleetd.store") / "schema" / engine
    files = sorted(
        (entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda entry: entry.name
    )
    return [Migration(int(file.name[:4]), file.name, file.read_text(encoding="utf-8")) for file in files]


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration]) -> int:
    """Bring a database up to date; return how many migrations were applied. Raises StoreBroken when it is not one of ours or newer."""
    applied = _applied(connection)
    numbers = {migration.number for migration in migrations}
    beyond = [number for number in applied if number not in numbers]
    if beyond:
        raise StoreBroken(
            f"the database has schema {max(beyond)}, this fleetd knows schemas up to {max(numbers)}: "
            "it was written by a newer fleetd; run that one, or restore a backup"
        )
    count = 0
    for migration in migrations:
        checksum = applied.get(migration.number)
        if checksum is None:
            _apply(connection, migration)
            count += 1
        elif checksum != migration.checksum:
            raise StoreBroken(
                f"the database was made with another version of migration {migration.name}; this fleetd cannot use it"
            )
    return count


def _applied(connection: sqlite3.Connection) -> dict[int, str]:
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "migrations" in names:
        return dict(connection.execute("SELECT number, checksum FROM migrations ORDER BY number").fetchall())
    if names:
        raise StoreBroken("the file is a database, but not one of fleetd")
    return {}


def _apply(connection: sqlite3.Connection, migration: Migration) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations"
            " (number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL)"
        )
        for statement in _statements(migration.sql):
            connection.execute(statement)
        connection.execute(
            "INSERT INTO migrations VALUES (?, ?, ?)", (migration.number, migration.name, migration.checksum)
        )
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _statements(sql: str) -> Iterator[str]:
    """Split a file into statements: `executescript` would commit before it begins."""
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement
