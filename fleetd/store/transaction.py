"""One transaction on SQLite: runs a script's operations in order, then commits all of it or nothing."""

# ruff: noqa: S608 - statements are put together from constants of this room; values are always bound

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import chain
from typing import Any, TypeVar

from fleetd.core.lanes import LaneKey
from fleetd.core.ledger import Changes, Due, Minute
from fleetd.core.task import Task
from fleetd.store import host_rows, load, rollout_rows, route_rows, rows, task_events
from fleetd.store.base import (
    PLANS_KEPT,
    CommitUnclear,
    Heads,
    Intern,
    Load,
    Mark,
    Operation,
    Parts,
    Script,
    StoreBroken,
    StoreFull,
)
from fleetd.store.connection import judged
from fleetd.store.rows import columns, marks

T = TypeVar("T")


def _insert(table: str, names: Sequence[str], *, replace: bool = False) -> str:
    verb = "INSERT OR REPLACE" if replace else "INSERT"
    return f"{verb} INTO {table} ({columns(names)}) VALUES ({marks(len(names))})"


ROWS = 32
"""
Rows one statement inserts when there are so many: SQLite takes them in one step, without the interpreter's lock, so that the event loop goes on
meanwhile. A step for each row would hand the lock over and wait for it as often. Larger numbers gained nothing.
"""

_SUMS = ", ".join(f"{name} = {name} + ?" for name in rows.MINUTE_COLUMNS)
_ADDED = ", ".join(f"{name} = {name} + excluded.{name}" for name in rows.MINUTE_COLUMNS)

INSERT_TASK = _insert("tasks", rows.TASK_COLUMNS)
UPDATE_TASK = "UPDATE tasks SET {} WHERE seq = ?".format(
    ", ".join(f'"{name}" = ?' for name in rows.TASK_CHANGING)
)
INSERT_SPEC = _insert("task_specs", ("seq", "spec"))
UPDATE_SPEC = "UPDATE task_specs SET spec = ? WHERE seq = ?"
INSERT_INPUT = _insert("task_inputs", ("seq", "content_type", "data"))
SAVE_CHECKPOINT = _insert("task_checkpoints", rows.CHECKPOINT_COLUMNS, replace=True)
INSERT_RUN = _insert("runs", rows.RUN_COLUMNS)
INSERT_EVENT = _insert("events", rows.EVENT_COLUMNS)
SAVE_DUE = _insert("due", ("task_seq", "kind", "at"), replace=True)
FORGET_DUE = "DELETE FROM due WHERE task_seq = ? AND kind & ?"
INSERT_EDGE = _insert("lineage", ("task_seq", "kind", "from_task_id", "at", "detail"))
SAVE_AGENT = _insert("agents", rows.AGENT_COLUMNS, replace=True)
FORGET_AGENT = "DELETE FROM agents WHERE agent_id = ?"
SAVE_RULE = _insert("limits", rows.RULE_COLUMNS, replace=True)
FORGET_PLANS = "DELETE FROM plans WHERE task_seq = ? AND version <= ?"
SAVE_PLAN = _insert("plans", route_rows.PLAN_COLUMNS, replace=True)
SAVE_INSTANCE = _insert("instances", route_rows.INSTANCE_COLUMNS, replace=True)
FORGET_INSTANCE = "DELETE FROM instances WHERE id = ?"
SAVE_HOST = _insert("hosts", host_rows.HOST_COLUMNS, replace=True)
FORGET_HOST = "DELETE FROM hosts WHERE id = ?"
SAVE_BREAKER = _insert("breakers", route_rows.BREAKER_COLUMNS, replace=True)
INSERT_DELIVERY = _insert("deliveries", ("source", "id", "task_id", "ignored", "at"), replace=True)
SAVE_ROLLOUT = _insert("rollouts", rollout_rows.ROLLOUT_COLUMNS, replace=True)
FORGET_ROLLOUT = "DELETE FROM rollouts WHERE name = ?"
SAVE_SALT = _insert("rollout_salts", rollout_rows.SALT_COLUMNS, replace=True)
FORGET_SALT = "DELETE FROM rollout_salts WHERE rollout = ?"
SAVE_STATE = _insert("rollout_states", rollout_rows.STATE_COLUMNS, replace=True)
FORGET_STATE = "DELETE FROM rollout_states WHERE rollout = ? AND org_id = ?"
INSERT_COMPARISON = _insert("comparisons", rollout_rows.COMPARISON_COLUMNS)


