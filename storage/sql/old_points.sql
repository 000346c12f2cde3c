-- Points that are older than they are kept leave without an event. See storage/write/old_points.py.

-- name: publish_points_from
-- Publish changes of points from this reference date on, or from a later one that was set before; returns it. $1 the date.
SELECT publish_points_from($1::timestamptz);

-- name: delete_old_points
-- Delete points of some entities; returns how many of each. Sorted, since writers lock in this order.
-- $1 reference dates before this one, $2 ids after this one, $3 up to this one.
WITH old AS MATERIALIZED (
    SELECT entity_id, key, granularity, period_start FROM temporal_properties
    WHERE entity_id > $2 AND entity_id <= $3 AND reference_date < $1
    ORDER BY entity_id, key, granularity, period_start
    FOR UPDATE
), gone AS (
    DELETE FROM temporal_properties t USING old o
    WHERE t.entity_id = o.entity_id AND t.key = o.key AND t.granularity = o.granularity
      AND t.period_start = o.period_start AND t.reference_date < $1
    RETURNING t.entity_id
)
SELECT entity_id, count(*) AS points FROM gone GROUP BY entity_id;

-- name: last_entity_with_points
-- The highest id; 0 for none.
SELECT coalesce(max(entity_id), 0) FROM temporal_properties;

-- name: fullest_slot
-- The replication slot that holds most WAL, how much, and how much it may hold before who writes in bulk has to wait.
SELECT name, held, allowed FROM fullest_slot();
