"""Retention: what is old leaves the hot tables in small batches (spec D12)."""

# ruff: noqa: S608 - statements are put together from constants of this room; values are always bound

from __future__ import annotations

import sqlite3
from itertools import takewhile

from fleetd.store.base import Retention, Trimmed
from fleetd.store.rows import encode
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
    f"DELETE FROM due WHERE task_seq {_LISTED}",
    # Lines that say where others came from stay with those others.
    f"DELETE FROM lineage WHERE task_seq {_LISTED}",
)
OLDEST = "SELECT seq, time FROM events NOT INDEXED ORDER BY seq LIMIT ?"
FORGET_EVENTS = "DELETE FROM events WHERE seq <= ?"


def trim(connection: sqlite3.Connection, retention: Retention, limit: int) -> Trimmed:
    """Delete up to `limit` tasks and `limit` events whose time has passed, as one transaction. Raises as `commit` does."""
    return commit(connection, lambda: _trim(connection, retention, limit))


def _trim(connection: sqlite3.Connection, retention: Retention, limit: int) -> Trimmed:
    gone = connection.execute(OVER, (retention.tasks_before, limit)).fetchall()
    gone += connection.execute(DEAD, (retention.dead_before, limit - len(gone))).fetchall()
    if gone:
        seqs = encode([seq for (seq,) in gone])
        for statement in FORGET_TASKS:
            connection.execute(statement, (seqs,))
    events = _trim_events(connection, retention.events_before, limit)
    return Trimmed(len(gone), events, more=limit in (len(gone), events))


def _trim_events(connection: sqlite3.Connection, before: int, limit: int) -> int:
    # From the old end and without gaps, also when the clock once went back: what is left is everything since some seq.
    oldest = connection.execute(OLDEST, (limit,))
    gone = [seq for seq, _ in takewhile(lambda event: event[1] < before, oldest)]
    oldest.close()
    if gone:
        connection.execute(FORGET_EVENTS, (gone[-1],))
    return len(gone)
