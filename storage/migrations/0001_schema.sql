-- The graph: entities, edges and temporal properties, published for change data capture.
-- Runs as a role that may create extensions and event triggers.

SET LOCAL timezone = 'UTC';  -- months are months in UTC, whatever the server's zone

CREATE SCHEMA IF NOT EXISTS partman;
CREATE EXTENSION IF NOT EXISTS pg_partman SCHEMA partman;

-- One node of the graph. properties: {field: {"value": …, "reference_date": "2025-01-15T10:30:00.000000Z"}},
-- the date in UTC with fixed width, so that it compares as text.
CREATE TABLE entities (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    type       text NOT NULL,
    reference  text NOT NULL,
    properties jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (type, reference)
);
-- Relationships of POST /v1/graph/sync may name a reference without its type.
CREATE INDEX entities_reference ON entities (reference);
-- Look-ups by property: containment of {field: {"value": …}}.
CREATE INDEX entities_properties ON entities USING gin (properties jsonb_path_ops);

-- A relationship, left → right. metadata_date is the timestamp of the record that told the metadata; a plain
-- edge has none. A removed edge stays, so that an older record replayed later does not bring it back.
CREATE TABLE edges (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    left_entity_id    bigint NOT NULL REFERENCES entities,
    right_entity_id   bigint NOT NULL REFERENCES entities,
    relationship_type text NOT NULL,
    metadata          jsonb,
    metadata_date     timestamptz,
    removed_at        timestamptz,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    UNIQUE (left_entity_id, right_entity_id, relationship_type)
);
-- Erasure and foreign keys look from the right.
CREATE INDEX edges_right_entity ON edges (right_entity_id);

-- A point of a time series. period_start never changes, so a row never moves between partitions;
-- reference_date and version only decide who wins.
CREATE TABLE temporal_properties (
    entity_id       bigint NOT NULL REFERENCES entities,
    key             text NOT NULL,
    granularity     text NOT NULL,
    period_start    timestamptz NOT NULL,
    reference_date  timestamptz NOT NULL,
    version         bigint NOT NULL DEFAULT 0,
    value           jsonb NOT NULL,
    idempotency_key text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (entity_id, key, granularity, period_start)
) PARTITION BY RANGE (period_start);

-- Debezium's heartbeat writes here, so that the slot moves on a quiet database.
CREATE TABLE dbz_heartbeat (
    id smallint PRIMARY KEY,
    ts timestamptz NOT NULL
);

-- Monthly partitions by pg_partman, whose 4.x and 5.x differ in the words for the same thing.
DO $$
BEGIN
    IF (SELECT split_part(extversion, '.', 1)::int >= 5 FROM pg_extension WHERE extname = 'pg_partman') THEN
        PERFORM partman.create_parent(
            p_parent_table => 'public.temporal_properties', p_control => 'period_start',
            p_interval => '1 month', p_premake => 3);
    ELSE
        PERFORM partman.create_parent(
            p_parent_table => 'public.temporal_properties', p_control => 'period_start',
            p_type => 'native', p_interval => 'monthly', p_premake => 3);
    END IF;
END
$$;
UPDATE partman.part_config SET infinite_time_partitions = true WHERE parent_table = 'public.temporal_properties';

-- Makes the partitions of these months where they are missing. Harmless when called by several at once. A month
-- that already has rows in the default partition keeps them there.
CREATE FUNCTION ensure_temporal_partitions(months timestamptz[]) RETURNS void
LANGUAGE plpgsql SET timezone = 'UTC' SET datestyle = 'ISO' AS $$
DECLARE
    wanted timestamptz;
    locked boolean := false;
    major int := (SELECT split_part(extversion, '.', 1)::int FROM pg_extension WHERE extname = 'pg_partman');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('user_profile.temporal_partitions'));
    FOR wanted IN SELECT DISTINCT date_trunc('month', m) FROM unnest(months) AS m ORDER BY 1 LOOP
        -- A partition's bounds are in the catalogue as text; a name would depend on partman's version.
        CONTINUE WHEN EXISTS (
            SELECT 1 FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = 'public.temporal_properties'::regclass
              AND pg_get_expr(c.relpartbound, c.oid) LIKE format('FOR VALUES FROM (''%s'')%%', wanted));
        -- A new partition's foreign key locks entities, and a flush locks entities before it locks the partitions:
        -- taken in another order here, the two deadlock.
        IF NOT locked THEN
            LOCK TABLE public.entities IN SHARE ROW EXCLUSIVE MODE;
            locked := true;
        END IF;
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

-- The fields of `patch` that win over what is stored: the newer reference date, and of equal dates the greater
-- text. Both sides are {field: {"value": …, "reference_date": …}}.
CREATE FUNCTION winning_properties(stored jsonb, patch jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(jsonb_object_agg(p.key, p.value), '{}')
    FROM jsonb_each(patch) AS p
    WHERE NOT stored ? p.key
       OR ((p.value ->> 'reference_date') COLLATE "C", (p.value -> 'value')::text COLLATE "C")
        > ((stored -> p.key ->> 'reference_date') COLLATE "C", (stored -> p.key -> 'value')::text COLLATE "C")
$$;

-- 2025-01-15T10:30:00.000000Z
CREATE FUNCTION utc_text(date timestamptz) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT to_char(date AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
$$;

-- Change data capture needs whole old rows. REPLICA IDENTITY is not inherited by partitions, so a trigger sets it
-- on each new leaf.
ALTER TABLE entities REPLICA IDENTITY FULL;
ALTER TABLE edges REPLICA IDENTITY FULL;
ALTER TABLE temporal_properties REPLICA IDENTITY FULL;

CREATE FUNCTION set_leaf_replica_identity() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE
    leaf regclass;
BEGIN
    FOR leaf IN
        SELECT c.oid::regclass
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = to_regclass('public.temporal_properties') AND c.relreplident <> 'f'
    LOOP
        EXECUTE format('ALTER TABLE %s REPLICA IDENTITY FULL', leaf);
    END LOOP;
END
$$;
CREATE EVENT TRIGGER temporal_leaf_replica_identity ON ddl_command_end
    WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE') EXECUTE FUNCTION set_leaf_replica_identity();
DO $$
DECLARE
    leaf regclass;
BEGIN
    FOR leaf IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'temporal_properties'::regclass LOOP
        EXECUTE format('ALTER TABLE %s REPLICA IDENTITY FULL', leaf);
    END LOOP;
END
$$;

CREATE PUBLICATION user_profile_cdc FOR TABLE entities, edges, temporal_properties, dbz_heartbeat
    WITH (publish_via_partition_root = true);
