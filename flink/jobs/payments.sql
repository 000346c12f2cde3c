-- payments: payment.events, account.events -> temporal-data, payment.events.dlq, account.events.dlq
--
-- Source    {event_id, customer_id | account_id, amount_cents, quantity, occurred_at}: amounts in integer cents, occurred_at
--           in RFC 3339 with any offset, 1970 or later and not in the future, with 0 to 9 digits of a second of which 3 count.
--           A payment that names only an account belongs to its owner, as account.events tells (account.accountId,
--           owner.customerId). An account has one owner for good, the first that its partition tells: who is told later is a
--           dead letter of account.events (owner-changed-source), and payments go on to the first.
-- Output    property_type payments of the user: {amount_cents, quantity, transaction_count} of the day, the month and the
--           year (UTC) of occurred_at.
-- Keys      in: any, but the events of an account share a partition. out: user:<customer_id>. Duplicates: the first of each
--           event_id counts.
-- Time      property_reference_date is the last instant of the period, so it is constant for it. property_version is
--           the revision of this job x 10^12 + the number of distinct payments: the newest sum wins in any order.
--           RAISE THE REVISION (the constant below) with each change of what is summed.
--           The timestamp of a record is the latest event time of its period so far.
--           Watermark: of each partition, the newest occurred_at so far, held in state: a restart does not set it back,
--           and a repeated run decides alike. No result waits for it, so idle partitions and topics hold nothing up.
-- Lateness  1,100 days behind the watermark: until then a late payment corrects its period. What comes later is a dead letter
--           (late-source). A payment waits @WAIT@ s for its account to be told, then it is one too (unattributed-source).
-- State     for 1,500 days: event ids and one row of sums for each customer and period: about 590 bytes a payment.
--           1,500 > 1,100 + 366, a year's sums being the longest: no payment that is accepted meets sums that are forgotten.
--           For good: the owner of each account; who was its first, for 1,500 days since the account was told last. For twice
--           the wait: payments that wait for theirs. For half the wait: the places of payments that found theirs.
--
-- Running totals by OVER on the time of arrival, not GROUP BY: an updating aggregate can't go to a kafka sink, and
-- upsert-kafka with the key of the customer alone writes tombstones.

SET 'table.exec.state.ttl' = '1500 d';

CREATE TABLE `payment.events`
WITH ('topic' = '@PREFIX@payment.events', 'properties.group.id' = '@PREFIX@flink-payments')
LIKE source_events;

CREATE TABLE payments_account_events
WITH ('topic' = '@PREFIX@account.events', 'properties.group.id' = '@PREFIX@flink-payments-accounts')
LIKE source_events;

