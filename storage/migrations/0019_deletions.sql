-- An entity with many rows is erased in pieces. The first transaction hides it: its row loses its business key and its
-- properties, so that neither a read nor a flush finds it, and whoever comes later under the same key is another entity.
-- The row itself goes with the last piece, so that change data capture names what belongs to it until then.
SET LOCAL lock_timeout = '10s';

-- The key that a hidden entity had. Its type is empty meanwhile, which no entity's is, and its reference `entity-<id>`.
ALTER TABLE entities ADD COLUMN erased_type text, ADD COLUMN erased_reference text;

-- Deletions in pieces, under way and done. Of one that is done no personal data is left, as in the ledger.
CREATE TABLE entity_deletions (
    id_subject  bytea PRIMARY KEY,          -- keyed hash of the entity's id
    subject     bytea NOT NULL,             -- of the erasure in the ledger
    erased_at   timestamptz NOT NULL,
    entity_id   bigint UNIQUE,              -- null once it is done
    rows_total  bigint,                     -- edges and points when it began; null until they are counted
    edges       bigint NOT NULL DEFAULT 0,  -- deleted so far
    points      bigint NOT NULL DEFAULT 0,
    pieces      bigint NOT NULL DEFAULT 0,
    begun_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    moved_at    timestamptz NOT NULL DEFAULT clock_timestamp(),  -- the latest piece
    finished_at timestamptz
);
CREATE INDEX entity_deletions_subject ON entity_deletions (subject);

-- Mark and delete some points of an entity, partition by partition where there are any; returns how many, 0 where none is
-- left. A partition is named by itself, since a join with their parent looks into every partition for every point.
CREATE FUNCTION erase_points(entity bigint, most bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    leaf regclass;
    marked tid[];
    gone bigint := 0;
BEGIN
    FOR leaf IN
        SELECT inhrelid::regclass FROM pg_inherits
        WHERE inhparent = 'public.temporal_properties'::regclass
        UNION ALL SELECT oid FROM pg_class WHERE oid = 'public.temporal_properties'::regclass AND relkind = 'r'
        ORDER BY 1
    LOOP
        EXECUTE format(
            'WITH marked AS (
                 UPDATE %1$s SET erased = true
                 WHERE ctid = ANY (ARRAY(SELECT ctid FROM %1$s WHERE entity_id = $1 LIMIT $2))
                 RETURNING ctid)
             SELECT array_agg(ctid) FROM marked', leaf)
            INTO marked USING entity, most - gone;
        CONTINUE WHEN marked IS NULL;
        EXECUTE format('DELETE FROM %s WHERE ctid = ANY ($1)', leaf) USING marked;
        gone := gone + cardinality(marked);
        EXIT WHEN gone >= most;
    END LOOP;
    RETURN gone;
END
$$;

-- As in 0014, without hidden entities and the relationships to them.
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
    hidden bigint[] := ARRAY(SELECT entity_id FROM entity_deletions WHERE entity_id IS NOT NULL);
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
                WHERE left_entity_id = f.id AND removed_at IS NULL AND right_entity_id <> ALL (hidden)
                ORDER BY relationship_type COLLATE "C", right_entity_id
                LIMIT max_edges) AS e
            WHERE f.id <> ALL (hidden)
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
