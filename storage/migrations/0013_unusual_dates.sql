-- Points of unusual dates lie in the default partition for good.
SET LOCAL lock_timeout = '10s';

-- Maintenance made partitions up to the farthest date there: one point of the year 2999 made 11,700 of them in one
-- transaction, each hour again, until the lock table was full.
UPDATE partman.part_config SET ignore_default_data = true WHERE parent_table = 'public.temporal_properties';

-- A new partition is made where the default one has no row of its month; that is asked for each month of a window.
CREATE INDEX temporal_properties_default_period_start ON temporal_properties_default (period_start);

-- As in 0002, at most twelve of them in one call, those next to the present first: each takes some 50 ms, in which
-- nobody writes points. The rows of the others go to the default partition.
CREATE OR REPLACE FUNCTION ensure_temporal_partitions(months timestamptz[]) RETURNS void
LANGUAGE plpgsql SET timezone = 'UTC' SET datestyle = 'ISO' AS $$
DECLARE
    wanted timestamptz;
    major int := (SELECT split_part(extversion, '.', 1)::int FROM pg_extension WHERE extname = 'pg_partman');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('user_profile.temporal_partitions'));
    FOR wanted IN
        WITH made AS MATERIALIZED (
            -- A partition's bounds are in the catalogue as text; a name would depend on partman's version.
            SELECT substring(pg_get_expr(c.relpartbound, c.oid) FROM 'FROM \(''([^'']*)''\)')::timestamptz AS month
            FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = 'public.temporal_properties'::regclass
        )
        SELECT m.month
        FROM (SELECT DISTINCT date_trunc('month', t) AS month FROM unnest(months) AS t) AS m
        WHERE NOT EXISTS (SELECT FROM made WHERE made.month = m.month)
          AND NOT EXISTS (
            SELECT FROM public.temporal_properties_default d
            WHERE d.period_start >= m.month AND d.period_start < m.month + interval '1 month')
        ORDER BY abs(extract(epoch FROM m.month - now()))
        LIMIT 12
    LOOP
        BEGIN
            IF major >= 5 THEN
                PERFORM partman.create_partition_time('public.temporal_properties', ARRAY[wanted]);
            ELSE
                PERFORM partman.create_partition_time('public.temporal_properties', ARRAY[wanted], false);
            END IF;
        EXCEPTION WHEN check_violation OR raise_exception THEN
            -- Somebody else's first row of this month was not committed yet when we looked: it stays where it is, and
            -- what follows goes beside it. (partman raises each error again as one of its own.)
            IF NOT EXISTS (
                SELECT FROM public.temporal_properties_default d
                WHERE d.period_start >= wanted AND d.period_start < wanted + interval '1 month') THEN
                RAISE;
            END IF;
        END;
    END LOOP;
END
$$;
