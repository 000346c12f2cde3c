-- A commit is flushed, and replayed on replicas, before it is visible on the primary. So a read of the primary says
-- which transactions were running: `id` and `edges_total` of the last row, which were null, hold the oldest of them and
-- the first that had not begun, of a snapshot between `before` and the data. Without the setting of 0009 here,
-- replacing the function would drop it.
CREATE OR REPLACE FUNCTION read_graph(roots bigint[], levels integer, max_nodes integer, max_edges integer, least_position bigint)
RETURNS TABLE (
    id bigint, type text, reference text, properties text, created_at text, updated_at text,
    types text[], targets bigint[], edges_total bigint,
    keys text[], granularities text[], dates text[], points text[],
    before bigint, after bigint)
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    reached bigint := wal_position();
    running pg_snapshot := pg_current_snapshot();
    nodes bigint[] := roots;
    frontier bigint[] := roots;
BEGIN
    IF reached < least_position THEN
        RETURN QUERY SELECT NULL::bigint, NULL, NULL, NULL, NULL, NULL, NULL::text[], NULL::bigint[], NULL::bigint,
            NULL::text[], NULL::text[], NULL::text[], NULL::text[], reached, NULL::bigint;
        RETURN;
    END IF;
    FOR level IN 1 .. levels LOOP
        frontier := ARRAY(
            SELECT e.right_entity_id
            FROM unnest(frontier) AS f (id)
            CROSS JOIN LATERAL (
                SELECT right_entity_id FROM edges
                WHERE left_entity_id = f.id AND removed_at IS NULL
                ORDER BY relationship_type COLLATE "C", right_entity_id
                LIMIT max_edges) AS e
            EXCEPT SELECT unnest(nodes)
            LIMIT greatest(0, max_nodes - cardinality(nodes)));
        EXIT WHEN cardinality(frontier) = 0;
        nodes := nodes || frontier;
    END LOOP;
    RETURN QUERY
    SELECT e.id, e.type, e.reference, e.properties::text, utc_text(e.created_at), utc_text(e.updated_at),
           g.types, g.targets, n.edges_total, t.keys, t.granularities, t.dates, t.points,
           NULL::bigint, NULL::bigint
    FROM unnest(nodes) AS wanted (id)
    JOIN entities e ON e.id = wanted.id
    CROSS JOIN LATERAL (
        SELECT array_agg(x.relationship_type) AS types, array_agg(x.right_entity_id) AS targets
        FROM (SELECT relationship_type, right_entity_id FROM edges
              WHERE left_entity_id = e.id AND removed_at IS NULL
              ORDER BY relationship_type COLLATE "C", right_entity_id
              LIMIT max_edges) AS x) AS g
    CROSS JOIN LATERAL (
        SELECT count(*) AS edges_total FROM edges WHERE left_entity_id = e.id AND removed_at IS NULL) AS n
    CROSS JOIN LATERAL (
        SELECT array_agg(x.key) AS keys, array_agg(x.granularity) AS granularities,
               array_agg(utc_text(x.reference_date)) AS dates, array_agg(x.value::text) AS points
        FROM (SELECT key, granularity, reference_date, value FROM temporal_properties
              WHERE entity_id = e.id
              ORDER BY key COLLATE "C", reference_date, granularity COLLATE "C", period_start) AS x) AS t;
    RETURN QUERY SELECT pg_snapshot_xmin(running)::text::bigint, NULL, NULL, NULL, NULL, NULL, NULL::text[],
        NULL::bigint[], pg_snapshot_xmax(running)::text::bigint,
        NULL::text[], NULL::text[], NULL::text[], NULL::text[], reached, wal_position();
END
$$;

-- How far this server is, then the oldest transaction that runs and the first that has not begun. PL/pgSQL, so that
-- each is read after the one before: what has not begun by then commits at a later position.
CREATE FUNCTION wal_moment(OUT reached bigint, OUT oldest bigint, OUT newest bigint)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    running pg_snapshot;
BEGIN
    reached := wal_position();
    running := pg_current_snapshot();
    oldest := pg_snapshot_xmin(running)::text::bigint;
    newest := pg_snapshot_xmax(running)::text::bigint;
END
$$;
