-- Which Playbook's revision a leaf settles, as namespace/name: it is asked for by name, and outlives the object.
ALTER TABLE leaf ADD COLUMN playbook TEXT;
CREATE INDEX leaf_playbook ON leaf (playbook, log, idx) WHERE playbook IS NOT NULL;

PRAGMA user_version = 2;
