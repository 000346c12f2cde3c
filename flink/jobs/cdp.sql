-- cdp: cdp.events -> entities-edges, entity-properties, cdp.events.dlq
--
-- Source    snake_case with lists: {message_id, type, timestamp, user_id, origin?, traits? [{name, value}],
--             devices? [{id, platform?, last_seen?}], segments? [{id, affinity?}]}
--           timestamp in RFC 3339 with any offset and 0 to 9 digits of a second of which 6 count, last_seen in seconds since 1970,
--           the value of a trait any JSON but null.
-- Output    of the user: each trait under its own name with its own JSON value, and segments (the list of their ids).
--           user uses device, user in_segment segment {affinity}. Of the device: platform (lower case), last_seen_at,
--           data_origin where origin is told.
-- Keys      in: any. out: type:reference. Duplicates: the first of each message_id counts.
-- Time      reference_date: timestamp in UTC. The timestamp of records: the same, in milliseconds, and
--           no later than src_time (tables.sql).
-- Lateness  none: the newest reference_date wins where the records are consumed.
-- State     the event ids of 8 days (about 70 bytes each). A duplicate that comes later is written again, with the same
--           dates and values, and changes nothing where it is consumed: there is no sum that could forget.

SET 'table.exec.state.ttl' = '8 d';

CREATE TABLE `cdp.events`
WITH ('topic' = '@PREFIX@cdp.events', 'properties.group.id' = '@PREFIX@flink-cdp')
LIKE source_events;

-- What is longer than the cast leaves of it has no text: the planner repeats the expression for each field that is read of it,
-- and a large text would be on the heap for each.
CREATE VIEW cdp_read AS
SELECT *,
  JSON_VALUE(body, '$.message_id') AS event_id,
  JSON_VALUE(body, '$.user_id') AS customer_id,
  JSON_VALUE(body, '$.origin') AS origin,
  JSON_VALUE(body, '$.timestamp') AS date_text,
  JSON_QUERY(body, '$.traits' RETURNING ARRAY<STRING>) AS traits,
  JSON_QUERY(body, '$.traits[*].name' RETURNING ARRAY<STRING>) AS trait_names,
  JSON_QUERY(body, '$.devices' RETURNING ARRAY<STRING>) AS devices,
  JSON_QUERY(body, '$.devices[*].id' RETURNING ARRAY<STRING>) AS device_ids,
  JSON_QUERY(body, '$.segments' RETURNING ARRAY<STRING>) AS segments,
  JSON_QUERY(body, '$.segments[*].id' RETURNING ARRAY<STRING>) AS segment_ids,
  JSON_QUERY(body, '$.segments[*].id') AS segment_list
FROM (SELECT *, CASE WHEN CAST(msg AS VARBINARY(524288)) = msg THEN DECODE(msg, 'UTF-8') END AS body
  FROM `cdp.events`);

-- The local time to the millisecond, all of its fraction, and the minutes by which it is ahead of UTC.
CREATE VIEW cdp_parsed AS
SELECT *, TIMESTAMPADD(MINUTE, -offset_minutes, local_time) AS occurred_at
FROM (SELECT *, TO_TIMESTAMP(SUBSTRING(date_text, 1, 19) || '.' || SUBSTRING(fraction, 1, 3), 'yyyy-MM-dd''T''HH:mm:ss.SSS') AS local_time
FROM (SELECT *,
  RPAD(COALESCE(REGEXP_EXTRACT(date_text, '[.]([0-9]+)', 1), ''), 6, '0') AS fraction,
  CASE WHEN date_text LIKE '%Z' THEN 0
    ELSE (CASE WHEN SUBSTRING(date_text, CHAR_LENGTH(date_text) - 5, 1) = '-' THEN -1 ELSE 1 END)
      * (60 * TRY_CAST(SUBSTRING(date_text, CHAR_LENGTH(date_text) - 4, 2) AS INT)
        + TRY_CAST(SUBSTRING(date_text, CHAR_LENGTH(date_text) - 1, 2) AS INT))
  END AS offset_minutes
FROM cdp_read));

