"""Retention: what is old leaves the hot tables in small batches (spec D12)."""

# ruff: noqa: S608 - statements are put together from constants of this room; values are always bound

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import takewhile

from fleetd.store.base import Retention, Trimmed
from fleetd.store.json_text import encode
from fleetd.store.rows import Row
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
# The length of a body is known without reading it.
OLDEST_TASK_EVENTS = (
    "SELECT position, length(body), time FROM task_events NOT INDEXED ORDER BY position LIMIT ?"
)
# A run may have told a million of them: they go before their task, a batch at a time.
TOLD = (
    "SELECT position, length(body) FROM task_events INDEXED BY task_events_by_task"
    f" WHERE task_ref {_LISTED} ORDER BY task_ref, seq LIMIT ?"
)
FORGET_TASK_EVENTS = f"DELETE FROM task_events WHERE position {_LISTED}"
BYTES = 4 << 20
"""Of the task events that leave at once, unless one has more: what is large takes as long as it is."""
STILL_TOLD = (
    "SELECT value FROM json_each(?) WHERE EXISTS"
    " (SELECT 1 FROM task_events INDEXED BY task_events_by_task WHERE task_ref = value)"
)

FORGET_DELIVERIES = (
    "DELETE FROM deliveries WHERE (source, id) IN"
    " (SELECT source, id FROM deliveries INDEXED BY deliveries_by_time WHERE at < ? ORDER BY at LIMIT ?)"
)


def trim(connection: sqlite3.Connection, retention: Retention, limit: int) -> Trimmed:
    """Delete up to `limit` each of what has been kept long enough, as one transaction. Raises as `commit` does."""
    return commit(connection, lambda: _trim(connection, retention, limit))


def _trim(connection: sqlite3.Connection, retention: Retention, limit: int) -> Trimmed:
    oldest = connection.execute(OLDEST_TASK_EVENTS, (limit,)).fetchall()
    old = list(takewhile(lambda line: line[2] < retention.events_before, oldest))
    task_events, old_left = _forget(connection, old, limit)
    over = connection.execute(OVER, (retention.tasks_before, limit)).fetchall()
    over += connection.execute(DEAD, (retention.dead_before, limit - len(over))).fetchall()
    gone, told, told_left = _untold(connection, [seq for (seq,) in over], limit)
    if gone:
        for statement in FORGET_TASKS:
            connection.execute(statement, (encode(gone),))
    events = _trim_log(connection, OLDEST_EVENTS, FORGET_EVENTS, retention.events_before, limit)
    audits = _trim_log(connection, OLDEST_AUDITS, FORGET_AUDITS, retention.audits_before, limit)
    deliveries = connection.execute(FORGET_DELIVERIES, (retention.events_before, limit)).rowcount
    compared = _trim_log(connection, OLDEST_COMPARISONS, FORGET_COMPARISONS, retention.events_before, limit)
    more = old_left or told_left or limit in (len(over), events, audits, deliveries, compared)
    return Trimmed(len(gone), events, audits, more, deliveries, task_events + told, compared)


def _untold(connection: sqlite3.Connection, seqs: list[int], limit: int) -> tuple[list[int], int, bool]:
    """Delete task events of tasks that are to leave; return the tasks that have none left, how many events went, and whether more may be there."""
    if not seqs:
        return [], 0, False
    listed = encode(seqs)
    count, left = _forget(connection, connection.execute(TOLD, (listed, limit)).fetchall(), limit)
    if not left:
        return seqs, count, False
    told = {seq for (seq,) in connection.execute(STILL_TOLD, (listed,))}
    return [seq for seq in seqs if seq not in told], count, True


def _forget(connection: sqlite3.Connection, lines: Sequence[Row], limit: int) -> tuple[int, bool]:
    """Delete task events, of which lines begin with position and bytes, up to a bound; return how many, and whether more may be there."""
    gone: list[int] = []
    size = 0
    for line in lines:
        size += line[1]
        if gone and size > BYTES:
            break
        gone.append(line[0])
    if gone:
        connection.execute(FORGET_TASK_EVENTS, (encode(gone),))
    return len(gone), len(gone) < len(lines) or len(lines) == limit


def _trim_log(connection: sqlite3.Connection, oldest: str, forget: str, before: int, limit: int) -> int:
    # From the old end and without gaps, also when the clock once went back: what is left is everything since some number.
    lines = connection.execute(oldest, (limit,))
    gone = [number for number, _ in takewhile(lambda line: line[1] < before, lines)]
    lines.close()
    if gone:
        connection.execute(forget, (gone[-1],))
    return len(gone)
