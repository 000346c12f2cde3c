-- Placeholders of type `unknown` that were merged into the typed entity of their reference: an id that somebody keeps
-- leads on. An erasure of the entity ends that, so nothing of it remains here.
CREATE TABLE merged_entities (
    old_id    bigint PRIMARY KEY,
    new_id    bigint NOT NULL REFERENCES entities ON DELETE CASCADE,
    merged_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX merged_entities_new_id ON merged_entities (new_id);

-- Lists of one type in order of id, and the search for placeholders.
CREATE INDEX entities_type_id ON entities (type, id);
