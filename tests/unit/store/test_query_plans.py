"""Every statement on a hot path walks the index made for it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from fleetd.core.task import Status, TaskFilter
from fleetd.store import comparisons, load, migrations, reads, retention, task_events, transaction

BY_ROWID = "USING INTEGER PRIMARY KEY (rowid"
BY_ID = "USING INDEX sqlite_autoindex_tasks_1 (id=?)"

HOT = {
    "load.BY_ID": (load.BY_ID, [f"SEARCH t {BY_ID}"]),
    "load.BY_SEQ": (load.BY_SEQ, [f"SEARCH t {BY_ROWID}=?)"]),
    "load.BY_KEY": (load.BY_KEY, ["SEARCH t USING INDEX tasks_by_key (org_id=? AND idempotency_key=?)"]),
    "load.BY_OPEN_REF": (
        load.BY_OPEN_REF,
        ["SEARCH t USING INDEX tasks_by_open_ref (org_id=? AND external_ref=?)"],
    ),
    "load.HELD_BY": (load.HELD_BY, ["SEARCH t USING INDEX tasks_live (agent_id=?)"]),
    "load.RUNS": (load.RUNS, [f"{BY_ID}", "SEARCH r USING PRIMARY KEY (task_seq=? AND lease_epoch=?)"]),
    "load.SPECS": (load.SPECS, [f"{BY_ID}", f"SEARCH s {BY_ROWID}=?)"]),
    "load.CHECKPOINTS": (load.CHECKPOINTS, [f"{BY_ID}", f"SEARCH c {BY_ROWID}=?)"]),
    "load.HEADS": (load.HEADS, ["SEARCH t USING INDEX tasks_queued (lane=? AND place>?)"]),
    "load.BLOCKED": (load.BLOCKED, ["SEARCH t USING INDEX tasks_blocked (blocked=?)"]),
    "load.PARTS": (load.PARTS, [f"SEARCH {table} {BY_ROWID}=?)" for table in "sic"]),
    "transaction.UPDATE_TASK": (transaction.UPDATE_TASK, [f"SEARCH tasks {BY_ROWID}=?)"]),
    "transaction.UPDATE_SPEC": (transaction.UPDATE_SPEC, [f"SEARCH task_specs {BY_ROWID}=?)"]),
    "transaction.FORGET_PLANS": (
        transaction.FORGET_PLANS,
        ["SEARCH plans USING PRIMARY KEY (task_seq=? AND version<?)"],
    ),
    "transaction.FORGET_DUE": (transaction.FORGET_DUE, ["SEARCH due USING PRIMARY KEY (task_seq=?)"]),
    "transaction.FORGET_AGENT": (transaction.FORGET_AGENT, ["SEARCH agents USING INDEX"]),
    "transaction.FORGET_HOST": (transaction.FORGET_HOST, ["SEARCH hosts USING INDEX"]),
    "transaction.FORGET_INSTANCE": (transaction.FORGET_INSTANCE, ["SEARCH instances USING INDEX"]),
    "transaction.FIND_LANE": (transaction.FIND_LANE, ["SEARCH lanes USING INDEX"]),
    "reads.TASKS": (reads.TASKS, [f"{BY_ID}", f"SEARCH s {BY_ROWID}=?)"]),
    "reads.TASK_SEQ": (reads.TASK_SEQ, ["SEARCH tasks USING INDEX sqlite_autoindex_tasks_1 (id=?)"]),
    "reads.RUNS": (reads.RUNS, ["SEARCH r USING PRIMARY KEY (task_seq=?)"]),
    "reads.PLANS": (reads.PLANS, [f"{BY_ID}", "SEARCH p USING PRIMARY KEY (task_seq=?)"]),
    "reads.DUE": (reads.DUE, ["SCAN due USING INDEX due_by_time"]),
    "reads.AHEAD": (reads.AHEAD, ["SEARCH tasks USING INDEX tasks_queued (lane=? AND place<?)"]),
    "reads.DEAD_LETTERS": (reads.DEAD_LETTERS, ["SEARCH tasks USING INDEX tasks_by_status (status=?)"]),
    "audit lines": (reads.audit_page("", "")[0], [f"SEARCH audits {BY_ROWID}<?)"]),
    "audit lines about a target": (
        reads.audit_page("", "t")[0],
        ["SEARCH audits USING INDEX audits_by_target (target=? AND rowid<?)"],
    ),
    "audit lines of an action": (
        reads.audit_page("a", "")[0],
        ["SEARCH audits USING INDEX audits_by_action (action=? AND rowid<?)"],
    ),
    "audit lines of an action about a target": (
        reads.audit_page("a", "t")[0],
        ["SEARCH audits USING INDEX audits_by_target (target=? AND rowid<?)"],
    ),
    "load.DELIVERIES": (load.DELIVERIES, ["SEARCH d USING PRIMARY KEY (source=? AND id=?)"]),
    "retention.FORGET_DELIVERIES": (
        retention.FORGET_DELIVERIES,
        ["SEARCH deliveries USING INDEX deliveries_by_time (at<?)"],
    ),
    "retention.OVER": (retention.OVER, ["SEARCH tasks USING INDEX tasks_over (finished_at<?)"]),
    "retention.DEAD": (retention.DEAD, ["SEARCH tasks USING INDEX tasks_dead (finished_at<?)"]),
    "retention.FORGET_EVENTS": (retention.FORGET_EVENTS, [f"SEARCH events {BY_ROWID}<?)"]),
    "retention.OLDEST_AUDITS": (retention.OLDEST_AUDITS, [f"SEARCH audits {BY_ROWID}<?)", "SEARCH audits"]),
    "retention.FORGET_AUDITS": (retention.FORGET_AUDITS, [f"SEARCH audits {BY_ROWID}<?)"]),
    "retention.FORGET_TASK_EVENTS": (
        retention.FORGET_TASK_EVENTS,
        [f"SEARCH task_events {BY_ROWID}=?)"],
    ),
    "retention.TOLD": (
        retention.TOLD,
        ["SEARCH task_events USING INDEX task_events_by_task (task_ref=?)"],
    ),
    "retention.STILL_TOLD": (
        retention.STILL_TOLD,
        ["SEARCH task_events USING INDEX task_events_by_task (task_ref=?)"],
    ),
    "transaction.COUNT_TASK_EVENTS": (transaction.COUNT_TASK_EVENTS, [f"SEARCH tasks {BY_ROWID}=?)"]),
    "task_events.TASK": (task_events.TASK, ["SEARCH tasks USING INDEX sqlite_autoindex_tasks_1 (id=?)"]),
    "task_events.OLDEST_OF_TASK": (
        task_events.OLDEST_OF_TASK,
        ["SEARCH task_events USING INDEX task_events_by_task (task_ref=?)"],
    ),
    "task_events.OF_TASK": (
        task_events.OF_TASK,
        ["SEARCH task_events USING INDEX task_events_by_task (task_ref=? AND seq>?)"],
    ),
    "task_events.OF_ALL": (
        task_events.OF_ALL,
        [f"SEARCH e {BY_ROWID}>?)", f"SEARCH t {BY_ROWID}=?)"],
    ),
    "retention.OLDEST_COMPARISONS": (
        retention.OLDEST_COMPARISONS,
        [f"SEARCH comparisons {BY_ROWID}<?)", "SEARCH comparisons"],
    ),
    "retention.FORGET_COMPARISONS": (retention.FORGET_COMPARISONS, [f"SEARCH comparisons {BY_ROWID}<?)"]),
    "transaction.FORGET_ROLLOUT": (transaction.FORGET_ROLLOUT, ["SEARCH rollouts USING INDEX"]),
    "transaction.FORGET_SALT": (transaction.FORGET_SALT, ["SEARCH rollout_salts USING INDEX"]),
    "transaction.FORGET_STATE": (
        transaction.FORGET_STATE,
        ["SEARCH rollout_states USING PRIMARY KEY (rollout=? AND org_id=?)"],
    ),
    "transaction.END_PRIMARY": (transaction.END_PRIMARY, ["SEARCH comparisons USING INDEX", "(id=?)"]),
    "transaction.END_SHADOW": (transaction.END_SHADOW, ["SEARCH comparisons USING INDEX", "(id=?)"]),
    "comparisons.ALL": (comparisons.ALL, [f"SEARCH comparisons {BY_ROWID}<?)"]),
    "comparisons.OF_ROLLOUT": (
        comparisons.OF_ROLLOUT,
        ["SEARCH comparisons USING INDEX comparisons_by_rollout (rollout=? AND rowid<?)"],
    ),
    "reads.EVENT_CUT": (reads.EVENT_CUT, [f"SEARCH events {BY_ROWID}>?)"]),
    "events by seq": (
        reads.event_page("NOT INDEXED", "agent_id = ?"),
        [f"SEARCH events {BY_ROWID}>? AND rowid<?)"],
    ),
    "events of a task": (
        reads.event_page("INDEXED BY events_by_task", "task_ref = ? AND task_ref > 0 AND type IN (?)"),
        ["SEARCH events USING INDEX events_by_task (task_ref=? AND rowid>? AND rowid<?)"],
    ),
}

LISTS = {
    "all": (TaskFilter(org_id="o"), f"SEARCH t {BY_ROWID}"),
    "pending": (TaskFilter(statuses=frozenset({Status.PENDING})), f"SEARCH t {BY_ROWID}"),
    "one ended status": (
        TaskFilter(statuses=frozenset({Status.FAILED})),
        "SEARCH t USING INDEX tasks_by_status (status=? AND rowid>? AND rowid<?)",
    ),
    "dead letters": (
        TaskFilter(statuses=frozenset({Status.DEAD_LETTER}), dead_reason="POISON", finished_before=1),
        "SEARCH t USING INDEX tasks_by_status (status=? AND rowid>? AND rowid<?)",
    ),
    "parent": (
        TaskFilter(parent_id="p"),
        "SEARCH t USING INDEX tasks_by_parent (parent_id=? AND rowid>? AND rowid<?)",
    ),
    "reference": (
        TaskFilter(external_ref="r"),
        "SEARCH t USING INDEX tasks_by_ref (external_ref=? AND rowid>? AND rowid<?)",
    ),
    "an agent's leases": (
        TaskFilter(statuses=frozenset({Status.RUNNING}), agent_id="a"),
        "SEARCH t USING INDEX tasks_live (agent_id=? AND rowid>? AND rowid<?)",
    ),
}


@pytest.fixture(scope="module")
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrations.migrate(connection, migrations.known("sqlite"))
        yield connection


def plan(connection: sqlite3.Connection, statement: str) -> str:
    numbered = {*re.findall(r"\?(\d+)", statement)}
    values = [None] * (len(numbered) or statement.count("?"))
    lines = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
    # Whether an index also covers the columns is told differently by different releases of SQLite.
    return "\n".join(lines).replace("COVERING ", "")


@pytest.mark.parametrize("name", HOT)
def test_a_hot_statement_uses_its_index(connection, name):
    """S7: its cost does not grow with the store"""
    statement, expected = HOT[name]
    found = plan(connection, statement)

    for part in expected:
        assert part in found
    assert "TEMP B-TREE" not in found
    assert "SCAN t" not in found
    assert "SCAN tasks" not in found


@pytest.mark.parametrize("statement", retention.FORGET_TASKS)
def test_a_task_is_forgotten_through_its_seq(connection, statement):
    """D12"""
    found = plan(connection, statement)

    assert "SEARCH" in found
    assert re.search(r"\((rowid|task_seq|seq)=\?\)", found)
    assert not re.search(r"SCAN (?!json_each)", found)


@pytest.mark.parametrize("name", LISTS)
def test_a_list_walks_its_index_in_order(connection, name):
    """S7: pages examine a bounded number of rows"""
    wanted, expected = LISTS[name]
    for way in reads.ways(wanted):
        page, cut = plan(connection, way.page("t.org_id = ?")), plan(connection, way.cut())
        assert expected in page
        for found in (page, cut):
            assert "TEMP B-TREE" not in found
            assert "SCAN t" not in found


def test_lane_counts_come_from_the_index_of_queued_tasks_alone(connection):
    """D7: a start with a million waiting tasks reads no task but the heads"""
    found = plan(connection, reads.LANES)

    assert "SCAN tasks USING INDEX tasks_queued" in found
    assert "SEARCH t USING INTEGER PRIMARY KEY (rowid=?)" in found


def test_delayed_and_blocked_tasks_are_counted_in_the_index_of_them_alone(connection):
    """D10, R6: a start with many delayed or blocked tasks reads none of them"""
    assert plan(connection, reads.DELAYED) == "SCAN tasks USING INDEX tasks_unplaced"


def test_groups_of_blocked_tasks_come_from_the_index_of_them_and_one_task_each(connection):
    """R6: a start with many blocked tasks reads one of each group"""
    found = plan(connection, reads.BLOCKED)

    assert "SCAN tasks USING INDEX tasks_blocked" in found
    assert "SEARCH t USING INTEGER PRIMARY KEY (rowid=?)" in found
    assert "TEMP B-TREE" not in found


def test_open_shadows_come_from_the_index_of_them_alone(connection):
    """G2: a start with many comparisons reads none that is closed"""
    assert plan(connection, reads.OPEN_SHADOWS) == "SCAN comparisons USING INDEX comparisons_open"


def test_a_comparison_is_found_by_each_of_its_ids(connection):
    """G2: of all comparisons those alone are read that have it"""
    found = plan(connection, comparisons.OF_ID)

    assert f"SEARCH comparisons {BY_ROWID}=?)" in found
    assert re.search(r"SEARCH comparisons USING INDEX sqlite_autoindex_comparisons_1 \(id=\?\)", found)
    assert "SEARCH comparisons USING INDEX comparisons_by_primary (primary_id=?)" in found
    assert "SCAN comparisons" not in found


def test_no_index_is_conditional_on_a_list(connection):
    """S7: SQLite builds a table of a list of more than two for every row that is written; decision 6"""
    indexes = connection.execute("SELECT sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL")

    assert not [sql for (sql,) in indexes if " IN " in sql]


def test_every_statement_on_tasks_is_looked_at():
    """A statement added to the hot modules must be added here too."""
    known = {statement for statement, _ in HOT.values()}
    known |= {reads.OPEN_SHADOWS, comparisons.OF_ID}
    known |= {reads.LANES, reads.DELAYED, reads.BLOCKED, reads.LIVE_TASKS, reads.LINEAGE, reads.OLDEST_EVENT}
    for module in (comparisons, load, reads, retention, task_events, transaction):
        for name, value in vars(module).items():
            if name.isupper() and isinstance(value, str) and not name.startswith("_") and " WHERE " in value:
                assert value in known, f"{module.__name__}.{name}"
