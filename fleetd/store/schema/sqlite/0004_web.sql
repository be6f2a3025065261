-- Deliveries of webhooks that were taken, so that a repeat changes nothing and gets the same answer. Times are UTC epoch milliseconds.

CREATE TABLE deliveries (
    source  TEXT NOT NULL,
    id      TEXT NOT NULL,
    task_id TEXT NOT NULL,
    ignored TEXT NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (source, id)
) WITHOUT ROWID;

CREATE INDEX deliveries_by_time ON deliveries (at);
