-- Of an incident each thing that is wanted has its run: the one that others with the key join, and beside it one for each
-- other wish. And whoever joined says where the other run is, so that what is left of one that is gone can be found.
ALTER TABLE neuralops.incident ADD COLUMN wish TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE neuralops.incident DROP CONSTRAINT incident_pkey;
ALTER TABLE neuralops.incident ADD PRIMARY KEY (namespace, key, wish);
ALTER TABLE neuralops.incident ALTER COLUMN wish DROP DEFAULT;

ALTER TABLE neuralops.joined ADD COLUMN namespace TEXT COLLATE "C" NOT NULL DEFAULT '';
UPDATE neuralops.joined SET namespace = incident.namespace
FROM neuralops.incident WHERE incident.run = joined.owner;
DELETE FROM neuralops.joined WHERE namespace = '';
ALTER TABLE neuralops.joined ALTER COLUMN namespace DROP DEFAULT;

UPDATE neuralops.schema SET version = 5 WHERE one = 1;
