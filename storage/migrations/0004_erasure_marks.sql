-- An erasure marks its rows before it deletes them. So each deleted row tells by itself, in whatever partition of the
-- stream it comes and however often, that it belongs to an erasure; no consumer has to find the ledger's entry for it.
ALTER TABLE entities ADD COLUMN erased_as bytea;  -- the subject in the ledger
ALTER TABLE edges ADD COLUMN erased_entity_id bigint;  -- which end is erased; the other one stays
ALTER TABLE temporal_properties ADD COLUMN erased boolean NOT NULL DEFAULT false;
