-- The time of the latest erasure or removal. What is dated by the primary's clock is never behind it, where that clock was
-- put back, or another server whose clock is behind became the primary. One row, written under the writers' exclusive lock.
CREATE TABLE writers_clock (
    one    boolean PRIMARY KEY DEFAULT true CHECK (one),
    latest timestamptz NOT NULL
);
INSERT INTO writers_clock (latest) SELECT coalesce(max(erased_at), 'epoch') FROM erasures;
