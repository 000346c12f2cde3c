-- no-transaction
-- The relationships that lead to an entity are read a page at a time, in order of their ids: an index on the right end
-- alone would sort all of them for each page. The left end is no column of it: where statistics say that few entities
-- lead to others, the planner would walk the whole index for the relationships of one of them.
-- What an interrupted run leaves is dropped first.
DROP INDEX CONCURRENTLY IF EXISTS edges_by_right_end;
CREATE INDEX CONCURRENTLY edges_by_right_end ON edges (right_entity_id, id);
-- The new index begins with its column.
DROP INDEX CONCURRENTLY IF EXISTS edges_right_entity;
