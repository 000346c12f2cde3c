"""The names of log lines that machines read: `event` of a JSON line. A name is never given to another thing.

Those with a dot are for alerts; those without are lines of the logger `audit`. docs/operations.md lists all of them; a
test holds the lists, this registry and the calls together.
"""

from enum import StrEnum


class LogEvent(StrEnum):
    """`logger.warning(…, extra=LogEvent.X.extra)`."""

    WORKER_START_FAILED = "worker.start_failed"
    WORKER_STOPPED_UNCOMMITTED = "worker.stopped_uncommitted"
    WORKER_STOP_TIMED_OUT = "worker.stop_timed_out"
    PROCESS_REPLACED = "process.replaced"
    PROCESS_HANGS = "process.hangs"
    PROCESS_GIVEN_UP = "process.given_up"
    STREAM_ENDED = "stream.ended"
    ATTEMPT_FAILED = "attempt.failed"
    PARTITION_SUSPECTED = "partition.suspected"
    RECORD_SET_ASIDE = "record.set_aside"
    CACHE_STALE = "cache.stale"
    CACHE_UNAVAILABLE = "cache.unavailable"
    CACHE_EMPTYING = "cache.emptying"
    NOTIFICATIONS_LOST = "cache.notifications_lost"
    REPLICA_LEFT_OUT = "replica.left_out"
    REPLICA_TIMELINE = "replica.timeline"
    PRIMARY_MOVED = "primary.moved"
    CHANGES_DEAD_LETTERED = "cdc.dead_lettered"
    TABLE_TRUNCATED = "cdc.table_truncated"
    REPEATER_RESTARTED = "cdc.repeater_restarted"
    CONNECTOR_RESTARTED = "connector.restarted"
    CONNECTOR_RESTART_FAILED = "connector.restart_failed"
    LETTERS_WAIT = "erasure.letters_wait"
    DELETION_WAITS = "erasure.deletion_waits"
    MERGE_WAITS = "placeholders.merge_waits"
    CLOCK_OFF = "clock.off"
    REQUEST_FAILED = "request.failed"
    CONNECTIONS_REFUSED = "http.connections_refused"

    ENTITY_ERASED = "entity_erased"
    ERASURE_IMPORTED = "erasure_imported"
    REQUEST_REFUSED = "request_refused"
    EXPORT_BEGUN = "export_begun"
    LETTERS_READ = "letters_read"
    LETTER_REPLAYED = "letter_replayed"
    KEY_CREATED = "key_created"
    KEY_REVOKED = "key_revoked"
    KEY_ACCEPTED = "key_accepted"
    KEY_DROPPED = "key_dropped"

    @property
    def extra(self) -> dict[str, str]:
        return {"event": self.value}