-- Kafka refuses timestamps before 1970 and over an hour ahead, which would stop the job.
CREATE VIEW cdp_checked AS
SELECT *,
  CASE
    WHEN body IS NULL AND msg IS NOT NULL THEN 'the value is longer than 524,288 bytes'
    WHEN (ENCODE(body, 'UTF-8') = msg) IS NOT TRUE THEN 'the value is not UTF-8'
    WHEN (body IS JSON OBJECT) IS NOT TRUE THEN 'the value is not a JSON object'
    WHEN (CHAR_LENGTH(event_id) > 0) IS NOT TRUE THEN 'message_id is missing'
    WHEN (CHAR_LENGTH(customer_id) > 0) IS NOT TRUE THEN 'user_id is missing'
    WHEN REGEXP(date_text, '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$')
      IS NOT TRUE OR (DATE_FORMAT(local_time, 'yyyy-MM-dd''T''HH:mm:ss') = SUBSTRING(date_text, 1, 19)) IS NOT TRUE
      THEN 'timestamp is not RFC 3339 such as 2025-01-15T10:30:00.123456Z'
    WHEN occurred_at < TIMESTAMP '1970-01-01 00:00:00' THEN 'timestamp is before 1970'
    WHEN CAST(occurred_at AS TIMESTAMP_LTZ(3)) > CURRENT_TIMESTAMP + INTERVAL '30' MINUTE THEN 'timestamp is in the future'
    WHEN COALESCE(CARDINALITY(traits), 0) <> COALESCE(CARDINALITY(trait_names), 0) THEN 'a trait has no name'
    WHEN COALESCE(CARDINALITY(devices), 0) <> COALESCE(CARDINALITY(device_ids), 0) THEN 'a device has no id'
    WHEN COALESCE(CARDINALITY(segments), 0) <> COALESCE(CARDINALITY(segment_ids), 0) THEN 'a segment has no id'
  END AS fault
FROM cdp_parsed;

-- The first of each event id. Ordered by arrival, so nothing is ever taken back.
CREATE VIEW cdp_distinct AS
SELECT *, DATE_FORMAT(occurred_at, 'yyyy-MM-dd''T''HH:mm:ss') || '.' || SUBSTRING(fraction, 1, 6) || 'Z' AS reference_date,
  LEAST(CAST(occurred_at AS TIMESTAMP_LTZ(3)), src_time) AS event_time
FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY arrived) AS n FROM cdp_checked WHERE fault IS NULL
) WHERE n = 1;

CREATE VIEW cdp_edges AS
SELECT event_id, CAST('user' AS STRING) AS entity_type, customer_id AS reference, CAST('uses' AS STRING) AS relation_type,
  CAST('device' AS STRING) AS target_type, JSON_VALUE(device, '$.id') AS target_reference, CAST(NULL AS STRING) AS metadata,
  event_time
FROM cdp_distinct CROSS JOIN UNNEST(devices) AS d (device)
UNION ALL
SELECT event_id, 'user', customer_id, 'in_segment', 'segment', JSON_VALUE(segment, '$.id'),
  CASE WHEN REGEXP(JSON_VALUE(segment, '$.affinity'), '^-?(0|[1-9][0-9]{0,14})([.][0-9]{1,15})?([eE][+-]?[0-9]{1,3})?$')
    THEN '{"affinity":' || JSON_VALUE(segment, '$.affinity') || '}' END,
  event_time
FROM cdp_distinct CROSS JOIN UNNEST(segments) AS s (segment);

