-- accounts: account.events -> entities-edges, entity-properties, account.events.dlq
--
-- Source    camelCase, nested: {meta: {eventId, kind, occurredAt, origin?}, ...}, occurredAt in milliseconds since 1970.
--           kind account.opened, account.updated: account {accountId, status?, currency?}, owner {customerId, taxId?},
--             memberships? [{organizationId, role?}]
--           kind organization.registered: organization {organizationId, tradeName?, taxId?, affiliations?
--             [{affiliationId, status?, paymentMethods?}]}
--           taxId: {kind, value}, kind CPF (11 digits) or CNPJ (14), with any punctuation.
-- Output    user owns account, user member_of organization {role}, organization has affiliation. Properties: document
--           {type, number}, trade_name, status, currency, payment_methods, and data_origin where meta.origin is told.
-- Keys      in: any. out: type:reference. Duplicates: the first of each eventId counts.
-- Time      reference_date and the timestamp of records: occurredAt; the timestamp is no later than src_time (tables.sql).
-- Lateness  none: the newest reference_date wins where the records are consumed.
-- State     the event ids of 8 days (about 70 bytes each). A duplicate that comes later is written again, with the same
--           dates and values, and changes nothing where it is consumed: there is no sum that could forget.

SET 'table.exec.state.ttl' = '8 d';

CREATE TABLE `account.events`
WITH ('topic' = '@PREFIX@account.events', 'properties.group.id' = '@PREFIX@flink-accounts')
LIKE source_events;

-- What is longer than the cast leaves of it has no text: the planner repeats the expression for each field that is read of it,
-- and a large text would be on the heap for each.
CREATE VIEW accounts_parsed AS
SELECT *,
  CASE WHEN REGEXP(date_text, '^[0-9]{1,15}([.][0-9]{1,9})?([eE][+]?[0-9]{1,2})?$')
    THEN CAST(FLOOR(TRY_CAST(date_text AS DECIMAL(27, 9))) AS DECIMAL(18, 0)) END AS occurred_ms
FROM (SELECT *,
  JSON_VALUE(body, '$.meta.eventId') AS event_id,
  JSON_VALUE(body, '$.meta.kind') AS kind,
  JSON_VALUE(body, '$.meta.occurredAt') AS date_text,
  JSON_VALUE(body, '$.meta.origin') AS origin,
  JSON_VALUE(body, '$.account.accountId') AS account_id,
  JSON_VALUE(body, '$.account.status') AS account_status,
  JSON_VALUE(body, '$.account.currency') AS currency,
  JSON_VALUE(body, '$.owner.customerId') AS customer_id,
  JSON_VALUE(body, '$.organization.organizationId') AS organization_id,
  JSON_VALUE(body, '$.organization.tradeName') AS trade_name,
  LOWER(COALESCE(JSON_VALUE(body, '$.owner.taxId.kind'), JSON_VALUE(body, '$.organization.taxId.kind'))) AS document_type,
  REGEXP_REPLACE(
    COALESCE(JSON_VALUE(body, '$.owner.taxId.value'), JSON_VALUE(body, '$.organization.taxId.value')), '[^0-9]', ''
  ) AS document_number,
  JSON_QUERY(body, '$.memberships' RETURNING ARRAY<STRING>) AS memberships,
  JSON_QUERY(body, '$.memberships[*].organizationId' RETURNING ARRAY<STRING>) AS membership_ids,
  JSON_QUERY(body, '$.organization.affiliations' RETURNING ARRAY<STRING>) AS affiliations,
  JSON_QUERY(body, '$.organization.affiliations[*].affiliationId' RETURNING ARRAY<STRING>) AS affiliation_ids
FROM (SELECT *, CASE WHEN CAST(msg AS VARBINARY(524288)) = msg THEN DECODE(msg, 'UTF-8') END AS body
  FROM `account.events`));

