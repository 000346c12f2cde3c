-- One answer of read_graph held all points of an entity and up to 10,000 entities, whatever they weigh: gigabytes in the
-- memory of the process that had asked. This one ends when about `max_bytes` are together, and of an entity brings the
-- latest `max_points` points at most, of half as many bytes. The version before goes on with read_graph.
--
-- As read_graph, and: `points_total` is how many points there are, where some are left out, else null. `targets` of the
-- last row are the roots that had no room, or do not exist; null where all were read. An edge counts as 100 bytes, which
-- is what it takes in the memory of the client.
CREATE FUNCTION read_graph_within(
    roots bigint[], levels integer, max_nodes integer, max_edges integer, least_position bigint, max_points integer,
    max_bytes bigint)
RETURNS TABLE (
    id bigint, type text, reference text, properties text, created_at text, updated_at text,
    types text[], targets bigint[], edges_total bigint,
    keys text[], granularities text[], dates text[], points text[],
    before bigint, after bigint, points_total bigint)
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    reached bigint := wal_position();
    running pg_snapshot := pg_current_snapshot();
    hidden bigint[] := ARRAY(SELECT entity_id FROM entity_deletions WHERE entity_id IS NOT NULL);
    nodes bigint[] := roots;
    frontier bigint[] := roots;
    given bigint[] := '{}';
    unread bigint[];
    size bigint := 0;
    listed refcursor;
    entity record;