def _end_side(side: str, other: str) -> str:
    changes = ", ".join(f"{side}_{name} = ?" for name in rollout_rows.SIDE_COLUMNS[2:])
    ended = f"finished_at = CASE WHEN {other}_finished THEN ? ELSE 0 END"
    closed = ", open = 0" if side == "shadow" else ""
    return f"UPDATE comparisons SET {changes}, {ended}{closed} WHERE id = ?"


END_PRIMARY = _end_side("primary", "shadow")
END_SHADOW = _end_side("shadow", "primary")
INSERT_AUDIT = _insert("audits", rows.AUDIT_COLUMNS)
FIND_LANE = (
    "SELECT id FROM lanes WHERE org_id = ? AND capabilities = ? AND mode = ? AND priority = ? AND agent = ?"
)
INSERT_LANE = _insert("lanes", rows.LANE_KEY_COLUMNS)
MARK = "UPDATE daemons SET last_batch = ?"
ADD_COUNT = (
    "INSERT INTO counts (status, n) VALUES (?, ?) ON CONFLICT (status) DO UPDATE SET n = n + excluded.n"
)
ADD_MINUTE = (
    f"{_insert('minutes', ('minute', *rows.MINUTE_COLUMNS))} ON CONFLICT (minute) DO UPDATE SET {_ADDED}"
)
ADD_TOTALS = f"UPDATE totals SET {_SUMS}"
GET_SEQS = "SELECT task_seq, event_seq, task_event_position FROM daemons"
SET_SEQS = "UPDATE daemons SET task_seq = ?, event_seq = ?, task_event_position = ?"
INSERT_TASK_EVENT = _insert("task_events", task_events.COLUMNS)
COUNT_TASK_EVENTS = "UPDATE tasks SET task_event_seq = ? WHERE seq = ?"


LiveRows = dict[str, rows.Row]
"""
Rows of live tasks by id, as the last commit left them: what agents say concerns tasks written a moment ago, which need not be read again.
They belong to the only connection that writes; the fleet's slots bound how many there are.
"""


def transact(
    connection: sqlite3.Connection, script: Callable[[], Script[T]], live: LiveRows | None = None
) -> T:
    """Run a script as one transaction. Raises as `commit` does, or what the script raised: then nothing changed."""
    kept = {} if live is None else live
    try:
        return commit(connection, lambda: _run(connection, script(), kept))
    except BaseException:
        # Some of them may never have been committed.
        kept.clear()
        raise


