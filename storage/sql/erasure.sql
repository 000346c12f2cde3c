-- Erasures: an erased entity stays erased. See storage/write/erasure_ledger.py.

-- name: begin_flush
-- Take the writers' side of the lock, then tell whether anything was ever erased (1) or removed (2). One function for
-- both, since a volatile PL/pgSQL function takes a fresh snapshot for each of its statements: the ledger is read after
-- the lock.
SELECT begin_writing();

-- name: erased_subjects
-- Which of these have been erased, when, and where the topics ended then. $1 subjects.
SELECT e.subject, e.erased_at, n.log_ends
FROM erasures e
LEFT JOIN erasure_notes n ON n.subject = e.subject AND n.erased_at = e.erased_at
WHERE e.subject = ANY ($1::bytea[]);

-- name: erased_references
-- The erasures of entities that bore these references, of whatever type. $1 hashes of the references alone.
SELECT e.reference_subject, e.erased_at, n.log_ends
FROM erasures e
LEFT JOIN erasure_notes n ON n.subject = e.subject AND n.erased_at = e.erased_at
WHERE e.reference_subject = ANY ($1::bytea[]);

-- name: bearers_of_references
-- The typed entities that bear these references, but for those that are being deleted. $1 references.
SELECT type, reference FROM entities
WHERE reference = ANY ($1::text[]) AND type <> 'unknown' AND erased_as IS NULL;

-- name: begin_erasure
-- Of an erasure, and of a flush that removes edges: wait until no flush is open, and keep new ones waiting until this transaction ends.
SELECT pg_advisory_xact_lock(writers_lock());

-- name: anything_erased
-- The same, asked after the lock is held.
SELECT (EXISTS (SELECT FROM erasures))::int + 2 * (EXISTS (SELECT FROM removals))::int;

-- name: removals_between
-- Removals of this time, and where the topics ended then. $1 from, $2 to.
SELECT removed_at AS erased_at, log_ends FROM removals
WHERE removed_at >= $1::timestamptz AND removed_at < $2::timestamptz
ORDER BY removed_at
LIMIT 10000;

-- name: entity_to_erase
-- By business key. $1 type, $2 reference.
SELECT id, type, reference, properties, (SELECT count(*) FROM jsonb_object_keys(properties)) AS fields FROM entities WHERE type = $1 AND reference = $2;

-- name: entity_to_erase_by_id
-- The same by id. $1 id.
SELECT id, type, reference, properties, (SELECT count(*) FROM jsonb_object_keys(properties)) AS fields FROM entities
WHERE id = $1 AND erased_as IS NULL;

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
-- after the lock was held, so that every flush before it is older, and later than that of the erasure before. $1 id, $2 subject, $3 fingerprint of the key,
-- $4 subject of the reference, $5 subject of the id, $6 end offsets of topics as JSON text, or null.
WITH edges_gone AS (
    DELETE FROM edges WHERE left_entity_id = $1 OR right_entity_id = $1 RETURNING left_entity_id
), points_gone AS (
    DELETE FROM temporal_properties WHERE entity_id = $1 RETURNING 1
), entity_gone AS (
    DELETE FROM entities WHERE id = $1 RETURNING properties
), tick AS (
    UPDATE writers_clock SET latest = greatest(clock_timestamp(), latest + interval '1 microsecond') RETURNING latest
), noted AS (
    INSERT INTO erasures (subject, erased_at, key_fingerprint, reference_subject, id_subject, properties, edges, points)
    VALUES ($2, coalesce((SELECT latest FROM tick), clock_timestamp()), $3, $4, $5,
            (SELECT count(*) FROM entity_gone, jsonb_object_keys(properties)),
            (SELECT count(*) FROM edges_gone), (SELECT count(*) FROM points_gone))
    ON CONFLICT (subject) DO UPDATE
    SET erased_at = excluded.erased_at, key_fingerprint = excluded.key_fingerprint,
        reference_subject = excluded.reference_subject, id_subject = excluded.id_subject,
        properties = excluded.properties, edges = excluded.edges, points = excluded.points,
        letters = 0, letters_checked_at = NULL
    RETURNING subject, erased_at, properties, edges, points, letters, letters_checked_at
), log_ends_noted AS (
    INSERT INTO erasure_notes (subject, erased_at, log_ends)
    SELECT subject, erased_at, $6::jsonb FROM noted
    ON CONFLICT (subject) DO UPDATE
    SET erased_at = excluded.erased_at, log_ends = excluded.log_ends, letters_left = 0, letters_left_ids = '{}'
), counted_from_zero AS (
    DELETE FROM erased_letters WHERE subject = $2
)
SELECT noted.*, 0::bigint AS letters_left, '{}'::text[] AS letters_left_ids, $6::jsonb IS NOT NULL AS log_ends_known,
       NULL::boolean AS deleting,
       (SELECT array_agg(DISTINCT left_entity_id) FROM edges_gone WHERE left_entity_id <> $1) AS neighbours
