-- payments: payment.events, account.events -> temporal-data, payment.events.dlq, account.events.dlq
--
-- Source    flink/contracts/payment.events: {event_id, customer_id | account_id, amount_cents, quantity, occurred_at}.
--           A payment that names only an account belongs to its owner, as account.events tells (account.accountId,
--           owner.customerId). An account has one owner for good, the first that its partition tells: who is told later is a
--           dead letter of account.events (owner-changed-source), and payments go on to the first.
-- Output    property_type payments of the user: {amount_cents, quantity, transaction_count} of the day, the month and the
--           year (UTC) of occurred_at.
-- Keys      in: any, but the events of an account share a partition. out: user:<customer_id>. Duplicates: the first of each
--           event_id counts.
-- Time      property_reference_date is the last instant of the period, so it is constant for it. property_version is
--           the revision of this job x 10^12 + the number of distinct payments: the newest sum wins in any order.
--           RAISE THE REVISION (the argument of payment_sums below) with each change of what is summed.
--           The timestamp of a record is the latest event time of its period so far.
--           Watermark: of each partition, the newest occurred_at so far, held in state: a restart does not set it back,
--           and a repeated run decides alike. No result waits for it, so idle partitions and topics hold nothing up.
-- Lateness  1,100 days behind the watermark: until then a late payment corrects its period. What comes later is a dead letter
--           (late-source). A payment waits @WAIT@ s for its account to be told, then it is one too (unattributed-source).
-- State     for 1,500 days: event ids (about 70 bytes each) and one row for each customer and year with the sums of all its
--           periods, a dozen bytes for each: about 125 bytes a payment.
--           1,500 > 1,100 + 366, a year's sums being the longest: no payment that is accepted meets sums that are forgotten.
--           For good: the owner of each account; who was its first, for 1,500 days since the account was told last. For twice
--           the wait: payments that wait for theirs. For half the wait: the places of payments that found theirs.
--
-- Running totals by a function, not GROUP BY: an updating aggregate can't go to a kafka sink, and upsert-kafka with the key of
-- the customer alone writes tombstones. Not by OVER, of which a payment would be three rows with a state of their own each:
-- that took a third of the CPU, and four fifths of the state.

SET 'table.exec.state.ttl' = '1500 d';

CREATE TABLE `payment.events`
WITH ('topic' = '@PREFIX@payment.events', 'properties.group.id' = '@PREFIX@flink-payments')
LIKE source_events;

CREATE TABLE payments_account_events
WITH ('topic' = '@PREFIX@account.events', 'properties.group.id' = '@PREFIX@flink-payments-accounts')
LIKE source_events;

CREATE VIEW payments_read AS
SELECT *, source_columns('payment.events', src_time, msg, '@REGION@') AS e FROM `payment.events`;

CREATE VIEW payments_checked AS
SELECT e.event_id, e.customer_id, e.account_id, e.amount_cents, e.quantity, e.occurred_at, e.refused_at, e.refusal,
  msg_key, msg, src_partition, src_offset, src_time, arrived
FROM payments_read;

CREATE VIEW payments_timed AS
SELECT *, MAX(occurred_at) OVER (PARTITION BY src_partition ORDER BY arrived) AS watermark_time
FROM payments_checked WHERE refusal IS NULL;

-- What names only an account. `place` tells one record from all others.
CREATE VIEW payments_of_accounts AS
SELECT *, CAST(src_partition AS STRING) || '/' || CAST(src_offset AS STRING) AS place
FROM payments_timed WHERE customer_id IS NULL;

-- Who owns an account is the first whom its partition tells, not the owner as of the payment: what was counted can't be
-- taken back in a sink that only appends, so each change that is told after the payment would leave the sums to the order of
-- arrival of two topics, and a start anew would give others. Events that can't be read are the accounts job's to report.
CREATE VIEW payments_accounts_read AS
SELECT *, source_columns('account.events', src_time, msg, '@REGION@') AS e FROM payments_account_events;

CREATE VIEW payments_told AS
SELECT account_id, owner_id, msg_key, msg, src_partition, src_offset, src_time,
  COUNT(*) OVER w AS n, FIRST_VALUE(owner_id) OVER w AS first_owner_id
FROM (
  SELECT e.kind, e.account_id, e.owner_id, msg_key, msg, src_partition, src_offset, src_time, arrived
  FROM payments_accounts_read
) WHERE kind IN ('account.opened', 'account.updated')
WINDOW w AS (PARTITION BY account_id ORDER BY arrived);

