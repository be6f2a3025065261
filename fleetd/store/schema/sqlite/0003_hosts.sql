-- Execution hosts as they were defined, and how they are. Times are UTC epoch milliseconds; '' means unset.
CREATE TABLE hosts (
    id         TEXT PRIMARY KEY,
    definition TEXT NOT NULL,
    state      INTEGER NOT NULL,
    reason     TEXT NOT NULL,
    since      INTEGER NOT NULL,
    held       INTEGER NOT NULL
);