-- JSON_VALUE gives NULL for what is no JSON, and the text of a number or of a string: a number may become a string, or
-- be written 1397.0 or 1.397e3. The pattern comes before the cast, which would write 1e999999999 out.
-- DECIMAL(38, 9) would be compared with its FLOOR, a DECIMAL(38, 0), without its fraction.
-- The local time is cut to milliseconds, as the timestamps of records are; offset_minutes is what it is ahead of UTC.
-- What is longer than the cast leaves of it has no text: the planner repeats the expression for each field that is read of it,
-- and a large text would be on the heap for each.
CREATE VIEW payments_parsed AS
SELECT *, TIMESTAMPADD(MINUTE, -offset_minutes, local_time) AS occurred_at
FROM (SELECT *,
  CASE WHEN REGEXP(amount_text, '^-?[0-9]{1,15}([.][0-9]{1,9})?([eE][+]?[0-9]{1,2})?$') THEN TRY_CAST(amount_text AS DECIMAL(27, 9)) END AS amount,
  CASE WHEN REGEXP(quantity_text, '^-?[0-9]{1,15}([.][0-9]{1,9})?([eE][+]?[0-9]{1,2})?$') THEN TRY_CAST(quantity_text AS DECIMAL(27, 9)) END AS items,
  TO_TIMESTAMP(SUBSTRING(date_text, 1, 19) || '.'
    || SUBSTRING(RPAD(COALESCE(REGEXP_EXTRACT(date_text, '[.]([0-9]+)', 1), ''), 3, '0'), 1, 3), 'yyyy-MM-dd''T''HH:mm:ss.SSS') AS local_time,
  CASE WHEN date_text LIKE '%Z' THEN 0
    ELSE (CASE WHEN SUBSTRING(date_text, CHAR_LENGTH(date_text) - 5, 1) = '-' THEN -1 ELSE 1 END)
      * (60 * TRY_CAST(SUBSTRING(date_text, CHAR_LENGTH(date_text) - 4, 2) AS INT)
        + TRY_CAST(SUBSTRING(date_text, CHAR_LENGTH(date_text) - 1, 2) AS INT))
  END AS offset_minutes
FROM (SELECT *,
  JSON_VALUE(body, '$.event_id') AS event_id,
  NULLIF(JSON_VALUE(body, '$.customer_id'), '') AS customer_id,
  NULLIF(JSON_VALUE(body, '$.account_id'), '') AS account_id,
  JSON_VALUE(body, '$.amount_cents') AS amount_text,
  JSON_VALUE(body, '$.quantity') AS quantity_text,
  JSON_VALUE(body, '$.occurred_at') AS date_text
FROM (SELECT *, CASE WHEN CAST(msg AS VARBINARY(524288)) = msg THEN DECODE(msg, 'UTF-8') END AS body
  FROM `payment.events`)));

-- TO_TIMESTAMP makes 28 February of the 30th, hence the date that is formatted back. Kafka refuses timestamps before 1970 and over an hour ahead, which would stop the job.
CREATE VIEW payments_checked AS
SELECT *,
  CASE
    WHEN body IS NULL AND msg IS NOT NULL THEN 'the value is longer than 524,288 bytes'
    WHEN (ENCODE(body, 'UTF-8') = msg) IS NOT TRUE THEN 'the value is not UTF-8'
    WHEN (body IS JSON OBJECT) IS NOT TRUE THEN 'the value is not a JSON object'
    WHEN (CHAR_LENGTH(event_id) > 0) IS NOT TRUE THEN 'event_id is missing'
    WHEN customer_id IS NULL AND account_id IS NULL THEN 'customer_id and account_id are missing'
    WHEN (amount = FLOOR(amount) AND ABS(amount) < 1000000000000000) IS NOT TRUE THEN 'amount_cents is not an integer of up to 15 digits'
    WHEN (items = FLOOR(items) AND ABS(items) < 1000000000) IS NOT TRUE THEN 'quantity is not an integer of up to 9 digits'
    WHEN REGEXP(date_text, '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$')
      IS NOT TRUE OR (DATE_FORMAT(local_time, 'yyyy-MM-dd''T''HH:mm:ss') = SUBSTRING(date_text, 1, 19)) IS NOT TRUE
      THEN 'occurred_at is not RFC 3339 such as 2025-01-15T10:30:00Z'
    WHEN occurred_at < TIMESTAMP '1970-01-01 00:00:00' THEN 'occurred_at is before 1970'
    WHEN CAST(occurred_at AS TIMESTAMP_LTZ(3)) > CURRENT_TIMESTAMP + INTERVAL '30' MINUTE
      THEN 'occurred_at is in the future'
  END AS fault
FROM payments_parsed;

CREATE VIEW payments_timed AS
SELECT *, MAX(occurred_at) OVER (PARTITION BY src_partition ORDER BY arrived) AS watermark_time
FROM payments_checked WHERE fault IS NULL;

-- What names only an account. `place` tells one record from all others.
CREATE VIEW payments_of_accounts AS
SELECT *, CAST(src_partition AS STRING) || '/' || CAST(src_offset AS STRING) AS place
FROM payments_timed WHERE customer_id IS NULL;

