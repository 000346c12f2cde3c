-- crm: crm.events -> entities-edges, entity-properties, crm.events.dlq
--
-- Source    PascalCase: {Id, Kind?, Timestamp, Customer: {ExternalRef, Name? {First?, Last?}, EmailAddress?, Phone?,
--             Employment? {Department?}, Status?, CreditScore?}, Consent? {Marketing?}, Manager? {EmployeeId, Name?},
--             DataOrigin?}
--           Timestamp in RFC 3339 with any offset. Marketing is true or false, CreditScore a number.
-- Output    of the user ExternalRef: full_name, email (trimmed, lower case), phone (+ and digits), department, status
--           (lower case), credit_score (a number, digit for digit), marketing_consent (a boolean), data_origin (as told).
--           user managed_by employee. Of the employee: full_name.
-- Keys      in: any. out: type:reference. Duplicates: the first of each Id counts.
-- Time      reference_date: Timestamp in UTC. The timestamp of records: the same, in milliseconds, and
--           no later than src_time (tables.sql).
-- Lateness  none: the newest reference_date wins where the records are consumed.
-- State     the event ids of 8 days (about 70 bytes each). A duplicate that comes later is written again, with the same
--           dates and values, and changes nothing where it is consumed: there is no sum that could forget.

SET 'table.exec.state.ttl' = '8 d';

CREATE TABLE `crm.events`
WITH ('topic' = '@PREFIX@crm.events', 'properties.group.id' = '@PREFIX@flink-crm')
LIKE source_events;

-- What is longer than the cast leaves of it has no text: the planner repeats the expression for each field that is read of it,
-- and a large text would be on the heap for each.
CREATE VIEW crm_read AS
SELECT *,
  JSON_VALUE(body, '$.Id') AS event_id,
  JSON_VALUE(body, '$.Timestamp') AS date_text,
  JSON_VALUE(body, '$.Customer.ExternalRef') AS customer_id,
  TRIM(COALESCE(JSON_VALUE(body, '$.Customer.Name.First'), '') || ' '
    || COALESCE(JSON_VALUE(body, '$.Customer.Name.Last'), '')) AS full_name,
  LOWER(TRIM(JSON_VALUE(body, '$.Customer.EmailAddress'))) AS email,
  REGEXP_REPLACE(JSON_VALUE(body, '$.Customer.Phone'), '[^0-9]', '') AS phone_digits,
  JSON_VALUE(body, '$.Customer.Employment.Department') AS department,
  LOWER(JSON_VALUE(body, '$.Customer.Status')) AS status,
  JSON_VALUE(body, '$.Customer.CreditScore') AS credit_score,
  JSON_VALUE(body, '$.Consent.Marketing') AS marketing_consent,
  JSON_VALUE(body, '$.Manager.EmployeeId') AS employee_id,
  JSON_VALUE(body, '$.Manager.Name') AS employee_name,
  JSON_QUERY(body, '$.DataOrigin' WITH UNCONDITIONAL WRAPPER) AS origin_in_array
FROM (SELECT *, CASE WHEN CAST(msg AS VARBINARY(524288)) = msg THEN DECODE(msg, 'UTF-8') END AS body
  FROM `crm.events`);

-- The local time, and the minutes by which it is ahead of UTC.
CREATE VIEW crm_parsed AS
SELECT *,
  TO_TIMESTAMP(SUBSTRING(date_text, 1, 19), 'yyyy-MM-dd''T''HH:mm:ss') AS local_time,
  RPAD(COALESCE(REGEXP_EXTRACT(date_text, '[.]([0-9]+)', 1), ''), 6, '0') AS fraction,
  CASE WHEN date_text LIKE '%Z' THEN 0
    ELSE (CASE WHEN SUBSTRING(date_text, CHAR_LENGTH(date_text) - 5, 1) = '-' THEN -1 ELSE 1 END)
      * (60 * TRY_CAST(SUBSTRING(date_text, CHAR_LENGTH(date_text) - 4, 2) AS INT)
        + TRY_CAST(SUBSTRING(date_text, CHAR_LENGTH(date_text) - 1, 2) AS INT))
  END AS offset_minutes
FROM crm_read;

-- Kafka refuses timestamps before 1970 and over an hour ahead, which would stop the job.
CREATE VIEW crm_checked AS
SELECT *,
  CASE
    WHEN body IS NULL AND msg IS NOT NULL THEN 'the value is longer than 524,288 bytes'
    WHEN (ENCODE(body, 'UTF-8') = msg) IS NOT TRUE THEN 'the value is not UTF-8'
    WHEN (body IS JSON OBJECT) IS NOT TRUE THEN 'the value is not a JSON object'
    WHEN (CHAR_LENGTH(event_id) > 0) IS NOT TRUE THEN 'Id is missing'
    WHEN (CHAR_LENGTH(customer_id) > 0) IS NOT TRUE THEN 'Customer.ExternalRef is missing'
    WHEN REGEXP(date_text, '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$')
      IS NOT TRUE OR (DATE_FORMAT(local_time, 'yyyy-MM-dd''T''HH:mm:ss') = SUBSTRING(date_text, 1, 19)) IS NOT TRUE
      THEN 'Timestamp is not RFC 3339 such as 2025-01-15T10:30:00-03:00'
    WHEN TIMESTAMPADD(MINUTE, -offset_minutes, local_time) < TIMESTAMP '1970-01-01 00:00:00' THEN 'Timestamp is before 1970'
    WHEN CAST(TIMESTAMPADD(MINUTE, -offset_minutes, local_time) AS TIMESTAMP_LTZ(3)) > CURRENT_TIMESTAMP + INTERVAL '30' MINUTE
      THEN 'Timestamp is in the future'
    WHEN credit_score IS NOT NULL AND REGEXP(credit_score, '^-?(0|[1-9][0-9]{0,14})([.][0-9]{1,15})?([eE][+-]?[0-9]{1,3})?$') IS NOT TRUE
      THEN 'Customer.CreditScore is not a number'
    WHEN marketing_consent IS NOT NULL AND marketing_consent NOT IN ('true', 'false')
      THEN 'Consent.Marketing is not true or false'
  END AS fault
