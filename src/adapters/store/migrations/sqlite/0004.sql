-- Storms: which Playbook a run is of, what began on which target lately, and which run those of one incident join.
-- Working state; no record and in no backup.
ALTER TABLE run ADD COLUMN playbook TEXT;
CREATE INDEX run_namespace ON run (namespace, since);

CREATE TABLE begun (
    key TEXT NOT NULL,
    run TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    playbook TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (key, run)
) STRICT, WITHOUT ROWID;
CREATE INDEX begun_at ON begun (at);

CREATE TABLE incident (
    namespace TEXT NOT NULL,
    key TEXT NOT NULL,
    run TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    PRIMARY KEY (namespace, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE joined (
    run TEXT NOT NULL PRIMARY KEY,
    owner TEXT NOT NULL,
    name TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX joined_owner ON joined (owner);

PRAGMA user_version = 4;
