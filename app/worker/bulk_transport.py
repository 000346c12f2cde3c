"""A transport that hands an agent one event for each fetch of a partition, instead of one for each record.

Faust spends about 55 µs on each event; only fewer events help. `event.value` is the list of aiokafka's records of
one fetch, and `event.ack()` acknowledges all of them. What is committed is the end of the acknowledged prefix of
fetches, whatever the order of the acks, so that no offset is ever past a record that was not acknowledged.

Only committed records are read, which exactly-once producers need; Faust itself reads uncommitted ones.

This overrides private methods of faust-streaming 0.15.3, which is why that version is pinned;
tests/unit/app/worker/test_bulk_transport.py holds each of them.
"""

from collections import defaultdict, deque
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from faust.transport.consumer import ConsumerMessage
from faust.transport.drivers import aiokafka as driver

from app.core.records import Offsets, Partition

_ALL_PAUSED_POLL_S: Final = 0.002


class Fetch(ConsumerMessage):  # type: ignore[misc]  # faust is untyped to mypy
    """The records of one fetch; `span` is [the position after its last record, whether it was acknowledged]."""

    __slots__ = ("span",)

    def on_final_ack(self, consumer: Any) -> bool:
        self.span[1] = True
        return bool(super().on_final_ack(consumer))


class _Position(NamedTuple):
    """What the client knows of an assigned partition: up to where it handed records over, and the end."""

    partition: Partition
    handed_over: int
    end: int


class ReadCommittedThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Faust reads uncommitted records unless it is a transactional producer itself."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"  # noqa: SLF001 — read when it starts
        return consumer

    def positions(self) -> Iterator[_Position]:
        """Of each assigned partition, once a fetch was answered; from memory, for any thread.

        The end is the last stable offset that the latest fetch brought: what an open transaction wrote can't be
        read yet.
        """
        subscription = self._consumer._subscription.subscription if self._consumer is not None else None  # noqa: SLF001
        assignment = subscription.assignment if subscription is not None else None
        if assignment is None:
            return
        for tp in assignment.tps:
            state = assignment.state_value(tp)
            handed_over, end = state._position, state.lso  # noqa: SLF001 — `position` asserts that it is known
            if handed_over is not None and end is not None:
                yield _Position(Partition(tp.topic, tp.partition), handed_over, end)


class BulkConsumer(driver.Consumer):  # type: ignore[misc]
    """Delivers fetches and commits acknowledged prefixes of them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._spans: defaultdict[Any, deque[list[Any]]] = defaultdict(deque)
        # Since the latest seek: the end of the acknowledged spans that are no longer in `_spans`, and of all fetches.
        # Keys are pairs of topic and number, of whichever named tuple: Faust's, aiokafka's or ours.
        self._acked_to: dict[Any, int] = {}
        self._fetched_to: dict[Any, int] = {}

    def _new_consumer_thread(self) -> Any:
        return ReadCommittedThread(self, loop=self.loop, beacon=self.beacon)

    async def _getmany(self, active_partitions: Any, timeout: float) -> Any:  # noqa: ASYNC109 — as the base class
        fetched = await super()._getmany(active_partitions, timeout)
        for partition, records in fetched.items():
            self._acked_to.setdefault(partition, records[0].offset)
            self._fetched_to[partition] = records[-1].offset + 1
        return {partition: [records] for partition, records in fetched.items()}

    def _to_message(self, tp: Any, record: Any) -> Any:
        last = record[-1]
        fetch = Fetch(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp / 1000,
            last.timestamp_type,
            None,
            None,
            record,
            None,
            0,
            0,
            tp,
            generation_id=self.app.consumer_generation_id,
        )
        fetch.span = [last.offset + 1, False]
        self._spans[tp].append(fetch.span)
        return fetch

    def _new_offset(self, tp: Any) -> int | None:
        position, spans = None, self._spans[tp]
        while spans and spans[0][1]:
            position = self._acked_to[tp] = spans.popleft()[0]
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        return position

    async def _add_gap(self, tp: Any, offset_from: int, offset_to: int) -> None:
        """Positions need no gaps, which Faust would write out as lists."""

    async def perform_seek(self) -> None:
        self._spans.clear()  # what was fetched before comes again; its acks are void
        await super().perform_seek()
        self._acked_to.clear()
        self._fetched_to.clear()

    def offsets(self) -> dict[Partition, Offsets]:
        """Of the partitions assigned now, where known: what is acknowledged, committed or not, and the end.

        Asks nothing of Kafka. The end is the last stable offset of the latest fetch.
        """
        return {
            found.partition: Offsets(self._acked_position(found.partition, found.handed_over), found.end)
            for found in self._thread.positions()
        }

    def _acked_position(self, tp: Any, handed_over: int) -> int:
        acked = self._acked_to.get(tp)
        if acked is None:  # nothing came since the seek
            return handed_over
        for end, is_acked in self._spans.get(tp, ()):
            if not is_acked:
                return acked
            acked = end
        # With everything acknowledged the client's position counts, which is past markers of transactions, too.
        return max(acked, handed_over) if acked == self._fetched_to.get(tp) else acked

    async def _wait_next_records(self, timeout: float) -> Any:  # noqa: ASYNC109 - theirs
        # With all partitions paused by full buffers the base class sleeps for a second.
        while self.flow_active and self._buffered_partitions and not self._active_partitions:
            await self.sleep(_ALL_PAUSED_POLL_S)
        return await super()._wait_next_records(timeout)


class BulkTransport(driver.Transport):  # type: ignore[misc]
    """`app.worker.bulk_transport = BulkTransport(app.conf.broker_consumer, app)`."""

    Consumer = BulkConsumer