-- A trait's value is wrapped in an array and taken out again as text, since JSON_QUERY alone gives NULL for scalars.
-- What is not told, or told to be null (SQL can't tell these apart), is no property.
CREATE VIEW cdp_properties AS
SELECT CAST('user' AS STRING) AS entity_type, customer_id AS reference, JSON_VALUE(trait, '$.name') AS field_name,
  SUBSTRING(JSON_QUERY(trait, '$.value' WITH UNCONDITIONAL WRAPPER), 2,
    CHAR_LENGTH(JSON_QUERY(trait, '$.value' WITH UNCONDITIONAL WRAPPER)) - 2) AS field_value,
  reference_date, event_time
FROM cdp_distinct CROSS JOIN UNNEST(traits) AS t (trait)
WHERE JSON_QUERY(trait, '$.value' WITH UNCONDITIONAL WRAPPER) IS NOT NULL
UNION ALL
SELECT 'user', customer_id, 'segments', segment_list, reference_date, event_time
FROM cdp_distinct WHERE segment_list IS NOT NULL
UNION ALL
SELECT 'device', JSON_VALUE(device, '$.id'), field_name, field_value, reference_date, event_time
FROM cdp_distinct
CROSS JOIN UNNEST(devices) AS d (device)
CROSS JOIN UNNEST(ARRAY[
  ROW(CAST('platform' AS STRING), JSON_STRING(LOWER(JSON_VALUE(device, '$.platform')))),
  ROW('last_seen_at', CASE WHEN REGEXP(JSON_VALUE(device, '$.last_seen'), '^[0-9]{1,15}([.][0-9]{1,9})?([eE][+]?[0-9]{1,2})?$')
    AND TRY_CAST(JSON_VALUE(device, '$.last_seen') AS DECIMAL(27, 9)) < 200000000000 THEN
    JSON_STRING(DATE_FORMAT(TO_TIMESTAMP_LTZ(CAST(FLOOR(TRY_CAST(JSON_VALUE(device, '$.last_seen') AS DECIMAL(27, 9))) AS BIGINT) * 1000, 3),
      'yyyy-MM-dd''T''HH:mm:ss''Z''')) END),
  ROW('data_origin', JSON_STRING(origin))
]) AS p (field_name, field_value)
WHERE field_value IS NOT NULL;

-- Headers as the worker's own dead letters have them: what is absent (a key, a value) has no header, or says so.
CREATE VIEW cdp_dead AS
SELECT *, CASE WHEN msg_key IS NULL THEN provenance ELSE MAP_UNION(provenance, MAP[CAST('dlq.key' AS STRING), msg_key]) END AS with_key
FROM (
  SELECT *, MAP[
    CAST('dlq.topic' AS STRING), ENCODE('@PREFIX@cdp.events', 'UTF-8'),
    'dlq.partition', ENCODE(CAST(src_partition AS STRING), 'UTF-8'),
    'dlq.offset', ENCODE(CAST(src_offset AS STRING), 'UTF-8'),
    'dlq.timestamp', ENCODE(CAST(1000 * UNIX_TIMESTAMP(DATE_FORMAT(src_time, 'yyyy-MM-dd HH:mm:ss'))
      + CAST(DATE_FORMAT(src_time, 'SSS') AS BIGINT) AS STRING), 'UTF-8'),
    'dlq.error', ENCODE('malformed-source', 'UTF-8'),
    'dlq.reason', ENCODE(fault, 'UTF-8')] AS provenance
  FROM cdp_checked WHERE fault IS NOT NULL
);

EXECUTE STATEMENT SET BEGIN

INSERT INTO `flink.agg.user-profile.entities`
  /*+ OPTIONS('sink.transactional-id-prefix' = '@PREFIX@flink-cdp-entities') */
SELECT
  entity_type || ':' || reference,
  JSON_OBJECT(
    KEY 'id' VALUE event_id || ':' || relation_type || ':' || target_reference,
    KEY 'reference' VALUE reference,
    KEY 'type' VALUE entity_type,
    KEY 'edges' VALUE JSON_ARRAY(JSON_OBJECT(
      KEY 'entity_reference' VALUE target_reference,
      KEY 'entity_type' VALUE target_type,
      KEY 'relation_type' VALUE relation_type,
      KEY 'metadata' VALUE JSON(metadata)
      ABSENT ON NULL))),
  event_time
FROM cdp_edges;

INSERT INTO `flink.agg.user-profile.entities.properties`
  /*+ OPTIONS('sink.transactional-id-prefix' = '@PREFIX@flink-cdp-properties') */
SELECT
  entity_type || ':' || reference,
  JSON_OBJECT(
    KEY 'entity_reference' VALUE reference,
    KEY 'entity_type' VALUE entity_type,
    KEY 'field_name' VALUE field_name,
    KEY 'field_value' VALUE JSON(field_value),
    KEY 'reference_date' VALUE reference_date),
  event_time
FROM cdp_properties;

INSERT INTO dead_letters
  /*+ OPTIONS('topic' = '@PREFIX@cdp.events.dlq', 'sink.transactional-id-prefix' = '@PREFIX@flink-cdp-dlq') */
SELECT
  '@PREFIX@cdp.events/' || CAST(src_partition AS STRING) || '/' || CAST(src_offset AS STRING),
  COALESCE(msg, CAST(X'' AS BYTES)),
  CASE WHEN msg IS NULL THEN MAP_UNION(with_key, MAP[CAST('dlq.tombstone' AS STRING), ENCODE('true', 'UTF-8')]) ELSE with_key END,
  src_time
FROM cdp_dead;

END;
