-- Deletions in pieces: an entity with many rows is hidden in one transaction, and its rows go in others. See
-- storage/erasure/deletions.py.

-- name: rows_of_entities
-- How many edges and points these have, as far as $2 goes. $1 ids, $2 at most.
SELECT count(*) FROM (
    SELECT r.n
    FROM unnest($1::bigint[]) AS e (id)
    CROSS JOIN LATERAL (
        (SELECT 1 AS n FROM edges WHERE left_entity_id = e.id LIMIT $2::bigint)
        UNION ALL
        (SELECT 1 FROM edges WHERE right_entity_id = e.id AND left_entity_id <> e.id LIMIT $2::bigint)
        UNION ALL
        (SELECT 1 FROM temporal_properties WHERE entity_id = e.id LIMIT $2::bigint)) AS r
    LIMIT $2::bigint) AS counted;

-- name: hide_entities
-- Take the business keys and properties of these, so that nobody finds them; their rows are there until they are
-- deleted in pieces. Ids of placeholders that were merged into them lead nowhere any more. $1 ids, $2 subjects of the
-- ids, $3 subject, $4 date of the erasure.
WITH hidden AS (
    UPDATE entities
    SET erased_as = $3, erased_type = type, erased_reference = reference, type = '', reference = 'entity-' || id,
        properties = '{}', sources = NULL
    WHERE id = ANY ($1::bigint[])
), led_on AS (
    DELETE FROM merged_entities WHERE new_id = ANY ($1::bigint[])
)
INSERT INTO entity_deletions (id_subject, subject, erased_at, entity_id)
SELECT n.id_subject, $3, $4, n.id FROM unnest($1::bigint[], $2::bytea[]) AS n (id, id_subject);

-- name: note_hidden
-- Note an erasure in the ledger whose rows are deleted in pieces, as erase_entity does. $1 subject, $2 fingerprint of the
-- key, $3 subject of the reference, $4 subject of the id, $5 end offsets of topics as JSON text, or null, $6 how many
-- properties.
WITH tick AS (
    UPDATE writers_clock SET latest = greatest(clock_timestamp(), latest + interval '1 microsecond') RETURNING latest
), noted AS (
    INSERT INTO erasures (subject, erased_at, key_fingerprint, reference_subject, id_subject, properties)
    VALUES ($1, coalesce((SELECT latest FROM tick), clock_timestamp()), $2, $3, $4, $6)
    ON CONFLICT (subject) DO UPDATE
    SET erased_at = excluded.erased_at, key_fingerprint = excluded.key_fingerprint,
        reference_subject = excluded.reference_subject, id_subject = excluded.id_subject,
        properties = excluded.properties, edges = 0, points = 0, letters = 0, letters_checked_at = NULL
    RETURNING subject, erased_at
), log_ends_noted AS (
    INSERT INTO erasure_notes (subject, erased_at, log_ends)
    SELECT subject, erased_at, $5::jsonb FROM noted
    ON CONFLICT (subject) DO UPDATE
    SET erased_at = excluded.erased_at, log_ends = excluded.log_ends, letters_left = 0, letters_left_ids = '{}'
), counted_from_zero AS (
    DELETE FROM erased_letters WHERE subject = $1
)
SELECT erased_at FROM noted;

-- name: note_hidden_again
-- The same of an erasure that the ledger has already, with the date of then. $1 subject, $2 subject of the reference,
-- $3 subject of the id.
UPDATE erasures SET reference_subject = $2, id_subject = $3, letters_checked_at = NULL WHERE subject = $1
RETURNING erased_at;

-- name: next_deletion
-- The deletion whose latest piece is the oldest, so that they take turns; none while the latest piece of any is younger
-- than so long. $1 seconds.
SELECT entity_id, rows_total, pieces FROM entity_deletions
WHERE entity_id IS NOT NULL
  AND NOT EXISTS (SELECT FROM entity_deletions
                  WHERE entity_id IS NOT NULL AND pieces > 0
                    AND moved_at > clock_timestamp() - make_interval(secs => $1::float8))
