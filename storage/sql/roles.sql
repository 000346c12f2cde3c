-- Who may do what. Each `migrate` grants what is missing here; `python -m app doctor` says what still is.

-- name: knows_roles
-- Whether the schema is one that has roles.
SELECT to_regprocedure('public.make_profile_roles()') IS NOT NULL;

-- name: make_roles
-- Make the roles where that is allowed; a sentence for each step that is not.
SELECT make_profile_roles() AS sentence;

-- name: rights
-- Each right of a role, whether it has it, and the statement that grants it. Of roles that exist, and of tables that
-- the schema has. A table that no line names is nobody's but the owner's.
WITH told (role, privileges, tables) AS (VALUES
    ('user_profile_reader', '{SELECT}', '{entities,edges,temporal_properties,merged_entities,source_topics,
        entity_deletions,erasures,erasure_notes,removals,writers_clock,api_keys,signing_key,schema_migrations}'),
    ('user_profile_writer', '{SELECT}', '{points_published_from,schema_migrations}'),
    ('user_profile_writer', '{SELECT,INSERT}', '{source_topics,api_keys,signing_key}'),
    ('user_profile_writer', '{SELECT,INSERT,UPDATE}', '{erasures,erasure_notes,swept_letters,writers_clock,
        published_notes,partition_attempts}'),
    ('user_profile_writer', '{SELECT,INSERT,UPDATE,DELETE}', '{entities,edges,temporal_properties,merged_entities,
        entity_deletions,erased_letters,removals,noted_log_ends}'),
    ('user_profile_cdc', '{SELECT}', '{entities,edges,temporal_properties}'),
    ('user_profile_cdc', '{SELECT,INSERT,UPDATE}', '{dbz_heartbeat}')
), rights AS (
    SELECT t.role, p.privilege, c.oid, c.relname AS object
    FROM told t
    CROSS JOIN LATERAL unnest(t.privileges::text[]) AS p (privilege)
    CROSS JOIN LATERAL unnest(t.tables::text[]) AS n (name)
    -- An operator may have partitioned one; a writer names partitions.
    JOIN pg_class c ON coalesce((SELECT relname FROM pg_class WHERE oid = pg_partition_root(c.oid)), c.relname) = n.name
     AND c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
    JOIN pg_roles r ON r.rolname = t.role
)
SELECT role, privilege, object, has_table_privilege(role, oid, privilege) AS granted,
       format('GRANT %s ON TABLE public.%I TO %I', privilege, object, role) AS statement
FROM rights
UNION ALL
SELECT r.rolname, 'USAGE', 'schema public', has_schema_privilege(r.rolname, 'public', 'USAGE'),
       format('GRANT USAGE ON SCHEMA public TO %I', r.rolname)
FROM pg_roles r
WHERE r.rolname IN ('user_profile_owner', 'user_profile_reader', 'user_profile_writer', 'user_profile_cdc')
UNION ALL
SELECT r.rolname, 'CREATE', 'schema public', has_schema_privilege(r.rolname, 'public', 'CREATE'),
       format('GRANT CREATE ON SCHEMA public TO %I', r.rolname)
FROM pg_roles r
WHERE r.rolname = 'user_profile_owner'
UNION ALL
SELECT r.rolname, p.privilege, 'database ' || current_database(),
       has_database_privilege(r.rolname, current_database(), p.privilege),
       format('GRANT %s ON DATABASE %I TO %I', p.privilege, current_database(), r.rolname)
FROM pg_roles r
CROSS JOIN LATERAL (VALUES ('CONNECT'), ('TEMPORARY')) AS p (privilege)
WHERE r.rolname IN ('user_profile_owner', 'user_profile_writer')
   OR (p.privilege = 'CONNECT' AND r.rolname IN ('user_profile_reader', 'user_profile_cdc'))
ORDER BY 1, 3, 2;

-- name: not_owned
-- What of the schema user_profile_owner does not own yet, and the statement that gives it to that role. None where the
-- role is missing.
WITH owner AS (SELECT oid FROM pg_roles WHERE rolname = 'user_profile_owner'),
extension AS (SELECT classid, objid FROM pg_depend WHERE deptype = 'e')
SELECT format('ALTER TABLE public.%I OWNER TO user_profile_owner', c.relname) AS statement
FROM pg_class c, owner
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND c.relowner <> owner.oid
  AND NOT EXISTS (SELECT FROM extension WHERE classid = 'pg_class'::regclass AND objid = c.oid)
UNION ALL
SELECT format('ALTER ROUTINE %s OWNER TO user_profile_owner', f.oid::regprocedure)
FROM pg_proc f, owner
WHERE f.pronamespace = 'public'::regnamespace AND f.proowner <> owner.oid 
  AND NOT EXISTS (SELECT FROM extension WHERE classid = 'pg_proc'::regclass AND objid = f.oid)
UNION ALL
SELECT format('ALTER PUBLICATION %I OWNER TO user_profile_owner', p.pubname)
FROM pg_publication p, owner
WHERE p.pubname = 'user_profile_cdc' AND p.pubowner <> owner.oid;

-- name: server_roles
-- The roles of the service that this server has.
SELECT rolname FROM pg_roles WHERE rolname LIKE 'user\_profile\_%' ORDER BY 1;

-- name: unnamed_tables
-- Tables of the schema on which none of the roles has a right.
SELECT c.relname FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
  AND NOT EXISTS (
    SELECT FROM aclexplode(c.relacl) AS a JOIN pg_roles r ON r.oid = a.grantee
    WHERE r.rolname IN ('user_profile_reader', 'user_profile_writer', 'user_profile_cdc'))
ORDER BY 1;

-- name: login_powers
-- What the login of this session may do beyond the rights of its role.
SELECT r.rolname AS login, r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolbypassrls AS administers,
       r.rolreplication AS replicates,
       pg_has_role(current_user, 'pg_write_all_data', 'USAGE') OR EXISTS (
           SELECT FROM pg_class c
           WHERE c.relnamespace = 'public'::regnamespace AND c.relname = 'entities'
             AND pg_has_role(current_user, c.relowner, 'USAGE')) AS owns,
       has_table_privilege('public.entities', 'INSERT') AS writes,
       has_table_privilege('public.api_keys', 'SELECT') AS reads_keys
FROM pg_roles r WHERE r.rolname = current_user;

-- name: login_exists
-- Whether the server has a login. $1 its name.
SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1);

-- name: login_statement
-- The statement that makes a login, or sets its password. $1 its name, $2 the SCRAM verifier of its password, $3 whether
-- it is there, $4 whether it may replicate.
SELECT format('%s ROLE %I LOGIN %s PASSWORD %L', CASE WHEN $3::boolean THEN 'ALTER' ELSE 'CREATE' END, $1::text,
              CASE WHEN $4::boolean THEN 'REPLICATION' ELSE 'NOREPLICATION' END, $2::text);

-- name: membership_statement
-- The statement that makes a login a member of a role. $1 the role, $2 the login.
SELECT format('GRANT %I TO %I', $1::text, $2::text);
