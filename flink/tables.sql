-- What all jobs share: settings, the shape of a source topic, the three normalised topics, the dead letters.
-- The placeholders @BROKERS@ and @PREFIX@ (of topics, consumer groups and transactional ids) are filled in by
-- infra/flink/jobs.py, which also names each job and its checkpoints.

SET 'execution.runtime-mode' = 'streaming';
-- Periods are those of UTC. Without this, casts to TIMESTAMP_LTZ follow the zone of the machine.
SET 'table.local-time-zone' = 'UTC';
-- With mini-batches the deduplication counts as updating, and neither OVER nor a kafka sink takes it.
SET 'table.exec.mini-batch.enabled' = 'false';
-- What several INSERTs of a job read is planned once.
SET 'table.optimizer.reuse-optimize-block-with-digest-enabled' = 'true';
-- A result becomes visible to read_committed readers at the next checkpoint.
SET 'execution.checkpointing.interval' = '1 s';
SET 'execution.checkpointing.min-pause' = '200 ms';
SET 'execution.checkpointing.mode' = 'EXACTLY_ONCE';
SET 'execution.checkpointing.externalized-checkpoint-retention' = 'RETAIN_ON_CANCELLATION';
SET 'restart-strategy.type' = 'fixed-delay';
SET 'restart-strategy.fixed-delay.attempts' = '2147483647';
SET 'restart-strategy.fixed-delay.delay' = '1 s';

-- src_time is when the broker took the event, since source topics stamp by append (app/config/topics.py). No record that
-- the jobs write is stamped later: what was on its way through Flink during an erasure so counts as from before it, though
-- the event's own clock was ahead.
-- A source topic, read as bytes: nothing is dropped or re-encoded before the checks, and dead letters keep their
-- bytes. There is no watermark, so late events, idle partitions and idle timeouts don't matter.
-- earliest-offset: a job that starts without its checkpoint builds everything again. The offsets of a checkpoint
-- win. group-offsets would go on from the committed offset with empty totals.
CREATE TABLE source_events (
  msg_key BYTES,
  msg BYTES,
  src_partition INT METADATA FROM 'partition' VIRTUAL,
  src_offset BIGINT METADATA FROM 'offset' VIRTUAL,
  src_time TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
  arrived AS PROCTIME()
) WITH (
  'connector' = 'kafka',
  'properties.bootstrap.servers' = '@BROKERS@',
  'properties.isolation.level' = 'read_committed',
  'scan.startup.mode' = 'earliest-offset',
  'key.format' = 'raw',
  'key.fields' = 'msg_key',
  'value.format' = 'raw',
  'value.fields-include' = 'EXCEPT_KEY'
);

-- Of the sinks below:
-- A transaction that is left open, by a cluster that was killed, is the broker's to abort after its timeout; what it holds
-- of a completed checkpoint is lost to a job that goes on from that checkpoint. So it is a day (the broker's
-- transaction.max.timeout.ms must allow it), and infra/flink/jobs.py goes back further after half of that.
-- Kafka's own limit of a request, 1 MiB before compression, is below what a source may send: the record would fail the job
-- again at each restart. The jobs pass on values of up to 524,288 bytes, which give no record of over twice that, and
-- as dead letters all that a broker takes.

-- entities-edges. The body is JSON text, since metadata and values are JSON of any kind, which no typed column holds:
--   {id, reference, type, edges: [{entity_reference, entity_type, relation_type, metadata?}]}
-- record_key: type:reference. event_time: the record's timestamp.
CREATE TABLE `flink.agg.user-profile.entities` (
  record_key STRING,
  body STRING,
  event_time TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'
) WITH (
  'connector' = 'kafka',
  'topic' = '@PREFIX@entities-edges',
  'properties.bootstrap.servers' = '@BROKERS@',
  'properties.transaction.timeout.ms' = '86400000',
  'properties.max.request.size' = '33554432',
  'properties.compression.type' = 'lz4',
  'key.format' = 'raw',
  'key.fields' = 'record_key',
  'value.format' = 'raw',
  'value.fields-include' = 'EXCEPT_KEY',
  'sink.delivery-guarantee' = 'exactly-once'
);

-- entity-properties: {entity_reference, entity_type, field_name, field_value, reference_date}
CREATE TABLE `flink.agg.user-profile.entities.properties`
WITH ('topic' = '@PREFIX@entity-properties')
LIKE `flink.agg.user-profile.entities`;

-- temporal-data: {entity_reference, entity_type, property_type, property_value, property_reference_date,
--   property_granularity, property_version}
CREATE TABLE `flink.agg.user-profile.entities.temporal-properties`
WITH ('topic' = '@PREFIX@temporal-data')
LIKE `flink.agg.user-profile.entities`;

-- The dead letters of all sources: each INSERT names its topic. The topics are compacted, so the key is unique:
-- topic/partition/offset. event_time: the timestamp of the source record.
CREATE TABLE dead_letters (
  letter_key STRING,
  msg BYTES,
  headers MAP<STRING, BYTES> METADATA,
  event_time TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'
) WITH (
  'connector' = 'kafka',
  'properties.bootstrap.servers' = '@BROKERS@',
  'properties.transaction.timeout.ms' = '86400000',
  'properties.max.request.size' = '33554432',
  'key.format' = 'raw',
  'key.fields' = 'letter_key',
  'value.format' = 'raw',
  'value.fields-include' = 'EXCEPT_KEY',
  'sink.delivery-guarantee' = 'exactly-once'
);
