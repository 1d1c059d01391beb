-- Of an incident each thing that is wanted has its run: the one that others with the key join, and beside it one for each
-- other wish. And whoever joined says where the other run is, so that what is left of one that is gone can be found.
CREATE TABLE incident_of (
    namespace TEXT NOT NULL,
    key TEXT NOT NULL,
    wish TEXT NOT NULL,
    run TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    PRIMARY KEY (namespace, key, wish)
) STRICT, WITHOUT ROWID;
INSERT INTO incident_of (namespace, key, wish, run, name) SELECT namespace, key, '', run, name FROM incident;
DROP TABLE incident;
ALTER TABLE incident_of RENAME TO incident;

ALTER TABLE joined ADD COLUMN namespace TEXT NOT NULL DEFAULT '';
UPDATE joined SET namespace = incident.namespace FROM incident WHERE incident.run = joined.owner;
DELETE FROM joined WHERE namespace = '';

PRAGMA user_version = 5;
