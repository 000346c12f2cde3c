-- metrics: aggregated.metrics -> temporal-data, aggregated.metrics.dlq
--
-- Source    {uid, subject, metric, grain, period, revision, computed_at, measures}: subject as type/reference, grain DAILY,
--           WEEKLY, MONTHLY, QUARTERLY or YEARLY, period a label such as 1997-01-31, 1997-W05 (ISO), 1997-01, 1997-Q1 or 1997,
--           computed_at in seconds since 1970, measures any JSON value.
-- Output    property_type: metric. property_value: measures, numbers digit for digit.
-- Keys      in: any. out: type:reference. Duplicates: the first of each uid counts.
-- Time      property_reference_date is the last instant of the period in UTC, so it is constant for it. property_version
--           is the revision: the newest revision wins, in any order. The timestamp of records: computed_at.
-- Lateness  none.
-- State     the event ids of 8 days (about 70 bytes each). A duplicate that comes later is written again, with the same
--           dates and values, and changes nothing where it is consumed: there is no sum that could forget.

SET 'table.exec.state.ttl' = '8 d';

CREATE TABLE `aggregated.metrics`
WITH ('topic' = '@PREFIX@aggregated.metrics', 'properties.group.id' = '@PREFIX@flink-metrics')
LIKE source_events;

-- What is longer than the cast leaves of it has no text: the planner repeats the expression for each field that is read of it,
-- and a large text would be on the heap for each.
CREATE VIEW metrics_read AS
SELECT *,
  CASE WHEN REGEXP(revision_text, '^[0-9]{1,15}([.][0-9]{1,9})?([eE][+]?[0-9]{1,2})?$') THEN TRY_CAST(revision_text AS DECIMAL(27, 9)) END AS revision,
  CASE WHEN REGEXP(date_text, '^[0-9]{1,15}([.][0-9]{1,9})?([eE][+]?[0-9]{1,2})?$') THEN TRY_CAST(date_text AS DECIMAL(27, 9)) END AS computed_s
FROM (SELECT *,
  JSON_VALUE(body, '$.uid') AS event_id,
  JSON_VALUE(body, '$.metric') AS metric,
  JSON_VALUE(body, '$.grain') AS grain,
  JSON_VALUE(body, '$.period') AS label,
  JSON_VALUE(body, '$.revision') AS revision_text,
  JSON_VALUE(body, '$.computed_at') AS date_text,
  JSON_QUERY(body, '$.measures' WITH UNCONDITIONAL WRAPPER) AS measures_in_array,
  SPLIT_INDEX(JSON_VALUE(body, '$.subject'), '/', 0) AS entity_type,
  SUBSTRING(JSON_VALUE(body, '$.subject'), POSITION('/' IN JSON_VALUE(body, '$.subject')) + 1) AS reference
FROM (SELECT *, CASE WHEN CAST(msg AS VARBINARY(524288)) = msg THEN DECODE(msg, 'UTF-8') END AS body
  FROM `aggregated.metrics`));

-- The first day of the period, NULL where the label is none of its grain. ISO week 1 is the one that holds 4 January.
CREATE VIEW metrics_parsed AS
SELECT *,
  CASE
    WHEN grain = 'DAILY' AND CAST(TO_DATE(label) AS STRING) = label THEN TO_DATE(label)
    WHEN grain = 'WEEKLY' AND REGEXP(label, '^[0-9]{4}-W(0[1-9]|[1-4][0-9]|5[0-3])$') THEN TIMESTAMPADD(DAY,
      7 * (CAST(SUBSTRING(label, 7, 2) AS INT) - 1)
        - MOD(CAST(DAYOFWEEK(TO_DATE(SUBSTRING(label, 1, 4) || '-01-04')) AS INT) + 5, 7),
      TO_DATE(SUBSTRING(label, 1, 4) || '-01-04'))
    WHEN grain = 'MONTHLY' AND REGEXP(label, '^[0-9]{4}-(0[1-9]|1[0-2])$') THEN TO_DATE(label || '-01')
    WHEN grain = 'QUARTERLY' AND REGEXP(label, '^[0-9]{4}-Q[1-4]$') THEN TIMESTAMPADD(MONTH,
      3 * (CAST(SUBSTRING(label, 7, 1) AS INT) - 1), TO_DATE(SUBSTRING(label, 1, 4) || '-01-01'))
    WHEN grain = 'YEARLY' AND REGEXP(label, '^[0-9]{4}$') THEN TO_DATE(label || '-01-01')
  END AS first_day
FROM metrics_read;

