-- Stored properties one by one, for the repair of normal forms. See storage/read/stated_properties.py.

-- name: end_of_stated_page
-- The last id of a page of entities; null after the last. $1 ids after this one, $2 entities.
SELECT max(id) FROM (SELECT id FROM entities WHERE id > $1 ORDER BY id LIMIT $2) AS page;

-- name: stated_properties
-- The values of these properties, with the source of each. $1 ids after this one, $2 the last id, $3 types and $4 fields
-- that go together, $5 the most bytes of a value.
SELECT e.type, e.reference, f.field, (e.properties -> f.field -> 'value')::text AS value,
       e.properties -> f.field ->> 'reference_date' AS reference_date,
       jsonb_build_object(f.field, e.sources -> f.field)::text AS sources,
       (SELECT jsonb_object_agg(t.id, t.name) FROM source_topics t)::text AS topics
FROM (SELECT type, reference, properties || '{}' AS properties, sources FROM entities
      WHERE id > $1 AND id <= $2 AND erased_as IS NULL) AS e
JOIN unnest($3::text[], $4::text[]) AS f (type, field) ON f.type = e.type
WHERE e.properties -> f.field ? 'value' AND e.sources ? f.field
  AND octet_length((e.properties -> f.field -> 'value')::text) <= $5;