FROM noted;

-- name: noted_erasure
-- What the ledger says of an erasure, and how far the deletion of its rows is where that is done in pieces: `deleted`
-- of `to_delete` rows (null until they are counted); `deleting` is null where it was one transaction. An earlier
-- erasure under the same key may still go on. $1 subject, or null; $2 subject of the id, or null.
SELECT e.subject, e.erased_at, e.properties, greatest(e.edges, d.edges) AS edges, greatest(e.points, d.points) AS points,
       e.letters, e.letters_checked_at,
       coalesce(n.letters_left, 0) AS letters_left, coalesce(n.letters_left_ids, '{}') AS letters_left_ids,
       n.log_ends IS NOT NULL AS log_ends_known, d.deleting, d.deleted, d.to_delete
FROM erasures e
LEFT JOIN erasure_notes n ON n.subject = e.subject AND n.erased_at = e.erased_at
CROSS JOIN LATERAL (
    SELECT bool_or(entity_id IS NOT NULL) AS deleting, sum(edges + points)::bigint AS deleted,
           CASE WHEN bool_and(rows_total IS NOT NULL) THEN sum(rows_total)::bigint END AS to_delete,
           (sum(edges) FILTER (WHERE erased_at = e.erased_at))::bigint AS edges,
           (sum(points) FILTER (WHERE erased_at = e.erased_at))::bigint AS points
    FROM entity_deletions
    WHERE subject = e.subject AND (erased_at = e.erased_at OR entity_id IS NOT NULL)) AS d
WHERE e.subject = coalesce($1::bytea, (SELECT subject FROM erasures WHERE id_subject = $2::bytea),
                           (SELECT subject FROM entity_deletions WHERE id_subject = $2::bytea));

-- name: unchecked_erasures
-- Whose dead letters have not been removed yet.
SELECT subject, erased_at FROM erasures WHERE letters_checked_at IS NULL;

-- name: erasures_named
-- The erasures of these subjects, in whichever way they are named. Each way by its index.
-- $1 subjects, $2 subjects of references, $3 subjects of ids.
SELECT e.subject, e.reference_subject, e.id_subject, e.erased_at, n.log_ends
FROM (SELECT * FROM erasures WHERE subject = ANY ($1::bytea[])
      UNION SELECT * FROM erasures WHERE reference_subject = ANY ($2::bytea[])
      UNION SELECT * FROM erasures WHERE id_subject = ANY ($3::bytea[])) AS e
LEFT JOIN erasure_notes n ON n.subject = e.subject AND n.erased_at = e.erased_at;

-- name: note_letters
-- The dead letters of these erasures are removed; one that was dated again meanwhile is left for the next time.
-- $1 subjects, $2 dates of the erasures, $3 how many letters.
UPDATE erasures e
SET letters = e.letters + n.letters, letters_checked_at = clock_timestamp()
FROM unnest($1::bytea[], $2::timestamptz[], $3::bigint[]) AS n (subject, erased_at, letters)
WHERE e.subject = n.subject AND e.erased_at = n.erased_at;

-- name: note_letters_left
-- Letters that may be about these erasures, and were left. $1 subjects, $2 dates of the erasures, $3 how many,
-- $4 the first of them as a JSON array.
INSERT INTO erasure_notes AS n (subject, erased_at, letters_left, letters_left_ids)
SELECT e.subject, e.erased_at, l.letters, ARRAY(SELECT jsonb_array_elements_text(l.ids::jsonb))
FROM unnest($1::bytea[], $2::timestamptz[], $3::bigint[], $4::text[]) AS l (subject, erased_at, letters, ids)
JOIN erasures e ON e.subject = l.subject AND e.erased_at = l.erased_at
ORDER BY e.subject
ON CONFLICT (subject) DO UPDATE
SET letters_left = excluded.letters_left, letters_left_ids = excluded.letters_left_ids,
    log_ends = CASE WHEN n.erased_at = excluded.erased_at THEN n.log_ends END, erased_at = excluded.erased_at;

