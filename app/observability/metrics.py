"""The metrics of the worker: every name and label in one place."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from typing import TYPE_CHECKING, Final, cast

from prometheus_client import PROCESS_COLLECTOR, REGISTRY, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from app.observability.lockfree import LATE_BUCKETS, Counts, ExpressTimes, HttpTimes, Times
from app.observability.store_state import StoreState

if TYPE_CHECKING:
    from app.core.records import Offsets, Partition

RECORDS: Final = Counter("profile_records", "Records whose effects are durable", ["topic"])
WINDOWS: Final = Counter("profile_windows", "Windows flushed, by what closed them", ["agent", "cause"])
FLUSH_SECONDS: Final = Histogram(
    "profile_flush_seconds",
    "From a closed window to durable effects, retries included",
    ["agent"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
FLUSH_RETRIES: Final = Counter("profile_flush_retries", "Flushes that failed and were tried again", ["agent"])
FLUSH_SPLITS: Final = Counter(
    "profile_flush_splits", "Flushes that were too much at once and were tried again in halves", ["agent"]
)
ROWS_CHANGED: Final = Counter("profile_rows_changed", "Rows that agents created or changed", ["kind"])
ROWS_UNCHANGED: Final = Counter(
    "profile_rows_unchanged",
    "Rows that records told and that changed nothing: stored already, older, repeated in one flush, or erased",
    ["kind"],
)
DEAD_LETTERS: Final = Counter(
    "profile_dead_letters", "Records sent to a dead-letter topic", ["topic", "error"]
)
LETTERS_REMOVED: Final = Counter(
    "profile_dead_letters_erased", "Dead letters that were removed since they name an erased entity"
)
PIECES: Final = Counter(
    "profile_pieces", "Transactions of deletions and merges that are done in pieces", ["work"]
)
PIECE_ROWS: Final = Counter("profile_piece_rows", "Rows that they deleted or moved", ["work"])
for _work in ("erasure", "merge"):  # 0 from the start, so that rates and panels find them
    PIECES.labels(_work)
    PIECE_ROWS.labels(_work)
DELETIONS: Final = Gauge(
    "profile_deletions_under_way", "Erased entities whose rows are being deleted in pieces"
)
DELETION_ROWS_LEFT: Final = Gauge("profile_deletion_rows_left", "Rows that are left of them")
DELETION_STILL: Final = Gauge(
    "profile_deletion_still_seconds", "Time since any of them moved; 0 where there is none"
)
MERGES_WAITING: Final = Gauge(
    "profile_merges_waiting", "Placeholders that can be merged and are not yet; 200 at most are looked at"
)
MERGE_STILL: Final = Gauge(
    "profile_merge_still_seconds",
    "Time since the one of them that stands still for longest could be merged or moved; NaN where it is not known",
)
MERGE_STILL.set(float("nan"))
CLOCK_OFFSET: Final = Gauge(
    "profile_clock_offset_seconds",
    "How far a server's clock is ahead of this worker's; NaN where it is not known",
    ["server"],
)
UNACKED_SECONDS: Final = Gauge(
    "profile_oldest_unacked_seconds", "Age of the oldest record that is fetched and not durable", ["agent"]
)
AUDIT_CHECKED: Final = Counter("profile_audit_checked", "Cached entries compared with the primary", ["kind"])
AUDIT_STALE: Final = Counter(
    "profile_audit_stale", "Cached entries that did not say what the primary said", ["kind"]
)
SLOT_LAG_BYTES: Final = Gauge(
    "profile_cdc_slot_lag_bytes", "WAL that the connector has not confirmed; NaN where it is not known"
)
SLOT_RETAINED_BYTES: Final = Gauge(
    "profile_cdc_slot_retained_bytes",
    "WAL that the replication slot keeps on disk; NaN where it is not known",
)
SLOT_SAFE_BYTES: Final = Gauge(
    "profile_cdc_slot_safe_bytes",
    "WAL that may be written before the slot is lost; NaN where it is not known",
)
SLOT_STATUS: Final = Gauge("profile_cdc_slot_status", "1 for the slot's status, 0 for others", ["status"])
CONNECTOR_PARTS: Final = Gauge(
    "profile_cdc_connector_parts", "The connector and its tasks, by state", ["part", "state"]
)
CONNECTOR_LAG: Final = Gauge(
    "profile_cdc_connector_lag_seconds",
    "Age of the newest change or heartbeat that the connector has published; NaN where it is not known",
)
CONNECTOR_RESTARTS: Final = Counter(
    "profile_cdc_connector_restarts", "Times that this worker started failed tasks of the connector again"
)
EVENT_STREAMS: Final = Gauge("profile_event_streams", "Clients that follow the change feed now")
EVENT_STREAMS_BEHIND: Final = Counter(
    "profile_event_streams_behind", "Streams of events that ended since their client was too slow"
)
HTTP_TIMES: Final = HttpTimes(
    "profile_http_request_seconds", "Time to answer, by route template and cache outcome"
)
EXPRESS_SECONDS: Final = ExpressTimes(
    "profile_http_express_seconds", "Of those, answers found whole in this process's memory", HTTP_TIMES
)
HTTP_WAIT_SECONDS: Final = Times(
    "profile_http_wait_seconds", "How long requests waited for their turn, of those that had to", []
)
CACHE_READS: Final = Counts(
    "profile_cache_reads",
    "Fragments and look-ups that requests asked for, by where they were found",
    ["kind", "level"],
)
CACHE_RENEWALS: Final = Counts(
    "profile_cache_renewals", "Entries of memory that were read anew before they were too old", []
)
CACHE_REFILLS: Final = Counts(
    "profile_cache_refills", "Entries of memory that were read anew after a commit had changed them", []
)
READ_SECONDS: Final = Times("profile_read_seconds", "Time of one question to a server, by level", ["level"])
READ_FAILURES: Final = Counts(
    "profile_read_failures", "Questions that a server did not answer, by level", ["level"]
)
READS_WAITED: Final = Times(
    "profile_read_wait_seconds", "From a read's question to its turn, where it had to wait", []
)
READS_REFUSED: Final = Counts(
    "profile_reads_refused", "Reads that were refused with 503, since their turn would have come too late", []
)
READS_TOO_DEAR: Final = Counts(
    "profile_reads_too_dear", "Questions that a server gave up for their time, by level", ["level"]
)
UNVERIFIED: Final = Counts(
    "profile_reads_unverified",
    "Reads answered without knowing that they were fresh, with the primary away",
    [],
)
TOKEN_WAITS: Final = Counts(
    "profile_reads_waited_at_primary",
    "Reads with a token of a replica that the primary did not show at once, by whether it came to within a second",
    ["outcome"],
)
LOOP_LATE_SECONDS: Final = Times(
    "profile_loop_late_seconds",
    "By how much a timer of the event loop came late, ten times a second",
    [],
    buckets=LATE_BUCKETS,
)
PROCESS_UP: Final = Gauge(
    "profile_process_up", "1 while a process of the worker is started and answers", ["process"]
)
PROCESS_RESTARTS: Final = Counter(
    "profile_process_restarts", "Processes of the worker that ended and were replaced", ["process"]
)
STORES: Final = StoreState()


class ConsumerLag(Collector):
    """Lag by partition, read from the consumer's memory when the page is asked for.

    Only partitions assigned to this process have a sample; `offsets` is set where there is a consumer.
    """

    def __init__(self) -> None:
        self.offsets: Callable[[], Mapping[Partition, Offsets]] = dict

    def describe(self) -> Iterator[GaugeMetricFamily]:
        yield GaugeMetricFamily(
            "profile_consumer_lag_records",
            "Last stable offset at the latest fetch, less the position after the acknowledged records",
            labels=["topic", "partition"],
        )

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for family in self.describe():
            for partition, offsets in self.offsets().items():
                family.add_metric([partition.topic, str(partition.number)], offsets.lag)
            yield family


CONSUMER_LAG: Final = ConsumerLag()
REGISTRY.register(CONSUMER_LAG)


class _Told(Collector):
    """What collectors tell, with the label `process`, and without the families that begin with `hidden`."""

    def __init__(
        self, told: Iterable[Collector], *, process: str | None, hidden: tuple[str, ...] = ()
    ) -> None:
        self._told = told
        self._process = process
        self._hidden = hidden

    def collect(self) -> Iterator[Metric]:
        for collector in self._told:
            for family in collector.collect():
                if self._hidden and family.name.startswith(self._hidden):
                    continue
                if self._process is not None:
                    label = {"process": self._process}
                    labelled = copy(family)  # some collectors keep theirs
                    labelled.samples = [each._replace(labels=label | each.labels) for each in family.samples]
                    yield labelled
                else:
                    yield family


def exposition(*, process: str | None = None, with_cdc: bool = True) -> tuple[bytes, str]:
    """The Prometheus page and its content type; `process` labels each sample where a worker has several.

    Gauges of cdc begin at 0, which would say of other processes that the slot is full and the connector up to date.
    """
    hidden = () if with_cdc else ("profile_cdc_",)
    return _page(_Told([cast("Collector", REGISTRY)], process=process, hidden=hidden))


def of_supervisor() -> tuple[bytes, str]:
    """The page of a process that only supervises others."""
    own = _Told([PROCESS_COLLECTOR], process="supervisor")
    return _page(_Told([PROCESS_UP, PROCESS_RESTARTS, own], process=None))


def _page(told: Collector) -> tuple[bytes, str]:
    return generate_latest(cast("CollectorRegistry", told)), CONTENT_TYPE_LATEST
