"""Retention: what is old leaves the hot tables in small batches (spec D12)."""

# ruff: noqa: S608 - statements are put together from constants of this room; values are always bound

from __future__ import annotations

import sqlite3
from itertools import takewhile

from fleetd.store.base import Retention, Trimmed
from fleetd.store.json_text import encode
from fleetd.store.transaction import commit

OVER = (
    "SELECT seq FROM tasks INDEXED BY tasks_over WHERE status BETWEEN 4 AND 6 AND finished_at < ?"
    " ORDER BY finished_at LIMIT ?"
)
DEAD = (
    "SELECT seq FROM tasks INDEXED BY tasks_dead WHERE status BETWEEN 8 AND 9 AND finished_at < ?"
    " ORDER BY finished_at LIMIT ?"
)
_LISTED = "IN (SELECT value FROM json_each(?))"
FORGET_TASKS = (
    f"DELETE FROM tasks WHERE seq {_LISTED}",
    f"DELETE FROM task_specs WHERE seq {_LISTED}",
    f"DELETE FROM task_inputs WHERE seq {_LISTED}",
    f"DELETE FROM task_checkpoints WHERE seq {_LISTED}",
    f"DELETE FROM runs WHERE task_seq {_LISTED}",
    f"DELETE FROM plans WHERE task_seq {_LISTED}",
    f"DELETE FROM due WHERE task_seq {_LISTED}",
    # Lines that say where others came from stay with those others.
    f"DELETE FROM lineage WHERE task_seq {_LISTED}",
)
OLDEST_EVENTS = "SELECT seq, time FROM events NOT INDEXED ORDER BY seq LIMIT ?"
FORGET_EVENTS = "DELETE FROM events WHERE seq <= ?"
# SQLite gives the number after the highest one: were the newest line to leave, its number would come again.
OLDEST_AUDITS = (
    "SELECT id, at FROM audits NOT INDEXED WHERE id < (SELECT max(id) FROM audits) ORDER BY id LIMIT ?"
)
FORGET_AUDITS = "DELETE FROM audits WHERE id <= ?"

OLDEST_COMPARISONS = (
    "SELECT number, created_at FROM comparisons NOT INDEXED WHERE number < (SELECT max(number) FROM comparisons)"
    " AND open = 0 ORDER BY number LIMIT ?"
)
FORGET_COMPARISONS = "DELETE FROM comparisons WHERE number <= ? AND open = 0"

FORGET_DELIVERIES = (
    "DELETE FROM deliveries WHERE (source, id) IN"
    " (SELECT source, id FROM deliveries INDEXED BY deliveries_by_time WHERE at < ? ORDER BY at LIMIT ?)"
)


def trim(connection: sqlite3.Connection, retention: Retention, limit: int) -> Trimmed:
    """Delete up to `limit` each of tasks, events, deliveries and lines of the audit log whose time has passed, as one transaction. Raises as `commit` does."""
    return commit(connection, lambda: _trim(connection, retention, limit))


def _trim(connection: sqlite3.Connection, retention: Retention, limit: int) -> Trimmed:
    gone = connection.execute(OVER, (retention.tasks_before, limit)).fetchall()
    gone += connection.execute(DEAD, (retention.dead_before, limit - len(gone))).fetchall()
    if gone:
        seqs = encode([seq for (seq,) in gone])
        for statement in FORGET_TASKS:
            connection.execute(statement, (seqs,))
    events = _trim_log(connection, OLDEST_EVENTS, FORGET_EVENTS, retention.events_before, limit)
    audits = _trim_log(connection, OLDEST_AUDITS, FORGET_AUDITS, retention.audits_before, limit)
    deliveries = connection.execute(FORGET_DELIVERIES, (retention.events_before, limit)).rowcount
    compared = _trim_log(connection, OLDEST_COMPARISONS, FORGET_COMPARISONS, retention.events_before, limit)
    more = limit in (len(gone), events, audits, deliveries, compared)
    return Trimmed(len(gone), events, audits, more, deliveries, compared)


def _trim_log(connection: sqlite3.Connection, oldest: str, forget: str, before: int, limit: int) -> int:
    # From the old end and without gaps, also when the clock once went back: what is left is everything since some number.
    lines = connection.execute(oldest, (limit,))
    gone = [number for number, _ in takewhile(lambda line: line[1] < before, lines)]
    lines.close()
    if gone:
        connection.execute(forget, (gone[-1],))
    return len(gone)
