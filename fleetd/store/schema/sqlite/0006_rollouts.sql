-- Gradual rollouts between two modes. Times are UTC epoch milliseconds, durations milliseconds; 0 and '' mean unset.

-- Definitions that came by RPC; those of files and the environment are read at every start.
CREATE TABLE rollouts (
    name       TEXT PRIMARY KEY,
    definition TEXT NOT NULL,
    version    INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);

-- What buckets are made with, whoever defines the rollout: another salt would move everybody.
CREATE TABLE rollout_salts (
    rollout      TEXT PRIMARY KEY,
    salt         TEXT NOT NULL,
    hash_version INTEGER NOT NULL
);

-- Where a rollout (org_id '') and single orgs of it stand.
CREATE TABLE rollout_states (
    rollout       TEXT NOT NULL,
    org_id        TEXT NOT NULL,
    phase         INTEGER NOT NULL,
    reason        TEXT NOT NULL,
    since         INTEGER NOT NULL,
    until         INTEGER NOT NULL,
    dwell         INTEGER NOT NULL,
    failed_trials INTEGER NOT NULL,
    epoch         INTEGER NOT NULL,
    forced        TEXT,
    PRIMARY KEY (rollout, org_id)
) WITHOUT ROWID;

-- Work beside its shadow. `open` while the shadow is a task that holds one of the rollout's places.
CREATE TABLE comparisons (
    number           INTEGER PRIMARY KEY,
    id               TEXT NOT NULL UNIQUE,
    rollout          TEXT NOT NULL,
    org_id           TEXT NOT NULL,
    created_at       INTEGER NOT NULL,
    finished_at      INTEGER NOT NULL,
    open             INTEGER NOT NULL,
    primary_id       TEXT NOT NULL,
    primary_mode     TEXT NOT NULL,
    primary_finished INTEGER NOT NULL,
    primary_code     TEXT NOT NULL,
    primary_latency  INTEGER NOT NULL,
    primary_size     INTEGER NOT NULL,
    primary_digest   TEXT NOT NULL,
    shadow_id        TEXT NOT NULL,
    shadow_mode      TEXT NOT NULL,
    shadow_finished  INTEGER NOT NULL,
    shadow_code      TEXT NOT NULL,
    shadow_latency   INTEGER NOT NULL,
    shadow_size      INTEGER NOT NULL,
    shadow_digest    TEXT NOT NULL
);
CREATE INDEX comparisons_by_rollout ON comparisons (rollout);
CREATE INDEX comparisons_by_primary ON comparisons (primary_id);
CREATE INDEX comparisons_open ON comparisons (rollout) WHERE open = 1;

-- How the mode of a task was decided.
ALTER TABLE tasks ADD COLUMN rollout TEXT;