-- Who owns an account is the first whom its partition tells, not the owner as of the payment: what was counted can't be
-- taken back in a sink that only appends, so each change that is told after the payment would leave the sums to the order of
-- arrival of two topics, and a start anew would give others. Events that can't be read are the accounts job's to report.
CREATE VIEW payments_told AS
SELECT *, COUNT(*) OVER w AS n, FIRST_VALUE(owner_id) OVER w AS first_owner_id
FROM (
  SELECT *, JSON_VALUE(body, '$.account.accountId') AS account_id, JSON_VALUE(body, '$.owner.customerId') AS owner_id
  FROM (SELECT *, CASE WHEN CAST(msg AS VARBINARY(524288)) = msg THEN DECODE(msg, 'UTF-8') END AS body
  FROM payments_account_events)
  WHERE body IS JSON OBJECT AND JSON_VALUE(body, '$.meta.kind') IN ('account.opened', 'account.updated')
) WHERE CHAR_LENGTH(account_id) > 0 AND CHAR_LENGTH(owner_id) > 0
WINDOW w AS (PARTITION BY account_id ORDER BY arrived);

CREATE VIEW payments_owners AS SELECT account_id, owner_id FROM payments_told WHERE n = 1;

-- A regular join of two streams that only grow: it gives each pair once, whichever of the two came first. A temporal join by
-- event time would hold a late payment back until a newer one moves the watermark, and forgets the versions before it.
CREATE VIEW payments_attributed AS
SELECT /*+ STATE_TTL('p' = '@TWICE@s', 'o' = '36500d') */
  p.event_id, o.owner_id AS customer_id, p.amount, p.items, p.occurred_at, p.watermark_time, p.place,
  p.msg_key, p.msg, p.src_partition, p.src_offset, p.src_time, PROCTIME() AS arrived
FROM payments_of_accounts AS p JOIN payments_owners AS o ON p.account_id = o.account_id;

-- The first of each event_id. Ordered by arrival, so nothing is ever taken back.
CREATE VIEW payments_distinct AS
SELECT *, occurred_at < TIMESTAMPADD(DAY, -1100, watermark_time) AS is_late
FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY arrived) AS n
  FROM (
    SELECT event_id, customer_id, amount, items, occurred_at, watermark_time,
      msg_key, msg, src_partition, src_offset, src_time, arrived
    FROM payments_timed WHERE customer_id IS NOT NULL
    UNION ALL
    SELECT event_id, customer_id, amount, items, occurred_at, watermark_time,
      msg_key, msg, src_partition, src_offset, src_time, arrived
    FROM payments_attributed
  )
) WHERE n = 1;

CREATE VIEW payments_by_period AS
SELECT customer_id, CAST(amount AS BIGINT) AS amount_cents, CAST(items AS BIGINT) AS quantity,
  occurred_at, src_time, arrived, granularity,
  DATE_FORMAT(period_end - INTERVAL '1' DAY, 'yyyy-MM-dd') || 'T23:59:59.999999Z' AS reference_date
FROM payments_distinct
CROSS JOIN UNNEST(ARRAY[
  ROW(CAST('day' AS STRING), TIMESTAMPADD(DAY, 1, FLOOR(occurred_at TO DAY))),
  ROW(CAST('month' AS STRING), TIMESTAMPADD(MONTH, 1, FLOOR(occurred_at TO MONTH))),
  ROW(CAST('year' AS STRING), TIMESTAMPADD(YEAR, 1, FLOOR(occurred_at TO YEAR)))
]) AS p (granularity, period_end)
WHERE NOT is_late;

-- An outer join with a bound on time tells what found no partner in it, once and without taking back: an outer join
-- without one would. In the minutes between its end and that of the other join's memory a payment may be both a dead
-- letter and attributed after all; sent again, it is a duplicate.
-- Both sides have the time at which this join reads them. A payment takes the shorter way here, but a task that stalls (memory,
-- a full network buffer) may let what it was attributed to overtake it by as long: were that out of the bound, the payment
-- would be counted and a dead letter. So the bound is half the wait; after a restart both are read again, or neither.
CREATE VIEW payments_unattributed AS
SELECT p.msg_key, p.msg, p.src_partition, p.src_offset, p.src_time
FROM payments_of_accounts AS p
LEFT JOIN payments_attributed AS a ON p.place = a.place
  AND a.arrived BETWEEN p.arrived - INTERVAL '@HALFDHMS@' DAY TO SECOND AND p.arrived + INTERVAL '@WAITDHMS@' DAY TO SECOND
