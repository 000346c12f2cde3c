"""A transport that hands an agent one event for each fetch of a partition, instead of one for each record.

Faust spends about 55 µs on each event; only fewer events help. `event.value` is the list of aiokafka's records of
one fetch, and `event.ack()` acknowledges all of them. What is committed is the end of the acknowledged prefix of
fetches, whatever the order of the acks, so that no offset is ever past a record that was not acknowledged.

Only committed records are read, which exactly-once producers need; Faust itself reads uncommitted ones.

This overrides private methods of faust-streaming 0.15.3, which is why that version is pinned;
tests/unit/app/test_transport.py holds each of them.
"""

from collections import defaultdict, deque
from typing import Any, Final

from faust.transport.consumer import ConsumerMessage
from faust.transport.drivers import aiokafka as driver

_ALL_PAUSED_POLL_S: Final = 0.002


class Fetch(ConsumerMessage):  # type: ignore[misc]  # faust is untyped to mypy
    """The records of one fetch; `span` is [the position after its last record, whether it was acknowledged]."""

    __slots__ = ("span",)

    def on_final_ack(self, consumer: Any) -> bool:
        self.span[1] = True
        return bool(super().on_final_ack(consumer))


class ReadCommittedThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Faust reads uncommitted records unless it is a transactional producer itself."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"  # noqa: SLF001 — read when it starts
        return consumer


class BulkConsumer(driver.Consumer):  # type: ignore[misc]
    """Delivers fetches and commits acknowledged prefixes of them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._spans: defaultdict[Any, deque[list[Any]]] = defaultdict(deque)

    def _new_consumer_thread(self) -> Any:
        return ReadCommittedThread(self, loop=self.loop, beacon=self.beacon)

    async def _getmany(self, active_partitions: Any, timeout: float) -> Any:  # noqa: ASYNC109 — as the base class
        fetched = await super()._getmany(active_partitions, timeout)
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
            position = spans.popleft()[0]
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        return position

    async def _add_gap(self, tp: Any, offset_from: int, offset_to: int) -> None:
        """Positions need no gaps, which Faust would write out as lists."""

    async def perform_seek(self) -> None:
        self._spans.clear()  # what was fetched before comes again; its acks are void
        await super().perform_seek()

    async def _wait_next_records(self, timeout: float) -> Any:  # noqa: ASYNC109 - theirs
        # With all partitions paused by full buffers the base class sleeps for a second.
        while self.flow_active and self._buffered_partitions and not self._active_partitions:
            await self.sleep(_ALL_PAUSED_POLL_S)
        return await super()._wait_next_records(timeout)


class BulkTransport(driver.Transport):  # type: ignore[misc]
    """`app.transport = BulkTransport(app.conf.broker_consumer, app)`."""

    Consumer = BulkConsumer
