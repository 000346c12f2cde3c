-- API keys: what is stored of them, see app/core/api_keys.py.

-- name: api_keys
-- Every key, the newest last.
SELECT id, digest, name, scopes, created_at, expires_at, revoked_at, rate_per_s, rate_burst
FROM api_keys ORDER BY created_at, id;

-- name: add_api_key
-- $1 id, $2 digest, $3 name, $4 scopes, $5 expiry or null, $6 and $7 its own rate or null.
INSERT INTO api_keys (id, digest, name, scopes, expires_at, rate_per_s, rate_burst)
VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: lock_first_api_key
-- Callers that would add the first key take turns, until their transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended('user_profile.first_api_key', 0));

-- name: add_first_api_key
-- Only where no key was ever made, revoked ones included. $1 id, $2 digest, $3 name, $4 scopes, $5 and $6 its own rate.
-- No row: there was a key.
INSERT INTO api_keys (id, digest, name, scopes, rate_per_s, rate_burst)
SELECT $1, $2, $3, $4, $5, $6 WHERE NOT EXISTS (SELECT FROM api_keys) RETURNING id;

-- name: revoke_api_key
-- The first date stays. $1 id. No row: there is no such key.
UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1 RETURNING revoked_at;

-- name: signing_key
-- The key of cursors and tokens. No row: none was made since the table was emptied.
SELECT secret FROM signing_key;

-- name: make_signing_key
-- Of callers at once one makes it; the others read it. $1 32 random bytes.
INSERT INTO signing_key (secret) VALUES ($1) ON CONFLICT DO NOTHING;
