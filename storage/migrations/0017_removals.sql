-- Where the topics ended when relationships were removed, {"topic": [0, 17, …]}: what lay before is from before, whatever its
-- timestamp says. Kept for as long as records are read again.
CREATE TABLE removals (
    removed_at timestamptz NOT NULL,
    log_ends   jsonb NOT NULL
);
CREATE INDEX removals_removed_at ON removals (removed_at);

-- As begin_flush, which code of the version before calls, and whether anything was removed: 1 for erasures, 2 for removals.
CREATE FUNCTION begin_writing() RETURNS int LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(writers_lock());
    RETURN (EXISTS (SELECT FROM erasures))::int + 2 * (EXISTS (SELECT FROM removals))::int;
END
$$;
