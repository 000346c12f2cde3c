-- The replication slot from which changes are captured, on the primary.

-- name: slot_state
-- A logical slot of this database and how far the primary is, in bytes. $1 its name. wal_status is null where nothing
-- was ever reserved for it.
SELECT s.active, s.wal_status, s.flushed, (s.confirmed_flush_lsn - '0/0')::bigint AS confirmed,
       (s.flushed - (s.restart_lsn - '0/0'))::bigint AS retained_bytes, s.safe_wal_size AS safe_bytes
FROM (SELECT *, (pg_current_wal_flush_lsn() - '0/0')::bigint AS flushed FROM pg_replication_slots) AS s
WHERE s.slot_name = $1 AND s.slot_type = 'logical';

-- name: create_slot
-- Make a slot for Debezium; what commits after its position is read from it. $1 its name.
SELECT (lsn - '0/0')::bigint FROM pg_create_logical_replication_slot($1, 'pgoutput');

-- name: drop_slot
-- Remove a slot that nobody uses. $1 its name.
SELECT true, pg_drop_replication_slot(slot_name) FROM pg_replication_slots
WHERE slot_name = $1 AND slot_type = 'logical';

-- name: slot_has_room
-- Whether a slot is far from losing its WAL: less than half of what it may keep is kept. True where there is no limit, no
-- such slot, or nothing left to lose. $1 its name.
SELECT coalesce(bool_and(safe_wal_size * 2 > pg_size_bytes(current_setting('max_slot_wal_keep_size'))), true)
FROM pg_replication_slots
WHERE slot_name = $1 AND slot_type = 'logical' AND wal_status <> 'lost';
