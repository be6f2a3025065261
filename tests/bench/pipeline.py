"""
The bare pipeline: tasks inserted, claimed and completed in batches by plain sqlite3, with no daemon, no rules and no RPC.

`plain` keeps one row a task. `same rows` writes into the daemon's own schema what the daemon writes for a task that goes well: task, spec, run,
five events, and with every transaction the agent, the counts, the figures and the marker.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from time import perf_counter
from typing import Any

from floors import connect
from tasks import BATCH, TEXT

from fleetd.core.event import EventType
from fleetd.core.task import Ending, Mode, ModeSource, Status
from fleetd.store import migrations

AGENT = "agent-1"
NOW = 1_700_000_000_000
WORDS = (EventType.TASK_ACCEPTED, EventType.TASK_STARTED, EventType.TASK_COMPLETED)
"""Events of the completing transaction: the start and the result arrive together and imply the accept."""


def plain(file: Path, count: int) -> float:
    """Return tasks a second."""
    db = connect(file)
    db.execute(
        "CREATE TABLE tasks (seq INTEGER PRIMARY KEY, status INTEGER, lane INTEGER, body TEXT, output TEXT)"
    )
    db.execute("CREATE INDEX queue ON tasks (lane) WHERE status = 1")
    began = perf_counter()
    for _ in range(count // BATCH):
        db.execute("BEGIN IMMEDIATE")
        db.executemany("INSERT INTO tasks (status, lane, body) VALUES (1, 1, ?)", [(TEXT,)] * BATCH)
        db.execute("COMMIT")
        db.execute("BEGIN IMMEDIATE")
        claimed = db.execute(
            "UPDATE tasks SET status = 2 WHERE seq IN (SELECT seq FROM tasks WHERE lane = 1 AND status = 1"
            " ORDER BY seq LIMIT ?) RETURNING seq, body",
            (BATCH,),
        ).fetchall()
        db.execute("COMMIT")
        db.execute("BEGIN IMMEDIATE")
        db.executemany(
            "UPDATE tasks SET status = 4, output = ? WHERE seq = ?", [("done", row[0]) for row in claimed]
        )
        db.execute("COMMIT")
    took = perf_counter() - began
    _check(db, count, int(Status.COMPLETED))
    return count / took


def same_rows(file: Path, count: int) -> float:
    """Return tasks a second."""
    db = connect(file)
    migrations.migrate(db, migrations.known("sqlite"))
    writer = _Writer(db)
    began = perf_counter()
    for first in range(1, count + 1, BATCH):
        writer.take(range(first, first + BATCH))
        writer.complete(writer.claim())
    took = perf_counter() - began
    _check(db, count, int(Status.COMPLETED))
    return count / took


class _Writer:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._batch = self._event = 0
        self._task = _insert(
            db, "tasks", "seq", "id", "org_id", "task_type", "created_at", "body_hash", "status", "lane", "queued",
            "mode", "max_attempts", "version", "events", "updated_at", "queued_at",
        )  # fmt: skip
        self._spec = _insert(db, "task_specs", "seq", "spec")
        self._run = _insert(
            db, "runs", "task_seq", "lease_epoch", "agent_id", "attempt", "ending", "status", "started_at",
            "finished_at", "output_type", "output",
        )  # fmt: skip
        self._log = _insert(
            db,
            "events",
            "seq",
            "type",
            "time",
            "task_ref",
            "task_id",
            "task_seq",
            "agent_id",
            "org_id",
            "payload",
        )
        self._minute = (
            f"{_insert(db, 'minutes', 'minute', 'submitted')}"
            " ON CONFLICT (minute) DO UPDATE SET submitted = submitted + excluded.submitted"
        )
        db.execute("INSERT INTO daemons (daemon_id, generation) VALUES ('bench', 1)")
        db.execute(_insert(db, "agents", "agent_id"), (AGENT,))
        db.execute(_insert(db, "lanes", "id"), (1,))

    def take(self, seqs: Iterable[int]) -> None:
        new = [(seq, f"01BENCH{seq:019d}") for seq in seqs]
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany(
            self._task,
            [
                (
                    seq, task_id, "default", "review", NOW, bytes(32), int(Status.PENDING), 1, 1,
                    int(Mode.UNDECIDED), 3, 1, 1, NOW, NOW,
                )
                for seq, task_id in new
            ],
        )  # fmt: skip
        self._db.executemany(
            self._spec,
            [(seq, json.dumps({"title": f"Review change {seq:06d}", "description": TEXT})) for seq, _ in new],
        )
        self._events(
            (EventType.TASK_CREATED, seq, task_id, 1, '{"title":"Review change 000000","priority":"MEDIUM"}')
            for seq, task_id in new
        )
        self._mark(Status.PENDING, len(new))

    def claim(self) -> list[tuple[int, str]]:
        self._db.execute("BEGIN IMMEDIATE")
        claimed = self._db.execute(
            "UPDATE tasks SET status = ?, queued = 0, lease_epoch = 1, agent_id = ?, session_epoch = 1, assigned_at = ?,"
            " updated_at = ?, version = 2, events = 2, mode = ?, mode_source = ? WHERE seq IN (SELECT seq FROM tasks"
            " INDEXED BY tasks_queued WHERE lane = 1 AND queued = 1 ORDER BY seq LIMIT ?) RETURNING seq, id",
            (int(Status.ASSIGNED), AGENT, NOW, NOW, int(Mode.PULL), int(ModeSource.CLAIM), BATCH),
        ).fetchall()
        # What is delivered with the leases.
        self._db.execute(
            "SELECT seq, spec FROM task_specs WHERE seq IN (SELECT value FROM json_each(?))",
            (json.dumps([seq for seq, _ in claimed]),),
        ).fetchall()
        self._events(
            (EventType.TASK_ASSIGNED, seq, task_id, 2, '{"lease_epoch":1}') for seq, task_id in claimed
        )
        self._mark(Status.ASSIGNED, len(claimed))
        return claimed

    def complete(self, claimed: list[tuple[int, str]]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany(
            "UPDATE tasks SET status = ?, ending = ?, attempt = 1, progress = 100, version = 5, events = 5, started_at = ?,"
            " finished_at = ?, updated_at = ? WHERE id = ?",
            [
                (int(Status.COMPLETED), int(Ending.COMPLETED), NOW, NOW, NOW, task_id)
                for _, task_id in claimed
            ],
        )
        self._db.executemany(
            self._run,
            [
                (seq, 1, AGENT, 1, int(Ending.COMPLETED), int(Status.COMPLETED), NOW, NOW, "text/plain", b"done")
                for seq, _ in claimed
            ],
        )  # fmt: skip
        self._events(
            (kind, seq, task_id, number, '{"attempt":1,"run_ms":0}')
            for seq, task_id in claimed
            for number, kind in enumerate(WORDS, 3)
        )
        self._db.execute(
            "UPDATE agents SET completed = completed + ? WHERE agent_id = ?", (len(claimed), AGENT)
        )
        self._mark(Status.COMPLETED, len(claimed))

    def _events(self, events: Iterable[tuple[EventType, int, str, int, str]]) -> None:
        rows = []
        for kind, seq, task_id, number, payload in events:
            self._event += 1
            rows.append((self._event, int(kind), NOW, seq, task_id, number, AGENT, "default", payload))
        self._db.executemany(self._log, rows)

    def _mark(self, status: Status, count: int) -> None:
        """Write what every transaction of the daemon writes, and commit."""
        self._batch += 1
        execute = self._db.execute
        execute("UPDATE daemons SET last_batch = ?, event_seq = ?", (self._batch, self._event))
        execute(
            "INSERT INTO counts (status, n) VALUES (?, ?) ON CONFLICT (status) DO UPDATE SET n = n + excluded.n",
            (int(status), count),
        )
        execute(self._minute, (NOW // 60_000, count))
        execute("UPDATE totals SET submitted = submitted + ?", (count,))
        execute("COMMIT")


def _insert(db: sqlite3.Connection, table: str, *names: str) -> str:
    """Return an insert of these columns; others that must not be null get the value that means unset."""
    unset: dict[str, Any] = {}
    for _, name, kind, not_null, default, _ in db.execute(f"PRAGMA table_info({table})"):
        if name not in names and not_null and default is None:
            unset[name] = "0" if kind == "INTEGER" else "x''" if kind == "BLOB" else "''"
    columns = ", ".join(f'"{name}"' for name in (*names, *unset))
    return f"INSERT INTO {table} ({columns}) VALUES ({', '.join([*'?' * len(names), *unset.values()])})"


def _check(db: sqlite3.Connection, count: int, status: int) -> None:
    done = db.execute("SELECT count(*) FROM tasks WHERE status = ?", (status,)).fetchone()[0]
    db.close()
    if done != count:
        raise RuntimeError(f"the bare pipeline completed {done} of {count} tasks")
