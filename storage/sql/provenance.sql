-- Where statements came from. See storage/postgres/stored_sources.py.

-- name: note_source_topics
-- Give numbers to topics that have none. Writes nothing where all have one. $1 names.
INSERT INTO source_topics (name)
SELECT n.name FROM unnest($1::text[]) AS n (name)
WHERE NOT EXISTS (SELECT FROM source_topics t WHERE t.name = n.name)
ON CONFLICT (name) DO NOTHING;

-- name: source_topics
-- Their numbers. $1 names.
SELECT id, name FROM source_topics WHERE name = ANY ($1::text[]);

-- name: provenance
-- An entity with its properties' dates and sources, without their values, and the names of topics. $1 id.
SELECT e.id, e.type, e.reference, e.sources::text AS sources,
       (SELECT jsonb_object_agg(p.key, p.value - 'value') FROM jsonb_each(e.properties) AS p)::text AS properties,
       (SELECT jsonb_object_agg(t.id, t.name) FROM source_topics t)::text AS topics
FROM entities e
WHERE e.id = $1 AND e.erased_as IS NULL;

-- name: provenance_by_key
-- The same by business key. $1 type, $2 reference.
SELECT e.id, e.type, e.reference, e.sources::text AS sources,
       (SELECT jsonb_object_agg(p.key, p.value - 'value') FROM jsonb_each(e.properties) AS p)::text AS properties,
       (SELECT jsonb_object_agg(t.id, t.name) FROM source_topics t)::text AS topics
FROM entities e
WHERE e.type = $1 AND e.reference = $2;
