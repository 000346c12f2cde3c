-- The upper end of a snapshot is the transaction after the latest one that has ended, not the next one to begin: while
-- the newest transaction of all is the only one that runs, `pg_snapshot_xmin` and `pg_snapshot_xmax` are both its id. So
-- a read took such a transaction for one that had not begun. Where it was flushed and not visible yet (it waits for a
-- standby, or for a moment), the read claimed the position of a commit that it did not show.

-- The id that the next transaction will get. Within one transaction its first answer holds, so ask in a statement of its
-- own. `age` is the difference of 32-bit ids, and what it counts from is known as a whole.
CREATE FUNCTION next_transaction() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT newest::text::bigint + age(xid(newest))
    FROM pg_snapshot_xmax(pg_current_snapshot()) AS newest
$$;

-- How far this server is, then the oldest transaction that runs and the first that has not begun. PL/pgSQL, so that
-- each is read after the one before: what has not begun by then commits at a later position.
CREATE OR REPLACE FUNCTION wal_moment(OUT reached bigint, OUT oldest bigint, OUT newest bigint)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    reached := wal_position();
    oldest := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
    newest := next_transaction();
END
$$;

-- The same in the read of the graph, of which nothing else changes: what is told as `edges_total` of its last row.
DO $$
DECLARE
    before text := pg_get_functiondef(
        'read_graph_within(bigint[], integer, integer, integer, bigint, integer, bigint)'::regprocedure);
    after text := replace(
        before, 'edges_total := pg_snapshot_xmax(running)::text::bigint;', 'edges_total := newest;');
BEGIN
    after := replace(
        after, 'running pg_snapshot := pg_current_snapshot();',
        E'running pg_snapshot := pg_current_snapshot();\n    newest bigint := next_transaction();');
    IF length(after) <> length(before) - length('pg_snapshot_xmax(running)::text::bigint') + length('newest')
        + length(E'\n    newest bigint := next_transaction();') THEN
        RAISE EXCEPTION 'read_graph_within is not as 0023_bounded_reads.sql made it';
    END IF;
    EXECUTE after;
END
$$;