WHERE a.place IS NULL;

CREATE VIEW payments_refused AS
SELECT CAST('@PREFIX@payment.events' AS STRING) AS topic, msg_key, msg, src_partition, src_offset, src_time,
  CAST('malformed-source' AS STRING) AS error, CAST(fault AS STRING) AS reason
FROM payments_checked WHERE fault IS NOT NULL
UNION ALL
SELECT '@PREFIX@payment.events', msg_key, msg, src_partition, src_offset, src_time, 'late-source',
  'occurred_at is more than 1100 days older than the newest payment of its partition'
FROM payments_distinct WHERE is_late
UNION ALL
SELECT '@PREFIX@payment.events', msg_key, msg, src_partition, src_offset, src_time, 'unattributed-source',
  'account_id is of no account whose owner account.events told in time'
FROM payments_unattributed
UNION ALL
SELECT '@PREFIX@account.events', msg_key, msg, src_partition, src_offset, src_time, 'owner-changed-source',
  'owner.customerId is not the first owner of the account, to whom its payments go on'
FROM payments_told WHERE owner_id <> first_owner_id;

-- Headers as the worker's own dead letters have them: what is absent (a key, a value) has no header, or says so.
CREATE VIEW payments_dead AS
SELECT *, CASE WHEN msg_key IS NULL THEN provenance ELSE MAP_UNION(provenance, MAP[CAST('dlq.key' AS STRING), msg_key]) END AS with_key
FROM (
  SELECT *, MAP[
    CAST('dlq.topic' AS STRING), ENCODE(topic, 'UTF-8'),
    'dlq.partition', ENCODE(CAST(src_partition AS STRING), 'UTF-8'),
    'dlq.offset', ENCODE(CAST(src_offset AS STRING), 'UTF-8'),
    'dlq.timestamp', ENCODE(CAST(1000 * UNIX_TIMESTAMP(DATE_FORMAT(src_time, 'yyyy-MM-dd HH:mm:ss'))
      + CAST(DATE_FORMAT(src_time, 'SSS') AS BIGINT) AS STRING), 'UTF-8'),
    'dlq.error', ENCODE(error, 'UTF-8'),
    'dlq.reason', ENCODE(reason, 'UTF-8')] AS provenance
  FROM payments_refused
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
  MAX(LEAST(CAST(occurred_at AS TIMESTAMP_LTZ(3)), src_time)) OVER w
FROM payments_by_period
WINDOW w AS (PARTITION BY customer_id, granularity, reference_date ORDER BY arrived);

INSERT INTO dead_letters
  /*+ OPTIONS('topic' = '@PREFIX@payment.events.dlq', 'sink.transactional-id-prefix' = '@PREFIX@flink-payments-dlq') */
SELECT
  topic || '/' || CAST(src_partition AS STRING) || '/' || CAST(src_offset AS STRING),
  COALESCE(msg, CAST(X'' AS BYTES)),
  CASE WHEN msg IS NULL THEN MAP_UNION(with_key, MAP[CAST('dlq.tombstone' AS STRING), ENCODE('true', 'UTF-8')]) ELSE with_key END,
  src_time
FROM payments_dead WHERE topic = '@PREFIX@payment.events';

-- The accounts job may refuse the same record: a key of its own, or one letter would replace the other.
INSERT INTO dead_letters
  /*+ OPTIONS('topic' = '@PREFIX@account.events.dlq', 'sink.transactional-id-prefix' = '@PREFIX@flink-payments-owners') */
SELECT
  topic || '/' || CAST(src_partition AS STRING) || '/' || CAST(src_offset AS STRING) || '/owner',
  msg, with_key, src_time
FROM payments_dead WHERE topic = '@PREFIX@account.events';

END;
