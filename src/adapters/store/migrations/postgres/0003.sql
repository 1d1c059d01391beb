-- The runs that are under way, and what each has to itself: a plan outlives its ConfigMap, and a target has one run at a
-- time. Working state; no record and in no backup.
CREATE TABLE neuralops.run (
    uid TEXT COLLATE "C" PRIMARY KEY,
    namespace TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    plan BYTEA NOT NULL CHECK (length(plan) <= 524288),
    since BIGINT NOT NULL
);

CREATE TABLE neuralops.lock (
    key TEXT COLLATE "C" PRIMARY KEY,
    run TEXT COLLATE "C" NOT NULL REFERENCES neuralops.run (uid)
);
CREATE INDEX lock_run ON neuralops.lock (run);

UPDATE neuralops.schema SET version = 3 WHERE one = 1;
