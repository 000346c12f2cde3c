-- Erasures: an erased entity stays erased. See storage/ledger.py.

-- name: begin_flush
-- Take the writers' side of the lock, then tell whether anything was ever erased. One function for both, since a
-- volatile PL/pgSQL function takes a fresh snapshot for each of its statements: the ledger is read after the lock.
SELECT begin_flush();

-- name: erased_subjects
-- Which of these have been erased, and when. $1 subjects.
SELECT subject, erased_at FROM erasures WHERE subject = ANY ($1::bytea[]);

-- name: begin_erasure
-- Wait until no flush is open, and keep new ones waiting until this transaction ends.
SELECT pg_advisory_xact_lock(writers_lock());

-- name: entity_to_erase
-- $1 type, $2 reference.
SELECT id, properties FROM entities WHERE type = $1 AND reference = $2;

-- name: mark_erased
-- Before the rows are deleted, so that change data capture knows why. The entity comes first: what follows in its
-- partition finds its name. $1 id, $2 subject.
WITH entity AS (
    UPDATE entities SET erased_as = $2 WHERE id = $1 RETURNING id
), edges_marked AS (
    UPDATE edges SET erased_entity_id = entity.id FROM entity WHERE left_entity_id = entity.id OR right_entity_id = entity.id
)
UPDATE temporal_properties SET erased = true FROM entity WHERE entity_id = entity.id;

-- name: erase_entity
-- Delete an entity, its edges on both sides and its points, and note it in the ledger. The date is the primary's clock
-- after the lock was held, so that every flush before it is older. $1 id, $2 subject, $3 fingerprint of the key.
WITH edges_gone AS (
    DELETE FROM edges WHERE left_entity_id = $1 OR right_entity_id = $1 RETURNING left_entity_id
), points_gone AS (
    DELETE FROM temporal_properties WHERE entity_id = $1 RETURNING 1
), entity_gone AS (
    DELETE FROM entities WHERE id = $1
), noted AS (
    INSERT INTO erasures (subject, erased_at, key_fingerprint) VALUES ($2, clock_timestamp(), $3)
    ON CONFLICT (subject) DO UPDATE SET erased_at = excluded.erased_at, key_fingerprint = excluded.key_fingerprint
    RETURNING erased_at
)
SELECT (SELECT erased_at FROM noted) AS erased_at,
       (SELECT array_agg(DISTINCT left_entity_id) FROM edges_gone WHERE left_entity_id <> $1) AS neighbours,
       (SELECT count(*) FROM edges_gone) AS edges,
       (SELECT count(*) FROM points_gone) AS points;

-- name: foreign_fingerprint
-- Whether the ledger holds entries of another key. $1 fingerprint.
SELECT EXISTS (SELECT FROM erasures WHERE key_fingerprint <> $1);
