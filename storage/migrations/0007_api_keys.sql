-- API keys. Of the secret there is a digest alone; a revoked key stays, as the record that it was there.
CREATE TABLE api_keys (
    id          text PRIMARY KEY,
    digest      bytea NOT NULL,
    name        text NOT NULL,
    scopes      text[] NOT NULL CHECK (cardinality(scopes) > 0 AND scopes <@ ARRAY['read', 'write', 'erase', 'admin']),
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz,
    revoked_at  timestamptz,
    rate_per_s  double precision CHECK (rate_per_s > 0),
    rate_burst  integer CHECK (rate_burst > 0),
    CHECK ((rate_per_s IS NULL) = (rate_burst IS NULL))
);
