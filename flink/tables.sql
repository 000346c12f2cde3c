-- What both jobs share: settings, functions, the shape of a source topic, and of what is written.
-- The placeholders @BROKERS@, @PREFIX@ (of topics, consumer groups and transactional ids), @FUNCTIONS@ (the jar of
-- flink/functions) and the lists of topics are filled in by infra/flink/jobs.py, which also names each job and its checkpoints.

SET 'execution.runtime-mode' = 'streaming';
-- Periods are those of UTC. Without this, casts to TIMESTAMP_LTZ follow the zone of the machine.
SET 'table.local-time-zone' = 'UTC';
-- With mini-batches the deduplication counts as updating, and neither OVER nor a kafka sink takes it.
SET 'table.exec.mini-batch.enabled' = 'false';
-- What several INSERTs of a job read is planned once.
SET 'table.optimizer.reuse-optimize-block-with-digest-enabled' = 'true';
-- Records are not copied between the operators of a chain: none of them changes what it was given, nor do the functions.
SET 'pipeline.object-reuse' = 'true';
-- Tasks of each operator, and where state lies: INFRA_FLINK_PARALLELISM, INFRA_FLINK_STATE_BACKEND. A job goes on from its
-- savepoint with others. A checkpoint of RocksDB has what changed since the one before; one of the heap has all.
SET 'parallelism.default' = '@PARALLELISM@';
SET 'state.backend.type' = '@STATE@';
SET 'execution.checkpointing.incremental' = 'true';
-- A result becomes visible to read_committed readers at the next checkpoint.
SET 'execution.checkpointing.interval' = '1 s';
SET 'execution.checkpointing.min-pause' = '200 ms';
SET 'execution.checkpointing.mode' = 'EXACTLY_ONCE';
SET 'execution.checkpointing.externalized-checkpoint-retention' = 'RETAIN_ON_CANCELLATION';
SET 'restart-strategy.type' = 'fixed-delay';
SET 'restart-strategy.fixed-delay.attempts' = '2147483647';
SET 'restart-strategy.fixed-delay.delay' = '1 s';

-- Each record is read once, strictly, by the contract of its topic (flink/contracts), which is in the jar:
-- source_event: a row for each event with the records to write, and one for each of its dead letters.
-- source_columns: a row with the event's columns, for SQL that joins and sums; or with the reason why it can't be used.
-- letter_headers: the headers of a dead letter that SQL makes.
-- payment_sums: the running sums of payments.
CREATE TEMPORARY FUNCTION source_event AS 'userprofile.sources.SourceEvent' USING JAR '@FUNCTIONS@';
CREATE TEMPORARY FUNCTION source_columns AS 'userprofile.sources.SourceColumns' USING JAR '@FUNCTIONS@';
CREATE TEMPORARY FUNCTION payment_sums AS 'userprofile.sources.PaymentSums' USING JAR '@FUNCTIONS@';
CREATE TEMPORARY FUNCTION letter_headers AS 'userprofile.sources.LetterHeaders' USING JAR '@FUNCTIONS@';

-- A source topic, read as bytes: nothing is dropped or re-encoded before the checks, and dead letters keep their
-- bytes. There is no watermark, so late events, idle partitions and idle timeouts don't matter.
-- src_time is when the broker took the event, since source topics stamp by append (app/config/topics.py). No record that
-- the jobs write is stamped later: what was on its way through Flink during an erasure so counts as from before it, though
-- the event's own clock was ahead.
-- earliest-offset: a job that starts without its checkpoint builds everything again. The offsets of a checkpoint
-- win. group-offsets would go on from the committed offset with empty totals.
CREATE TABLE source_events (
  msg_key BYTES,
  msg BYTES,
  src_topic STRING METADATA FROM 'topic' VIRTUAL,
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

-- All that the jobs write: the three normalised topics and the dead letters of the sources, by one producer for each
-- INSERT and one transaction for each checkpoint. Bodies are JSON text, so that a value keeps its type and its digits:
--   entities-edges     {id, reference, type, edges: [{entity_reference, entity_type, relation_type, metadata?}]}
--   entity-properties  {entity_reference, entity_type, field_name, field_value, reference_date}
--   temporal-data      {entity_reference, entity_type, property_type, property_value, property_reference_date,
--                       property_granularity, property_version}
-- record_key is type:reference, of a dead letter topic/partition/offset, and the part where one was left out: their topics
-- are compacted. event_time is the record's timestamp.
-- A transaction that is left open, by a cluster that was killed, is the broker's to abort after its timeout; what it holds
-- of a completed checkpoint is lost to a job that goes on from that checkpoint. So it is a day (the broker's
-- transaction.max.timeout.ms must allow it), and infra/flink/jobs.py goes back further after half of that.
-- Kafka's own limit of a request, 1 MiB before compression, is below what a source may send: the record would fail the job
-- again at each restart. The jobs pass on values of up to 524,288 bytes, which give no record of over twice that, and
-- as dead letters all that a broker takes.
CREATE TABLE `flink.agg.user-profile` (
  topic STRING METADATA,
  record_key STRING,
  body BYTES,
  headers MAP<STRING, BYTES> METADATA,
  event_time TIMESTAMP_LTZ(3) METADATA FROM 'timestamp'
) WITH (
  'connector' = 'kafka',
  'topic' = '@WRITTEN@',
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
