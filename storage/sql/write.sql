-- The writes of one batch. Several statements instead of one, because a CTE's snapshot does not see the rows that
-- another transaction inserted meanwhile: edges to them would be lost without an error.

-- name: candidate_entities
-- Which of these entities do not exist. Read-only.
-- $1 types, $2 references; returns positions from 1.
SELECT r.ord
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS r (type, reference, ord)
WHERE NOT EXISTS (SELECT FROM entities e WHERE e.type = r.type AND e.reference = r.reference);

-- name: candidate_properties
-- Which of these fields could win over what is stored. Read-only: winning is monotonic, so what loses against an
-- older state loses against every later one.
-- Without a value a field is removed, which wins over any value of the same date: `~` sorts after the text of any JSON.
-- $1 types, $2 references, $3 fields, $4 values as JSON text or null, $5 reference dates, $6 stored bytes from which an
-- entity is large; returns positions from 1, and of large entities the bytes of all properties and of this one.
WITH batch AS (
    SELECT type, reference, array_agg(field) AS fields, array_agg(value) AS texts,
           array_agg(reference_date) AS dates, array_agg(ord) AS ords
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
        WITH ORDINALITY AS r (type, reference, field, value, reference_date, ord)
    GROUP BY type, reference
)
SELECT w.ord, CASE WHEN e.is_large THEN pg_column_size(e.properties) END AS held,
       CASE WHEN e.is_large THEN w.old END AS old
FROM batch b
LEFT JOIN LATERAL (
    -- `|| '{}'` reads a large value once for all of its fields; OFFSET 0 keeps the planner from repeating it.
    SELECT x.id, x.properties || '{}' AS properties, pg_column_size(x.properties) > $6::integer AS is_large
    FROM entities x
    WHERE x.type = b.type AND x.reference = b.reference
    OFFSET 0) AS e ON true
CROSS JOIN LATERAL (
    SELECT r.ord, CASE WHEN e.is_large THEN coalesce(pg_column_size(e.properties -> r.field), 0) END AS old
    FROM unnest(b.fields, b.texts, b.dates, b.ords) AS r (field, value, reference_date, ord)
    WHERE e.id IS NULL
       OR NOT e.properties ? r.field
       OR r.reference_date COLLATE "C" > (e.properties -> r.field ->> 'reference_date') COLLATE "C"
       OR (r.reference_date = e.properties -> r.field ->> 'reference_date'
           AND coalesce(r.value::jsonb::text, '~') COLLATE "C"
         > coalesce((e.properties -> r.field -> 'value')::text, '~') COLLATE "C")
    OFFSET 0) AS w;

-- name: candidate_edges
-- Which of these edges are missing, tell newer metadata, or were told after a removal. Read-only.
-- $1 left types, $2 left references, $3 right types, $4 right references, $5 relationship types,
-- $6 metadata as JSON text or null, $7 timestamps of the records; returns positions from 1.
SELECT r.ord
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
    WITH ORDINALITY AS r (left_type, left_reference, right_type, right_reference, relationship_type, metadata,
                          told_at, ord)
LEFT JOIN entities l ON l.type = r.left_type AND l.reference = r.left_reference
LEFT JOIN entities t ON t.type = r.right_type AND t.reference = r.right_reference
LEFT JOIN edges e ON e.left_entity_id = l.id AND e.right_entity_id = t.id
    AND e.relationship_type = r.relationship_type
WHERE e.id IS NULL
   OR r.told_at > e.removed_at
   OR (e.removed_at IS NULL AND r.metadata IS NOT NULL
       AND (e.metadata_date IS NULL
            OR r.told_at > e.metadata_date
            OR (r.told_at = e.metadata_date
                AND r.metadata::jsonb::text COLLATE "C" > e.metadata::text COLLATE "C")));

-- name: candidate_temporal
-- Which of these points could win over what is stored. Read-only.
-- $1 types, $2 references, $3 keys, $4 granularities, $5 starts of periods, $6 reference dates, $7 versions,
-- $8 values as JSON text; returns positions from 1.
SELECT r.ord
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::bigint[],
            $8::text[])
    WITH ORDINALITY AS r (type, reference, key, granularity, period_start, reference_date, version, value, ord)
