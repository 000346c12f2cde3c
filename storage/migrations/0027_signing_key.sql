-- The key under which workers sign cursors and consistency tokens, so that all of them know each other's. One row.
CREATE TABLE signing_key (
    is_one  boolean PRIMARY KEY DEFAULT true CHECK (is_one),
    secret  bytea NOT NULL CHECK (length(secret) = 32)
);
-- Two random UUIDs: 244 bits of chance.
INSERT INTO signing_key (secret) SELECT decode(replace(concat(gen_random_uuid(), gen_random_uuid()), '-', ''), 'hex');
