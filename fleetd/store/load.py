"""Finding the rows a transaction works on: one statement for each kind of key, and none for kinds nobody asks for."""

# ruff: noqa: S608 - statements are put together from constants of this room; values are always bound

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fleetd.core.ledger import Delivered, Keys
from fleetd.core.task import Payload, Task
from fleetd.store import rows
from fleetd.store.base import Loaded, TaskParts
from fleetd.store.json_text import encode
from fleetd.store.rows import columns

_TASK = columns(rows.TASK_COLUMNS, "t")
_LISTED = "IN (SELECT value FROM json_each(?))"
# Pairs go in as [[a, b], …]; CROSS JOIN keeps them on the outside, so that each is one look into the index.
_PAIRS = "json_each(?) AS pair CROSS JOIN"
_FIRST = "json_extract(pair.value, '$[0]')"
_SECOND = "json_extract(pair.value, '$[1]')"

# Partial indexes are named: a plan without them would be slow without a sign, this way it is an error.
BY_ID = f"SELECT {_TASK} FROM tasks AS t WHERE t.id {_LISTED}"
BY_SEQ = f"SELECT {_TASK} FROM tasks AS t WHERE t.seq {_LISTED}"
BY_KEY = (
    f"SELECT {_TASK} FROM {_PAIRS} tasks AS t INDEXED BY tasks_by_key"
    f" WHERE t.org_id = {_FIRST} AND t.idempotency_key = {_SECOND} AND t.idempotency_key <> ''"
)
BY_OPEN_REF = (
    f"SELECT {_TASK} FROM {_PAIRS} tasks AS t INDEXED BY tasks_by_open_ref WHERE t.org_id = {_FIRST}"
    f" AND t.external_ref = {_SECOND} AND t.external_ref <> '' AND (t.status <= 3 OR t.status = 7)"
)
HELD_BY = f"SELECT {_TASK} FROM tasks AS t INDEXED BY tasks_live WHERE t.agent_id {_LISTED} AND t.status BETWEEN 2 AND 3"
RUNS = (
    f"SELECT t.id, {columns(rows.RUN_COLUMNS, 'r')} FROM {_PAIRS} tasks AS t CROSS JOIN runs AS r"
    f" WHERE t.id = {_FIRST} AND r.task_seq = t.seq AND r.lease_epoch = {_SECOND}"
)
SPECS = (
    f"SELECT t.seq, s.spec FROM tasks AS t CROSS JOIN task_specs AS s WHERE s.seq = t.seq AND t.id {_LISTED}"
)
CHECKPOINTS = (
    f"SELECT {columns(rows.CHECKPOINT_COLUMNS, 'c')} FROM tasks AS t CROSS JOIN task_checkpoints AS c"
    f" WHERE c.seq = t.seq AND t.id {_LISTED}"
)
DELIVERIES = (
    f"SELECT d.source, d.id, d.task_id, d.ignored, d.at FROM {_PAIRS} deliveries AS d"
    f" WHERE d.source = {_FIRST} AND d.id = {_SECOND}"
)
HEADS = (
    f"SELECT {_TASK} FROM tasks AS t INDEXED BY tasks_queued WHERE t.lane = ? AND t.place > ? AND t.queued = 1"
    " ORDER BY t.place LIMIT ?"
)
BLOCKED = (
    f"SELECT {_TASK} FROM tasks AS t INDEXED BY tasks_blocked WHERE t.blocked = ? AND t.status = 7"
    " ORDER BY t.place LIMIT ?"
)
PARTS = (
    f"SELECT s.seq, s.spec, i.content_type, i.data, {columns(rows.CHECKPOINT_COLUMNS, 'c')} FROM task_specs AS s"
    " LEFT JOIN task_inputs AS i ON i.seq = s.seq LEFT JOIN task_checkpoints AS c ON c.seq = s.seq"
    f" WHERE s.seq {_LISTED}"
)


def load(
    connection: sqlite3.Connection, keys: Keys, next_task_seq: int, live: Mapping[str, rows.Row]
) -> Loaded:
    """Return the rows that the keys name; a task that several of them name comes once. `live` holds rows, by task id, that need no search."""
    tasks: dict[int, Task] = {}
    others: list[str] = []
    for task_id in keys.task_ids:
        known = live.get(task_id)
        if known is None:
            others.append(task_id)
        else:
            tasks[known[0]] = rows.task_of(known)
    searches: tuple[tuple[str, Sequence[Any]], ...] = (
        (BY_ID, others),
        (BY_SEQ, keys.task_seqs),
        (BY_KEY, keys.idempotency),
        (BY_OPEN_REF, keys.external_refs),
        (HELD_BY, keys.held_by),
    )
    for statement, wanted in searches:
        for row in _found(connection, statement, wanted):
            if row[0] not in tasks:
                tasks[row[0]] = rows.task_of(row)
    for statement, firsts in ((BLOCKED, keys.blocked), (HEADS, keys.heads)):
        for first in firsts:
            for row in connection.execute(statement, first):
                if row[0] not in tasks:
                    tasks[row[0]] = rows.task_of(row)
    return Loaded(
        tasks=list(tasks.values()),
        runs={(row[0], row[2]): rows.run_of(row[1:]) for row in _found(connection, RUNS, keys.runs)},
        specs={seq: rows.spec_of(text) for seq, text in _found(connection, SPECS, keys.specs)},
        checkpoints={
            row[0]: rows.checkpoint_of(row) for row in _found(connection, CHECKPOINTS, keys.checkpoints)
        },
        next_task_seq=next_task_seq,
        deliveries=[Delivered(*row) for row in _found(connection, DELIVERIES, keys.deliveries)],
    )


def heads(connection: sqlite3.Connection, lane: int, limit: int, after: int) -> list[Task]:
    """Return the first queued tasks of a lane with a place beyond `after`."""
    return [rows.task_of(row) for row in connection.execute(HEADS, (lane, after, limit))]


def parts(connection: sqlite3.Connection, seqs: Sequence[int]) -> dict[int, TaskParts]:
    """Return what lies beside the hot rows of tasks that exist."""
    found: dict[int, TaskParts] = {}
    for seq, spec, kind, data, *saved in _found(connection, PARTS, seqs):
        task_input = None if kind is None else Payload(data, kind)
        checkpoint = None if saved[0] is None else rows.checkpoint_of(saved)
        found[seq] = TaskParts(rows.spec_of(spec), task_input, checkpoint)
    return found


def _found(connection: sqlite3.Connection, statement: str, wanted: Sequence[Any]) -> Iterable[rows.Row]:
    return connection.execute(statement, (encode(wanted),)) if wanted else ()
