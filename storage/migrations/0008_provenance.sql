-- Where the statement behind each property came from: {field: source}, of those that were told with one; see
-- storage/sources.py. It is written with the property that wins and never without it, so that a replay, which has other
-- offsets, changes no row. Change data capture leaves this column out (column.exclude.list of the connector).
SET LOCAL lock_timeout = '10s';
ALTER TABLE entities ADD COLUMN sources jsonb;

-- Short numbers for the names of topics.
CREATE TABLE source_topics (
    id   integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE
);
