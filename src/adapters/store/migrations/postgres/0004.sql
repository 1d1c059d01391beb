-- Storms: which Playbook a run is of, what began on which target lately, and which run those of one incident join.
-- Working state; no record and in no backup.
ALTER TABLE neuralops.run ADD COLUMN playbook TEXT COLLATE "C";
CREATE INDEX run_namespace ON neuralops.run (namespace, since);

CREATE TABLE neuralops.begun (
    key TEXT COLLATE "C" NOT NULL,
    run TEXT COLLATE "C" NOT NULL,
    namespace TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    playbook TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (key, run)
);
CREATE INDEX begun_at ON neuralops.begun (at);

CREATE TABLE neuralops.incident (
    namespace TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    run TEXT COLLATE "C" NOT NULL UNIQUE,
    name TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (namespace, key)
);

CREATE TABLE neuralops.joined (
    run TEXT COLLATE "C" PRIMARY KEY,
    owner TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL
);
CREATE INDEX joined_owner ON neuralops.joined (owner);

UPDATE neuralops.schema SET version = 4 WHERE one = 1;
