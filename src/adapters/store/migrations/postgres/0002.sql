-- Which Playbook's revision a leaf settles, as namespace/name: it is asked for by name, and outlives the object.
ALTER TABLE neuralops.leaf ADD COLUMN playbook TEXT COLLATE "C";
CREATE INDEX leaf_playbook ON neuralops.leaf (playbook, log, idx) WHERE playbook IS NOT NULL;

UPDATE neuralops.schema SET version = 2 WHERE one = 1;