-- Kafka refuses timestamps before 1970 and over an hour ahead, which would stop the job.
CREATE VIEW metrics_checked AS
SELECT *,
  CASE
    WHEN body IS NULL AND msg IS NOT NULL THEN 'the value is longer than 524,288 bytes'
    WHEN (ENCODE(body, 'UTF-8') = msg) IS NOT TRUE THEN 'the value is not UTF-8'
    WHEN (body IS JSON OBJECT) IS NOT TRUE THEN 'the value is not a JSON object'
    WHEN (CHAR_LENGTH(event_id) > 0) IS NOT TRUE THEN 'uid is missing'
    WHEN (REGEXP(entity_type, '^[a-z][a-z0-9_-]*$') AND entity_type <> 'unknown' AND CHAR_LENGTH(reference) > 0
      AND reference <> JSON_VALUE(body, '$.subject')) IS NOT TRUE THEN 'subject is not type/reference'
    WHEN (CHAR_LENGTH(metric) > 0) IS NOT TRUE THEN 'metric is missing'
    WHEN (grain IN ('DAILY', 'WEEKLY', 'MONTHLY', 'QUARTERLY', 'YEARLY')) IS NOT TRUE
      THEN 'grain is not DAILY, WEEKLY, MONTHLY, QUARTERLY or YEARLY'
    WHEN first_day IS NULL THEN 'period is not a label of its grain'
    WHEN grain = 'WEEKLY' AND CAST(EXTRACT(YEAR FROM TIMESTAMPADD(DAY, 3, first_day)) AS STRING) <> SUBSTRING(label, 1, 4)
      THEN 'period is not a week of its year'
    WHEN (revision = FLOOR(revision) AND revision < 1000000000000000) IS NOT TRUE THEN 'revision is not an integer of up to 15 digits'
    WHEN (computed_s < 1000000000000) IS NOT TRUE THEN 'computed_at is not a number of seconds since 1970'
    WHEN (computed_s <= UNIX_TIMESTAMP() + 1800) IS NOT TRUE THEN 'computed_at is in the future'
    WHEN measures_in_array IS NULL THEN 'measures are missing'
  END AS fault
FROM metrics_parsed;

-- The first of each event id. Ordered by arrival, so nothing is ever taken back.
CREATE VIEW metrics_distinct AS
SELECT *,
  CASE grain
    WHEN 'DAILY' THEN TIMESTAMPADD(DAY, 1, first_day)
    WHEN 'WEEKLY' THEN TIMESTAMPADD(DAY, 7, first_day)
    WHEN 'MONTHLY' THEN TIMESTAMPADD(MONTH, 1, first_day)
    WHEN 'QUARTERLY' THEN TIMESTAMPADD(MONTH, 3, first_day)
    ELSE TIMESTAMPADD(YEAR, 1, first_day)
  END AS next_day,
  CASE grain
    WHEN 'DAILY' THEN CAST('day' AS STRING) WHEN 'WEEKLY' THEN 'week' WHEN 'MONTHLY' THEN 'month'
    WHEN 'QUARTERLY' THEN 'quarter' ELSE 'year'
  END AS granularity
FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY arrived) AS n FROM metrics_checked WHERE fault IS NULL
) WHERE n = 1;

-- Headers as the worker's own dead letters have them: what is absent (a key, a value) has no header, or says so.
CREATE VIEW metrics_dead AS
SELECT *, CASE WHEN msg_key IS NULL THEN provenance ELSE MAP_UNION(provenance, MAP[CAST('dlq.key' AS STRING), msg_key]) END AS with_key
FROM (
  SELECT *, MAP[
    CAST('dlq.topic' AS STRING), ENCODE('@PREFIX@aggregated.metrics', 'UTF-8'),
    'dlq.partition', ENCODE(CAST(src_partition AS STRING), 'UTF-8'),
    'dlq.offset', ENCODE(CAST(src_offset AS STRING), 'UTF-8'),
    'dlq.timestamp', ENCODE(CAST(1000 * UNIX_TIMESTAMP(DATE_FORMAT(src_time, 'yyyy-MM-dd HH:mm:ss'))
      + CAST(DATE_FORMAT(src_time, 'SSS') AS BIGINT) AS STRING), 'UTF-8'),
    'dlq.error', ENCODE('malformed-source', 'UTF-8'),
    'dlq.reason', ENCODE(fault, 'UTF-8')] AS provenance
  FROM metrics_checked WHERE fault IS NOT NULL
);

EXECUTE STATEMENT SET BEGIN

INSERT INTO `flink.agg.user-profile.entities.temporal-properties`
  /*+ OPTIONS('sink.transactional-id-prefix' = '@PREFIX@flink-metrics-temporal') */
SELECT
  entity_type || ':' || reference,
  JSON_OBJECT(
    KEY 'entity_reference' VALUE reference,
    KEY 'entity_type' VALUE entity_type,
    KEY 'property_type' VALUE metric,
    KEY 'property_value' VALUE JSON(SUBSTRING(measures_in_array, 2, CHAR_LENGTH(measures_in_array) - 2)),
    KEY 'property_reference_date' VALUE CAST(TIMESTAMPADD(DAY, -1, next_day) AS STRING) || 'T23:59:59.999999Z',
    KEY 'property_granularity' VALUE granularity,
    KEY 'property_version' VALUE CAST(revision AS BIGINT)),
  LEAST(TO_TIMESTAMP_LTZ(CAST(computed_s * 1000 AS BIGINT), 3), src_time)
FROM metrics_distinct;

INSERT INTO dead_letters
  /*+ OPTIONS('topic' = '@PREFIX@aggregated.metrics.dlq', 'sink.transactional-id-prefix' = '@PREFIX@flink-metrics-dlq') */
SELECT
  '@PREFIX@aggregated.metrics/' || CAST(src_partition AS STRING) || '/' || CAST(src_offset AS STRING),
  COALESCE(msg, CAST(X'' AS BYTES)),
  CASE WHEN msg IS NULL THEN MAP_UNION(with_key, MAP[CAST('dlq.tombstone' AS STRING), ENCODE('true', 'UTF-8')]) ELSE with_key END,
  src_time
FROM metrics_dead;

END;
