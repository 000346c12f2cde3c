-- Attempts at partitions and at single records, so that what kills workers is found. See app/ingest/suspects.py.

-- name: begin_partition
-- Note that a process begins to read a partition; tells how often that happened at this offset in a row, and the record
-- that was in hand when a process died, with how many died of it, and those that are set aside. $1 group, $2 topic, $3 partition, $4 offset of the
-- first record.
INSERT INTO partition_attempts AS p (consumer_group, topic, partition, first_offset) VALUES ($1, $2, $3, $4)
ON CONFLICT (consumer_group, topic, partition) DO UPDATE
SET starts = CASE WHEN p.first_offset = excluded.first_offset THEN p.starts + 1 ELSE 1 END,
    first_offset = excluded.first_offset,
    in_hand = CASE WHEN p.in_hand >= excluded.first_offset THEN p.in_hand END,
    tries = CASE WHEN p.in_hand >= excluded.first_offset THEN p.tries ELSE 0 END,
    set_aside = ARRAY(SELECT o FROM unnest(p.set_aside) AS o WHERE o >= excluded.first_offset),
    noted_at = now()
RETURNING starts, in_hand, tries, set_aside;

-- name: suspected_partitions
-- Partitions at which processes begin again and again at one record, of any group. $1 so many times.
SELECT consumer_group, topic, partition, first_offset, starts FROM partition_attempts
WHERE starts >= $1 AND noted_at > now() - interval '1 hour'
ORDER BY starts DESC, topic, partition
LIMIT 5;

-- name: take_in_hand
-- Note the record that is processed next, by itself. $1 group, $2 topic, $3 partition, $4 its offset.
UPDATE partition_attempts
SET tries = CASE WHEN in_hand = $4 THEN tries + 1 ELSE 1 END, in_hand = $4, noted_at = now()
WHERE (consumer_group, topic, partition) = ($1, $2, $3);

-- name: out_of_hand
-- The process has outlived the record. $1 group, $2 topic, $3 partition.
UPDATE partition_attempts SET in_hand = NULL, tries = 0, noted_at = now()
WHERE (consumer_group, topic, partition) = ($1, $2, $3);

-- name: note_set_aside
-- A record that killed is a dead letter, and is passed over until its offset is committed. $1 group, $2 topic,
-- $3 partition, $4 its offset.
UPDATE partition_attempts SET in_hand = NULL, tries = 0, set_aside = set_aside || $4::bigint, noted_at = now()
WHERE (consumer_group, topic, partition) = ($1, $2, $3);
