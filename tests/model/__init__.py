"""An executable model of the cache's freshness protocol, searched over all interleavings of small worlds.

One primary, streaming replicas, one cached key, writers that commit and then invalidate, CDC that repeats, workers
with a level of cache in the process. The state of the database is the number of visible commits, so a reader is
stale when its number is too small. A world bounds how many commits, reads' kinds and faults there are; within it
every order of events is tried.

Keys have no fence of their own: an invalidation raises the group's mark, where there is one, and removes entry and
lease; a miss gets the position to reach from the mark. An *early* fill reads before it has a lease, as descendants
are read together with their root; it may be used where, after the lease, the mark is not above what it reached.

`rules` names the protocol's obligations by the numbers of its eight rules (design, "Freshness"); `r3_publish` is
one of rule 3. Each can be taken away, and then some world goes wrong: `python -m tests.model --ablate 3` tells how.
Change the model before the code.

Left out: several keys (a tree is not one snapshot), times (leases and entries that expire, the heartbeat: a gap is
noticed some day, not within a second), failovers of PostgreSQL and Redis (the prefix of the keys answers for those),
commits that become visible in another order than that of the WAL, a writer that is cancelled, and retries of an
invalidation that Redis did not take or whose position is not known. `tests/simulation` has several keys, times and
retries.

Read in this order: rules, state, world; database, invalidation, cdc, cache, channel, worker, reader, fill;
invariants, search.
"""
