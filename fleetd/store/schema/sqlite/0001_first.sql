-- Times are UTC epoch milliseconds, durations milliseconds; 0 and '' mean unset.
-- Indexes name no seq: it is the rowid, and SQLite keeps every index in order of it within equal keys.

CREATE TABLE daemons (
    daemon_id  TEXT PRIMARY KEY,
    generation INTEGER NOT NULL,
    last_batch INTEGER NOT NULL DEFAULT 0,
    task_seq   INTEGER NOT NULL DEFAULT 0,
    event_seq  INTEGER NOT NULL DEFAULT 0
);

-- Columns that never change come first; the others are what an update sets.
CREATE TABLE tasks (
    seq                 INTEGER PRIMARY KEY,
    id                  TEXT NOT NULL UNIQUE,
    org_id              TEXT NOT NULL,
    task_type           TEXT NOT NULL,
    created_at          INTEGER NOT NULL,
    exclusive           INTEGER NOT NULL,
    retry               TEXT,
    parent_id           TEXT NOT NULL,
    external_ref        TEXT NOT NULL,
    idempotency_key     TEXT NOT NULL,
    body_hash           BLOB NOT NULL,
    status              INTEGER NOT NULL,
    priority            INTEGER NOT NULL,
    lane                INTEGER NOT NULL,
    place               INTEGER NOT NULL,
    queued              INTEGER NOT NULL,
    mode                INTEGER NOT NULL,
    mode_source         INTEGER NOT NULL,
    lease_epoch         INTEGER NOT NULL,
    agent_id            TEXT NOT NULL,
    session_epoch       INTEGER NOT NULL,
    accepted            INTEGER NOT NULL,
    "order"             INTEGER NOT NULL,
    order_at            INTEGER NOT NULL,
    ending              INTEGER NOT NULL,
    attempt             INTEGER NOT NULL,
    max_attempts        INTEGER NOT NULL,
    losses              INTEGER NOT NULL,
    replays             INTEGER NOT NULL,
    dead_reason         TEXT NOT NULL,
    progress            INTEGER NOT NULL,
    progress_message    TEXT NOT NULL,
    progress_at         INTEGER NOT NULL,
    version             INTEGER NOT NULL,
    events              INTEGER NOT NULL,
    updated_at          INTEGER NOT NULL,
    queued_at           INTEGER NOT NULL,
    run_at              INTEGER NOT NULL,
    assigned_at         INTEGER NOT NULL,
    started_at          INTEGER NOT NULL,
    finished_at         INTEGER NOT NULL,
    cancel_requested_at INTEGER NOT NULL,
    deadline            INTEGER NOT NULL,
    start_by            INTEGER NOT NULL,
    timeout             INTEGER NOT NULL,
    due                 INTEGER NOT NULL,
    error_code          TEXT NOT NULL,
    error_message       TEXT NOT NULL,
    reserved_agent      TEXT NOT NULL
);

-- The queue: claims and lane heads.
CREATE INDEX tasks_queued ON tasks (lane, place) WHERE queued = 1;
-- PENDING without a place (delays, waits between attempts): counted by org at every start.
CREATE INDEX tasks_delayed ON tasks (org_id) WHERE status = 1 AND queued = 0;
-- ASSIGNED and RUNNING: what an agent holds, and recovery.
CREATE INDEX tasks_live ON tasks (agent_id) WHERE status BETWEEN 2 AND 3;
-- Everything but the states that nearly every task passes through: lists by status.
CREATE INDEX tasks_by_status ON tasks (status) WHERE status > 4;
-- COMPLETED, FAILED, CANCELLED, and apart from them DEAD_LETTER and DISCARDED, which are kept longer: retention.
CREATE INDEX tasks_over ON tasks (finished_at) WHERE status BETWEEN 4 AND 6;
CREATE INDEX tasks_dead ON tasks (finished_at) WHERE status BETWEEN 8 AND 9;
CREATE UNIQUE INDEX tasks_by_key ON tasks (org_id, idempotency_key) WHERE idempotency_key <> '';
-- PENDING, ASSIGNED, RUNNING, BLOCKED: an external reference is free again once its task is terminal.
CREATE UNIQUE INDEX tasks_by_open_ref ON tasks (org_id, external_ref)
    WHERE external_ref <> '' AND (status <= 3 OR status = 7);
CREATE INDEX tasks_by_ref ON tasks (external_ref) WHERE external_ref <> '';
CREATE INDEX tasks_by_parent ON tasks (parent_id) WHERE parent_id <> '';

CREATE TABLE task_specs (
    seq  INTEGER PRIMARY KEY,
    spec TEXT NOT NULL
);

CREATE TABLE task_inputs (
    seq          INTEGER PRIMARY KEY,
    content_type TEXT NOT NULL,
    data         BLOB NOT NULL
);

CREATE TABLE task_checkpoints (
    seq             INTEGER PRIMARY KEY,
    step_id         TEXT NOT NULL,
    saved_at        INTEGER NOT NULL,
    completed_steps TEXT NOT NULL,
    data            BLOB NOT NULL
);

