-- What an index for by-property costs when properties change: run it on an empty database with the schema.
--
--   createdb bench_index && PROFILE_POSTGRES_DSN=…/bench_index python -m app migrate
--   psql -q …/bench_index -f load/index_cost.sql
--
-- 30,000 entities with six properties of two leaves; each round changes one property of about 2,400 of them in one
-- statement, as merge_staged does. Compared: GIN with its pending list (what the schema has), no index, a narrow table
-- of hashed (path, value) pairs kept in the same statement, and GIN without the pending list.
\set QUIET on
\pset pager off
SET client_min_messages = warning;
INSERT INTO entities (type, reference, properties)
SELECT 'user', 'r' || i,
       (SELECT jsonb_object_agg('f' || f, jsonb_build_object(
                   'value', jsonb_build_object('a', i * f, 'b', 'x' || i * f),
                   'reference_date', '2025-01-15T10:30:00.000000Z'))
        FROM generate_series(1, 6) AS f)
FROM generate_series(1, 30000) AS i;
CREATE TABLE lookups (hash bigint, entity_id bigint, PRIMARY KEY (hash, entity_id));
INSERT INTO lookups
SELECT hashtextextended(f.key || '.' || l.key || l.value::text, 0), e.id
FROM entities e, jsonb_each(properties) AS f, jsonb_each(f.value -> 'value') AS l
ON CONFLICT DO NOTHING;
VACUUM ANALYZE;

CREATE PROCEDURE change(rounds int, with_lookups boolean) LANGUAGE plpgsql AS $$
BEGIN
    FOR round IN 1 .. rounds LOOP
        WITH chosen AS (
            SELECT DISTINCT (random() * 29999)::int + 1 AS i FROM generate_series(1, 2500)
        ), locked AS MATERIALIZED (
            SELECT e.id, e.properties FROM entities e
            WHERE e.reference IN (SELECT 'r' || i FROM chosen) FOR NO KEY UPDATE
        ), changed AS (
            UPDATE entities e
            SET properties = l.properties || jsonb_build_object('f3', jsonb_build_object(
                    'value', jsonb_build_object('a', (random() * 1e6)::int, 'b', 'y' || e.id * round),
                    'reference_date', '2025-01-15T10:30:00.000000Z'))
            FROM locked l WHERE e.id = l.id
            RETURNING e.id, l.properties -> 'f3' -> 'value' AS old, e.properties -> 'f3' -> 'value' AS new
        ), gone AS (
            DELETE FROM lookups x
            USING (SELECT hashtextextended('f3.' || j.key || j.value::text, 0) AS hash, c.id
                   FROM changed c, jsonb_each(c.old) AS j WHERE with_lookups) AS y
            WHERE x.hash = y.hash AND x.entity_id = y.id
        ), come AS (
            INSERT INTO lookups
            SELECT hashtextextended('f3.' || j.key || j.value::text, 0), c.id
            FROM changed c, jsonb_each(c.new) AS j WHERE with_lookups
            ORDER BY 1 ON CONFLICT DO NOTHING
        )
        UPDATE entities SET updated_at = updated_at WHERE false AND id IN (SELECT id FROM changed);
        COMMIT;
    END LOOP;
END
$$;

\timing on
\set QUIET off
\echo GIN with pending list
CALL change(12, false);
CALL change(12, false);
DROP INDEX entities_properties;
\echo no index
CALL change(12, false);
CALL change(12, false);
\echo table of hashed pairs
CALL change(12, true);
CALL change(12, true);
CREATE INDEX entities_properties ON entities USING gin (properties jsonb_path_ops) WITH (fastupdate = off);
\echo GIN without pending list
CALL change(12, false);
CALL change(12, false);
DROP INDEX entities_properties;
CREATE INDEX entities_properties ON entities USING gin (properties jsonb_path_ops);
\echo GIN with pending list
CALL change(12, false);
CALL change(12, false);
