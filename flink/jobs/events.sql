-- events: account.events, crm.events, cdp.events, aggregated.metrics -> entities-edges, entity-properties, temporal-data,
--         and the dead letters of each
--
-- Source    every topic of flink/contracts but payments, each by its own schema.json, which says what an event may look like.
-- Output    what the mapping.json beside it says: relationships, properties and points in time of entities.
-- Keys      in: any. out: type:reference. Duplicates: the first of each event id counts.
-- Time      the dates of properties: the time of the event, in UTC. The timestamp of records: the same, in milliseconds, and
--           no later than src_time (tables.sql).
-- Lateness  none: the newest date or version wins where the records are consumed.
-- State     the event ids of 8 days (about 70 bytes each). A duplicate that comes later is written again, with the same
--           dates and values, and changes nothing where it is consumed: there is no sum that could forget.
--
-- One job for all of them: another source changes no operator, so the state still fits.

SET 'table.exec.state.ttl' = '8 d';

CREATE TABLE events
WITH ('topic' = '@EVENTS@', 'properties.group.id' = '@PREFIX@flink-events')
LIKE source_events;

-- A row for each event with all that is to be written for it, and one for each dead letter. In a join with a table
-- function, since the planner would repeat a scalar function for each field that is read of its result.
CREATE VIEW events_read AS
SELECT event_identity, outputs, arrived
FROM events CROSS JOIN LATERAL TABLE(source_event(
  '@PREFIX@', src_topic, src_partition, src_offset, src_time, msg_key, msg, '@REGION@'));

-- The first of each event id; dead letters have one of their own. Ordered by arrival, so nothing is ever taken back.
CREATE VIEW events_distinct AS
SELECT outputs FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY event_identity ORDER BY arrived) AS n FROM events_read
) WHERE n = 1;

EXECUTE STATEMENT SET BEGIN

INSERT INTO `flink.agg.user-profile`
  /*+ OPTIONS('sink.transactional-id-prefix' = '@PREFIX@flink-events-written') */
SELECT topic, record_key, body, headers, event_time
FROM events_distinct CROSS JOIN UNNEST(outputs) AS o (topic, record_key, body, headers, event_time);

END;
