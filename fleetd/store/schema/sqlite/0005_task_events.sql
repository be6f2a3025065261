-- What runs tell while they work. Times are UTC epoch milliseconds.

-- Numbers of the newest task event: of all tasks, which is never given again, and of one task; `base` is the latter when the present lease began.
ALTER TABLE daemons ADD COLUMN task_event_position INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN task_event_base INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN task_event_seq INTEGER NOT NULL DEFAULT 0;

-- `body` is a fleet.v1.TaskEvent without what the daemon sets; it holds an id when `named`, and a timestamp when `timed`.
CREATE TABLE task_events (
    position    INTEGER PRIMARY KEY,
    task_ref    INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    lease_epoch INTEGER NOT NULL,
    time        INTEGER NOT NULL,
    named       INTEGER NOT NULL,
    timed       INTEGER NOT NULL,
    body        BLOB NOT NULL
);
CREATE UNIQUE INDEX task_events_by_task ON task_events (task_ref, seq);