-- Kafka refuses timestamps before 1970 and over an hour ahead, which would stop the job.
CREATE VIEW accounts_checked AS
SELECT *,
  CASE
    WHEN body IS NULL AND msg IS NOT NULL THEN 'the value is longer than 524,288 bytes'
    WHEN (ENCODE(body, 'UTF-8') = msg) IS NOT TRUE THEN 'the value is not UTF-8'
    WHEN (body IS JSON OBJECT) IS NOT TRUE THEN 'the value is not a JSON object'
    WHEN (CHAR_LENGTH(event_id) > 0) IS NOT TRUE THEN 'meta.eventId is missing'
    WHEN (kind IN ('account.opened', 'account.updated', 'organization.registered')) IS NOT TRUE
      THEN 'meta.kind is not account.opened, account.updated or organization.registered'
    WHEN (occurred_ms < 1000000000000000) IS NOT TRUE
      THEN 'meta.occurredAt is not a number of milliseconds since 1970'
    WHEN (CAST(occurred_ms AS BIGINT) <= 1000 * UNIX_TIMESTAMP() + 1800000) IS NOT TRUE THEN 'meta.occurredAt is in the future'
    WHEN kind <> 'organization.registered' AND (CHAR_LENGTH(account_id) > 0) IS NOT TRUE THEN 'account.accountId is missing'
    WHEN kind <> 'organization.registered' AND (CHAR_LENGTH(customer_id) > 0) IS NOT TRUE THEN 'owner.customerId is missing'
    WHEN kind = 'organization.registered' AND (CHAR_LENGTH(organization_id) > 0) IS NOT TRUE
      THEN 'organization.organizationId is missing'
    WHEN document_type IS NOT NULL
      AND NOT ((document_type = 'cpf' AND CHAR_LENGTH(COALESCE(document_number, '')) = 11)
        OR (document_type = 'cnpj' AND CHAR_LENGTH(COALESCE(document_number, '')) = 14))
      THEN 'taxId is not a CPF of 11 or a CNPJ of 14 digits'
    WHEN COALESCE(CARDINALITY(memberships), 0) <> COALESCE(CARDINALITY(membership_ids), 0)
      THEN 'a membership has no organizationId'
    WHEN COALESCE(CARDINALITY(affiliations), 0) <> COALESCE(CARDINALITY(affiliation_ids), 0)
      THEN 'an affiliation has no affiliationId'
  END AS fault
FROM accounts_parsed;

-- The first of each event id. Ordered by arrival, so nothing is ever taken back.
CREATE VIEW accounts_distinct AS
SELECT *,
  kind <> 'organization.registered' AS is_account,
  LEAST(TO_TIMESTAMP_LTZ(CAST(occurred_ms AS BIGINT), 3), src_time) AS event_time,
  DATE_FORMAT(TO_TIMESTAMP_LTZ(CAST(occurred_ms AS BIGINT), 3), 'yyyy-MM-dd''T''HH:mm:ss.SSS''Z''') AS reference_date
FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY arrived) AS n FROM accounts_checked WHERE fault IS NULL
) WHERE n = 1;

CREATE VIEW accounts_edges AS
SELECT event_id, CAST('user' AS STRING) AS entity_type, customer_id AS reference, CAST('owns' AS STRING) AS relation_type,
  CAST('account' AS STRING) AS target_type, account_id AS target_reference, CAST(NULL AS STRING) AS metadata, event_time
FROM accounts_distinct WHERE is_account
UNION ALL
SELECT event_id, 'user', customer_id, 'member_of', 'organization', JSON_VALUE(membership, '$.organizationId'),
  CASE WHEN JSON_VALUE(membership, '$.role') IS NOT NULL
    THEN JSON_OBJECT(KEY 'role' VALUE LOWER(JSON_VALUE(membership, '$.role'))) END,
  event_time
FROM accounts_distinct CROSS JOIN UNNEST(memberships) AS m (membership) WHERE is_account
UNION ALL
SELECT event_id, 'organization', organization_id, 'has', 'affiliation', JSON_VALUE(affiliation, '$.affiliationId'),
  CAST(NULL AS STRING), event_time
FROM accounts_distinct CROSS JOIN UNNEST(affiliations) AS a (affiliation) WHERE NOT is_account;