-- name: note_removed_letters
-- Count letters that are about to be removed, each once for each erasure, however often it is tried and by whom.
-- Locked in one order, since sweeps of several processes meet. $1 subjects, $2 letters.
WITH locked AS MATERIALIZED (
    SELECT subject FROM erasures WHERE subject = ANY ($1::bytea[]) ORDER BY subject FOR NO KEY UPDATE
), removed AS (
    INSERT INTO erased_letters (subject, letter)
    SELECT DISTINCT l.subject, n.letter
    FROM unnest($1::bytea[], $2::text[]) AS n (subject, letter)
    JOIN locked l ON l.subject = n.subject
    ON CONFLICT DO NOTHING
    RETURNING subject
), counts AS (
    SELECT subject, count(*) AS letters FROM removed GROUP BY subject
)
UPDATE erasures e SET letters = e.letters + c.letters FROM counts c WHERE e.subject = c.subject;

-- name: forget_removed_letters
-- Their number stays in the ledger; a letter is not written again so late.
DELETE FROM erased_letters WHERE noted_at < now() - interval '60 days';

-- name: swept_letters
-- Up to where the dead letters of topics were compared with the ledger; one row without a topic where nothing was erased.
SELECT topic, next_offset FROM swept_letters
UNION ALL
SELECT NULL, NULL WHERE NOT EXISTS (SELECT FROM erasures);

-- name: note_swept_letters
-- $1 topic, $2 next offset.
INSERT INTO swept_letters AS s (topic, next_offset) VALUES ($1, $2)
ON CONFLICT (topic) DO UPDATE SET next_offset = excluded.next_offset WHERE s.next_offset <> excluded.next_offset;

-- name: begin_publishing
-- Until the transaction ends, which is idle for as long as the broker takes: longer than others may be.
SELECT set_config('idle_in_transaction_session_timeout', '120s', true),
       pg_advisory_xact_lock_shared(hashtextextended('user_profile.publishers', 0));

-- name: erased_ids
-- Which of these have been erased; the ledger itself has an entity's latest id alone. $1 subjects of ids.
SELECT id_subject FROM erasures WHERE id_subject = ANY ($1::bytea[])
UNION
SELECT id_subject FROM entity_deletions WHERE id_subject = ANY ($1::bytea[]);

-- name: wait_for_publishers
-- Take the lock that publishers share, alone, and let it go with this transaction.
SELECT pg_advisory_xact_lock(hashtextextended('user_profile.publishers', 0));

-- name: ledger_entries
-- The ledger for another database, the oldest erasure first. $1 not those before, or null.
SELECT e.subject, e.erased_at, e.key_fingerprint, e.reference_subject, e.id_subject, e.properties, e.edges, e.points,
       e.letters, n.log_ends
FROM erasures e
LEFT JOIN erasure_notes n ON n.subject = e.subject AND n.erased_at = e.erased_at
WHERE $1::timestamptz IS NULL OR e.erased_at >= $1
ORDER BY e.erased_at, e.subject;

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

-- name: take_log_ends
-- Where topics ended at these erasures, as another database knew it; those that were dated later meanwhile are left.
-- $1 subjects, $2 dates of the erasures, $3 end offsets as JSON text.
INSERT INTO erasure_notes (subject, erased_at, log_ends)
SELECT e.subject, e.erased_at, n.log_ends::jsonb
FROM unnest($1::bytea[], $2::timestamptz[], $3::text[]) AS n (subject, erased_at, log_ends)
JOIN erasures e ON e.subject = n.subject AND e.erased_at = n.erased_at
ORDER BY e.subject
ON CONFLICT (subject) DO UPDATE SET erased_at = excluded.erased_at, log_ends = excluded.log_ends;

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
SELECT id, type, reference, properties, (SELECT count(*) FROM jsonb_object_keys(properties)) AS fields, created_at
FROM entities
WHERE id = $1 AND erased_as IS NULL;

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

-- name: note_log_ends
-- Where topics end, once a day; topics that another process writes are added. $1 end offsets of topics as JSON text.
INSERT INTO noted_log_ends AS n (noted_on, noted_at, log_ends)
VALUES ((now() AT TIME ZONE 'UTC')::date, now(), $1::jsonb)
ON CONFLICT (noted_on) DO UPDATE SET noted_at = now(), log_ends = excluded.log_ends || n.log_ends
WHERE NOT n.log_ends ?& ARRAY(SELECT jsonb_object_keys(excluded.log_ends));

-- name: noted_log_ends
-- What was noted, and how many days ago, the oldest first.
SELECT (extract(epoch FROM now() - noted_at) / 86400)::float8 AS days, log_ends FROM noted_log_ends
WHERE noted_at > now() - interval '400 days'
ORDER BY noted_at;
