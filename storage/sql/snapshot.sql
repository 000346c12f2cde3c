-- The whole graph at one moment, for the comparison after a slot loss; in one transaction of the primary. An entity
-- whose deletion goes on is not in it.

-- name: newest_transaction
-- The id that the next transaction will get.
SELECT next_transaction();

-- name: oldest_transaction
-- The oldest transaction that still runs.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint;

-- name: patient_transaction
-- Between two fetches of this transaction the caller publishes, for as long as Kafka takes.
SELECT set_config('idle_in_transaction_session_timeout', '0', true), set_config('statement_timeout', '0', true);

-- name: snapshot_moment
-- The position and the time of a reading, and whether commits have times (track_commit_timestamp).
SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint AS position, statement_timestamp() AS at,
       current_setting('track_commit_timestamp')::boolean AS timed;

-- name: snapshot_entities
-- All entities. recent: the row was written at or after $1, which is null for all of them. The time of a commit is
-- forgotten after long; then it was not lately.
SELECT id, type, reference, properties::text AS properties,
       $1::timestamptz IS NULL OR coalesce(pg_xact_commit_timestamp(xmin) >= $1, false) AS recent
FROM entities
WHERE erased_as IS NULL;

-- name: snapshot_edges
-- All edges that are not removed, with the business keys of both ends; recent as above.
SELECT e.id, e.left_entity_id, e.right_entity_id, l.type AS left_type, l.reference AS left_reference,
       r.type AS right_type, r.reference AS right_reference, e.relationship_type, e.metadata::text AS metadata,
       $1::timestamptz IS NULL OR coalesce(pg_xact_commit_timestamp(e.xmin) >= $1, false) AS recent
FROM edges e
JOIN entities l ON l.id = e.left_entity_id
JOIN entities r ON r.id = e.right_entity_id
WHERE e.removed_at IS NULL AND l.erased_as IS NULL AND r.erased_as IS NULL;

-- name: snapshot_points
-- All points of time series with the business keys of their entities; recent as above.
SELECT t.entity_id, n.type, n.reference, t.key, t.granularity, utc_text(t.period_start) AS period_start,
       utc_text(t.reference_date) AS reference_date, t.value::text AS value, t.idempotency_key,
       $1::timestamptz IS NULL OR coalesce(pg_xact_commit_timestamp(t.xmin) >= $1, false) AS recent
FROM temporal_properties t
JOIN entities n ON n.id = t.entity_id
WHERE n.erased_as IS NULL;
