-- The runs that are under way, and what each has to itself: a plan outlives its ConfigMap, and a target has one run at a
-- time. Working state; no record and in no backup.
CREATE TABLE run (
    uid TEXT NOT NULL PRIMARY KEY,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    plan BLOB NOT NULL CHECK (length(plan) <= 524288),
    since INTEGER NOT NULL
) STRICT;

CREATE TABLE lock (
    key TEXT NOT NULL PRIMARY KEY,
    run TEXT NOT NULL REFERENCES run (uid)
) STRICT;
CREATE INDEX lock_run ON lock (run);

PRAGMA user_version = 3;