CREATE VIEW payments_owners AS SELECT account_id, owner_id FROM payments_told WHERE n = 1;

-- A regular join of two streams that only grow: it gives each pair once, whichever of the two came first. A temporal join by
-- event time would hold a late payment back until a newer one moves the watermark, and forgets the versions before it.
CREATE VIEW payments_attributed AS
SELECT /*+ STATE_TTL('p' = '@TWICE@s', 'o' = '36500d') */
  p.event_id, o.owner_id AS customer_id, p.amount_cents, p.quantity, p.occurred_at, p.watermark_time, p.place,
  p.msg_key, p.msg, p.src_partition, p.src_offset, p.src_time, PROCTIME() AS arrived
FROM payments_of_accounts AS p JOIN payments_owners AS o ON p.account_id = o.account_id;

-- Judged before the duplicates are, so that only late payments carry their bytes further.
CREATE VIEW payments_judged AS
SELECT event_id, customer_id, amount_cents, quantity, occurred_at, src_partition, src_offset, src_time, arrived, is_late,
  CASE WHEN is_late THEN msg_key END AS msg_key, CASE WHEN is_late THEN msg END AS msg
FROM (
  SELECT *, occurred_at < TIMESTAMPADD(DAY, -1100, watermark_time) AS is_late
  FROM (
    SELECT event_id, customer_id, amount_cents, quantity, occurred_at, watermark_time,
      msg_key, msg, src_partition, src_offset, src_time, arrived
    FROM payments_timed WHERE customer_id IS NOT NULL
    UNION ALL
    SELECT event_id, customer_id, amount_cents, quantity, occurred_at, watermark_time,
      msg_key, msg, src_partition, src_offset, src_time, arrived
    FROM payments_attributed
  )
);

-- The first of each event_id. Ordered by arrival, so nothing is ever taken back.
CREATE VIEW payments_distinct AS
SELECT * FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY arrived) AS n FROM payments_judged
) WHERE n = 1;

-- A year of a customer is what payment_sums remembers at a time.
CREATE VIEW payments_counted AS
SELECT customer_id, EXTRACT(YEAR FROM occurred_at) AS payment_year, amount_cents, quantity, occurred_at, src_time
FROM payments_distinct WHERE NOT is_late;

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
  CAST('malformed-source' AS STRING) AS error, refused_at AS path, refusal AS reason
FROM payments_checked WHERE refusal IS NOT NULL
UNION ALL
SELECT '@PREFIX@payment.events', msg_key, msg, src_partition, src_offset, src_time, 'late-source', 'occurred_at',
  'occurred_at is more than 1100 days older than the newest payment of its partition'
FROM payments_distinct WHERE is_late
UNION ALL
SELECT '@PREFIX@payment.events', msg_key, msg, src_partition, src_offset, src_time, 'unattributed-source', 'account_id',
  'account_id is of no account whose owner account.events told in time'
FROM payments_unattributed
UNION ALL
SELECT '@PREFIX@account.events', msg_key, msg, src_partition, src_offset, src_time, 'owner-changed-source', 'owner.customerId',
  'owner.customerId is not the first owner of the account, to whom its payments go on'
FROM payments_told WHERE owner_id <> first_owner_id;

EXECUTE STATEMENT SET BEGIN

INSERT INTO `flink.agg.user-profile`
  /*+ OPTIONS('sink.transactional-id-prefix' = '@PREFIX@flink-payments-temporal') */
SELECT '@PREFIX@temporal-data', record_key, body, CAST(NULL AS MAP<STRING, BYTES>), event_time
FROM payment_sums(payments => TABLE payments_counted PARTITION BY (customer_id, payment_year), revision => 2);

-- The events job may refuse the same record of an account: a key of its own, or one letter would replace the other.
INSERT INTO `flink.agg.user-profile`
  /*+ OPTIONS('sink.transactional-id-prefix' = '@PREFIX@flink-payments-dlq') */
SELECT
  topic || '.dlq',
  topic || '/' || CAST(src_partition AS STRING) || '/' || CAST(src_offset AS STRING)
    || CASE WHEN error = 'owner-changed-source' THEN '/owner' ELSE '' END,
  COALESCE(msg, CAST(X'' AS BYTES)),
  letter_headers(topic, src_partition, src_offset, src_time, msg_key, msg IS NULL, error, path, reason),
  src_time
FROM payments_refused;

END;
