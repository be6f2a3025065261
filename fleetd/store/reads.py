"""Plain reads: what the engine keeps in memory, and what people and agents ask for."""

# ruff: noqa: S608 - statements are put together from constants of this room; values are always bound

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from fleetd.core.audit import AuditLine
from fleetd.core.event import EventFilter
from fleetd.core.ledger import Due, Edge, Minute
from fleetd.core.route import RoutePlan
from fleetd.core.task import LIVE, Run, Status, TaskFilter
from fleetd.core.task_event import TaskEventPage
from fleetd.store import host_rows, load, rollout_rows, route_rows, rows, task_events
from fleetd.store.base import EventPage, LaneRow, Snapshot, StoreBroken, TaskPage, TaskRow
from fleetd.store.json_text import encode
from fleetd.store.rows import columns, marks

_TASK = columns(rows.TASK_COLUMNS, "t")
_NEWEST = 2**63 - 1

LANES = (
    f"SELECT l.id, coalesce(w.n, 0), coalesce(w.head, 0), coalesce(t.queued_at, 0), {columns(rows.LANE_KEY_COLUMNS, 'l')}"
    # SQLite takes `seq` from the row that has the min(place).
    " FROM lanes AS l LEFT JOIN (SELECT lane, count(*) AS n, min(place) AS head, seq FROM tasks INDEXED BY tasks_queued"
    " WHERE queued = 1 GROUP BY lane) AS w ON w.lane = l.id LEFT JOIN tasks AS t ON t.seq = w.seq ORDER BY l.id"
)
LIVE_TASKS = (
    f"SELECT {_TASK} FROM tasks AS t INDEXED BY tasks_live WHERE t.status BETWEEN 2 AND 3 ORDER BY t.seq"
)
DELAYED = (
    "SELECT org_id, count(*) FROM tasks INDEXED BY tasks_unplaced WHERE queued = 0 AND (status = 1 OR status = 7)"
    " GROUP BY org_id"
)
BLOCKED = (
    # Of each group the first task alone is looked at, as in LANES.
    "SELECT g.blocked, t.route FROM (SELECT blocked, min(place), seq FROM tasks INDEXED BY tasks_blocked"
    " WHERE status = 7 AND blocked <> 0 GROUP BY blocked) AS g CROSS JOIN tasks AS t WHERE t.seq = g.seq"
)
OPEN_SHADOWS = (
    "SELECT rollout, count(*) FROM comparisons INDEXED BY comparisons_open WHERE open = 1 GROUP BY rollout"
)
DUE = "SELECT at, kind, task_seq FROM due INDEXED BY due_by_time ORDER BY at, kind, task_seq LIMIT ?"
TASKS = (
    f"SELECT {_TASK}, s.spec FROM tasks AS t CROSS JOIN task_specs AS s"
    " WHERE s.seq = t.seq AND t.id IN (SELECT value FROM json_each(?))"
)
TASK_SEQ = "SELECT seq FROM tasks WHERE id = ?"
RUNS = (
    f"SELECT {columns(rows.RUN_COLUMNS, 'r')} FROM tasks AS t CROSS JOIN runs AS r"
    " WHERE t.id = ? AND r.task_seq = t.seq ORDER BY r.lease_epoch"
)
PLANS = (
    f"SELECT {columns(route_rows.PLAN_COLUMNS, 'p')} FROM tasks AS t CROSS JOIN plans AS p"
    " WHERE t.id = ? AND p.task_seq = t.seq ORDER BY p.version"
)
OLDEST_EVENT = "SELECT coalesce((SELECT min(seq) FROM events), event_seq + 1) FROM daemons"
AHEAD = (
    "SELECT count(*) FROM (SELECT 1 FROM tasks INDEXED BY tasks_queued"
    " WHERE lane = ? AND place < ? AND queued = 1 LIMIT ?)"
)
DEAD_LETTERS = "SELECT count(*) FROM (SELECT 1 FROM tasks INDEXED BY tasks_by_status WHERE status = 8 AND status > 4 LIMIT ?)"
LINEAGE = (
    "SELECT t.id, l.task_seq, l.kind, l.from_task_id, l.at, l.detail FROM ("
    "SELECT * FROM lineage WHERE task_seq = (SELECT seq FROM tasks WHERE id = ?1)"
    " UNION SELECT * FROM lineage WHERE from_task_id = ?1) AS l CROSS JOIN tasks AS t"
    " WHERE t.seq = l.task_seq ORDER BY l.id"
)


