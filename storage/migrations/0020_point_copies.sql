-- Points move from monthly partitions into one table: a read by entity looked into the partition of each month that is
-- kept (ten entities with 12 points of each of five keys: 2.7 ms with 12 months kept, 10 ms with 240; in one table 2.2 ms
-- with either). Here begins the copy, 0021 fills it, 0022 puts it in the place of the partitions.
SET LOCAL lock_timeout = '10s';

-- Each read was planned anew: for one entity that took as long as to read it. All steps go by indexes, whatever the
-- numbers are, so one plan does for all.
ALTER FUNCTION read_graph(bigint[], integer, integer, integer, bigint) SET plan_cache_mode = force_generic_plan;

-- Code of the version before calls it. New months go to the default partition.
CREATE OR REPLACE FUNCTION ensure_temporal_partitions(months timestamptz[]) RETURNS void LANGUAGE sql AS '';

CREATE TABLE points (
    LIKE temporal_properties INCLUDING DEFAULTS,
    PRIMARY KEY (entity_id, key, granularity, period_start)
);

-- What is written meanwhile, by whatever code, is written to both.
CREATE FUNCTION copy_point() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND (TG_OP = 'DELETE'
            OR (OLD.entity_id, OLD.key, OLD.granularity) IS DISTINCT FROM (NEW.entity_id, NEW.key, NEW.granularity)
            OR OLD.period_start <> NEW.period_start) THEN
        DELETE FROM public.points
        WHERE entity_id = OLD.entity_id AND key = OLD.key AND granularity = OLD.granularity
          AND period_start = OLD.period_start;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO public.points (entity_id, key, granularity, period_start, reference_date, version, value,
                                   idempotency_key, created_at, updated_at, erased)
        VALUES (NEW.entity_id, NEW.key, NEW.granularity, NEW.period_start, NEW.reference_date, NEW.version, NEW.value,
                NEW.idempotency_key, NEW.created_at, NEW.updated_at, NEW.erased)
        ON CONFLICT (entity_id, key, granularity, period_start) DO UPDATE
        SET reference_date = excluded.reference_date, version = excluded.version, value = excluded.value,
            idempotency_key = excluded.idempotency_key, created_at = excluded.created_at,
            updated_at = excluded.updated_at, erased = excluded.erased;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER copy_point AFTER INSERT OR UPDATE OR DELETE ON temporal_properties
    FOR EACH ROW EXECUTE FUNCTION copy_point();

-- Up to where points were copied, in the order of their key: a copy that was interrupted goes on from there.
CREATE TABLE points_copied AS
SELECT 0::bigint AS entity_id, ''::text AS key, ''::text AS granularity, '-infinity'::timestamptz AS period_start;

-- The logical replication slot that holds most WAL, and how much it may hold before who writes in bulk has to wait: a
-- quarter of what the server keeps for slots. No row where there is no slot.
CREATE FUNCTION fullest_slot(OUT name text, OUT held bigint, OUT allowed bigint) RETURNS SETOF record
LANGUAGE sql VOLATILE AS $$
    SELECT s.slot_name::text, pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)::bigint,
           CASE WHEN k.setting = '-1' THEN 1073741824 ELSE k.setting::bigint * 1048576 END / 4
    FROM pg_replication_slots s, pg_settings k
    WHERE s.slot_type = 'logical' AND s.restart_lsn IS NOT NULL AND k.name = 'max_slot_wal_keep_size'
    ORDER BY 2 DESC LIMIT 1
$$;

-- Copies what the trigger has not, in transactions of some rows. The copy is not published, but its WAL passes through
-- the slots: so it waits for them, and gives up where one does not move for `patience`. An erasure would delete a row
-- between the reading and the writing of it: it waits for the writers' lock, for one of these transactions, and a deletion
-- in pieces (0019) for its own lock, which is taken first there too.
CREATE PROCEDURE copy_points(at_once integer, patience interval) LANGUAGE plpgsql AS $$
DECLARE
    last points_copied;
    slot record;
    waits_since timestamptz;
    least bigint;
BEGIN
    LOOP
        PERFORM pg_advisory_xact_lock(hashtextextended('user_profile.deletions', 0));
        PERFORM pg_advisory_xact_lock_shared(writers_lock());
        -- By the partitions' indexes, in their order. What is off counts as dear, for which plans would be compiled.
        PERFORM set_config('enable_seqscan', 'off', true), set_config('enable_sort', 'off', true),
                set_config('enable_bitmapscan', 'off', true), set_config('jit', 'off', true);
        SELECT * INTO STRICT last FROM points_copied FOR UPDATE;
        WITH next AS MATERIALIZED (
            SELECT * FROM temporal_properties t
            WHERE (t.entity_id, t.key, t.granularity, t.period_start)
                > (last.entity_id, last.key, last.granularity, last.period_start)
            ORDER BY t.entity_id, t.key, t.granularity, t.period_start
            LIMIT at_once
        ), copied AS (
            INSERT INTO points (entity_id, key, granularity, period_start, reference_date, version, value,
                                idempotency_key, created_at, updated_at, erased)
            SELECT entity_id, key, granularity, period_start, reference_date, version, value,
                   idempotency_key, created_at, updated_at, erased
            FROM next
            -- What is there was written by the trigger, and is newer.
            ON CONFLICT (entity_id, key, granularity, period_start) DO NOTHING
        )
        UPDATE points_copied c
        SET entity_id = n.entity_id, key = n.key, granularity = n.granularity, period_start = n.period_start
        FROM (SELECT * FROM next ORDER BY entity_id DESC, key DESC, granularity DESC, period_start DESC LIMIT 1) AS n;
        EXIT WHEN NOT FOUND;
        COMMIT;
        waits_since := clock_timestamp();
        least := NULL;
        LOOP
            SELECT * INTO slot FROM fullest_slot();
            EXIT WHEN NOT FOUND OR slot.held <= slot.allowed;
            IF least IS NULL OR slot.held < least THEN
                least := slot.held;
                waits_since := clock_timestamp();
            ELSIF clock_timestamp() > waits_since + patience THEN
                RAISE EXCEPTION 'The replication slot % holds % MB of WAL and does not move: start its connector, or '
                    'drop it, and migrate again; what is copied stays.', slot.name, slot.held / 1048576;
            END IF;
            PERFORM pg_sleep(0.2);
            COMMIT;  -- no transaction is open for long
        END LOOP;
    END LOOP;
    COMMIT;
    ANALYZE points;
