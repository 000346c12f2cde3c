-- What names the rows of a refused batch, so that the others are written at once.

-- The bytes that a property takes within the jsonb of its entity, at most: key, value, and an entry for each.
CREATE FUNCTION property_bytes(key text, property jsonb) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT 8 + octet_length(key) + (pg_column_size(property) - 4 + 3) / 4 * 4
$$;

-- The bytes that it takes in the JSON string which a change holds: `"key": value, `.
CREATE FUNCTION property_written(key text, property jsonb) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT octet_length(to_json(to_json(key)::text || ': ' || property::text || ', ')::text) - 2
$$;

-- Each text that can't become jsonb, with the SQLSTATE of the reason.
CREATE FUNCTION refused_values(texts text[]) RETURNS TABLE (ord bigint, state text)
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    each_text text;
    parsed jsonb;
BEGIN
    ord := 0;
    FOREACH each_text IN ARRAY texts LOOP
        ord := ord + 1;
        BEGIN
            parsed := each_text::jsonb;
        EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
            state := SQLSTATE;
            RETURN NEXT;
        END;
    END LOOP;
END
$$;
