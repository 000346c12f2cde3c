"""The real classes of the read path and of invalidation, for three workers, on a virtual clock and with random faults.

Real: memory, kept trees, loaders, leases, look-ups, single flights, invalidation with its retries, refresh-ahead,
repopulation and the choice of servers. In memory: PostgreSQL (positions, commits that are flushed before they are
visible, lagging replicas), Redis (tests.unit.storage.fakes.MemoryLevel, which has one contract with the scripts, see
tests/integration/storage/test_cache_level.py), the channel, and the statements of the writers. Around those is the real
storage.cache.commit, as in storage.write.writer, and writers are cancelled at any moment. Time costs nothing: the event
loop jumps to the next thing that is due.

Each answer is held against what the worker had been notified of when it was asked, against what its session has
seen, and against the history: of an entity and its edges it shows one version. When all is quiet, caches equal the
database.

In every third run nothing is repeated and no process dies, so that what a cancelled writer left out would stay.

Left out: Kafka beneath the repeater, the sockets of the channel, the statements of the writers, failovers of
PostgreSQL.

Read in this order: loop, database, shared, worker, promises, run, mutants.
"""
