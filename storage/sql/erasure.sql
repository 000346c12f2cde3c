-- Erasures: an erased entity stays erased. See storage/write/erasure_ledger.py.

-- name: begin_flush
-- Take the writers' side of the lock, then tell whether anything was ever erased. One function for both, since a
-- volatile PL/pgSQL function takes a fresh snapshot for each of its statements: the ledger is read after the lock.
SELECT begin_flush();

-- name: erased_subjects
-- Which of these have been erased, and when. $1 subjects.
SELECT subject, erased_at FROM erasures WHERE subject = ANY ($1::bytea[]);

-- name: begin_erasure
-- Of an erasure, and of a flush that removes edges: wait until no flush is open, and keep new ones waiting until this transaction ends.
SELECT pg_advisory_xact_lock(writers_lock());

-- name: anything_erased
-- Whether anything was ever erased, asked after the lock is held.
SELECT EXISTS (SELECT FROM erasures);

-- name: entity_to_erase
-- By business key. $1 type, $2 reference.
SELECT id, type, reference, properties FROM entities WHERE type = $1 AND reference = $2;

-- name: entity_to_erase_by_id
-- The same by id. $1 id.
SELECT id, type, reference, properties FROM entities WHERE id = $1;

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
-- after the lock was held, so that every flush before it is older. $1 id, $2 subject, $3 fingerprint of the key,
-- $4 subject of the reference, $5 subject of the id.
WITH edges_gone AS (
    DELETE FROM edges WHERE left_entity_id = $1 OR right_entity_id = $1 RETURNING left_entity_id
), points_gone AS (
    DELETE FROM temporal_properties WHERE entity_id = $1 RETURNING 1
), entity_gone AS (
    DELETE FROM entities WHERE id = $1 RETURNING properties
), noted AS (
    INSERT INTO erasures (subject, erased_at, key_fingerprint, reference_subject, id_subject, properties, edges, points)
    VALUES ($2, clock_timestamp(), $3, $4, $5,
            (SELECT count(*) FROM entity_gone, jsonb_object_keys(properties)),
            (SELECT count(*) FROM edges_gone), (SELECT count(*) FROM points_gone))
    ON CONFLICT (subject) DO UPDATE
    SET erased_at = excluded.erased_at, key_fingerprint = excluded.key_fingerprint,
        reference_subject = excluded.reference_subject, id_subject = excluded.id_subject,
        properties = excluded.properties, edges = excluded.edges, points = excluded.points,
        letters = 0, letters_checked_at = NULL
    RETURNING subject, erased_at, properties, edges, points, letters, letters_checked_at
)
SELECT noted.*,
       (SELECT array_agg(DISTINCT left_entity_id) FROM edges_gone WHERE left_entity_id <> $1) AS neighbours
FROM noted;

-- name: noted_erasure
-- What the ledger says of an erasure. $1 subject, or null; $2 subject of the id, or null.
SELECT subject, erased_at, properties, edges, points, letters, letters_checked_at
FROM erasures
WHERE subject = $1::bytea OR id_subject = $2::bytea
LIMIT 1;

-- name: unchecked_erasures
-- Whose dead letters have not been removed yet.
SELECT subject, erased_at FROM erasures WHERE letters_checked_at IS NULL;

-- name: erasures_named
-- The erasures of these subjects, in whichever way they are named.
-- $1 subjects, $2 subjects of references, $3 subjects of ids.
SELECT subject, reference_subject, id_subject, erased_at
FROM erasures
WHERE subject = ANY ($1::bytea[]) OR reference_subject = ANY ($2::bytea[]) OR id_subject = ANY ($3::bytea[]);

-- name: note_letters
-- The dead letters of these erasures are removed; one that was dated again meanwhile is left for the next time.
-- $1 subjects, $2 dates of the erasures, $3 how many letters.
UPDATE erasures e
SET letters = e.letters + n.letters, letters_checked_at = clock_timestamp()
FROM unnest($1::bytea[], $2::timestamptz[], $3::bigint[]) AS n (subject, erased_at, letters)
WHERE e.subject = n.subject AND e.erased_at = n.erased_at;

-- name: ledger_entries
-- The ledger for another database, the oldest erasure first. $1 not those before, or null.
SELECT subject, erased_at, key_fingerprint, reference_subject, id_subject, properties, edges, points, letters
FROM erasures
WHERE $1::timestamptz IS NULL OR erased_at >= $1
ORDER BY erased_at, subject;

-- name: take_entries
-- Note erasures of another database; which of them were not known, or with an older date. Dead letters are looked for
-- anew. Without the subjects of ids: this database may give them again, and they are unique.
-- $1 subjects, $2 dates, $3 fingerprint of the key, $4 subjects of references, $5 to $7 numbers of properties, edges
-- and points, $8 of letters.
INSERT INTO erasures AS e
    (subject, erased_at, key_fingerprint, reference_subject, properties, edges, points, letters)
SELECT n.subject, n.erased_at, $3::bytea, n.reference_subject, n.properties, n.edges, n.points, n.letters
FROM unnest($1::bytea[], $2::timestamptz[], $4::bytea[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
     AS n (subject, erased_at, reference_subject, properties, edges, points, letters)
ORDER BY n.subject
ON CONFLICT (subject) DO UPDATE
SET erased_at = excluded.erased_at, key_fingerprint = excluded.key_fingerprint,
    reference_subject = coalesce(excluded.reference_subject, e.reference_subject),
    properties = excluded.properties, edges = excluded.edges, points = excluded.points,
    letters = excluded.letters, letters_checked_at = NULL
WHERE e.erased_at < excluded.erased_at
RETURNING subject;

-- name: last_entity
-- The highest id that there is; 0 for none.
SELECT coalesce(max(id), 0) FROM entities;

-- name: entities_from
-- Whom there is, by page. $1 after this id, $2 not after this id or null, $3 how many.
SELECT id, type, reference FROM entities
WHERE id > $1 AND ($2::bigint IS NULL OR id <= $2)
ORDER BY id LIMIT $3;

-- name: entity_to_erase_again
-- By id, with when it was made. $1 id.
SELECT id, type, reference, properties, created_at FROM entities WHERE id = $1;

-- name: erase_again
-- Delete an entity, its edges on both sides and its points; the ledger has it already, with the date of then. $1 id,
-- $2 subject, $3 subject of the reference, $4 subject of the id.
WITH edges_gone AS (
    DELETE FROM edges WHERE left_entity_id = $1 OR right_entity_id = $1 RETURNING left_entity_id
), points_gone AS (
    DELETE FROM temporal_properties WHERE entity_id = $1 RETURNING 1
), entity_gone AS (
    DELETE FROM entities WHERE id = $1 RETURNING properties
), noted AS (
    UPDATE erasures SET reference_subject = $3, id_subject = $4, letters_checked_at = NULL WHERE subject = $2
)
SELECT (SELECT count(*) FROM entity_gone, jsonb_object_keys(properties)) AS properties,
       (SELECT count(*) FROM edges_gone) AS edges,
       (SELECT count(*) FROM points_gone) AS points,
       (SELECT array_agg(DISTINCT left_entity_id) FROM edges_gone WHERE left_entity_id <> $1) AS neighbours;

-- name: foreign_fingerprint
-- Whether the ledger holds entries of another key. $1 fingerprint.
SELECT EXISTS (SELECT FROM erasures WHERE key_fingerprint <> $1);