END
$$;

-- From which reference date on changes of points are published: what is older is deleted without an event. It never goes
-- back, since what was deleted meanwhile would be missed.
CREATE TABLE points_published_from (
    one            boolean PRIMARY KEY DEFAULT true CHECK (one),
    reference_date timestamptz NOT NULL
);
CREATE FUNCTION publish_points_from(first timestamptz) RETURNS timestamptz
LANGUAGE plpgsql SET timezone = 'UTC' SET datestyle = 'ISO' AS $$
DECLARE
    found record;
    bound timestamptz;
BEGIN
    INSERT INTO points_published_from AS p (reference_date) VALUES (first)
    ON CONFLICT (one) DO UPDATE SET reference_date = greatest(p.reference_date, excluded.reference_date)
    RETURNING reference_date INTO bound;
    FOR found IN
        SELECT p.pubname FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
        WHERE r.prrelid = 'public.temporal_properties'::regclass
    LOOP
        EXECUTE format('ALTER PUBLICATION %I DROP TABLE public.temporal_properties', found.pubname);
        EXECUTE format('ALTER PUBLICATION %I ADD TABLE public.temporal_properties WHERE (reference_date >= %L::timestamptz)',
                       found.pubname, bound);
    END LOOP;
    RETURN bound;
END
$$;

-- The copy takes the place of the partitions, in a transaction of milliseconds; it tries for the lock again and again,
-- rather than have all wait behind it. Then the partitions are dropped, each for itself. What was interrupted goes on.
CREATE PROCEDURE place_points() LANGUAGE plpgsql AS $$
DECLARE
    found record;
BEGIN
    IF to_regclass('public.points') IS NOT NULL THEN
        FOR attempt IN 1 .. 60 LOOP
            BEGIN
                PERFORM set_config('lock_timeout', '500ms', true);
                LOCK TABLE ONLY temporal_properties IN ACCESS EXCLUSIVE MODE;
                EXIT;
            EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
                IF attempt = 60 THEN
                    RAISE;
                END IF;
                PERFORM pg_sleep(0.5);
            END;
        END LOOP;
        ALTER TABLE temporal_properties RENAME TO temporal_properties_by_month;
        ALTER INDEX temporal_properties_pkey RENAME TO temporal_properties_by_month_pkey;
        ALTER TABLE points RENAME TO temporal_properties;
        ALTER INDEX points_pkey RENAME TO temporal_properties_pkey;
        ALTER TABLE temporal_properties REPLICA IDENTITY FULL;
        FOR found IN
            SELECT p.pubname FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
            WHERE r.prrelid = 'public.temporal_properties_by_month'::regclass
        LOOP
            EXECUTE format('ALTER PUBLICATION %I DROP TABLE public.temporal_properties_by_month', found.pubname);
            EXECUTE format('ALTER PUBLICATION %I ADD TABLE public.temporal_properties', found.pubname);
        END LOOP;
        FOR found IN
            SELECT a.privilege_type, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee
            FROM pg_class c, aclexplode(c.relacl) AS a
            WHERE c.oid = 'public.temporal_properties_by_month'::regclass AND a.grantee <> c.relowner
        LOOP
            EXECUTE format('GRANT %s ON public.temporal_properties TO %s', found.privilege_type, found.grantee);
        END LOOP;
        IF to_regclass('partman.part_config') IS NOT NULL THEN
            DELETE FROM partman.part_config WHERE parent_table = 'public.temporal_properties';
        END IF;
        COMMIT;
    END IF;
    FOR found IN
        SELECT inhrelid::regclass::text AS partition FROM pg_inherits
        WHERE inhparent = to_regclass('public.temporal_properties_by_month')
    LOOP
        EXECUTE format('DROP TABLE %s', found.partition);
        COMMIT;
    END LOOP;
    DROP EVENT TRIGGER IF EXISTS temporal_leaf_replica_identity;
    DROP FUNCTION IF EXISTS set_leaf_replica_identity();
    DROP TABLE IF EXISTS temporal_properties_by_month, points_copied, partman.template_public_temporal_properties;
    DROP FUNCTION IF EXISTS copy_point();
    DROP PROCEDURE IF EXISTS copy_points(integer, interval);
    COMMIT;
    -- Nothing of ours needs pg_partman any more.
    IF to_regclass('partman.part_config') IS NOT NULL AND NOT EXISTS (SELECT FROM partman.part_config) THEN
        BEGIN
            DROP EXTENSION IF EXISTS pg_partman;
            DROP TABLE IF EXISTS partman.part_config;  -- of a server without it
            DROP SCHEMA partman;
        EXCEPTION WHEN insufficient_privilege OR dependent_objects_still_exist THEN
            RAISE NOTICE 'pg_partman stays: %', SQLERRM;
        END;
    END IF;
    DROP PROCEDURE place_points();
END
$$;
