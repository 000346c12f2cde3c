-- Roles without a login, each of which may do what one kind of client needs; logins are members of them. Which rights
-- each has stands in storage/sql/roles.sql: every `migrate` grants what is missing, so that rights follow the code.

-- Make the roles that are missing, and grant what no table of ours gives. Returns a sentence for each step that the
-- one who migrates may not take: the service runs without them, by one login. A role belongs to the whole server, so
-- two databases may make it at the same time.
CREATE FUNCTION make_profile_roles() RETURNS SETOF text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    wanted text;
    comments CONSTANT jsonb := '{
        "user_profile_owner": "owns the schema: migrations and commands of operators",
        "user_profile_reader": "reads profiles and API keys, on the primary and on replicas",
        "user_profile_writer": "writes profiles, erasures and notes",
        "user_profile_cdc": "reads what is published, for Debezium; its login needs REPLICATION beside"}';
BEGIN
    FOREACH wanted IN ARRAY ARRAY['user_profile_owner', 'user_profile_reader', 'user_profile_writer', 'user_profile_cdc'] LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = wanted);
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            EXECUTE format('COMMENT ON ROLE %I IS %L', wanted, comments ->> wanted);
        EXCEPTION
            WHEN insufficient_privilege THEN
                RETURN NEXT format('%s may not create the role %s: let an administrator create it (NOLOGIN), then '
                    'migrate again.', current_user, wanted);
            WHEN duplicate_object OR unique_violation THEN
                NULL;  -- by another database of this server, just now
        END;
    END LOOP;
    -- Whoever migrates goes on owning what it made, as a member.
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'user_profile_owner')
       AND NOT pg_has_role(current_user, 'user_profile_owner', 'USAGE') THEN
        BEGIN
            EXECUTE format('GRANT user_profile_owner TO %I', current_user);
        EXCEPTION WHEN insufficient_privilege OR unique_violation THEN
            RETURN NEXT format('%s is no member of user_profile_owner: let an administrator grant it.', current_user);
        END;
    END IF;
    -- Else a replica does not tell from which server's timeline it receives.
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'user_profile_reader')
       AND NOT pg_has_role('user_profile_reader', 'pg_read_all_stats', 'MEMBER') THEN
        BEGIN
            GRANT pg_read_all_stats TO user_profile_reader;
        EXCEPTION WHEN insufficient_privilege OR unique_violation OR internal_error THEN
            RETURN NEXT format('%s may not grant pg_read_all_stats to user_profile_reader: let an administrator do so, '
                'or a failover is noticed late.', current_user);
        END;
    END IF;
END
$$;
SELECT make_profile_roles();

-- A worker may make the first API key, and no other: whoever takes one over can't let himself in for good.
SET LOCAL lock_timeout = '10s';
CREATE FUNCTION only_the_first_api_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'user_profile_writer' AND pg_has_role(current_user, oid, 'USAGE'))
       AND NOT pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE')
       AND EXISTS (SELECT FROM api_keys) THEN
        RAISE insufficient_privilege USING MESSAGE = 'a login of user_profile_writer makes the first API key alone';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER only_the_first_api_key BEFORE INSERT ON api_keys
    FOR EACH ROW EXECUTE FUNCTION only_the_first_api_key();