BEGIN
    IF reached < least_position THEN
        before := reached;
        RETURN NEXT;
        RETURN;
    END IF;
    FOR level IN 1 .. levels LOOP
        frontier := ARRAY(
            SELECT x.right_entity_id
            FROM (
                SELECT e.right_entity_id
                FROM unnest(frontier) AS f (id)
                CROSS JOIN LATERAL (
                    SELECT right_entity_id FROM edges
                    WHERE left_entity_id = f.id AND removed_at IS NULL AND right_entity_id <> ALL (hidden)
                    ORDER BY relationship_type COLLATE "C", right_entity_id
                    LIMIT max_edges) AS e
                WHERE f.id <> ALL (hidden)
                -- Where all know each other, edges are the square of what they lead to. What is missed here is asked
                -- for by the next statement.
                LIMIT 10 * max_nodes::bigint) AS x
            EXCEPT SELECT unnest(nodes)
            LIMIT greatest(0, max_nodes - cardinality(nodes)));
        EXIT WHEN cardinality(frontier) = 0;
        nodes := nodes || frontier;
    END LOOP;
    -- One at a time: a loop over the query would make tens of them ahead, of which each may weigh megabytes.
    OPEN listed FOR
        SELECT e.id, e.type, e.reference, e.properties::text AS properties, utc_text(e.created_at) AS created_at,
               utc_text(e.updated_at) AS updated_at, g.types, g.targets, n.edges_total,
               t.keys, t.granularities, t.dates, t.points, t.is_cut
        FROM unnest(nodes) AS wanted (id)
        JOIN entities e ON e.id = wanted.id AND e.erased_as IS NULL
        CROSS JOIN LATERAL (
            SELECT array_agg(x.relationship_type) AS types, array_agg(x.right_entity_id) AS targets
            FROM (SELECT relationship_type, right_entity_id FROM edges
                  WHERE left_entity_id = e.id AND removed_at IS NULL AND right_entity_id <> ALL (hidden)
                  ORDER BY relationship_type COLLATE "C", right_entity_id
                  LIMIT max_edges) AS x) AS g
        CROSS JOIN LATERAL (
            SELECT count(*) AS edges_total FROM edges
            WHERE left_entity_id = e.id AND removed_at IS NULL AND right_entity_id <> ALL (hidden)) AS n
        CROSS JOIN LATERAL (
            SELECT array_agg(x.key) FILTER (WHERE NOT x.is_over) AS keys,
                   array_agg(x.granularity) FILTER (WHERE NOT x.is_over) AS granularities,
                   array_agg(utc_text(x.reference_date)) FILTER (WHERE NOT x.is_over) AS dates,
                   array_agg(x.value::text) FILTER (WHERE NOT x.is_over) AS points,
                   coalesce(bool_or(x.is_over), false) AS is_cut
            -- By the size as stored, which is known without the value.
            FROM (SELECT key, granularity, reference_date, value,
                         sum(pg_column_size(value)) OVER together > max_bytes / 2
                         OR row_number() OVER together > max_points AS is_over
                  FROM temporal_properties
                  WHERE entity_id = e.id
                  WINDOW together AS (
                      ORDER BY key COLLATE "C", reference_date, granularity COLLATE "C", period_start
                      ROWS UNBOUNDED PRECEDING)
                  ORDER BY key COLLATE "C", reference_date, granularity COLLATE "C", period_start
                  LIMIT max_points::bigint + 1) AS x) AS t;
    LOOP
        FETCH listed INTO entity;
        EXIT WHEN NOT FOUND;
        id := entity.id;
        type := entity.type;
        reference := entity.reference;
        properties := entity.properties;
        created_at := entity.created_at;
        updated_at := entity.updated_at;
        types := entity.types;
        targets := entity.targets;
        edges_total := entity.edges_total;
        keys := entity.keys;
        granularities := entity.granularities;
        dates := entity.dates;
        points := entity.points;
        points_total := NULL;
        IF entity.is_cut OR pg_column_size(entity.points) > max_bytes / 2 THEN
            SELECT l.keys, l.granularities, l.dates, l.points, l.points_total
            INTO keys, granularities, dates, points, points_total
            FROM latest_points(entity.id, max_points, max_bytes / 2) AS l;
        END IF;
        size := size + octet_length(properties) + coalesce(pg_column_size(points), 0) + 100 * coalesce(cardinality(points), 0)
            + 100 * coalesce(cardinality(targets), 0) + 500;
        IF size > max_bytes AND cardinality(given) > 0 THEN
            unread := ARRAY(SELECT unnest(roots) EXCEPT SELECT unnest(given));
            EXIT;
        END IF;
        given := given || id;
        RETURN NEXT;
    END LOOP;
    CLOSE listed;
    id := pg_snapshot_xmin(running)::text::bigint;
    edges_total := pg_snapshot_xmax(running)::text::bigint;
    type := NULL;
    reference := NULL;
    properties := NULL;
    created_at := NULL;
    updated_at := NULL;
    types := NULL;
    targets := unread;
    keys := NULL;
    granularities := NULL;
    dates := NULL;
    points := NULL;
    points_total := NULL;
    before := reached;
    after := wal_position();
    RETURN NEXT;
END
$$;

-- The latest points of an entity by reference date, as many as these limits take, by key and date; and how many there
-- are.
CREATE FUNCTION latest_points(entity bigint, max_points integer, max_bytes bigint)
RETURNS TABLE (keys text[], granularities text[], dates text[], points text[], points_total bigint)
LANGUAGE sql STABLE SET enable_seqscan = off AS $$
    SELECT array_agg(x.key), array_agg(x.granularity), array_agg(utc_text(x.reference_date)), array_agg(x.value),
           (SELECT count(*) FROM temporal_properties WHERE entity_id = entity)
    FROM (
        SELECT key, granularity, reference_date, value
        FROM (
            SELECT key, granularity, reference_date, period_start, value::text AS value,
                   sum(octet_length(value::text) + 100) OVER (
                       ORDER BY reference_date DESC, key COLLATE "C", granularity COLLATE "C", period_start DESC
                       ROWS UNBOUNDED PRECEDING) AS together
            FROM (
                SELECT key, granularity, reference_date, period_start, value
                FROM temporal_properties
                WHERE entity_id = entity
                ORDER BY reference_date DESC, key COLLATE "C", granularity COLLATE "C", period_start DESC
                LIMIT max_points) AS latest) AS summed
        WHERE together <= max_bytes
        ORDER BY key COLLATE "C", reference_date, granularity COLLATE "C", period_start) AS x
$$;
