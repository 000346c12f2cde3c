-- What is stored now of the things that a batch tells, for a preview. Which rows could win is asked of the
-- candidate_* queries of write.sql; these add the old values, and order the rows that tell the same thing as
-- merge_staged does. All are read-only.

-- name: plan_for_these_sizes
-- Until the end of the transaction, plan each statement for its own arrays, as the writer's sessions do.
SELECT set_config('plan_cache_mode', 'force_custom_plan', true), set_config('random_page_cost', '1.1', true);

-- name: stored_properties
-- The stored value of each field, and whether the row tells the same. The best row of a field comes first.
-- A removed field stands without a value.
-- $1 types, $2 references, $3 fields, $4 values as JSON text or null, $5 reference dates; `ord` are positions from 1.
WITH batch AS (
    SELECT type, reference, array_agg(field) AS fields, array_agg(value) AS texts,
           array_agg(reference_date) AS dates, array_agg(ord) AS ords
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
        WITH ORDINALITY AS r (type, reference, field, value, reference_date, ord)
    GROUP BY type, reference
)
SELECT w.ord, w.stands, w.property -> 'value' AS value, w.property ->> 'reference_date' AS reference_date,
       (w.stated_date = w.property ->> 'reference_date'
        AND w.stated COLLATE "C" = coalesce((w.property -> 'value')::text, '~') COLLATE "C") IS TRUE AS same
FROM batch b
LEFT JOIN LATERAL (
    -- A large value is read once for all of its fields, as in candidate_properties.
    SELECT x.properties || '{}' AS properties FROM entities x
    WHERE x.type = b.type AND x.reference = b.reference
    OFFSET 0) AS e ON true
CROSS JOIN LATERAL (
    SELECT r.ord, (e.properties ? r.field) IS TRUE AS stands, e.properties -> r.field AS property,
           r.reference_date AS stated_date, coalesce(r.value::jsonb::text, '~') AS stated
    FROM unnest(b.fields, b.texts, b.dates, b.ords) AS r (field, value, reference_date, ord)
    OFFSET 0) AS w
ORDER BY w.stated_date COLLATE "C" DESC, w.stated COLLATE "C" DESC;

-- name: stored_edges
-- The stored metadata of each edge that stands (a removed one does not), and whether the row tells nothing else:
-- a plain edge does not. The best row of an edge comes first.
-- $1 left types, $2 left references, $3 right types, $4 right references, $5 relationship types,
-- $6 metadata as JSON text or null, $7 timestamps of the records; `ord` are positions from 1.
SELECT r.ord, e.id IS NOT NULL AS stands, e.metadata AS value, e.metadata_date AS reference_date,
       (e.id IS NOT NULL
        AND (r.metadata IS NULL
             OR (r.told_at = e.metadata_date
                 AND r.metadata::jsonb::text COLLATE "C" = e.metadata::text COLLATE "C"))) IS TRUE AS same
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
    WITH ORDINALITY AS r (left_type, left_reference, right_type, right_reference, relationship_type, metadata,
                          told_at, ord)
LEFT JOIN entities l ON l.type = r.left_type AND l.reference = r.left_reference
LEFT JOIN entities t ON t.type = r.right_type AND t.reference = r.right_reference
LEFT JOIN edges e ON e.left_entity_id = l.id AND e.right_entity_id = t.id
    AND e.relationship_type = r.relationship_type AND e.removed_at IS NULL
ORDER BY r.metadata IS NULL, r.told_at DESC, r.metadata::jsonb::text COLLATE "C" DESC;

-- name: stored_temporal
-- The stored value of each point, and whether the row tells the same. The best row of a point comes first.
-- $1 types, $2 references, $3 keys, $4 granularities, $5 starts of periods, $6 reference dates, $7 versions,
-- $8 values as JSON text; `ord` are positions from 1.
SELECT r.ord, p.entity_id IS NOT NULL AS stands, p.value, p.reference_date, p.version,
       ((r.reference_date, r.version) = (p.reference_date, p.version)
        AND r.value::jsonb::text COLLATE "C" = p.value::text COLLATE "C") IS TRUE AS same
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::bigint[],
            $8::text[])
    WITH ORDINALITY AS r (type, reference, key, granularity, period_start, reference_date, version, value, ord)
LEFT JOIN entities e ON e.type = r.type AND e.reference = r.reference
-- LATERAL with OFFSET 0: as in candidate_temporal.
LEFT JOIN LATERAL (
    SELECT t.entity_id, t.reference_date, t.version, t.value FROM temporal_properties t
    WHERE t.entity_id = e.id AND t.key = r.key AND t.granularity = r.granularity
      AND t.period_start = r.period_start
    OFFSET 0) AS p ON true
ORDER BY r.reference_date DESC, r.version DESC, r.value::jsonb::text COLLATE "C" DESC;

-- name: standing_edges
-- Which of these edges stand, and their metadata.
-- $1 left types, $2 left references, $3 right types, $4 right references, $5 relationship types; `ord` from 1.
SELECT r.ord, e.metadata AS value, e.metadata_date AS reference_date
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
    WITH ORDINALITY AS r (left_type, left_reference, right_type, right_reference, relationship_type, ord)
JOIN entities l ON l.type = r.left_type AND l.reference = r.left_reference
JOIN entities t ON t.type = r.right_type AND t.reference = r.right_reference
JOIN edges e ON e.left_entity_id = l.id AND e.right_entity_id = t.id
    AND e.relationship_type = r.relationship_type AND e.removed_at IS NULL;

-- name: would_be_held
-- What entities would hold if these properties were written: as held_by_entities, and the bytes of jsonb.
-- $1 types, $2 references, $3 fields, $4 values as JSON text or null, $5 reference dates.
WITH patches AS MATERIALIZED (
    SELECT type, reference, jsonb_object_agg(field, stored_property(value::jsonb, reference_date)) AS patch
    FROM (SELECT DISTINCT ON (type, reference, field) type, reference, field, value, reference_date
          FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
              AS r (type, reference, field, value, reference_date)
          ORDER BY type, reference, field, reference_date COLLATE "C" DESC,
                   coalesce(value::jsonb::text, '~') COLLATE "C" DESC) AS winners
    GROUP BY type, reference
), merged AS MATERIALIZED (
    SELECT p.type, p.reference,
           coalesce(e.properties, '{}') || winning_properties(coalesce(e.properties, '{}'), p.patch) AS properties
    FROM patches p
    LEFT JOIN entities e ON e.type = p.type AND e.reference = p.reference
)
SELECT type, reference, pg_column_size(properties) AS bytes, octet_length(to_json(properties::text)::text) AS written,
       (SELECT count(*) FROM jsonb_each(properties) AS p WHERE p.value ? 'value') AS fields
FROM merged
ORDER BY type, reference;
