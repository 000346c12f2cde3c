-- Erasures over HTTP: the receipt is told again to whoever asks again, and the dead letters about the entity are removed
-- after the commit. All that is kept are counts, dates and keyed hashes: reference_subject is of the reference alone, for
-- letters that don't name the type; id_subject is of the id, which is never given twice.
ALTER TABLE erasures
    ADD COLUMN reference_subject bytea,
    ADD COLUMN id_subject bytea,
    ADD COLUMN properties bigint NOT NULL DEFAULT 0,
    ADD COLUMN edges bigint NOT NULL DEFAULT 0,
    ADD COLUMN points bigint NOT NULL DEFAULT 0,
    ADD COLUMN letters bigint NOT NULL DEFAULT 0,
    ADD COLUMN letters_checked_at timestamptz;
CREATE UNIQUE INDEX erasures_id_subject ON erasures (id_subject);
CREATE INDEX erasures_reference_subject ON erasures (reference_subject);
CREATE INDEX erasures_unchecked ON erasures (erased_at) WHERE letters_checked_at IS NULL;

-- A property as it is stored. Without a value it is removed: {"removed": true, "reference_date": …} is in no answer, and
-- keeps the date for what comes later.
CREATE FUNCTION stored_property(value jsonb, reference_date text) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN value IS NULL THEN jsonb_build_object('removed', true, 'reference_date', reference_date)
                ELSE jsonb_build_object('value', value, 'reference_date', reference_date) END
$$;

-- As in 0001, with removals: of equal dates a removal wins over any value. `~` sorts after the text of any JSON.
CREATE OR REPLACE FUNCTION winning_properties(stored jsonb, patch jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(jsonb_object_agg(p.key, p.value), '{}')
    FROM jsonb_each(patch) AS p
    WHERE NOT stored ? p.key
       OR ((p.value ->> 'reference_date') COLLATE "C", coalesce((p.value -> 'value')::text, '~') COLLATE "C")
        > ((stored -> p.key ->> 'reference_date') COLLATE "C",
           coalesce((stored -> p.key -> 'value')::text, '~') COLLATE "C")
$$;