def commit(connection: sqlite3.Connection, work: Callable[[], T]) -> T:
    """Run what writes, as one transaction. Raises StoreFull, CommitUnclear, StoreBroken, or what `work` raised: then nothing changed."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        result = work()
    except sqlite3.Error as error:
        _roll_back(connection)
        raise judged(error) from error
    except BaseException:
        _roll_back(connection)
        raise
    try:
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        still_open = connection.in_transaction
        _roll_back(connection)
        verdict = judged(error)
        # A full disk is never unclear: the frame that commits is written last, and SQLite has taken the rest back.
        if isinstance(verdict, StoreFull):
            raise verdict from error
        if still_open:
            raise StoreBroken(
                f"the transaction could not be committed and was rolled back: {error}"
            ) from error
        raise CommitUnclear(str(error)) from error
    return result


def _roll_back(connection: sqlite3.Connection) -> None:
    # SQLite rolls back by itself after some errors (a full disk, an I/O error).
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _run(connection: sqlite3.Connection, script: Script[T], live: LiveRows) -> T:
    transaction = _Transaction(connection, live)
    try:
        operation = next(script)
        while True:
            operation = script.send(transaction.carry_out(operation))
    except StopIteration as stop:
        transaction.keep_seqs()
        result: T = stop.value
        return result
    finally:
        script.close()


class _Transaction:
    """Carries out operations. The seqs handed out live in the daemon's row, so that a rollback takes them back and a deletion does not."""

    def __init__(self, connection: sqlite3.Connection, live: LiveRows) -> None:
        self._connection = connection
        self._live = live
        self._kept = connection.execute(GET_SEQS).fetchone()
        self._task_seq, self._event_seq, self._position = self._kept

    def carry_out(self, operation: Operation) -> object:
        match operation:
            case Load(keys):
                return load.load(self._connection, keys, self._task_seq + 1, self._live)
            case Heads(lane, limit, after):
                return load.heads(self._connection, lane, limit, after)
            case Parts(seqs):
                return load.parts(self._connection, seqs)
            case Intern(keys):
                return [self._lane_id(key) for key in keys]
            case Mark(batch, minute, figures, counts):
                self._connection.execute(MARK, (batch,))
                self._many(ADD_COUNT, [(int(status), n) for status, n in counts.items() if n])
                self._add_figures(minute, figures)
                return None
            case _:
                self._write(operation.changes)
                return None

    def keep_seqs(self) -> None:
        """Write the seqs handed out, when there were any."""
        given = (self._task_seq, self._event_seq, self._position)
        if given != self._kept:
            self._connection.execute(SET_SEQS, given)

    def _many(self, statement: str, values: Sequence[tuple[Any, ...]]) -> None:
        if values:
            self._connection.executemany(statement, values)

    def _insert(self, statement: str, values: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows by a statement that ends with the places of one row."""
        whole = len(values) - len(values) % ROWS
        if whole:
            joined = _joined(statement, len(values[0]))
            for first in range(0, whole, ROWS):
                self._connection.execute(joined, tuple(chain.from_iterable(values[first : first + ROWS])))
        if whole < len(values):
            self._connection.executemany(statement, values[whole:])

    def _lane_id(self, key: LaneKey) -> int:
        values = rows.lane_values(key)
        found = self._connection.execute(FIND_LANE, values).fetchone()
        if found is not None:
            return int(found[0])
        return int(self._connection.execute(INSERT_LANE, values).lastrowid or 0)

    def _write(self, changes: Changes) -> None:
        many = self._many
        many(INSERT_AUDIT, changes.audits)
        many(SAVE_RULE, [rows.rule_values(key, rule) for key, rule in changes.rules.items()])
        self._write_tasks(changes)
        many(UPDATE_SPEC, [(rows.spec_text(spec), seq) for seq, spec in changes.specs.items()])
        many(
            SAVE_CHECKPOINT,
            [rows.checkpoint_values(seq, saved) for seq, saved in changes.checkpoints.items()],
        )
        self._insert(INSERT_RUN, [rows.run_values(run) for run in changes.runs])
        many(FORGET_DUE, changes.due_done)
        many(SAVE_DUE, _standing(changes))
        many(INSERT_EDGE, changes.edges)
        # Removed first: an agent that was removed and came back in one batch is there afterwards.
        many(FORGET_AGENT, [(agent_id,) for agent_id in changes.agents_removed])
        many(SAVE_AGENT, [rows.agent_values(agent) for agent in changes.agents.values()])
        self._write_router(changes)
        self._write_rollouts(changes)
        many(INSERT_DELIVERY, changes.deliveries)
        for seq, event in enumerate(changes.events, self._event_seq + 1):
            event.seq = seq
        self._event_seq += len(changes.events)
        self._insert(INSERT_EVENT, [rows.event_values(event) for event in changes.events])
        if changes.task_events:
            self._write_task_events(changes)

    def _write_task_events(self, changes: Changes) -> None:
        """Append what runs told; a task that changed in nothing else gets its new count alone, an update of one column that no index holds."""
        for position, event in enumerate(changes.task_events, self._position + 1):
            event.position = position
        self._position += len(changes.task_events)
        self._insert(INSERT_TASK_EVENT, [task_events.values_of(event) for event in changes.task_events])
        newest = {event.task_id: event for event in changes.task_events}
        written = changes.tasks.keys() | {item.task.seq for item in changes.new_tasks}
        counts = [event for event in newest.values() if event.task_ref not in written]
        self._many(COUNT_TASK_EVENTS, [(event.seq, event.task_ref) for event in counts])
        for event in counts:
            row = self._live.get(event.task_id)
            if row is not None:
                self._live[event.task_id] = rows.with_event_seq(row, event.seq)

    def _write_router(self, changes: Changes) -> None:
        many = self._many
        many(SAVE_PLAN, [route_rows.plan_values(planned) for planned in changes.plans])
        many(
            FORGET_PLANS,
            [(seq, plan.version - PLANS_KEPT) for seq, plan in changes.plans if plan.version > PLANS_KEPT],
        )
        many(FORGET_INSTANCE, [(name,) for name, found in changes.instances.items() if found is None])
        many(
            SAVE_INSTANCE,
            [route_rows.instance_values(found) for found in changes.instances.values() if found is not None],
        )
        many(FORGET_HOST, [(name,) for name, found in changes.hosts.items() if found is None])
        many(
            SAVE_HOST, [host_rows.host_values(found) for found in changes.hosts.values() if found is not None]
        )
        many(SAVE_BREAKER, [route_rows.breaker_values(breaker) for breaker in changes.breakers.values()])

    def _write_rollouts(self, changes: Changes) -> None:
        many, states, salts = self._many, changes.rollout_states, changes.rollout_salts
        many(FORGET_ROLLOUT, [(name,) for name, found in changes.rollouts.items() if found is None])
        many(
            SAVE_ROLLOUT,
            [rollout_rows.rollout_values(found) for found in changes.rollouts.values() if found is not None],
        )
        many(FORGET_SALT, [(name,) for name, found in salts.items() if found is None])
        many(SAVE_SALT, [(name, *found) for name, found in salts.items() if found is not None])
        many(FORGET_STATE, [scope for scope, found in states.items() if found is None])
        many(
            SAVE_STATE,
            [rollout_rows.state_values(scope, found) for scope, found in states.items() if found is not None],
        )
        many(INSERT_COMPARISON, [rollout_rows.comparison_values(each) for each in changes.comparisons])
        sides = changes.sides.values()
        many(END_PRIMARY, [rollout_rows.side_values(done) for done in sides if not done.shadow])
        many(END_SHADOW, [rollout_rows.side_values(done) for done in sides if done.shadow])

    def _write_tasks(self, changes: Changes) -> None:
        new = [item.task for item in changes.new_tasks]
        inserted = {task.seq for task in new}
        changed = [task for task in changes.tasks.values() if task.seq not in inserted]
        # Places are numbers of the same row of seqs: a replay uses one up without inserting a task.
        places = [task.place for task in (*changed, *new)]
        self._task_seq = max((self._task_seq, *places, *inserted))
        # Terminal ones first: what frees an external reference is written before what takes it.
        self._update(task for task in changed if task.terminal)
        self._update(task for task in changed if not task.terminal)
        if not new:
            return
        new.sort(key=lambda task: not task.terminal)
        values = [rows.task_values(task) for task in new]
        self._live.update((task.id, row) for task, row in zip(new, values, strict=True) if task.live)
        self._insert(INSERT_TASK, values)
        self._insert(INSERT_SPEC, [(item.task.seq, rows.spec_text(item.spec)) for item in changes.new_tasks])
        self._many(
            INSERT_INPUT,
            [
                (n.task.seq, n.input.content_type, n.input.data)
                for n in changes.new_tasks
                if n.input is not None
            ],
        )

    def _update(self, tasks: Iterable[Task]) -> None:
        live = self._live
        values = []
        for task in tasks:
            changes = rows.task_changes(task)
            values.append((*changes, task.seq))
            if task.live:
                live[task.id] = (*rows.task_fixed(task), *changes)
            else:
                live.pop(task.id, None)
        self._many(UPDATE_TASK, values)

    def _add_figures(self, minute: int, figures: Minute) -> None:
        values = rows.minute_values(figures)
        if any(values):
            self._connection.execute(ADD_MINUTE, (minute, *values))
            self._connection.execute(ADD_TOTALS, values)


@cache
def _joined(statement: str, width: int) -> str:
    """Return an insert of ROWS rows; asked for with few statements."""
    return statement + f", ({marks(width)})" * (ROWS - 1)


def _standing(changes: Changes) -> list[tuple[int, int, int]]:
    """
    Return the entries (task seq, kind, at) that still hold at the end of the write.

    Within one write an entry may be replaced (the last one counts) or taken back (the task's `due` no longer says so).
    """
    if not changes.due:
        return []
    tasks = {item.task.seq: item.task for item in changes.new_tasks} | changes.tasks
    last: dict[tuple[int, int], Due] = {(entry.task_seq, entry.kind): entry for entry in changes.due}
    standing = []
    for (seq, kind), entry in last.items():
        task = tasks.get(seq)
        if task is None or task.due & kind:
            standing.append((seq, kind, entry.at))
    return standing