CREATE TABLE runs (
    task_seq      INTEGER NOT NULL,
    lease_epoch   INTEGER NOT NULL,
    agent_id      TEXT NOT NULL,
    attempt       INTEGER NOT NULL,
    ending        INTEGER NOT NULL,
    status        INTEGER NOT NULL,
    error_code    TEXT NOT NULL,
    error_message TEXT NOT NULL,
    started_at    INTEGER NOT NULL,
    finished_at   INTEGER NOT NULL,
    artifacts     TEXT,
    output_type   TEXT,
    output        BLOB,
    PRIMARY KEY (task_seq, lease_epoch)
) WITHOUT ROWID;

-- task_ref is the seq of the task, task_seq counts the events within it.
CREATE TABLE events (
    seq      INTEGER PRIMARY KEY,
    type     INTEGER NOT NULL,
    time     INTEGER NOT NULL,
    task_ref INTEGER NOT NULL,
    task_id  TEXT NOT NULL,
    task_seq INTEGER NOT NULL,
    agent_id TEXT NOT NULL,
    org_id   TEXT NOT NULL,
    payload  TEXT
);
CREATE INDEX events_by_task ON events (task_ref) WHERE task_ref > 0;

-- One entry for each kind of thing to do later with a task.
CREATE TABLE due (
    task_seq INTEGER NOT NULL,
    kind     INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (task_seq, kind)
) WITHOUT ROWID;
CREATE INDEX due_by_time ON due (at, kind, task_seq);

CREATE TABLE lanes (
    id           INTEGER PRIMARY KEY,
    org_id       TEXT NOT NULL,
    capabilities TEXT NOT NULL,
    mode         INTEGER NOT NULL,
    priority     INTEGER NOT NULL,
    agent        TEXT NOT NULL,
    UNIQUE (org_id, capabilities, mode, priority, agent)
);

-- What operators set for an org or a capability; 0 = no limit.
CREATE TABLE limits (
    kind        TEXT NOT NULL,
    name        TEXT NOT NULL,
    weight      REAL NOT NULL,
    max_running INTEGER NOT NULL,
    max_pending INTEGER NOT NULL,
    paused      INTEGER NOT NULL,
    reason      TEXT NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;

CREATE TABLE audits (
    id     INTEGER PRIMARY KEY,
    at     INTEGER NOT NULL,
    actor  TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    reason TEXT NOT NULL
);
CREATE INDEX audits_by_target ON audits (target);
CREATE INDEX audits_by_action ON audits (action);

CREATE TABLE lineage (
    id           INTEGER PRIMARY KEY,
    task_seq     INTEGER NOT NULL,
    kind         TEXT NOT NULL,
    from_task_id TEXT NOT NULL,
    at           INTEGER NOT NULL,
    detail       TEXT NOT NULL
);
CREATE INDEX lineage_by_task ON lineage (task_seq);
CREATE INDEX lineage_by_origin ON lineage (from_task_id);

CREATE TABLE agents (
    agent_id             TEXT PRIMARY KEY,
    spec                 TEXT NOT NULL,
    registered_at        INTEGER NOT NULL,
    last_heartbeat_at    INTEGER NOT NULL,
    stopped              INTEGER NOT NULL,
    draining             INTEGER NOT NULL,
    error_since          INTEGER NOT NULL,
    status_reason        TEXT NOT NULL,
    consecutive_failures INTEGER NOT NULL,
    completed            INTEGER NOT NULL,
    failed               INTEGER NOT NULL,
    run_ms               INTEGER NOT NULL,
    "order"              INTEGER NOT NULL,
    order_id             TEXT NOT NULL,
    order_deadline       INTEGER NOT NULL,
    session_open         INTEGER NOT NULL,
    session_epoch        INTEGER NOT NULL,
    session_kind         INTEGER NOT NULL,
    incarnation          TEXT NOT NULL,
    retired              TEXT NOT NULL,
    lease_duration       INTEGER NOT NULL
);

CREATE TABLE counts (
    status INTEGER PRIMARY KEY,
    n      INTEGER NOT NULL
);

-- What happened within each epoch minute; totals is the one row of sums since the store was made.
CREATE TABLE minutes (
    minute      INTEGER PRIMARY KEY,
    submitted   INTEGER NOT NULL,
    started     INTEGER NOT NULL,
    wait_ms     INTEGER NOT NULL,
    completed   INTEGER NOT NULL,
    run_ms      INTEGER NOT NULL,
    failed      INTEGER NOT NULL,
    cancelled   INTEGER NOT NULL,
    dead_letter INTEGER NOT NULL
);

CREATE TABLE totals (
    submitted   INTEGER NOT NULL,
    started     INTEGER NOT NULL,
    wait_ms     INTEGER NOT NULL,
    completed   INTEGER NOT NULL,
    run_ms      INTEGER NOT NULL,
    failed      INTEGER NOT NULL,
    cancelled   INTEGER NOT NULL,
    dead_letter INTEGER NOT NULL
);
INSERT INTO totals VALUES (0, 0, 0, 0, 0, 0, 0, 0);
