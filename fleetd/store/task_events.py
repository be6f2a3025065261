"""What runs told, in the store: rows, and pages of one task or of all."""

# ruff: noqa: S608 - statements are put together from constants of this room; values are always bound

from __future__ import annotations

import sqlite3
from typing import Any

from fleetd.core.task import Status
from fleetd.core.task_event import TaskEvent, TaskEventPage
from fleetd.store.rows import Row, columns

COLUMNS = ("position", "task_ref", "seq", "lease_epoch", "time", "named", "timed", "body")

TASK = "SELECT seq, status, task_event_seq FROM tasks WHERE id = ?"
LAST = "SELECT task_event_position FROM daemons"
OLDEST_OF_TASK = (
    "SELECT seq FROM task_events INDEXED BY task_events_by_task WHERE task_ref = ? ORDER BY seq LIMIT 1"
)
OLDEST = "SELECT min(position) FROM task_events"
OF_TASK = (
    f"SELECT {columns(COLUMNS)} FROM task_events INDEXED BY task_events_by_task"
    " WHERE task_ref = ? AND seq >= ? ORDER BY seq LIMIT ?"
)
OF_ALL = (
    f"SELECT {columns(COLUMNS, 'e')}, t.id FROM task_events AS e NOT INDEXED CROSS JOIN tasks AS t"
    " WHERE e.position >= ? AND t.seq = e.task_ref ORDER BY e.position LIMIT ?"
)


def values_of(event: TaskEvent) -> tuple[Any, ...]:
    """Return the columns of a task event."""
    return (
        event.position,
        event.task_ref,
        event.seq,
        event.lease_epoch,
        event.time,
        +event.named,
        +event.timed,
        event.body,
    )


def event_of(row: Row, task_id: str) -> TaskEvent:
    """Return the task event of a row that begins with COLUMNS."""
    position, task_ref, seq, lease_epoch, time, named, timed, body = row[:8]
    return TaskEvent(task_ref, task_id, seq, lease_epoch, time, body, named == 1, timed == 1, position)


def page_of_task(
    connection: sqlite3.Connection, task_id: str, first: int, limit: int, most: int
) -> TaskEventPage | None:
    """Return events of a task from a seq on, at most `limit` of at most `most` bytes together; None when there is no such task."""
    task = connection.execute(TASK, (task_id,)).fetchone()
    if task is None:
        return None
    ref, status, last = task
    oldest = connection.execute(OLDEST_OF_TASK, (ref,)).fetchone()
    rows, end = _some(connection.execute(OF_TASK, (ref, first, limit + 1)), limit, most)
    events = [event_of(row, task_id) for row in rows]
    return TaskEventPage(events, oldest[0] if oldest else last + 1, last, end, Status(status))


def page_of_all(connection: sqlite3.Connection, first: int, limit: int, most: int) -> TaskEventPage:
    """Return events of all tasks from a position on, at most `limit` of at most `most` bytes together."""
    (last,) = connection.execute(LAST).fetchone()
    (oldest,) = connection.execute(OLDEST).fetchone()
    rows, end = _some(connection.execute(OF_ALL, (first, limit + 1)), limit, most)
    return TaskEventPage([event_of(row, row[8]) for row in rows], oldest or last + 1, last, end)


def _some(found: sqlite3.Cursor, limit: int, most: int) -> tuple[list[Row], bool]:
    """Return rows until a bound is reached, at least one if there is one, and whether these were all. Rows beyond are not read."""
    rows: list[Row] = []
    size = 0
    for row in found:
        size += len(row[7])
        if len(rows) == limit or (rows and size > most):
            found.close()
            return rows, False
        rows.append(row)
    return rows, True