FROM crm_parsed;

-- The first of each event id. Ordered by arrival, so nothing is ever taken back.
CREATE VIEW crm_distinct AS
SELECT *,
  DATE_FORMAT(utc_time, 'yyyy-MM-dd''T''HH:mm:ss') || '.' || SUBSTRING(fraction, 1, 6) || 'Z' AS reference_date,
  LEAST(CAST(TO_TIMESTAMP(DATE_FORMAT(utc_time, 'yyyy-MM-dd HH:mm:ss') || '.' || SUBSTRING(fraction, 1, 3), 'yyyy-MM-dd HH:mm:ss.SSS')
    AS TIMESTAMP_LTZ(3)), src_time) AS event_time
FROM (
  SELECT *, TIMESTAMPADD(MINUTE, -offset_minutes, local_time) AS utc_time,
    ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY arrived) AS n
  FROM crm_checked WHERE fault IS NULL
) WHERE n = 1;

CREATE VIEW crm_edges AS
SELECT event_id, CAST('user' AS STRING) AS entity_type, customer_id AS reference,
  CAST('managed_by' AS STRING) AS relation_type, CAST('employee' AS STRING) AS target_type,
  employee_id AS target_reference, CAST(NULL AS STRING) AS metadata, event_time
FROM crm_distinct WHERE CHAR_LENGTH(employee_id) > 0;

-- What is not told (NULL) is no property. A wrapped value is any JSON value between two brackets.
CREATE VIEW crm_properties AS
SELECT entity_type, reference, field_name, field_value, reference_date, event_time
FROM crm_distinct CROSS JOIN UNNEST(ARRAY[
  ROW(CAST('user' AS STRING), customer_id, CAST('full_name' AS STRING), JSON_STRING(NULLIF(full_name, ''))),
  ROW('user', customer_id, 'email', JSON_STRING(NULLIF(email, ''))),
  ROW('user', customer_id, 'phone', JSON_STRING('+' || NULLIF(phone_digits, ''))),
  ROW('user', customer_id, 'department', JSON_STRING(department)),
  ROW('user', customer_id, 'status', JSON_STRING(status)),
  ROW('user', customer_id, 'credit_score', credit_score),
  ROW('user', customer_id, 'marketing_consent', marketing_consent),
  ROW('user', customer_id, 'data_origin', SUBSTRING(origin_in_array, 2, CHAR_LENGTH(origin_in_array) - 2)),
  ROW('employee', NULLIF(employee_id, ''), 'full_name', JSON_STRING(employee_name))
]) AS p (entity_type, reference, field_name, field_value)
WHERE reference IS NOT NULL AND field_value IS NOT NULL;

-- Headers as the worker's own dead letters have them: what is absent (a key, a value) has no header, or says so.
CREATE VIEW crm_dead AS
SELECT *, CASE WHEN msg_key IS NULL THEN provenance ELSE MAP_UNION(provenance, MAP[CAST('dlq.key' AS STRING), msg_key]) END AS with_key
FROM (
  SELECT *, MAP[
    CAST('dlq.topic' AS STRING), ENCODE('@PREFIX@crm.events', 'UTF-8'),
    'dlq.partition', ENCODE(CAST(src_partition AS STRING), 'UTF-8'),
    'dlq.offset', ENCODE(CAST(src_offset AS STRING), 'UTF-8'),
    'dlq.timestamp', ENCODE(CAST(1000 * UNIX_TIMESTAMP(DATE_FORMAT(src_time, 'yyyy-MM-dd HH:mm:ss'))
      + CAST(DATE_FORMAT(src_time, 'SSS') AS BIGINT) AS STRING), 'UTF-8'),
    'dlq.error', ENCODE('malformed-source', 'UTF-8'),
    'dlq.reason', ENCODE(fault, 'UTF-8')] AS provenance
  FROM crm_checked WHERE fault IS NOT NULL
);

EXECUTE STATEMENT SET BEGIN

INSERT INTO `flink.agg.user-profile.entities`
  /*+ OPTIONS('sink.transactional-id-prefix' = '@PREFIX@flink-crm-entities') */
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
FROM crm_edges;

INSERT INTO `flink.agg.user-profile.entities.properties`
  /*+ OPTIONS('sink.transactional-id-prefix' = '@PREFIX@flink-crm-properties') */
SELECT
  entity_type || ':' || reference,
  JSON_OBJECT(
    KEY 'entity_reference' VALUE reference,
    KEY 'entity_type' VALUE entity_type,
    KEY 'field_name' VALUE field_name,
    KEY 'field_value' VALUE JSON(field_value),
    KEY 'reference_date' VALUE reference_date),
  event_time
FROM crm_properties;

INSERT INTO dead_letters
  /*+ OPTIONS('topic' = '@PREFIX@crm.events.dlq', 'sink.transactional-id-prefix' = '@PREFIX@flink-crm-dlq') */
SELECT
  '@PREFIX@crm.events/' || CAST(src_partition AS STRING) || '/' || CAST(src_offset AS STRING),
  COALESCE(msg, CAST(X'' AS BYTES)),
  CASE WHEN msg IS NULL THEN MAP_UNION(with_key, MAP[CAST('dlq.tombstone' AS STRING), ENCODE('true', 'UTF-8')]) ELSE with_key END,
  src_time
FROM crm_dead;

END;