@contextmanager
def _one_state(connection: sqlite3.Connection) -> Iterator[None]:
    """Let several statements see the same state of the store."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def last_batch(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT last_batch FROM daemons").fetchone()
    if row is None:
        raise StoreBroken("the database has lost the daemon's row")
    return int(row[0])


def snapshot(connection: sqlite3.Connection, minutes_since: int) -> Snapshot:
    with _one_state(connection):
        daemon = connection.execute(
            "SELECT daemon_id, generation, last_batch, event_seq, task_event_position FROM daemons"
        ).fetchone()
        figures = columns(rows.MINUTE_COLUMNS)
        minutes = connection.execute(
            f"SELECT minute, {figures} FROM minutes WHERE minute >= ? ORDER BY minute", (minutes_since,)
        )
        agents = connection.execute(f"SELECT {columns(rows.AGENT_COLUMNS)} FROM agents ORDER BY agent_id")
        instances = connection.execute(
            f"SELECT {columns(route_rows.INSTANCE_COLUMNS)} FROM instances ORDER BY id"
        )
        breakers = connection.execute(
            f"SELECT {columns(route_rows.BREAKER_COLUMNS)} FROM breakers ORDER BY kind, name"
        )
        hosts = connection.execute(f"SELECT {columns(host_rows.HOST_COLUMNS)} FROM hosts ORDER BY id")
        rollouts = connection.execute(
            f"SELECT {columns(rollout_rows.ROLLOUT_COLUMNS)} FROM rollouts ORDER BY name"
        )
        states = connection.execute(
            f"SELECT {columns(rollout_rows.STATE_COLUMNS)} FROM rollout_states ORDER BY rollout, org_id"
        )
        salts = connection.execute(
            f"SELECT {columns(rollout_rows.SALT_COLUMNS)} FROM rollout_salts ORDER BY rollout"
        )
        return Snapshot(
            daemon_id=daemon[0],
            generation=daemon[1],
            last_batch=daemon[2],
            last_event_seq=daemon[3],
            last_task_event=daemon[4],
            agents=[rows.agent_of(row) for row in agents],
            lanes=[
                LaneRow(lane_id, rows.lane_key_of(key), count, head_seq, head_at)
                for lane_id, count, head_seq, head_at, *key in connection.execute(LANES)
            ],
            live=[rows.task_of(row) for row in connection.execute(LIVE_TASKS)],
            delayed=dict(connection.execute(DELAYED)),
            rules=dict(
                rows.rule_of(row)
                for row in connection.execute(f"SELECT {columns(rows.RULE_COLUMNS)} FROM limits")
            ),
            counts={Status(status): n for status, n in connection.execute("SELECT status, n FROM counts")},
            totals=Minute(*connection.execute(f"SELECT {figures} FROM totals").fetchone()),
            minutes={minute: Minute(*values) for minute, *values in minutes},
            instances=[route_rows.instance_of(row) for row in instances],
            breakers=[route_rows.breaker_of(row) for row in breakers],
            hosts=[host_rows.host_of(row) for row in hosts],
            rollouts=[rollout_rows.rollout_of(row) for row in rollouts],
            rollout_states=dict(rollout_rows.state_of(row) for row in states),
            rollout_salts=dict(rollout_rows.salt_of(row) for row in salts),
            shadows=dict(connection.execute(OPEN_SHADOWS)),
            blocked={group: route_rows.route_of(route) for group, route in connection.execute(BLOCKED)},
        )


def due(connection: sqlite3.Connection, limit: int) -> list[Due]:
    return [Due(*row) for row in connection.execute(DUE, (limit,))]


def get_tasks(
    connection: sqlite3.Connection, task_ids: Sequence[str], *, with_parts: bool
) -> dict[str, TaskRow]:
    with _one_state(connection):
        found = [
            TaskRow(rows.task_of(row), rows.spec_of(row[-1]))
            for row in connection.execute(TASKS, (encode(list(task_ids)),))
        ]
        if with_parts:
            parts = load.parts(connection, [row.task.seq for row in found])
            found = [TaskRow(row.task, row.spec, parts[row.task.seq]) for row in found]
    return {row.task.id: row for row in found}


def get_runs(connection: sqlite3.Connection, task_id: str) -> list[Run]:
    return [rows.run_of(row) for row in connection.execute(RUNS, (task_id,))]


def get_plans(connection: sqlite3.Connection, task_id: str) -> list[RoutePlan]:
    return [route_rows.plan_of(row) for row in connection.execute(PLANS, (task_id,))]


def lineage(connection: sqlite3.Connection, task_id: str) -> list[tuple[str, Edge]]:
    return [(row[0], Edge(*row[1:])) for row in connection.execute(LINEAGE, (task_id,))]


def oldest_event(connection: sqlite3.Connection) -> int:
    return int(connection.execute(OLDEST_EVENT).fetchone()[0])


def count_ahead(connection: sqlite3.Connection, lane: int, place: int, limit: int) -> int:
    return int(connection.execute(AHEAD, (lane, place, limit)).fetchone()[0])


def count_dead_letters(connection: sqlite3.Connection, limit: int) -> int:
    return int(connection.execute(DEAD_LETTERS, (limit,)).fetchone()[0])


def audit_page(action: str, target: str) -> tuple[str, list[str]]:
    """Return the statement (…, before, limit) that finds lines of the audit log, newest first, with its first values."""
    index = (
        "INDEXED BY audits_by_target"
        if target
        else "INDEXED BY audits_by_action"
        if action
        else "NOT INDEXED"
    )
    wanted = {"target = ?": target, "action = ?": action}
    conditions = " AND ".join([*(condition for condition, value in wanted.items() if value), "id < ?"])
    statement = f"SELECT id, {columns(rows.AUDIT_COLUMNS)} FROM audits {index} WHERE {conditions} ORDER BY id DESC LIMIT ?"
    return statement, [value for value in wanted.values() if value]


def list_audits(
    connection: sqlite3.Connection, before_id: int, limit: int, action: str, target: str
) -> list[AuditLine]:
    statement, values = audit_page(action, target)
    return [AuditLine(*row) for row in connection.execute(statement, (*values, before_id or _NEWEST, limit))]


class _Way(NamedTuple):
    """A way to walk tasks newest first: an index, and the condition that it serves."""

    hint: str
    condition: str
    values: tuple[Any, ...] = ()

    def cut(self) -> str:
        """Return the statement (values, before, examine) that finds the first row that is not examined."""
        return (
            f"SELECT t.seq FROM tasks AS t {self.hint} WHERE {self.condition} AND t.seq < ?"
            " ORDER BY t.seq DESC LIMIT 1 OFFSET ?"
        )

    def page(self, conditions: str) -> str:
        """Return the statement (values, before, cut, …, limit) that finds matching rows after the cut."""
        return (
            f"SELECT {_TASK}, s.spec FROM tasks AS t {self.hint} CROSS JOIN task_specs AS s WHERE {self.condition}"
            f" AND t.seq < ? AND t.seq > ? AND s.seq = t.seq AND {conditions} ORDER BY t.seq DESC LIMIT ?"
        )


def ways(wanted: TaskFilter) -> list[_Way]:
    """Return the ways that together pass every task wanted, as few others as an index allows."""
    if wanted.external_ref:
        condition = "t.external_ref = ? AND t.external_ref <> ''"
        return [_Way("INDEXED BY tasks_by_ref", condition, (wanted.external_ref,))]
    if wanted.parent_id:
        return [
            _Way("INDEXED BY tasks_by_parent", "t.parent_id = ? AND t.parent_id <> ''", (wanted.parent_id,))
        ]
    if wanted.statuses and wanted.statuses <= LIVE:
        if wanted.agent_id:
            condition = "t.agent_id = ? AND t.status BETWEEN 2 AND 3"
            return [_Way("INDEXED BY tasks_live", condition, (wanted.agent_id,))]
        # Sorted on the way: the fleet's slots bound how many there are.
        return [_Way("INDEXED BY tasks_live", "t.status BETWEEN 2 AND 3")]
    if wanted.statuses and min(wanted.statuses) > Status.COMPLETED:
        return [
            _Way("INDEXED BY tasks_by_status", "t.status = ? AND t.status > 4", (int(status),))
            for status in sorted(wanted.statuses)
        ]
    return [_Way("NOT INDEXED", "true")]


def list_tasks(
    connection: sqlite3.Connection, wanted: TaskFilter, before_seq: int, limit: int, examine: int
) -> TaskPage:
    before = before_seq or _NEWEST
    conditions, values = _task_conditions(wanted)
    chosen = ways(wanted)
    found: list[rows.Row] = []
    cut = 0
    with _one_state(connection):
        for way in chosen:
            share = max(1, examine // len(chosen))
            first_left_out = connection.execute(way.cut(), (*way.values, before, share)).fetchone()
            way_cut = 0 if first_left_out is None else first_left_out[0]
            cut = max(cut, way_cut)
            parameters = (*way.values, before, way_cut, *values, limit + 1)
            found += connection.execute(way.page(conditions), parameters)
    # Below the highest cut some way has not looked.
    found = sorted((row for row in found if row[0] > cut), key=lambda row: -row[0])
    page = [TaskRow(rows.task_of(row), rows.spec_of(row[-1])) for row in found[:limit]]
    if len(found) > limit:
        return TaskPage(page, page[-1].task.seq)
    return TaskPage(page, cut + 1 if cut else 0)


def _task_conditions(wanted: TaskFilter) -> tuple[str, list[Any]]:
    conditions = ["true"]
    values: list[Any] = []
    if wanted.statuses:
        conditions.append(f"t.status IN ({marks(len(wanted.statuses))})")
        values += sorted(int(status) for status in wanted.statuses)
    for condition, value in (
        ("t.org_id = ?", wanted.org_id),
        ("t.agent_id = ?", wanted.agent_id),
        ("t.task_type = ?", wanted.task_type),
        ("t.created_at >= ?", wanted.created_after),
        ("t.created_at < ?", wanted.created_before),
        ("t.parent_id = ?", wanted.parent_id),
        ("t.external_ref = ?", wanted.external_ref),
        ("t.error_code = ?", wanted.error_code),
        ("t.dead_reason = ?", wanted.dead_reason),
        ("t.finished_at >= ?", wanted.finished_after),
        # Unfinished tasks have 0 there.
        ("t.finished_at BETWEEN 1 AND ? - 1", wanted.finished_before),
        ("EXISTS (SELECT 1 FROM json_each(s.spec, '$.tags') AS j WHERE j.value = ?)", wanted.tag),
    ):
        if value:
            conditions.append(condition)
            values.append(value)
    for label in sorted(wanted.labels.items()):
        conditions.append(
            "EXISTS (SELECT 1 FROM json_each(s.spec, '$.labels') AS j WHERE j.key = ? AND j.value = ?)"
        )
        values += label
    return " AND ".join(conditions), values


def list_events(
    connection: sqlite3.Connection, wanted: EventFilter, after_seq: int, limit: int, examine: int
) -> EventPage:
    conditions, values = _event_conditions(wanted)
    with _one_state(connection):
        last = connection.execute("SELECT event_seq FROM daemons").fetchone()[0]
        end = EventPage([], max(after_seq, last), end=True)
        index, cut = "NOT INDEXED", None
        if wanted.task_id:
            task = connection.execute(TASK_SEQ, (wanted.task_id,)).fetchone()
            if task is None:
                return end
            index = "INDEXED BY events_by_task"
            conditions = f"task_ref = ? AND task_ref > 0 AND {conditions}"
            values = [task[0], *values]
        else:
            cut = connection.execute(EVENT_CUT, (after_seq, examine)).fetchone()
        parameters = (*values, after_seq, _NEWEST if cut is None else cut[0], limit + 1)
        found = connection.execute(event_page(index, conditions), parameters).fetchall()
    events = [rows.event_of(row) for row in found[:limit]]
    if len(found) > limit:
        return EventPage(events, events[-1].seq, end=False)
    return EventPage(events, cut[0] - 1, end=False) if cut else EventPage(events, end.position, end=True)


def list_task_events(
    connection: sqlite3.Connection, task_id: str, first: int, limit: int, most: int
) -> TaskEventPage | None:
    with _one_state(connection):
        if task_id:
            return task_events.page_of_task(connection, task_id, first, limit, most)
        return task_events.page_of_all(connection, first, limit, most)


EVENT_CUT = "SELECT seq FROM events NOT INDEXED WHERE seq > ? ORDER BY seq LIMIT 1 OFFSET ?"


def event_page(index: str, conditions: str) -> str:
    """Return the statement (…, after, cut, limit) that finds matching events before the cut."""
    return (
        f"SELECT {columns(rows.EVENT_COLUMNS)} FROM events {index}"
        f" WHERE {conditions} AND seq > ? AND seq < ? ORDER BY seq LIMIT ?"
    )


def _event_conditions(wanted: EventFilter) -> tuple[str, list[Any]]:
    conditions = ["true"]
    values: list[Any] = []
    for condition, value in (
        ("agent_id = ?", wanted.agent_id),
        ("org_id = ?", wanted.org_id),
        ("time >= ?", wanted.after),
        ("time < ?", wanted.before),
    ):
        if value:
            conditions.append(condition)
            values.append(value)
    if wanted.types:
        conditions.append(f"type IN ({marks(len(wanted.types))})")
        values += sorted(int(kind) for kind in wanted.types)
    return " AND ".join(conditions), values