ORDER BY moved_at
LIMIT 1;

-- name: count_deletion
-- Note how many rows it is about. $1 entity, $2 how many.
UPDATE entity_deletions SET rows_total = $2 WHERE entity_id = $1;

-- name: edges_of_entity
-- Ids of edges on either side. Asked for many pieces at once, since each question walks over what was deleted and not
-- vacuumed. $1 entity, $2 at most.
SELECT id FROM (
    (SELECT id FROM edges WHERE left_entity_id = $1 LIMIT $2)
    UNION ALL
    (SELECT id FROM edges WHERE right_entity_id = $1 AND left_entity_id <> $1 LIMIT $2)) AS e
LIMIT $2;

-- name: begin_piece
-- Whether this process may delete a piece: one at a time, until its transaction ends. It shares the lock of the writers,
-- whom it does not meet, so that no erasure and no merge locks the same edges in another order.
SELECT CASE WHEN pg_try_advisory_xact_lock(hashtextextended('user_profile.deletions', 0))
            THEN pg_advisory_xact_lock_shared(writers_lock()) IS NOT NULL ELSE false END;

-- name: mark_edges
-- Before they are deleted, so that change data capture knows why. $1 entity, $2 ids of edges.
UPDATE edges SET erased_entity_id = $1
WHERE id = ANY ($2::bigint[]) AND (left_entity_id = $1 OR right_entity_id = $1);

-- name: delete_edges
-- Delete them, and return whose edges are others now. $1 entity, $2 ids of edges.
DELETE FROM edges WHERE id = ANY ($2::bigint[]) AND erased_entity_id = $1
RETURNING left_entity_id;

-- name: erase_points
-- Mark and delete some points; how many. $1 entity, $2 at most.
SELECT erase_points($1, $2);

-- name: note_piece
-- $1 entity, $2 edges and $3 points that the piece deleted.
UPDATE entity_deletions
SET edges = edges + $2, points = points + $3, pieces = pieces + 1, moved_at = clock_timestamp()
WHERE entity_id = $1;

-- name: finish_deletion
-- Delete the entity itself, which has no rows any more, and write the counts into the ledger, unless it holds a later
-- erasure. One row where that was done. $1 entity.
WITH gone AS (
    DELETE FROM entities WHERE id = $1
      AND NOT EXISTS (SELECT FROM edges WHERE left_entity_id = $1)
      AND NOT EXISTS (SELECT FROM edges WHERE right_entity_id = $1)
      AND NOT EXISTS (SELECT FROM temporal_properties WHERE entity_id = $1)
    RETURNING id
), finished AS (
    UPDATE entity_deletions SET entity_id = NULL, finished_at = clock_timestamp(), moved_at = clock_timestamp()
    WHERE entity_id = $1
      AND (EXISTS (SELECT FROM gone) OR NOT EXISTS (SELECT FROM entities WHERE id = $1))
    RETURNING subject, erased_at
), counted AS (
    -- An entry that was taken from another database keeps what that had counted.
    UPDATE erasures e SET edges = greatest(e.edges, d.edges), points = greatest(e.points, d.points)
    FROM finished f
    CROSS JOIN LATERAL (
        SELECT sum(edges)::bigint AS edges, sum(points)::bigint AS points FROM entity_deletions
        WHERE subject = f.subject AND erased_at = f.erased_at) AS d
    WHERE e.subject = f.subject AND e.erased_at = f.erased_at
)
SELECT true FROM finished;

-- name: deletions_under_way
-- How many there are, rows that are left as far as they are counted, and seconds since the last of them moved.
SELECT count(*) AS deletions, coalesce(sum(greatest(rows_total - edges - points, 0)), 0)::bigint AS rows_left,
       coalesce(extract(epoch FROM clock_timestamp() - max(moved_at)), 0)::float8 AS still_s
FROM entity_deletions WHERE entity_id IS NOT NULL;
