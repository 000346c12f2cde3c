-- The relationships of one entity, from either end.

-- name: relationships
-- Those that lead away from an entity, in order of `place`, the target's id, and then of their own; or those that lead to
-- it, in order of their own ids, whose place is 0. One row at least: `there` says whether the entity is, `looked` at how
-- many were looked, and `last_place` and `last_id` name the last.
-- The entity is compared as a range, and the order begins with it: with `=` the planner may walk the index of the other
-- end, in whose order it then is, through the edges of all entities.
-- $1 entity, $2 'out' or 'in', $3 and $4 the relationship after which to begin, $5 how many to look at, $6 how many to
-- give, $7 about the most bytes, $8 relationship type or null, $9 type of the other end or null.
WITH looked AS MATERIALIZED (
    (SELECT id, right_entity_id AS place, right_entity_id AS other, relationship_type, metadata, metadata_date, created_at,
            updated_at, removed_at
     FROM edges
     WHERE $2 = 'out' AND (left_entity_id, right_entity_id) >= ($1, $3) AND left_entity_id <= $1
       AND (right_entity_id > $3 OR id > $4)
     ORDER BY left_entity_id, right_entity_id, id
     LIMIT $5)
    UNION ALL
    (SELECT id, 0, left_entity_id, relationship_type, metadata, metadata_date, created_at, updated_at, removed_at
     FROM edges
     WHERE $2 = 'in' AND (right_entity_id, id) > ($1, $4) AND right_entity_id <= $1
     ORDER BY right_entity_id, id
     LIMIT $5)
), found AS (
    SELECT r.id, r.place, r.other, r.relationship_type, r.metadata::text AS metadata, r.metadata_date, r.created_at, r.updated_at,
           e.type, e.reference
    FROM looked r
    JOIN entities e ON e.id = r.other
    WHERE r.removed_at IS NULL AND e.erased_as IS NULL
      AND ($8::text IS NULL OR r.relationship_type = $8) AND ($9::text IS NULL OR e.type = $9)
    ORDER BY r.place, r.id
    LIMIT $6
), weighed AS (
    SELECT id, place, other, relationship_type, metadata, utc_text(metadata_date) AS metadata_date,
           utc_text(created_at) AS created_at, utc_text(updated_at) AS updated_at, type, reference,
           count(*) OVER () AS listed,
           coalesce(sum(octet_length(metadata)) OVER (ORDER BY place, id), 0)
               - coalesce(octet_length(metadata), 0) AS before
    FROM found
)
SELECT EXISTS (SELECT FROM entities WHERE id = $1 AND erased_as IS NULL) AS there, l.looked, l.last_place, l.last_id, w.*
FROM (SELECT count(*) AS looked, (array_agg(place ORDER BY place DESC, id DESC))[1] AS last_place,
             (array_agg(id ORDER BY place DESC, id DESC))[1] AS last_id
      FROM looked) AS l
LEFT JOIN weighed AS w ON w.before < $7
ORDER BY w.place, w.id;

-- name: relationship_counts
-- How many relationships of each direction, type and other end's type an entity has, among the first of each direction in
-- the order above. One row at least, as above. $1 entity, $2 how many of each direction to look at.
WITH looked AS MATERIALIZED (
    (SELECT 'out' AS direction, right_entity_id AS other, relationship_type, removed_at
     FROM edges WHERE left_entity_id >= $1 AND left_entity_id <= $1 ORDER BY left_entity_id, right_entity_id LIMIT $2)
    UNION ALL
    (SELECT 'in', left_entity_id, relationship_type, removed_at
     FROM edges WHERE right_entity_id >= $1 AND right_entity_id <= $1 ORDER BY right_entity_id, id LIMIT $2)
), counted AS (
    SELECT r.direction, r.relationship_type, e.type, count(*) AS count
    FROM looked r
    JOIN entities e ON e.id = r.other
    WHERE r.removed_at IS NULL AND e.erased_as IS NULL
    GROUP BY r.direction, r.relationship_type, e.type
)
SELECT EXISTS (SELECT FROM entities WHERE id = $1 AND erased_as IS NULL) AS there,
       (SELECT count(*) FROM looked WHERE direction = 'out') AS looked_out,
       (SELECT count(*) FROM looked WHERE direction = 'in') AS looked_in, c.*
FROM (VALUES (true)) AS one
LEFT JOIN counted AS c ON true
ORDER BY c.direction DESC, c.relationship_type COLLATE "C", c.type COLLATE "C";
