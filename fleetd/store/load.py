"""Finding the rows a transaction works on: one statement for each kind of key, and none for kinds nobody asks for."""

# ruff: noqa: S608 - statements are put together from constants of this room; values are always bound

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from fleetd.core.ledger import Keys
from fleetd.core.task import Checkpoint, Payload, Spec, Task
from fleetd.store import rows
from fleetd.store.base import Loaded, TaskParts
from fleetd.store.rows import columns, encode

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
    f" AND t.external_ref = {_SECOND} AND t.external_ref <> '' AND t.status IN (1, 2, 3, 7)"
)
HELD_BY = (
    f"SELECT {_TASK} FROM tasks AS t INDEXED BY tasks_live WHERE t.agent_id {_LISTED} AND t.status IN (2, 3)"
)
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
HEADS = (
    f"SELECT {_TASK} FROM tasks AS t INDEXED BY tasks_queued WHERE t.lane = ? AND t.place > ? AND t.queued = 1"
    " ORDER BY t.place LIMIT ?"
)
SPEC_PARTS = f"SELECT seq, spec FROM task_specs WHERE seq {_LISTED}"
INPUT_PARTS = f"SELECT seq, data, content_type FROM task_inputs WHERE seq {_LISTED}"
CHECKPOINT_PARTS = f"SELECT {columns(rows.CHECKPOINT_COLUMNS)} FROM task_checkpoints WHERE seq {_LISTED}"


def load(connection: sqlite3.Connection, keys: Keys, next_task_seq: int) -> Loaded:
    """Return the rows that the keys name; a task that several of them name comes once."""
    tasks: dict[int, Task] = {}
    searches: tuple[tuple[str, Sequence[Any]], ...] = (
        (BY_ID, keys.task_ids),
        (BY_SEQ, keys.task_seqs),
        (BY_KEY, keys.idempotency),
        (BY_OPEN_REF, keys.external_refs),
        (HELD_BY, keys.held_by),
    )
    for statement, wanted in searches:
        for row in _found(connection, statement, wanted):
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
    )


def heads(connection: sqlite3.Connection, lane: int, limit: int, after: int) -> list[Task]:
    """Return the first queued tasks of a lane with a place beyond `after`."""
    return [rows.task_of(row) for row in connection.execute(HEADS, (lane, after, limit))]


def parts(connection: sqlite3.Connection, seqs: Sequence[int]) -> dict[int, TaskParts]:
    """Return what lies beside the hot rows of tasks that exist."""
    specs: dict[int, Spec] = {seq: rows.spec_of(text) for seq, text in _found(connection, SPEC_PARTS, seqs)}
    inputs = {seq: Payload(data, kind) for seq, data, kind in _found(connection, INPUT_PARTS, seqs)}
    checkpoints: dict[int, Checkpoint] = {
        row[0]: rows.checkpoint_of(row) for row in _found(connection, CHECKPOINT_PARTS, seqs)
    }
    return {seq: TaskParts(spec, inputs.get(seq), checkpoints.get(seq)) for seq, spec in specs.items()}


def _found(connection: sqlite3.Connection, statement: str, wanted: Sequence[Any]) -> Iterable[rows.Row]:
    return connection.execute(statement, (encode(wanted),)) if wanted else ()
