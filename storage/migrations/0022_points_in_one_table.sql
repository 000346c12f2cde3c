-- no-transaction
-- Points are in one table, and monthly partitions and pg_partman are gone.
CALL place_points();
