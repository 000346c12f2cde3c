-- The reads of the graph.

-- name: graph
-- Fragments of entities and of what can be reached from them; see the function.
-- $1 roots, $2 levels, $3 the most entities, $4 the most edges of one entity, $5 the position to have reached,
-- $6 the most points of one entity, $7 about the most bytes.
SELECT * FROM read_graph_within($1::bigint[], $2::integer, $3::integer, $4::integer, $5::bigint, $6::integer, $7::bigint);

-- name: ids_by_property
-- Entities whose property at a path is one of two JSON values, in order of id.
-- $1, $3 containment patterns; $2 the path below properties; $4, $5 the values; $6 ids after this one; $7 at most.
SELECT e.id
FROM entities e
WHERE ((e.properties @> $1::jsonb AND e.properties #> $2::text[] = $4::jsonb)
    OR (e.properties @> $3::jsonb AND e.properties #> $2::text[] = $5::jsonb))
  AND e.id > $6
ORDER BY e.id
LIMIT $7;

-- name: id_by_key
-- The id of one entity. $1 type, $2 reference.
SELECT id FROM entities WHERE type = $1 AND reference = $2;

-- name: keys_of_ids
-- Business keys, of placeholders that were merged and of entities whose deletion goes on, too: an event may tell later
-- of when they were there. $1 ids.
SELECT id, coalesce(erased_type, type) AS type, coalesce(erased_reference, reference) AS reference
FROM entities WHERE id = ANY ($1::bigint[])
UNION ALL
SELECT m.old_id, 'unknown', e.reference
FROM merged_entities m JOIN entities e ON e.id = m.new_id
WHERE m.old_id = ANY ($1::bigint[]);

-- name: entities_after
-- All entities in order of id, and how many there are up to the limit: fewer come where they weigh much, but one.
-- $1 ids after this one, $2 at most, $3 about the most bytes.
SELECT id, type, reference, properties, created_at, updated_at, listed
FROM (SELECT id, type, reference, properties, utc_text(created_at) AS created_at, utc_text(updated_at) AS updated_at,
             count(*) OVER () AS listed,
             sum(octet_length(properties)) OVER (ORDER BY id) - octet_length(properties) AS before
      FROM (SELECT id, type, reference, properties::text, created_at, updated_at
            FROM entities
            WHERE id > $1 AND erased_as IS NULL
            ORDER BY id
            LIMIT $2) AS page) AS weighed
WHERE before < $3::bigint
ORDER BY id;

-- name: entities_of_type_after
-- The same of one type. $1 ids after this one, $2 at most, $3 about the most bytes, $4 type.
SELECT id, type, reference, properties, created_at, updated_at, listed
FROM (SELECT id, type, reference, properties, utc_text(created_at) AS created_at, utc_text(updated_at) AS updated_at,
             count(*) OVER () AS listed,
             sum(octet_length(properties)) OVER (ORDER BY id) - octet_length(properties) AS before
      FROM (SELECT id, type, reference, properties::text, created_at, updated_at
            FROM entities
            WHERE type = $4 AND id > $1
            ORDER BY id
            LIMIT $2) AS page) AS weighed
WHERE before < $3::bigint
ORDER BY id;

-- name: types_of_references
-- The types that bear each reference. $1 references.
SELECT reference, array_agg(type ORDER BY type COLLATE "C") AS types
FROM entities
WHERE reference = ANY ($1::text[])
GROUP BY reference;

-- name: wal_position
-- How far the server is, as a number: replayed on a replica, flushed on the primary.
SELECT wal_position();

-- name: wal_moment
-- How far the server is, and then which transactions run: the oldest, and the first that has not begun.
SELECT reached, oldest, newest FROM wal_moment();

-- name: visible_transactions
-- Whether all these transactions are visible now. Of the ids that end in these 32 bits, the one nearest to the
-- newest is meant; it may lie ahead, since a commit can be decoded while it still counts as running. $1 ids.
SELECT coalesce(bool_and(pg_visible_in_snapshot(
           (s.newest + (x.xid - s.newest % 4294967296 + 6442450944) % 4294967296 - 2147483648)::text::xid8,
           s.snapshot)), true)
FROM unnest($1::bigint[]) AS x (xid),
     (SELECT pg_current_snapshot() AS snapshot, pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS newest) AS s;

-- name: identity
-- What a cache of this database is valid for: the cluster, its timeline (of the last checkpoint it would be an old
-- one after a failover) and the database. Raises on a replica.
SELECT (SELECT system_identifier FROM pg_control_system()) AS system_identifier,
       ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int AS timeline,
       (SELECT oid::bigint FROM pg_database WHERE datname = current_database()) AS database;

-- name: followed_timeline
-- Whether the server is a replica, and the timeline that it receives, or else that of its last restart point.
SELECT pg_is_in_recovery() AS in_recovery,
       coalesce((SELECT received_tli FROM pg_stat_wal_receiver),
                (SELECT timeline_id FROM pg_control_checkpoint())) AS timeline;

-- name: ping
-- Whether the server is in recovery, and the position that it has replayed or else flushed.
SELECT pg_is_in_recovery() AS in_recovery,
       (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END
        - '0/0')::bigint AS position;
