-- The graph: entities, edges and temporal properties, published for change data capture.
-- Runs as a role that may create extensions and event triggers.

CREATE SCHEMA IF NOT EXISTS partman;
CREATE EXTENSION IF NOT EXISTS pg_partman SCHEMA partman;

-- One node of the graph. properties: {field: {"value": …, "reference_date": "2025-01-15T10:30:00.000000Z"}},
-- the date in UTC with fixed width, so that it compares as text.
CREATE TABLE entities (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    type       text NOT NULL,
    reference  text NOT NULL,
    properties jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (type, reference)
);
-- Relationships of POST /v1/graph/sync may name a reference without its type.
CREATE INDEX entities_reference ON entities (reference);
-- Look-ups by property: containment of {field: {"value": …}}.
CREATE INDEX entities_properties ON entities USING gin (properties jsonb_path_ops);

-- A relationship, left → right. metadata_date is the timestamp of the record that told the metadata; a plain
-- edge has none. A removed edge stays, so that an older record replayed later does not bring it back.
CREATE TABLE edges (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    left_entity_id    bigint NOT NULL REFERENCES entities,
    right_entity_id   bigint NOT NULL REFERENCES entities,
    relationship_type text NOT NULL,
    metadata          jsonb,
    metadata_date     timestamptz,
    removed_at        timestamptz,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    UNIQUE (left_entity_id, right_entity_id, relationship_type)
);
-- Erasure and foreign keys look from the right.
CREATE INDEX edges_right_entity ON edges (right_entity_id);

-- A point of a time series. period_start never changes, so a row never moves between partitions;
-- reference_date and version only decide who wins.
CREATE TABLE temporal_properties (
    entity_id       bigint NOT NULL REFERENCES entities,
    key             text NOT NULL,
    granularity     text NOT NULL,
    period_start    timestamptz NOT NULL,
    reference_date  timestamptz NOT NULL,
    version         bigint NOT NULL DEFAULT 0,
    value           jsonb NOT NULL,
    idempotency_key text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (entity_id, key, granularity, period_start)
) PARTITION BY RANGE (period_start);

-- Debezium's heartbeat writes here, so that the slot moves on a quiet database.
CREATE TABLE dbz_heartbeat (
    id smallint PRIMARY KEY,
    ts timestamptz NOT NULL
);
