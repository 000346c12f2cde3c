-- payments: payment.events -> temporal-data, payment.events.dlq
--
-- Source    {event_id, customer_id, amount_cents, quantity, occurred_at}: amounts in integer cents, occurred_at in
--           RFC 3339 in UTC (…Z), 1970 or later and not in the future.
-- Output    property_type payments of the user customer_id: {amount_cents, quantity, transaction_count} of the day, the
--           month and the year (UTC) of occurred_at.
-- Keys      in: any. out: user:<customer_id>. Duplicates: the first of each event_id counts.
-- Time      property_reference_date is the last instant of the period, so it is constant for it. property_version is
--           the revision of this job x 10^12 + the number of distinct payments: the newest sum wins in any order.
--           RAISE THE REVISION (the constant below) with each change of what is summed.
--           The timestamp of a record is the latest event time of its period so far.
-- Lateness  none: a late payment corrects its period, however old.
-- State     all event ids and one row of sums for each customer and period, for good.
--
-- Running totals by OVER on the time of arrival, not GROUP BY: an updating aggregate can't go to a kafka sink, and
-- upsert-kafka with the key of the customer alone writes tombstones.

CREATE TABLE `payment.events`
WITH ('topic' = '@PREFIX@payment.events', 'properties.group.id' = '@PREFIX@flink-payments')
LIKE source_events;

-- JSON_VALUE gives NULL for what is no JSON, and numbers as their own text.
CREATE VIEW payments_parsed AS
SELECT *,
  JSON_VALUE(body, '$.event_id') AS event_id,
  JSON_VALUE(body, '$.customer_id') AS customer_id,
  JSON_VALUE(body, '$.amount_cents') AS amount_text,
  JSON_VALUE(body, '$.quantity') AS quantity_text,
  JSON_VALUE(body, '$.occurred_at') AS date_text,
  TO_TIMESTAMP(JSON_VALUE(body, '$.occurred_at'), 'yyyy-MM-dd''T''HH:mm:ss[.SSSSSS][.SSS]''Z''') AS occurred_at
FROM (SELECT *, DECODE(msg, 'UTF-8') AS body FROM `payment.events`);

-- TRY_CAST('12.5' AS BIGINT) is 12 and TO_TIMESTAMP makes 28 February of the 30th, hence the patterns and the date
-- that is formatted back. Kafka refuses timestamps before 1970 and over an hour ahead, which would stop the job.
CREATE VIEW payments_checked AS
SELECT *,
  CASE
    WHEN (ENCODE(body, 'UTF-8') = msg) IS NOT TRUE THEN 'the value is not UTF-8'
    WHEN (body IS JSON OBJECT) IS NOT TRUE THEN 'the value is not a JSON object'
    WHEN (CHAR_LENGTH(event_id) > 0) IS NOT TRUE THEN 'event_id is missing'
    WHEN (CHAR_LENGTH(customer_id) > 0) IS NOT TRUE THEN 'customer_id is missing'
    WHEN REGEXP(amount_text, '^-?[0-9]{1,15}$') IS NOT TRUE THEN 'amount_cents is not an integer of up to 15 digits'
    WHEN REGEXP(quantity_text, '^-?[0-9]{1,9}$') IS NOT TRUE THEN 'quantity is not an integer of up to 9 digits'
    WHEN (DATE_FORMAT(occurred_at, 'yyyy-MM-dd''T''HH:mm:ss') = SUBSTRING(date_text, 1, 19)) IS NOT TRUE
      THEN 'occurred_at is not a date and time in UTC such as 2025-01-15T10:30:00Z'
    WHEN occurred_at < TIMESTAMP '1970-01-01 00:00:00' THEN 'occurred_at is before 1970'
    WHEN CAST(occurred_at AS TIMESTAMP_LTZ(3)) > CURRENT_TIMESTAMP + INTERVAL '30' MINUTE
      THEN 'occurred_at is in the future'
  END AS fault
FROM payments_parsed;

-- The first of each event_id. Ordered by arrival, so nothing is ever taken back.
CREATE VIEW payments_distinct AS
SELECT customer_id, CAST(amount_text AS BIGINT) AS amount_cents, CAST(quantity_text AS BIGINT) AS quantity,
  occurred_at, arrived
FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY arrived) AS n FROM payments_checked WHERE fault IS NULL
) WHERE n = 1;

CREATE VIEW payments_by_period AS
SELECT customer_id, amount_cents, quantity, occurred_at, arrived, granularity,
  DATE_FORMAT(period_end - INTERVAL '1' DAY, 'yyyy-MM-dd') || 'T23:59:59.999999Z' AS reference_date
FROM payments_distinct
CROSS JOIN UNNEST(ARRAY[
  ROW(CAST('day' AS STRING), TIMESTAMPADD(DAY, 1, FLOOR(occurred_at TO DAY))),
  ROW(CAST('month' AS STRING), TIMESTAMPADD(MONTH, 1, FLOOR(occurred_at TO MONTH))),
  ROW(CAST('year' AS STRING), TIMESTAMPADD(YEAR, 1, FLOOR(occurred_at TO YEAR)))
]) AS p (granularity, period_end);

-- Headers as the worker's own dead letters have them: what is absent (a key, a value) has no header, or says so.
CREATE VIEW payments_dead AS
SELECT *, CASE WHEN msg_key IS NULL THEN provenance ELSE MAP_UNION(provenance, MAP[CAST('dlq.key' AS STRING), msg_key]) END AS with_key
FROM (
  SELECT *, MAP[
    CAST('dlq.topic' AS STRING), ENCODE('@PREFIX@payment.events', 'UTF-8'),
    'dlq.partition', ENCODE(CAST(src_partition AS STRING), 'UTF-8'),
    'dlq.offset', ENCODE(CAST(src_offset AS STRING), 'UTF-8'),
    'dlq.timestamp', ENCODE(CAST(1000 * UNIX_TIMESTAMP(DATE_FORMAT(src_time, 'yyyy-MM-dd HH:mm:ss'))
      + CAST(DATE_FORMAT(src_time, 'SSS') AS BIGINT) AS STRING), 'UTF-8'),
    'dlq.error', ENCODE('malformed-source', 'UTF-8'),
    'dlq.reason', ENCODE(fault, 'UTF-8')] AS provenance
  FROM payments_checked WHERE fault IS NOT NULL
);

EXECUTE STATEMENT SET BEGIN

INSERT INTO `flink.agg.user-profile.entities.temporal-properties`
  /*+ OPTIONS('sink.transactional-id-prefix' = '@PREFIX@flink-payments-temporal') */
SELECT
  'user:' || customer_id,
  JSON_OBJECT(
    KEY 'entity_reference' VALUE customer_id,
    KEY 'entity_type' VALUE 'user',
    KEY 'property_type' VALUE 'payments',
    KEY 'property_value' VALUE JSON_OBJECT(
      KEY 'amount_cents' VALUE SUM(amount_cents) OVER w,
      KEY 'quantity' VALUE SUM(quantity) OVER w,
      KEY 'transaction_count' VALUE COUNT(*) OVER w),
    KEY 'property_reference_date' VALUE reference_date,
    KEY 'property_granularity' VALUE granularity,
    -- revision 1
    KEY 'property_version' VALUE 1 * 1000000000000 + COUNT(*) OVER w),
  CAST(MAX(occurred_at) OVER w AS TIMESTAMP_LTZ(3))
FROM payments_by_period
WINDOW w AS (PARTITION BY customer_id, granularity, reference_date ORDER BY arrived);

INSERT INTO dead_letters
  /*+ OPTIONS('topic' = '@PREFIX@payment.events.dlq', 'sink.transactional-id-prefix' = '@PREFIX@flink-payments-dlq') */
SELECT
  '@PREFIX@payment.events/' || CAST(src_partition AS STRING) || '/' || CAST(src_offset AS STRING),
  COALESCE(msg, CAST(X'' AS BYTES)),
  CASE WHEN msg IS NULL THEN MAP_UNION(with_key, MAP[CAST('dlq.tombstone' AS STRING), ENCODE('true', 'UTF-8')]) ELSE with_key END,
  src_time
FROM payments_dead;

END;
