-- One index serves both the business key and look-ups by reference alone: each insert maintains one fewer.
ALTER TABLE entities ADD CONSTRAINT entities_reference_type_key UNIQUE (reference, type);
ALTER TABLE entities DROP CONSTRAINT entities_type_reference_key;
DROP INDEX entities_reference;

-- No foreign keys: each edge and point would lock the rows of its entities, which doubled the time of a merge and made
-- concurrent writers about one organisation queue for its row. What they would guard is kept by the protocol of
-- writers: entities are inserted before what names them, and only an erasure deletes them, alone (below).
ALTER TABLE edges DROP CONSTRAINT edges_left_entity_id_fkey, DROP CONSTRAINT edges_right_entity_id_fkey;
ALTER TABLE temporal_properties DROP CONSTRAINT temporal_properties_entity_id_fkey;

-- As in 0001, without the lock on entities, which foreign keys of new partitions needed.
CREATE OR REPLACE FUNCTION ensure_temporal_partitions(months timestamptz[]) RETURNS void
LANGUAGE plpgsql SET timezone = 'UTC' SET datestyle = 'ISO' AS $$
DECLARE
    wanted timestamptz;
    major int := (SELECT split_part(extversion, '.', 1)::int FROM pg_extension WHERE extname = 'pg_partman');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('user_profile.temporal_partitions'));
    FOR wanted IN SELECT DISTINCT date_trunc('month', m) FROM unnest(months) AS m ORDER BY 1 LOOP
        -- A partition's bounds are in the catalogue as text; a name would depend on partman's version.
        CONTINUE WHEN EXISTS (
            SELECT 1 FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = 'public.temporal_properties'::regclass
              AND pg_get_expr(c.relpartbound, c.oid) LIKE format('FOR VALUES FROM (''%s'')%%', wanted));
        CONTINUE WHEN EXISTS (
            SELECT 1 FROM public.temporal_properties_default d
            WHERE d.period_start >= wanted AND d.period_start < wanted + interval '1 month');
        IF major >= 5 THEN
            PERFORM partman.create_partition_time('public.temporal_properties', ARRAY[wanted]);
        ELSE
            PERFORM partman.create_partition_time('public.temporal_properties', ARRAY[wanted], false);
        END IF;
    END LOOP;
END
$$;

-- The ledger of erasures. subject: a keyed hash of (type, reference); nothing else of an erased entity remains.
CREATE TABLE erasures (
    subject         bytea PRIMARY KEY,
    erased_at       timestamptz NOT NULL,
    key_fingerprint bytea NOT NULL
);

-- A flush holds this advisory lock shared, an erasure exclusively.
CREATE FUNCTION writers_lock() RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT hashtextextended('user_profile.writers', 0)
$$;

CREATE FUNCTION begin_flush() RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(writers_lock());
    RETURN EXISTS (SELECT FROM erasures);
END
$$;
