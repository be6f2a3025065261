-- The Router. Times are UTC epoch milliseconds; 0 and '' mean unset.

-- NULL for a task without route requirements: most of them.
ALTER TABLE tasks ADD COLUMN route TEXT;
-- What a BLOCKED task waits for: the same number for equal requirements, positive or negative; 0 for every other task.
ALTER TABLE tasks ADD COLUMN blocked INTEGER NOT NULL DEFAULT 0;

-- BLOCKED tasks by what they wait for, in order of place: looked through whenever something changes that they may wait for.
CREATE INDEX tasks_blocked ON tasks (blocked, place) WHERE status = 7;
-- PENDING without a place, and BLOCKED, which never has one: counted by org at every start.
DROP INDEX tasks_delayed;
CREATE INDEX tasks_unplaced ON tasks (org_id) WHERE queued = 0 AND (status = 1 OR status = 7);

-- Model instances as they were defined, and how they are.
CREATE TABLE instances (
    id          TEXT PRIMARY KEY,
    definition  TEXT NOT NULL,
    state       INTEGER NOT NULL,
    reason      TEXT NOT NULL,
    since       INTEGER NOT NULL,
    latency     REAL,
    held        INTEGER NOT NULL,
    credentials INTEGER NOT NULL
);

CREATE TABLE breakers (
    kind       INTEGER NOT NULL,
    name       TEXT NOT NULL,
    state      INTEGER NOT NULL,
    failures   INTEGER NOT NULL,
    opened_at  INTEGER NOT NULL,
    retry_at   INTEGER NOT NULL,
    last_error TEXT NOT NULL,
    forced     INTEGER NOT NULL,
    epoch      INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;

-- Every version of the plan of a task.
CREATE TABLE plans (
    task_seq INTEGER NOT NULL,
    version  INTEGER NOT NULL,
    plan     TEXT NOT NULL,
    PRIMARY KEY (task_seq, version)
) WITHOUT ROWID;
