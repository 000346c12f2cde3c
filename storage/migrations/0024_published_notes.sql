-- Topics whose notes name everything that consumers of the domain events know (cdc/recovery): from then on a recovery
-- folds the notes, and the events themselves may end.
CREATE TABLE published_notes (
    topic       text PRIMARY KEY,
    complete_at timestamptz NOT NULL DEFAULT now()
);
