-- What lies in the file is ours: "NOps".
PRAGMA application_id = 1313828979;

-- The newest leadership; whoever writes under an older one is refused.
CREATE TABLE writer (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    epoch INTEGER NOT NULL
) STRICT;
INSERT INTO writer (one, epoch) VALUES (1, 0);

-- pending: begun, without leaves, replaced by the next one begun. current: grows. closed: grew once.
-- restored: put back from a backup, or being put back; only promotion makes it grow, and nothing replaces it.
CREATE TABLE log (
    number INTEGER PRIMARY KEY,
    origin TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL CHECK (state IN ('pending', 'current', 'closed', 'restored')),
    size INTEGER NOT NULL CHECK (size >= 0),
    root BLOB NOT NULL CHECK (length(root) = 32)
) STRICT;
CREATE UNIQUE INDEX log_pending ON log (state) WHERE state = 'pending';
CREATE UNIQUE INDEX log_current ON log (state) WHERE state = 'current';

-- Times here and below are nanoseconds since 1970. The hash of a leaf is a node of level 0.
CREATE TABLE leaf (
    log INTEGER NOT NULL,
    idx INTEGER NOT NULL,
    id BLOB NOT NULL CHECK (length(id) = 32),
    body BLOB NOT NULL,
    code TEXT NOT NULL,
    actor TEXT NOT NULL,
    object TEXT,
    time INTEGER NOT NULL,
    PRIMARY KEY (log, idx)
) STRICT;
CREATE UNIQUE INDEX leaf_id ON leaf (id);
CREATE INDEX leaf_object ON leaf (object, log, idx) WHERE object IS NOT NULL;
CREATE INDEX leaf_actor ON leaf (actor, log, idx);
CREATE INDEX leaf_code ON leaf (code, log, idx);
CREATE INDEX leaf_time ON leaf (time, log, idx);

-- Every perfect subtree, in the order in which they come to be.
CREATE TABLE node (
    log INTEGER NOT NULL,
    pos INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (log, pos)
) STRICT, WITHOUT ROWID;

CREATE TABLE checkpoint (
    log INTEGER NOT NULL REFERENCES log (number),
    size INTEGER NOT NULL CHECK (size >= 0),
    note TEXT NOT NULL,
    PRIMARY KEY (log, size)
) STRICT, WITHOUT ROWID;

CREATE TABLE payload (
    digest TEXT PRIMARY KEY,
    salt BLOB NOT NULL CHECK (length(salt) = 16),
    body BLOB NOT NULL,
    expires INTEGER NOT NULL
) STRICT;
CREATE INDEX payload_expires ON payload (expires);

-- AUTOINCREMENT, because a number must not come again after its row is gone.
CREATE TABLE notice (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    log INTEGER NOT NULL,
    idx INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;

CREATE TABLE request (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    body BLOB NOT NULL
) STRICT;

PRAGMA user_version = 1;