-- What is not told (NULL) is no property.
CREATE VIEW accounts_properties AS
SELECT entity_type, reference, field_name, field_value, reference_date, event_time
FROM accounts_distinct CROSS JOIN UNNEST(ARRAY[
  ROW(CAST('user' AS STRING), customer_id, CAST('document' AS STRING),
    JSON_OBJECT(KEY 'type' VALUE document_type, KEY 'number' VALUE document_number)),
  ROW('account', account_id, 'status', JSON_STRING(LOWER(account_status))),
  ROW('account', account_id, 'currency', JSON_STRING(currency)),
  ROW('account', account_id, 'data_origin', JSON_STRING(origin))
]) AS p (entity_type, reference, field_name, field_value)
WHERE is_account AND field_value IS NOT NULL AND (field_name <> 'document' OR document_type IS NOT NULL)
UNION ALL
SELECT entity_type, reference, field_name, field_value, reference_date, event_time
FROM accounts_distinct CROSS JOIN UNNEST(ARRAY[
  ROW(CAST('organization' AS STRING), organization_id, CAST('trade_name' AS STRING), JSON_STRING(trade_name)),
  ROW('organization', organization_id, 'document',
    JSON_OBJECT(KEY 'type' VALUE document_type, KEY 'number' VALUE document_number)),
  ROW('organization', organization_id, 'data_origin', JSON_STRING(origin))
]) AS p (entity_type, reference, field_name, field_value)
WHERE NOT is_account AND field_value IS NOT NULL AND (field_name <> 'document' OR document_type IS NOT NULL)
UNION ALL
SELECT CAST('affiliation' AS STRING), JSON_VALUE(affiliation, '$.affiliationId'), field_name, field_value, reference_date, event_time
FROM accounts_distinct
CROSS JOIN UNNEST(affiliations) AS a (affiliation)
CROSS JOIN UNNEST(ARRAY[
  ROW(CAST('status' AS STRING), JSON_STRING(LOWER(JSON_VALUE(affiliation, '$.status')))),
  ROW('payment_methods', LOWER(JSON_QUERY(affiliation, '$.paymentMethods'))),
  ROW('data_origin', JSON_STRING(origin))
]) AS p (field_name, field_value)
WHERE NOT is_account AND field_value IS NOT NULL;

-- Headers as the worker's own dead letters have them: what is absent (a key, a value) has no header, or says so.
CREATE VIEW accounts_dead AS
SELECT *, CASE WHEN msg_key IS NULL THEN provenance ELSE MAP_UNION(provenance, MAP[CAST('dlq.key' AS STRING), msg_key]) END AS with_key
FROM (
  SELECT *, MAP[
    CAST('dlq.topic' AS STRING), ENCODE('@PREFIX@account.events', 'UTF-8'),
    'dlq.partition', ENCODE(CAST(src_partition AS STRING), 'UTF-8'),
    'dlq.offset', ENCODE(CAST(src_offset AS STRING), 'UTF-8'),
    'dlq.timestamp', ENCODE(CAST(1000 * UNIX_TIMESTAMP(DATE_FORMAT(src_time, 'yyyy-MM-dd HH:mm:ss'))
      + CAST(DATE_FORMAT(src_time, 'SSS') AS BIGINT) AS STRING), 'UTF-8'),
    'dlq.error', ENCODE('malformed-source', 'UTF-8'),
    'dlq.reason', ENCODE(fault, 'UTF-8')] AS provenance
  FROM accounts_checked WHERE fault IS NOT NULL
);

EXECUTE STATEMENT SET BEGIN

INSERT INTO `flink.agg.user-profile.entities`
  /*+ OPTIONS('sink.transactional-id-prefix' = '@PREFIX@flink-accounts-entities') */
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
FROM accounts_edges;

INSERT INTO `flink.agg.user-profile.entities.properties`
  /*+ OPTIONS('sink.transactional-id-prefix' = '@PREFIX@flink-accounts-properties') */
SELECT
  entity_type || ':' || reference,
  JSON_OBJECT(
    KEY 'entity_reference' VALUE reference,
    KEY 'entity_type' VALUE entity_type,
    KEY 'field_name' VALUE field_name,
    KEY 'field_value' VALUE JSON(field_value),
    KEY 'reference_date' VALUE reference_date),
  event_time
FROM accounts_properties;

INSERT INTO dead_letters
  /*+ OPTIONS('topic' = '@PREFIX@account.events.dlq', 'sink.transactional-id-prefix' = '@PREFIX@flink-accounts-dlq') */
SELECT
  '@PREFIX@account.events/' || CAST(src_partition AS STRING) || '/' || CAST(src_offset AS STRING),
  COALESCE(msg, CAST(X'' AS BYTES)),
  CASE WHEN msg IS NULL THEN MAP_UNION(with_key, MAP[CAST('dlq.tombstone' AS STRING), ENCODE('true', 'UTF-8')]) ELSE with_key END,
  src_time
FROM accounts_dead;

END;