LEFT JOIN entities e ON e.type = r.type AND e.reference = r.reference
-- LATERAL with OFFSET 0: each point is looked for in its own partition by its whole key. A plain join looked for the
-- entity's points in every partition.
LEFT JOIN LATERAL (
    SELECT t.entity_id, t.reference_date, t.version, t.value FROM temporal_properties t
    WHERE t.entity_id = e.id AND t.key = r.key AND t.granularity = r.granularity
      AND t.period_start = r.period_start
    OFFSET 0) AS p ON true
WHERE p.entity_id IS NULL
   OR (r.reference_date, r.version) > (p.reference_date, p.version)
   OR ((r.reference_date, r.version) = (p.reference_date, p.version)
       AND r.value::jsonb::text COLLATE "C" > p.value::text COLLATE "C");

-- name: create_staging
-- The session's staging tables, once for a connection: to make and drop them for each flush costs milliseconds and
-- grows the catalogue.
CREATE TEMP TABLE IF NOT EXISTS staging_entities (type text, reference text) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS staging_properties (
    type text, reference text, field text, value jsonb, reference_date text COLLATE "C", source text
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS staging_edges (
    left_type text, left_reference text, right_type text, right_reference text, relationship_type text,
    metadata jsonb, told_at timestamptz
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS staging_temporal (
    type text, reference text, key text, granularity text, period_start timestamptz, period text,
    reference_date timestamptz, version bigint, value jsonb
) ON COMMIT DELETE ROWS;

-- name: insert_missing_entities
-- Insert every entity that the staged rows name and that does not exist, with its staged properties, so that a new
-- entity is one insert. Sorted, so that two writers wait for each other in one order. Who loses the race for an
-- insert is merged by the next statement. $1 true: a statement without parameters would keep its first plan.
-- Of what changed it tells how large all properties are now; as written in a change where they take more than $2 bytes
-- as jsonb, and their number, without removed ones, where they take more than $3.
WITH named AS (
    SELECT type, reference, NULL AS field, NULL::jsonb AS property, NULL AS source FROM staging_entities
    UNION ALL
    (SELECT DISTINCT ON (type, reference, field)
            type, reference, field, stored_property(value, reference_date), source
     FROM staging_properties
     ORDER BY type, reference, field, reference_date DESC, coalesce(value::text, '~') COLLATE "C" DESC)
    UNION ALL SELECT left_type, left_reference, NULL, NULL, NULL FROM staging_edges
    UNION ALL SELECT right_type, right_reference, NULL, NULL, NULL FROM staging_edges
    UNION ALL SELECT type, reference, NULL, NULL, NULL FROM staging_temporal
), folded AS (
    SELECT type, reference,
           coalesce(jsonb_object_agg(field, property) FILTER (WHERE field IS NOT NULL), '{}') AS properties,
           jsonb_object_agg(field, source) FILTER (WHERE source IS NOT NULL) AS sources
    FROM named
    GROUP BY type, reference
)
INSERT INTO entities (type, reference, properties, sources)
SELECT f.type, f.reference, f.properties, f.sources
FROM folded f
WHERE $1::boolean AND NOT EXISTS (SELECT FROM entities e WHERE e.type = f.type AND e.reference = f.reference)
ORDER BY f.type, f.reference
ON CONFLICT (type, reference) DO NOTHING
RETURNING 'created'::text AS kind, id, type, reference, 1::bigint AS rows, NULL::jsonb AS old, properties AS new,
          pg_column_size(properties) AS bytes,
          CASE WHEN pg_column_size(properties) > $2::integer
               THEN octet_length(to_json(properties::text)::text) END AS written,
          CASE WHEN pg_column_size(properties) > $3::integer
               THEN (SELECT count(*) FROM jsonb_each(properties) AS p WHERE p.value ? 'value') END AS fields;

-- name: merge_staged
-- Merge the staged rows into what is there, and return what changed: for properties the fields that won, old and
-- new, read from the locked row (the snapshot may be older), and how large all are now; for edges the left entity; for
-- temporal points theirs. An entity that would have more bytes than $4 is left as it is, and returned with that size:
-- the caller refuses the batch, so nothing of it is compressed, logged and measured for nothing.
-- $1 true, $2 and $3 sizes, as above, $4 the most bytes of an entity's properties.
WITH patches AS MATERIALIZED (
    SELECT type, reference,
           jsonb_object_agg(field, stored_property(value, reference_date)) AS patch,
           array_agg(field) FILTER (WHERE source IS NOT NULL) AS fields,
           array_agg(source) FILTER (WHERE source IS NOT NULL) AS sources
    FROM (SELECT DISTINCT ON (type, reference, field) type, reference, field, value, reference_date, source
          FROM staging_properties
          ORDER BY type, reference, field, reference_date DESC, coalesce(value::text, '~') COLLATE "C" DESC) AS winners
    GROUP BY type, reference
), locked AS MATERIALIZED (
    -- After the wait for a lock the condition is checked again, on the new row. What this transaction inserted has
    -- its properties already.
    SELECT e.id, e.properties AS stored, winning_properties(e.properties, p.patch) AS won,
           e.sources AS stored_sources, p.fields, p.sources
    FROM entities e
    JOIN patches p ON e.type = p.type AND e.reference = p.reference
    WHERE e.xmin <> pg_current_xact_id()::xid AND winning_properties(e.properties, p.patch) <> '{}'
    ORDER BY e.type, e.reference
    FOR NO KEY UPDATE OF e
), fitting AS MATERIALIZED (
    -- Stored sizes are compressed ones, so that small entities are not put together once more.
    SELECT l.*, CASE WHEN pg_column_size(l.stored) + pg_column_size(l.won) > $2::integer
                     THEN pg_column_size(l.stored || l.won) ELSE 0 END AS bytes
    FROM locked l
), merged AS (
    UPDATE entities e
    SET properties = l.stored || l.won,
        -- Of what won without a source, the one before is no longer true.
        sources = CASE WHEN l.stored_sources IS NOT NULL OR l.sources IS NOT NULL
                       THEN jsonb_strip_nulls(
                           coalesce(l.stored_sources, '{}')
                           || (SELECT jsonb_object_agg(k, l.sources[array_position(l.fields, k)])
                               FROM jsonb_object_keys(l.won) AS k)) END,
        updated_at = now()
    FROM fitting l
    WHERE e.id = l.id AND l.bytes <= $4::integer
    RETURNING e.id, e.type, e.reference, l.stored, l.won, pg_column_size(e.properties) AS bytes,
              CASE WHEN pg_column_size(e.properties) > $2::integer
                   THEN octet_length(to_json(e.properties::text)::text) END AS written,
              CASE WHEN pg_column_size(e.properties) > $3::integer
                   THEN (SELECT count(*) FROM jsonb_each(e.properties) AS p WHERE p.value ? 'value') END AS fields
), edge_rows AS MATERIALIZED (
    -- Of an edge told twice: the newest metadata, and the latest time that it was told at all.
    SELECT DISTINCT ON (l.id, t.id, s.relationship_type)
           l.id AS left_id, t.id AS right_id, s.relationship_type, s.metadata,
           CASE WHEN s.metadata IS NOT NULL THEN s.told_at END AS metadata_date,
           max(s.told_at) OVER (PARTITION BY l.id, t.id, s.relationship_type) AS told_at
    FROM staging_edges s
    JOIN entities l ON l.type = s.left_type AND l.reference = s.left_reference
    JOIN entities t ON t.type = s.right_type AND t.reference = s.right_reference
    ORDER BY l.id, t.id, s.relationship_type, s.metadata IS NULL, s.told_at DESC, s.metadata::text COLLATE "C" DESC
), edges_updated AS (
    -- Apart from what is missing, since an insert that ends in an update takes a sequence value. Reached from
    -- edge_rows, so that two writers wait for each other in its order.
    UPDATE edges e
    -- What comes back without metadata keeps the date of its removal, so that metadata from before stays out.
    SET removed_at = NULL, metadata = n.metadata, metadata_date = coalesce(n.metadata_date, e.removed_at),
        updated_at = now()
    FROM edge_rows n
    WHERE e.left_entity_id = n.left_id AND e.right_entity_id = n.right_id
      AND e.relationship_type = n.relationship_type
      AND (n.told_at > e.removed_at
           OR (e.removed_at IS NULL AND n.metadata IS NOT NULL
               AND (e.metadata_date IS NULL
                    OR (n.metadata_date, n.metadata::text COLLATE "C")
                     > (e.metadata_date, e.metadata::text COLLATE "C"))))
    RETURNING e.left_entity_id
), edges_inserted AS (
    INSERT INTO edges AS e (left_entity_id, right_entity_id, relationship_type, metadata, metadata_date)
    SELECT n.left_id, n.right_id, n.relationship_type, n.metadata, n.metadata_date
    FROM edge_rows n
    WHERE NOT EXISTS (
        SELECT FROM edges x
        WHERE x.left_entity_id = n.left_id AND x.right_entity_id = n.right_id
          AND x.relationship_type = n.relationship_type)
    ORDER BY n.left_id, n.right_id, n.relationship_type
    -- Another writer was faster.
    ON CONFLICT (left_entity_id, right_entity_id, relationship_type) DO UPDATE
    SET metadata = excluded.metadata, metadata_date = excluded.metadata_date, updated_at = now()
    WHERE e.removed_at IS NULL AND excluded.metadata IS NOT NULL
      AND (e.metadata_date IS NULL
           OR (excluded.metadata_date, excluded.metadata::text COLLATE "C")
            > (e.metadata_date, e.metadata::text COLLATE "C"))
    RETURNING e.left_entity_id
), points AS MATERIALIZED (
    SELECT DISTINCT ON (e.id, s.key, s.granularity, s.period_start)
           e.id AS entity_id, s.key, s.granularity, s.period_start, s.period, s.reference_date, s.version, s.value
    FROM staging_temporal s
    JOIN entities e ON e.type = s.type AND e.reference = s.reference
    ORDER BY e.id, s.key, s.granularity, s.period_start, s.reference_date DESC, s.version DESC,
             s.value::text COLLATE "C" DESC
), points_written AS (
    INSERT INTO temporal_properties AS t
        (entity_id, key, granularity, period_start, reference_date, version, value, idempotency_key)
    SELECT p.entity_id, p.key, p.granularity, p.period_start, p.reference_date, p.version, p.value,
           concat_ws(':', p.entity_id, p.key, p.granularity, p.period)
    FROM points p
    WHERE NOT EXISTS (
        SELECT FROM temporal_properties x
        WHERE x.entity_id = p.entity_id AND x.key = p.key AND x.granularity = p.granularity
          AND x.period_start = p.period_start
          AND (x.reference_date, x.version, x.value::text COLLATE "C")
           >= (p.reference_date, p.version, p.value::text COLLATE "C"))
    ORDER BY p.entity_id, p.key, p.granularity, p.period_start
    ON CONFLICT (entity_id, key, granularity, period_start) DO UPDATE
    SET reference_date = excluded.reference_date, version = excluded.version, value = excluded.value,
        updated_at = now()
    WHERE (excluded.reference_date, excluded.version, excluded.value::text COLLATE "C")
        > (t.reference_date, t.version, t.value::text COLLATE "C")
    RETURNING t.entity_id
)
SELECT 'property' AS kind, m.id, m.type, m.reference, 1::bigint AS rows,
       (SELECT o.old
        FROM (SELECT m.stored || '{}' AS stored OFFSET 0) AS s  -- read once, as in candidate_properties
        CROSS JOIN LATERAL (
            SELECT jsonb_object_agg(k, s.stored -> k) AS old
            FROM jsonb_object_keys(m.won) AS k WHERE s.stored ? k
            OFFSET 0) AS o) AS old,
       m.won AS new, m.bytes, m.written, m.fields
FROM merged m
UNION ALL
SELECT 'property', e.id, e.type, e.reference, 1, NULL, NULL, f.bytes, NULL, NULL
FROM fitting f JOIN entities e ON e.id = f.id
WHERE f.bytes > $4::integer
UNION ALL
SELECT 'edge', w.left_entity_id, NULL, NULL, count(*), NULL, NULL, NULL, NULL, NULL
FROM (SELECT left_entity_id FROM edges_updated UNION ALL SELECT left_entity_id FROM edges_inserted) AS w
GROUP BY w.left_entity_id
UNION ALL
SELECT 'temporal', w.entity_id, NULL, NULL, count(*), NULL, NULL, NULL, NULL, NULL
FROM points_written w
WHERE $1::boolean
GROUP BY w.entity_id;

-- name: remove_edges
-- Mark edges as removed, after what the same transaction told; one that was never told is noted, so that an older
-- record does not make it, where both of its ends exist. The date is the primary's clock after the writers' lock was
-- held. Sorted, as above; returns rows as merge_staged does.
-- $1 left types, $2 left references, $3 right types, $4 right references, $5 relationship types, $6 end offsets of topics
-- as JSON text, or null.
WITH named AS MATERIALIZED (
    SELECT DISTINCT l.id AS left_id, t.id AS right_id, r.relationship_type
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
        AS r (left_type, left_reference, right_type, right_reference, relationship_type)
    JOIN entities l ON l.type = r.left_type AND l.reference = r.left_reference
    JOIN entities t ON t.type = r.right_type AND t.reference = r.right_reference
), tick AS (
    UPDATE writers_clock SET latest = greatest(clock_timestamp(), latest + interval '1 microsecond')
    WHERE EXISTS (SELECT FROM named)
    RETURNING latest
), noted AS (
    INSERT INTO removals (removed_at, log_ends) SELECT latest, $6::jsonb FROM tick WHERE $6::text IS NOT NULL
), forgotten AS (
    DELETE FROM removals WHERE removed_at < now() - interval '30 days'
), removed AS (
    INSERT INTO edges AS e (left_entity_id, right_entity_id, relationship_type, removed_at)
    SELECT n.left_id, n.right_id, n.relationship_type, c.now
    FROM named n, (SELECT coalesce((SELECT latest FROM tick), clock_timestamp()) AS now OFFSET 0) AS c
    ORDER BY n.left_id, n.right_id, n.relationship_type
    ON CONFLICT (left_entity_id, right_entity_id, relationship_type) DO UPDATE
    SET removed_at = excluded.removed_at, updated_at = now()
    RETURNING e.left_entity_id
)
SELECT 'edge'::text AS kind, left_entity_id AS id, NULL::text AS type, NULL::text AS reference, count(*) AS rows,
       NULL::jsonb AS old, NULL::jsonb AS new, NULL::integer AS bytes, NULL::integer AS written, NULL::bigint AS fields
FROM removed
GROUP BY left_entity_id;

-- name: create_flush
-- The statements above as one function of the connection, so that the rows that a flush locks wait for no round trip
-- between them. Each statement of a volatile function has a snapshot of its own, and its parameters keep each from
-- running by its first plan. A function of the connection is always that of this code, whatever runs beside it.
-- The names after colons stand for the texts of those queries; `removed` are the parameters of remove_edges. A row of
-- the kind `step` tells how many microseconds the statement of that name (`type`) took, for traces.
CREATE OR REPLACE FUNCTION pg_temp.flush_staged(
    staged boolean, measured_from integer, counted_from integer, most_bytes integer,
    removed_1 text[], removed_2 text[], removed_3 text[], removed_4 text[], removed_5 text[], removed_ends text)
RETURNS TABLE (kind text, id bigint, type text, reference text, rows bigint, old jsonb, new jsonb, bytes integer,
               written integer, fields bigint)
LANGUAGE plpgsql VOLATILE AS $flush$
#variable_conflict use_column
DECLARE
    at timestamptz[] := ARRAY[clock_timestamp()];
BEGIN
    IF staged THEN
        RETURN QUERY :insert_missing_entities;
        at := at || clock_timestamp();
        RETURN QUERY :merge_staged;
        at := at || clock_timestamp();
    END IF;
    IF cardinality(removed_1) > 0 THEN
        RETURN QUERY :remove_edges;
        at := at || clock_timestamp();
    END IF;
    RETURN QUERY
    SELECT 'step'::text, NULL::bigint, step, NULL::text,
           (1000000 * extract(epoch FROM at[ord + 1] - at[ord]))::bigint,
           NULL::jsonb, NULL::jsonb, NULL::integer, NULL::integer, NULL::bigint
    FROM unnest(CASE WHEN staged THEN ARRAY['entities', 'merge', 'removals'] ELSE ARRAY['removals'] END)
        WITH ORDINALITY AS s (step, ord)
    WHERE at[ord + 1] IS NOT NULL;
END
$flush$;

-- name: flush_staged
-- Write what is staged, then remove edges; returns what changed, as the statements within it do.
-- $1 whether rows are staged, $2 to $4 sizes as in merge_staged, $5 to $10 the parameters of remove_edges.
SELECT * FROM pg_temp.flush_staged($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- name: property_sizes
-- What each of these properties would take of its entity, what it takes now, and what all take that are stored. As a
-- part of jsonb a property is its key, its value and two numbers; as written in a change it has its share of commas.
-- Entities that do not exist have nothing; a removed property takes bytes and is not counted.
-- $1 types, $2 references, $3 fields, $4 values as JSON text or null, $5 reference dates; `ord` are positions from 1.
WITH batch AS (
    SELECT type, reference, array_agg(field) AS fields, array_agg(value) AS texts,
           array_agg(reference_date) AS dates, array_agg(ord) AS ords
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
        WITH ORDINALITY AS r (type, reference, field, value, reference_date, ord)
    GROUP BY type, reference
)
SELECT w.*, t.*
FROM batch b
LEFT JOIN LATERAL (
    SELECT x.properties || '{}' AS properties FROM entities x
    WHERE x.type = b.type AND x.reference = b.reference
    OFFSET 0) AS e ON true
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE p.value ? 'value') AS all_fields,
           coalesce(sum(property_bytes(p.key, p.value)), 0)::bigint AS all_bytes,
           coalesce(sum(property_written(p.key, p.value)), 0)::bigint AS all_written
    FROM jsonb_each(e.properties) AS p
    OFFSET 0) AS t
CROSS JOIN LATERAL (
    SELECT r.ord, property_bytes(r.field, n.property) AS bytes, property_written(r.field, n.property) AS written,
           n.property ? 'value' AS stands,
           property_bytes(r.field, n.stored) AS old_bytes, property_written(r.field, n.stored) AS old_written,
           coalesce(n.stored ? 'value', false) AS old_stands
    FROM unnest(b.fields, b.texts, b.dates, b.ords) AS r (field, value, reference_date, ord)
    CROSS JOIN LATERAL (
        SELECT stored_property(r.value::jsonb, r.reference_date) AS property, e.properties -> r.field AS stored
        OFFSET 0) AS n
    OFFSET 0) AS w;

-- name: refused_values
-- Which of these JSON texts PostgreSQL does not take, and the SQLSTATE. $1 texts; `ord` are positions from 1.
SELECT ord, state FROM refused_values($1::text[]);

-- name: flush_position
-- The WAL position that is safely on disk, as a number. After a commit on the same connection it covers that commit.
SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint;

-- name: primary_clock
-- The primary's time, later than every erasure and removal that is committed, though its clock may be behind.
SELECT greatest(clock_timestamp(), (SELECT latest + interval '1 microsecond' FROM writers_clock));

-- name: server_clock
-- The clock of the server itself, which may be behind.
SELECT clock_timestamp();
