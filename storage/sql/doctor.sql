-- What `python -m app doctor` asks of PostgreSQL.

-- name: doctor_server
-- Settings of the server, its connections and slots in use, and its clock.
SELECT current_setting('server_version_num')::int AS version_number, current_setting('server_version') AS version,
       pg_is_in_recovery() AS in_recovery, current_setting('wal_level') AS wal_level,
       current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes,
       current_setting('track_commit_timestamp') AS track_commit_timestamp,
       (SELECT setting::bigint FROM pg_settings WHERE name = 'max_slot_wal_keep_size') AS slot_keep_mb,
       current_setting('hot_standby_feedback') AS hot_standby_feedback,
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS connections,
       (SELECT count(*) FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND application_name NOT LIKE 'user-profile %') AS other_connections,
       (SELECT status FROM pg_stat_wal_receiver) AS receiver,
       clock_timestamp() AS now;

-- name: doctor_session
-- What a session of ours is set to, whatever stands between.
SELECT current_setting('synchronous_commit') AS synchronous_commit, current_setting('transaction_isolation') AS isolation;

-- name: doctor_schema
-- What change data capture needs of the schema: tables that $1, the publication, lacks, and tables whose old rows are not
-- whole.
SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = $1) AS published,
       (SELECT array_agg(name) FROM unnest(ARRAY['entities', 'edges', 'temporal_properties']) AS name
        WHERE NOT EXISTS (SELECT FROM pg_publication_tables WHERE pubname = $1 AND tablename = name)) AS unpublished,
       (SELECT count(*) FROM pg_class
        WHERE relreplident <> 'f'
          AND oid IN ('public.entities'::regclass, 'public.edges'::regclass, 'public.temporal_properties'::regclass))
           AS partial;
