-- Text is compared by its bytes: an index must outlive the host's next library of collations.
CREATE TABLE neuralops.schema (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    version BIGINT NOT NULL
);
INSERT INTO neuralops.schema (one, version) VALUES (1, 1);

-- The newest leadership; whoever writes under an older one is refused.
CREATE TABLE neuralops.writer (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    epoch BIGINT NOT NULL
);
INSERT INTO neuralops.writer (one, epoch) VALUES (1, 0);

-- pending: begun, without leaves, replaced by the next one begun. current: grows. closed: grew once.
-- restored: put back from a backup, or being put back; only promotion makes it grow, and nothing replaces it.
CREATE TABLE neuralops.log (
    number BIGINT PRIMARY KEY,
    origin TEXT COLLATE "C" NOT NULL UNIQUE,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('pending', 'current', 'closed', 'restored')),
    size BIGINT NOT NULL CHECK (size >= 0),
    root BYTEA NOT NULL CHECK (length(root) = 32)
);
CREATE UNIQUE INDEX log_pending ON neuralops.log (state) WHERE state = 'pending';
CREATE UNIQUE INDEX log_current ON neuralops.log (state) WHERE state = 'current';

-- Times here and below are nanoseconds since 1970. The hash of a leaf is a node of level 0.
-- No foreign keys on the two large tables: a check for each row would cost as much as the row.
CREATE TABLE neuralops.leaf (
    log BIGINT NOT NULL,
    idx BIGINT NOT NULL,
    id BYTEA NOT NULL CHECK (length(id) = 32),
    body BYTEA NOT NULL,
    code TEXT COLLATE "C" NOT NULL,
    actor TEXT COLLATE "C" NOT NULL,
    object TEXT COLLATE "C",
    time BIGINT NOT NULL,
    PRIMARY KEY (log, idx)
);
CREATE UNIQUE INDEX leaf_id ON neuralops.leaf (id);
CREATE INDEX leaf_object ON neuralops.leaf (object, log, idx) WHERE object IS NOT NULL;
CREATE INDEX leaf_actor ON neuralops.leaf (actor, log, idx);
CREATE INDEX leaf_code ON neuralops.leaf (code, log, idx);
CREATE INDEX leaf_time ON neuralops.leaf (time, log, idx);

-- Every perfect subtree, in the order in which they come to be.
CREATE TABLE neuralops.node (
    log BIGINT NOT NULL,
    pos BIGINT NOT NULL,
    hash BYTEA NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (log, pos)
);

CREATE TABLE neuralops.checkpoint (
    log BIGINT NOT NULL REFERENCES neuralops.log (number),
    size BIGINT NOT NULL CHECK (size >= 0),
    note TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (log, size)
);

CREATE TABLE neuralops.payload (
    digest TEXT COLLATE "C" PRIMARY KEY,
    salt BYTEA NOT NULL CHECK (length(salt) = 16),
    body BYTEA NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX payload_expires ON neuralops.payload (expires);

CREATE TABLE neuralops.notice (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    log BIGINT NOT NULL,
    idx BIGINT NOT NULL,
    body BYTEA NOT NULL
);

CREATE TABLE neuralops.request (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    body BYTEA NOT NULL
);
