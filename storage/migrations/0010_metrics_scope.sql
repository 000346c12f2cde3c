-- A key that reads /metrics alone. Processes of before don't know the scope and stop reading keys at one: upgrade them
-- before the first such key is made.
ALTER TABLE api_keys
    DROP CONSTRAINT api_keys_scopes_check,
    ADD CONSTRAINT api_keys_scopes_check
        CHECK (cardinality(scopes) > 0 AND scopes <@ ARRAY['read', 'write', 'erase', 'metrics', 'admin']);
