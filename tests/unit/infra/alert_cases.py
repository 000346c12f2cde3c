"""For each alert what it fires at, and what looks like that and is none. One value a minute, as promtool spells them.

`a+bxn`: a, and n more, each b larger. `_`: no sample.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

Series = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """At `at` it fires once for `firing`, with these labels and words, and never for one of `silent`."""

    alert: str
    at: str
    firing: Series
    silent: tuple[Series, ...]
    summary: str
    labels: Mapping[str, str] = field(default_factory=dict)


def _histogram(name: str, labels: str, *, slow: int, fast: int) -> Series:
    """So many observations a minute above and below 10 s (`slow`) and 0.1 s (`fast`)."""
    buckets = {"0.1": fast, "1": fast, "10": fast + slow, "+Inf": fast + slow}
    return {f'{name}_bucket{{{labels},le="{le}"}}': f"0+{each}x60" for le, each in buckets.items()}


_REQUESTS = "profile_http_request_seconds_count"
_SOURCE_LETTERS = (
    'flink_taskmanager_job_task_operator_topic_error_path_dead_letters{tm_id="t",topic="crm.events",'
    'error="malformed-part-source",path="Customer.Phone"}'
)
_LETTERS = 'profile_dead_letters_total{instance="w:1",topic="t",error="invalid"}'
_STALE = 'profile_audit_stale_total{instance="w:1",kind="fragment"}'
_RUNS = 'profile_cdc_connector_parts{instance="w:1",part="task",state="running"}'
_LAG = 'profile_cdc_connector_lag_seconds{instance="w:1"}'
_UP = 'up{job="user-profile",instance="w:1"}'
_UP_2 = 'up{job="user-profile",instance="w:2"}'

CASES = (
    Case(
        alert="WorkerNotScraped",
        at="5m",
        firing={_UP: "1 0+0x10", _UP_2: "1+0x10"},  # a worker that is dead, or a scrape that is refused
        labels={"job": "user-profile", "instance": "w:1"},
        summary="w:1 does not answer Prometheus.",
        silent=({_UP: "1 1 1 1 0 1", _UP_2: "1+0x10"},),  # a restart
    ),
    Case(
        alert="WorkerNotScraped",
        at="5m",
        firing={'up{job="node",instance="w:1"}': "1+0x10"},  # nobody of ours is a target any more
        labels={"job": "user-profile"},
        summary="No worker is known to Prometheus.",
        silent=({_UP: "1+0x10"},),
    ),
    Case(
        alert="ProcessReplaced",
        at="10m",
        firing={'profile_process_restarts_total{instance="w:1",process="cdc"}': "0 0 1+0x20"},
        labels={"instance": "w:1", "process": "cdc"},
        summary="The process cdc of w:1 ended, or hung, and was replaced.",
        silent=({'profile_process_restarts_total{instance="w:1",process="cdc"}': "3+0x20"},),
    ),
    Case(
        alert="ProcessDown",
        at="5m",
        firing={
            'profile_process_up{instance="w:1",process="cdc"}': "0+0x10",
            'profile_process_up{instance="w:1",process="web"}': "1+0x10",
        },
        labels={"instance": "w:1", "process": "cdc"},
        summary="The process cdc of w:1 does not run.",
        silent=({'profile_process_up{instance="w:1",process="cdc"}': "1 1 0 1+0x7"},),  # replaced
    ),
    Case(
        alert="LoopLate",
        at="20m",
        firing=_histogram("profile_loop_late_seconds", 'instance="w:1",process="web"', slow=20, fast=80),
        labels={"instance": "w:1", "process": "web"},
        summary="One step in a hundred of w:1 web waits 9.55s for its turn.",
        silent=(
            _histogram("profile_loop_late_seconds", 'instance="w:1",process="web"', slow=0, fast=100),
            _histogram("profile_loop_late_seconds", 'instance="w:1"', slow=0, fast=100),
        ),
    ),
    Case(
        alert="PartitionStandsStill",
        at="5m",
        firing={'profile_oldest_unacked_seconds{instance="w:1",agent="a"}': "90+0x10"},
        labels={"instance": "w:1", "agent": "a"},
        summary="Agent a has a record that is not durable since 1m 30s.",
        silent=(
            {'profile_oldest_unacked_seconds{instance="w:1",agent="a"}': "59+0x10"},
            {'profile_oldest_unacked_seconds{instance="w:1",agent="a"}': "0 0 0 0 0 90"},  # not for long
        ),
    ),
    Case(
        alert="ClocksDiffer",
        at="10m",
        firing={'profile_clock_offset_seconds{instance="w:1",server="kafka"}': "-2+0x20"},
        labels={"instance": "w:1", "server": "kafka"},
        summary="The clock of kafka is 2s off that of w:1.",
        silent=(
            {'profile_clock_offset_seconds{instance="w:1",server="kafka"}': "0.9+0x20"},
            {'profile_clock_offset_seconds{instance="w:1",server="kafka"}': "NaN+0x20"},
            {'profile_clock_offset_seconds{instance="w:1",server="kafka"}': "0 0 0 0 0 0 0 0 0 3 0 0"},
        ),
    ),
    Case(
        alert="IngestionFallsBehind",
        at="40m",
        firing={
            'profile_consumer_lag_records{instance="w:1",topic="t",partition="0"}': "6000+100x60",
            'profile_consumer_lag_records{instance="w:2",topic="t",partition="1"}': "6000+0x60",
        },
        labels={"topic": "t"},
        summary="t is 16000 records behind, and more with each minute.",
        silent=(
            # It catches up; it grows and is small.
            {'profile_consumer_lag_records{instance="w:1",topic="t",partition="0"}': "90000-1000x60"},
            {'profile_consumer_lag_records{instance="w:1",topic="t",partition="0"}': "0+10x60"},
        ),
    ),
    Case(
        alert="RecordsRefused",
        at="40m",
        firing={_LETTERS: "_x35 3+0x10"},  # the first ones: before them there was no sample
        labels={"topic": "t", "error": "invalid"},
        summary="Dead letters of t: invalid.",
        silent=({_LETTERS: "3+0x60"},),  # of long ago
    ),
    Case(
        alert="SourceEventsRefused",
        at="40m",
        firing={_SOURCE_LETTERS: "_x35 3+0x10"},
        labels={"topic": "crm.events", "error": "malformed-part-source", "path": "Customer.Phone"},
        summary="Dead letters of crm.events: malformed-part-source at Customer.Phone.",
        silent=({_SOURCE_LETTERS: "3+0x60"},),
    ),
    Case(
        alert="FlushesRetried",
        at="15m",
        firing={'profile_flush_retries_total{instance="w:1",agent="a"}': "0+1x20"},
        labels={"agent": "a"},
        summary="Flushes of a fail and are tried again: PostgreSQL or Kafka.",
        silent=({'profile_flush_retries_total{instance="w:1",agent="a"}': "7+0x20"},),
    ),
    Case(
        alert="FlushesSlow",
        at="20m",
        firing=_histogram("profile_flush_seconds", 'instance="w:1",agent="a"', slow=10, fast=90),
        labels={"agent": "a"},
        summary="One flush in a hundred of a takes 9.1s.",
        silent=(_histogram("profile_flush_seconds", 'instance="w:1",agent="a"', slow=0, fast=100),),
    ),
    Case(
        alert="PrimaryDoesNotAnswer",
        at="3m",
        firing={
            'profile_primary_answers{instance="w:1"}': "0+0x10",
            'profile_primary_answers{instance="w:2"}': "0+0x10",
        },
        summary="No worker gets an answer from the primary: writes fail, reads may be unverified.",
        silent=(
            {
                'profile_primary_answers{instance="w:1"}': "0+0x10",
                'profile_primary_answers{instance="w:2"}': "1+0x10",
            },
        ),
    ),
    Case(
        alert="ReadsRefused",
        at="12m",
        firing={'profile_reads_refused_total{instance="w:1"}': "0+5x20"},
        summary="More is being read of PostgreSQL than it answers in time, and some of it is refused.",
        silent=({'profile_reads_refused_total{instance="w:1"}': "9+0x20"},),
    ),
    Case(
        alert="ReadsUnverified",
        at="8m",
        firing={'profile_reads_unverified_total{instance="w:1"}': "0+5x20"},
        summary="Answers go out of which nobody knows that they are fresh.",
        silent=({'profile_reads_unverified_total{instance="w:1"}': "9+0x20"},),
    ),
    Case(
        alert="ReplicaLeftOut",
        at="5m",
        firing={
            'profile_replica_used{instance="w:1",server="r"}': "0+0x10",
            'profile_replica_used{instance="w:2",server="r"}': "0+0x10",
        },
        labels={"server": "r"},
        summary="No worker reads from r.",
        silent=(
            {
                'profile_replica_used{instance="w:1",server="r"}': "0+0x10",
                'profile_replica_used{instance="w:2",server="r"}': "1+0x10",
            },
        ),
    ),
    Case(
        alert="ReplicaBehind",
        at="5m",
        firing={'profile_replica_lag_seconds{instance="w:1",server="r"}': "90+0x10"},
        labels={"server": "r"},
        summary="r is 1m 30s behind.",
        silent=(
            {'profile_replica_lag_seconds{instance="w:1",server="r"}': "10+0x10"},
            {'profile_replica_lag_seconds{instance="w:1",server="r"}': "NaN NaN NaN NaN NaN NaN"},  # away
        ),
    ),
    Case(
        alert="PoolUsedUp",
        at="5m",
        firing={
            'profile_pool_connections{instance="w:1",pool="writer",state="busy"}': "8+0x10",
            'profile_pool_connections{instance="w:1",pool="writer",state="idle"}': "0+0x10",
            'profile_pool_limit{instance="w:1",pool="writer"}': "8+0x10",
        },
        labels={"instance": "w:1", "pool": "writer"},
        summary="All connections of pool writer are busy: who comes next waits.",
        silent=(
            {
                'profile_pool_connections{instance="w:1",pool="writer",state="busy"}': "7+0x10",
                'profile_pool_connections{instance="w:1",pool="writer",state="idle"}': "9+0x10",
                'profile_pool_limit{instance="w:1",pool="writer"}': "8+0x10",
            },
        ),
    ),
    Case(
        alert="RedisNotUsed",
        at="5m",
        firing={
            'profile_redis_used{instance="w:1"}': "0+0x10",
            'profile_redis_used{instance="w:2"}': "1+0x10",
        },
        summary="A worker reads past Redis.",
        silent=({'profile_redis_used{instance="w:1"}': "1+0x10"},),
    ),
    Case(
        alert="MemoryOff",
        at="5m",
        firing={'profile_memory_cache_on{instance="w:1"}': "0+0x10"},
        summary="A worker hears no notifications, so its memory is off.",
        silent=({'profile_memory_cache_on{instance="w:1"}': "1 1 1 1 0 1"},),
    ),
    Case(
        alert="InvalidationsPending",
        at="8m",
        firing={'profile_invalidations_pending{instance="w:1"}': "3+0x10"},
        summary="A worker owes Redis 3 invalidations.",
        silent=({'profile_invalidations_pending{instance="w:1"}': "3 3 3 3 0 3 3 3 3"},),
    ),
    Case(
        alert="CacheStale",
        at="90m",
        firing={_STALE: "_x80 1+0x20"},  # the first one: before it there was no sample
        labels={"kind": "fragment"},
        summary="A cached fragment is not what PostgreSQL says.",
        silent=({_STALE: "1+0x120"},),  # of long ago
    ),
    Case(
        alert="InvalidationsNotRepeated",
        at="15m",
        firing={'profile_cdc_repeater_retries_total{instance="w:1",step="cache"}': "0+2x20"},
        labels={"step": "cache"},
        summary="The cache repeater fails at cache.",
        silent=({'profile_cdc_repeater_retries_total{instance="w:1",step="cache"}': "7+0x20"},),
    ),
    Case(
        alert="ServerErrors",
        at="15m",
        firing={
            f'{_REQUESTS}{{instance="w:1",route="/r",status="200",cache="hit"}}': "0+98x20",
            f'{_REQUESTS}{{instance="w:1",route="/r",status="503",cache="bypass"}}': "0+2x20",
        },
        labels={"route": "/r"},
        summary="2% of /r fail.",
        silent=(
            {
                f'{_REQUESTS}{{instance="w:1",route="/r",status="404",cache="hit"}}': "0+90x20",
                f'{_REQUESTS}{{instance="w:1",route="/r",status="200",cache="hit"}}': "0+999x20",
                f'{_REQUESTS}{{instance="w:1",route="/r",status="503",cache="bypass"}}': "0+1x20",
            },
        ),
    ),
    Case(
        alert="ReadsSlow",
        at="20m",
        firing=_histogram(
            "profile_http_request_seconds",
            'instance="w:1",route="/v1/graph/{id}",status="200",cache="miss"',
            slow=10,
            fast=90,
        ),
        summary="One read in a hundred takes 9.1s.",
        silent=(
            _histogram(
                "profile_http_request_seconds",
                'instance="w:1",route="/v1/graph/{id}",status="200",cache="miss"',
                slow=0,
                fast=100,
            ),
            # A stream or a write may take its time.
            _histogram(
                "profile_http_request_seconds",
                'instance="w:1",route="/v1/temporal/ingest",status="202",cache="bypass"',
                slow=100,
                fast=0,
            ),
        ),
    ),
    Case(
        alert="SlotLostOrSoon",
        at="5m",
        firing={
            'profile_cdc_slot_status{instance="w:1",status="unreserved"}': "1+0x10",
            'profile_cdc_slot_status{instance="w:1",status="reserved"}': "0+0x10",
            'profile_cdc_slot_status{instance="w:1",status="lost"}': "0+0x10",
        },
        labels={"status": "unreserved"},
        summary="The replication slot is unreserved: changes are missed, or soon will be.",
        silent=(
            {
                'profile_cdc_slot_status{instance="w:1",status="reserved"}': "1+0x10",
                'profile_cdc_slot_status{instance="w:1",status="lost"}': "0+0x10",
            },
        ),
    ),
    Case(
        alert="MergeStandsStill",
        at="8m",
        firing={'profile_merge_still_seconds{instance="w:1"}': "700+60x10"},
        summary="A placeholder waits since 19m 40s to become the entity of its reference.",
        silent=(
            {'profile_merge_still_seconds{instance="w:1"}': "0 29 59 0 1 0 29 1 0 0"},
            # One worker moves a large one for hours; the other has had no turn, a third has not looked yet.
            {
                'profile_merge_still_seconds{instance="w:1"}': "1+0x10",
                'profile_merge_still_seconds{instance="w:2"}': "7200+60x10",
                'profile_merge_still_seconds{instance="w:3"}': "NaN+0x10",
            },
        ),
    ),
    Case(
        alert="DeletionStandsStill",
        at="8m",
        firing={'profile_deletion_still_seconds{instance="w:1"}': "700+60x10"},
        summary="The rows of an erased entity are not being deleted since 19m 40s.",
        silent=(
            {'profile_deletion_still_seconds{instance="w:1"}': "0 1 2 1 0 1 2 0 0 0"},
            # One worker that lost PostgreSQL keeps what it saw; the others see it move.
            {
                'profile_deletion_still_seconds{instance="w:1"}': "700+0x10",
                'profile_deletion_still_seconds{instance="w:2"}': "1+0x10",
            },
        ),
    ),
    Case(
        alert="SlotFillsTheDisk",
        at="5m",
        firing={'profile_cdc_slot_safe_bytes{instance="w:1"}': "104857600+0x10"},
        summary="The slot is lost after 100MiB more of WAL.",
        silent=(
            {'profile_cdc_slot_safe_bytes{instance="w:1"}': "2e9+0x10"},
            {'profile_cdc_slot_safe_bytes{instance="w:1"}': "+Inf +Inf +Inf +Inf +Inf +Inf"},  # no limit
        ),
    ),
    Case(
        alert="NothingCaptured",
        at="8m",
        firing={_LAG: "90+0x10", _RUNS: "1+0x10"},
        summary="Changes do not reach Kafka.",
        silent=({_LAG: "5+0x10", _RUNS: "1+0x10"},),
    ),
    Case(
        alert="NothingCaptured",
        at="8m",
        firing={_LAG: "5+0x10", _RUNS.replace("running", "failed"): "1+0x10"},
        labels={"part": "task", "state": "running"},
        summary="Changes do not reach Kafka.",
        silent=({_LAG: "5+0x10", _RUNS: "1 1 1 1 _ _ 1 1 1"},),  # Connect did not answer for a moment
    ),
)
