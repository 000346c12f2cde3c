-- Placeholders: entities of type `unknown`, made by a relationship whose end had no type. One is merged while exactly
-- one typed entity bears its reference; its edges move. See storage/write/placeholders.py.

-- name: mergeable_placeholders
-- Placeholders that can be merged now, and into which entities. A placeholder has edges and nothing else: one with more
-- was not made by this service and stays. `waiting_s`: for how long both are there. $1 at most.
SELECT p.id AS old_id, p.reference, min(t.id) AS new_id,
       extract(epoch FROM clock_timestamp() - greatest(p.created_at, min(t.created_at)))::float8 AS waiting_s
FROM entities p
JOIN entities t ON t.reference = p.reference AND t.type <> 'unknown'
WHERE p.type = 'unknown' AND p.properties = '{}'
  AND NOT EXISTS (SELECT FROM temporal_properties x WHERE x.entity_id = p.id)
GROUP BY p.id
HAVING count(*) = 1
ORDER BY p.id
LIMIT $1;

-- name: placeholder_of_erased
-- The placeholder that would be merged into an entity that is about to be erased, were there time for it: afterwards
-- nobody could tell that its edges are the entity's. $1 the entity.
SELECT p.id AS old_id, p.reference, e.id AS new_id
FROM entities e
JOIN entities p ON p.reference = e.reference AND p.type = 'unknown' AND p.id <> e.id
WHERE e.id = $1 AND p.properties = '{}'
  AND NOT EXISTS (SELECT FROM temporal_properties x WHERE x.entity_id = p.id)
  AND NOT EXISTS (SELECT FROM entities t WHERE t.reference = e.reference AND t.type <> 'unknown' AND t.id <> e.id);

-- name: sizes_of_placeholders
-- How many edges each of these has, as far as $2 goes. $1 ids, $2 at most.
SELECT p.id, (SELECT count(*) FROM (
                 (SELECT FROM edges WHERE left_entity_id = p.id LIMIT $2::bigint)
                 UNION ALL
                 (SELECT FROM edges WHERE right_entity_id = p.id AND left_entity_id <> p.id LIMIT $2::bigint)) AS e) AS edges
FROM unnest($1::bigint[]) AS p (id);

-- name: edges_of_placeholders
-- Ids of edges on either side of these. $1 ids, $2 at most.
SELECT id FROM (
    (SELECT id FROM edges WHERE left_entity_id = ANY ($1::bigint[]) LIMIT $2)
    UNION
    (SELECT id FROM edges WHERE right_entity_id = ANY ($1::bigint[]) LIMIT $2)) AS e
LIMIT $2;

-- name: try_merging
-- Whether this process may merge: one at a time, until its transaction ends.
SELECT pg_try_advisory_xact_lock(hashtextextended('user_profile.placeholders', 0));

-- name: move_edges
-- Move edges of placeholders to the entities that they are merged into, and return whose edges are others now.
-- Where the entity has the same edge: it is there if one of both is, with the newest metadata of those that are there.
-- $1 placeholders, $2 their entities, $3 ids of edges.
WITH pairs AS MATERIALIZED (
    SELECT old_id, new_id FROM unnest($1::bigint[], $2::bigint[]) AS p (old_id, new_id)
), gone AS (
    DELETE FROM edges
    WHERE id = ANY ($3::bigint[])
      AND (left_entity_id = ANY ($1::bigint[]) OR right_entity_id = ANY ($1::bigint[]))
    RETURNING *
), named AS (
    SELECT coalesce(l.new_id, g.left_entity_id) AS left_id, coalesce(r.new_id, g.right_entity_id) AS right_id,
           g.relationship_type, g.metadata, g.metadata_date, g.removed_at, g.created_at
    FROM gone g
    LEFT JOIN pairs l ON l.old_id = g.left_entity_id
    LEFT JOIN pairs r ON r.old_id = g.right_entity_id
), folded AS (
    SELECT DISTINCT ON (left_id, right_id, relationship_type)
           left_id, right_id, relationship_type, metadata, metadata_date,
           CASE WHEN removed_at IS NOT NULL
                THEN max(removed_at) OVER (PARTITION BY left_id, right_id, relationship_type) END AS removed_at,
           min(created_at) OVER (PARTITION BY left_id, right_id, relationship_type) AS created_at
    FROM named
    ORDER BY left_id, right_id, relationship_type, removed_at IS NOT NULL, metadata_date DESC NULLS LAST,
             metadata::text COLLATE "C" DESC NULLS LAST
), moved AS (
    INSERT INTO edges AS e
        (left_entity_id, right_entity_id, relationship_type, metadata, metadata_date, removed_at, created_at)
    SELECT left_id, right_id, relationship_type, metadata, metadata_date, removed_at, created_at FROM folded
    ON CONFLICT (left_entity_id, right_entity_id, relationship_type) DO UPDATE
    SET metadata = excluded.metadata, metadata_date = excluded.metadata_date, removed_at = excluded.removed_at,
        updated_at = now()
    WHERE (excluded.removed_at IS NULL AND e.removed_at IS NOT NULL)
       OR (excluded.removed_at IS NOT NULL AND e.removed_at IS NOT NULL AND excluded.removed_at > e.removed_at)
       OR (excluded.removed_at IS NULL AND e.removed_at IS NULL AND excluded.metadata_date IS NOT NULL
           AND (e.metadata_date IS NULL
                OR (excluded.metadata_date, excluded.metadata::text COLLATE "C")
                 > (e.metadata_date, e.metadata::text COLLATE "C")))
)
SELECT DISTINCT left_entity_id FROM gone;

-- name: drop_placeholders
-- Delete placeholders that have no edges any more, and note where they went. $1 placeholders, $2 their entities.
WITH noted AS (
    INSERT INTO merged_entities (old_id, new_id)
    SELECT old_id, new_id FROM unnest($1::bigint[], $2::bigint[]) AS p (old_id, new_id)
)
DELETE FROM entities WHERE id = ANY ($1::bigint[]);

-- name: merged_ids
-- Where merged placeholders went. $1 ids.
SELECT old_id, new_id FROM merged_entities WHERE old_id = ANY ($1::bigint[]);
