"""
A data directory with a large backlog: a few tasks come in through the API, and SQL makes many of each.

Every column of a copy is its original's, so that the backlog is what the daemon itself would have written; ids and seqs are new.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from time import time

import grpc
from floors import connect
from process import daemon
from tasks import batch, task

from fleet.v1.dispatcher_pb2_grpc import DispatcherStub
from fleetd.core.task import Status
from fleetd.daemon import DATABASE

DELAY = 24 * 3_600
"""Seconds until the first delayed task is due: none starts while something is measured."""
ROOM = "queue.max_pending=2000000"
"""A setting for daemons with such a backlog: the default lets one org have a million waiting tasks, and measurements add some."""
SPREAD = 1_000
"""Milliseconds between the starts of two delayed tasks."""

NUMBERS = "WITH RECURSIVE copies (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM copies WHERE n < :copies)"


async def fill(data: Path, pending: int, *, lanes: int = 1, delayed: int = 0) -> None:
    """Make a data directory with `pending` tasks in so many lanes, `delayed` of them not to start before tomorrow."""
    async with daemon(data) as one:
        async with grpc.aio.insecure_channel(one.address) as channel:
            stub = DispatcherStub(channel)
            for first in range(0, lanes, 1_000):
                await stub.SubmitTasks(batch(min(1_000, lanes - first), first, lanes))
            if delayed:
                later = task()
                later.run_at.FromSeconds(int(time()) + DELAY)
                await stub.SubmitTask(later)
        await one.stop()
    db = connect(data / DATABASE)
    db.execute("BEGIN IMMEDIATE")
    _copy(db, "queued = 1", (pending - delayed) // lanes - 1)
    if delayed:
        _copy(db, "queued = 0", delayed - 1)
    added = db.execute("SELECT count(*) FROM tasks").fetchone()[0]
    db.execute("UPDATE counts SET n = ? WHERE status = ?", (added, int(Status.PENDING)))
    db.execute(
        "UPDATE daemons SET task_seq = (SELECT max(seq) FROM tasks), event_seq = (SELECT max(seq) FROM events)"
    )
    db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    db.close()
    if added != pending:
        raise RuntimeError(f"the backlog has {added} tasks instead of {pending}")


def _copy(db: sqlite3.Connection, which: str, copies: int) -> None:
    """Add so many copies of each task that `which` selects; copies of one lane lie as far apart as tasks of all lanes that come in turn."""
    if not copies:
        return
    last, step = db.execute(
        f"SELECT (SELECT max(seq) FROM tasks), count(*) FROM tasks WHERE {which}"
    ).fetchone()
    first_event = db.execute("SELECT max(seq) FROM events").fetchone()[0]
    numbers = {"copies": copies, "last": last, "step": step, "spread": SPREAD, "event": first_event}
    # The place of an original among the others, and the seq of its nth copy.
    db.execute(
        f"CREATE TEMP TABLE originals AS SELECT seq, row_number() OVER (ORDER BY seq) AS place FROM tasks WHERE {which}"
    )
    seq = ":last + (n - 1) * :step + o.place"
    new_id = f"printf('01BENCH%019d', {seq})"
    later = "CASE WHEN t.run_at > 0 THEN n * :spread ELSE 0 END"
    for table, key, changed in (
        (
            "tasks",
            "seq",
            {
                "seq": seq,
                "place": seq,
                "id": new_id,
                "run_at": f"t.run_at + {later}",
                "queued_at": f"t.queued_at + {later}",
            },
        ),
        ("task_specs", "seq", {"seq": seq}),
        ("due", "task_seq", {"task_seq": seq, "at": "t.at + n * :spread"}),
        (
            "events",
            "task_ref",
            {"seq": ":event + (n - 1) * :step + o.place", "task_ref": seq, "task_id": new_id},
        ),
    ):
        names = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
        quoted = ", ".join(f'"{name}"' for name in names)
        values = ", ".join(changed.get(name, f't."{name}"') for name in names)
        db.execute(
            f"{NUMBERS} INSERT INTO {table} ({quoted}) SELECT {values}"
            f" FROM copies CROSS JOIN originals AS o CROSS JOIN {table} AS t WHERE t.{key} = o.seq",
            numbers,
        )
    db.execute("DROP TABLE originals")
