-- What is known of an erasure beside the ledger; no personal data either. A row counts while its date is the ledger's, since
-- an erasure that is dated again by code of the version before leaves it as it was.
CREATE TABLE erasure_notes (
    subject          bytea PRIMARY KEY,
    erased_at        timestamptz NOT NULL,
    -- The end offset of each partition of the service's topics when the erasure began, {"topic": [0, 17, …]}; null where
    -- Kafka did not answer. What lies before it is from before the erasure, whatever its timestamp says.
    log_ends         jsonb,
    -- Letters that may be about the erased entity, and were left: how many, and the first of them.
    letters_left     bigint NOT NULL DEFAULT 0,
    letters_left_ids text[] NOT NULL DEFAULT '{}'
);

-- Letters that are removed are noted before, each once for each erasure, so that neither a crash nor two sweeps at once
-- change their number.
CREATE TABLE erased_letters (
    subject  bytea NOT NULL,
    letter   text NOT NULL,  -- topic/partition/offset of the record that it is of
    noted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (subject, letter)
);
CREATE INDEX erased_letters_noted_at ON erased_letters (noted_at);

-- Up to where the dead letters of a topic were compared with the ledger. What is written later, by whatever program, is
-- compared when it comes.
CREATE TABLE swept_letters (
    topic       text PRIMARY KEY,
    next_offset bigint NOT NULL
);
