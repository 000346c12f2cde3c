-- From where each consumer group began to read a partition, and how often without getting on: what kills a worker is
-- found by that. One row for each partition of each group.
CREATE TABLE partition_attempts (
    consumer_group text NOT NULL,
    topic          text NOT NULL,
    partition      integer NOT NULL,
    first_offset   bigint NOT NULL,
    starts         integer NOT NULL DEFAULT 1,  -- at this offset, one after the other
    in_hand        bigint,                      -- the record that is being processed by itself, if there is one
    tries          integer NOT NULL DEFAULT 0,  -- at that record, which no process has outlived
    set_aside      bigint[] NOT NULL DEFAULT '{}',  -- records from there on that are dead letters, since they kill
    noted_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer_group, topic, partition)
);
