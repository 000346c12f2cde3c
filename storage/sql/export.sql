-- Everything that is held about one entity. Run in one snapshot, by cursors.

-- name: export_entity
-- The entity, and the time of the snapshot. $1 id.
SELECT id, type, reference, properties::text AS properties, sources::text AS sources,
       (SELECT jsonb_object_agg(t.id, t.name) FROM source_topics t)::text AS topics, utc_text(created_at) AS created_at,
       utc_text(updated_at) AS updated_at, utc_text(now()) AS exported_at
FROM entities
WHERE id = $1 AND erased_as IS NULL;

-- name: export_edges
-- Its relationships on both sides, removed ones too, each once. $1 id.
SELECT e.direction, e.relationship_type, e.other AS other_id, o.type AS other_type, o.reference AS other_reference,
       e.metadata, utc_text(e.metadata_date) AS metadata_date, utc_text(e.removed_at) AS removed_at,
       utc_text(e.created_at) AS created_at, utc_text(e.updated_at) AS updated_at
FROM (SELECT CASE WHEN right_entity_id = $1 THEN 'self' ELSE 'out' END AS direction, right_entity_id AS other, *
      FROM edges WHERE left_entity_id = $1
      UNION ALL
      SELECT 'in', left_entity_id, * FROM edges WHERE right_entity_id = $1 AND left_entity_id <> $1) AS e
LEFT JOIN entities o ON o.id = e.other
WHERE o.erased_as IS NULL
ORDER BY e.direction COLLATE "C" DESC, e.relationship_type COLLATE "C", e.id;

-- name: export_temporal
-- Its points, of every age. $1 id.
SELECT key, granularity, utc_text(period_start) AS period_start, utc_text(reference_date) AS reference_date, version,
       value, utc_text(created_at) AS created_at, utc_text(updated_at) AS updated_at
FROM temporal_properties
WHERE entity_id = $1
ORDER BY key COLLATE "C", granularity COLLATE "C", period_start;
