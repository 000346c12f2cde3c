"""The transport overrides private methods of Faust: an upgrade that moves one of them fails here."""

import inspect
from collections import defaultdict, deque
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from faust.transport.consumer import ConsumerMessage
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from app.transport import BulkConsumer, BulkTransport, Fetch, ReadCommittedThread
from tests.unit.app.fakes import FakeRecord

PARTITION = TP("topic", 3)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("_new_consumer_thread", ["self"]),
        ("_getmany", ["self", "active_partitions", "timeout"]),
        ("_to_message", ["self", "tp", "record"]),
        ("_new_offset", ["self", "tp"]),
        ("_add_gap", ["self", "tp", "offset_from", "offset_to"]),
        ("perform_seek", ["self"]),
        ("_wait_next_records", ["self", "timeout"]),
    ],
)
def test_faust_has_what_is_overridden(name: str, parameters: list[str]) -> None:
    theirs = getattr(driver.Consumer, name)
    assert list(inspect.signature(theirs).parameters) == parameters
    ours = getattr(BulkConsumer, name)
    assert ours is not theirs
    assert list(inspect.signature(ours).parameters) == parameters


def test_faust_has_the_thread_that_makes_the_client() -> None:
    theirs = driver.AIOKafkaConsumerThread._create_worker_consumer
    assert list(inspect.signature(theirs).parameters) == ["self", "transport"]


def test_faust_is_the_pinned_version() -> None:
    assert faust.__version__ == "0.15.3"


def test_faust_calls_them() -> None:
    source = "".join(inspect.getsource(kind) for kind in driver.Consumer.__mro__ if kind is not object)
    for call in (
        "self._getmany(",
        "self._to_message",
        "self._new_offset(",
        "_add_gap(",
        "self._wait_next_records(",
        "self._new_consumer_thread()",
    ):
        assert call in source, call


@pytest.fixture
def consumer() -> Any:
    made = BulkConsumer.__new__(BulkConsumer)
    made._spans = defaultdict(deque)
    made._acked = defaultdict(list)
    made._acked_index = defaultdict(set)
    made.app = SimpleNamespace(consumer_generation_id=7)
    return made


def fetch(consumer: Any, first: int, last: int) -> Fetch:
    records = [FakeRecord(value=b"x", offset=offset) for offset in range(first, last + 1)]
    for record in records:
        object.__setattr__(record, "timestamp_type", 0)
    return consumer._to_message(PARTITION, records)


def ack(message: Fetch) -> None:
    message.span[1] = True


def test_a_message_is_a_fetch(consumer: Any) -> None:
    message = fetch(consumer, 10, 14)
    assert isinstance(message, ConsumerMessage)
    assert (message.topic, message.partition, message.offset) == ("topic", 3, 14)
    assert len(message.value) == 5
    assert message.generation_id == 7


def test_nothing_is_committed_before_an_ack(consumer: Any) -> None:
    assert consumer._new_offset(PARTITION) is None
    fetch(consumer, 0, 9)
    assert consumer._new_offset(PARTITION) is None


def test_the_first_fetch_of_a_new_partition_holds_back_the_second(consumer: Any) -> None:
    first, second = fetch(consumer, 0, 2), fetch(consumer, 3, 11)
    ack(second)
    assert consumer._new_offset(PARTITION) is None
    ack(first)
    assert consumer._new_offset(PARTITION) == 12
    assert consumer._new_offset(PARTITION) is None


def test_the_end_of_the_acknowledged_prefix_is_committed(consumer: Any) -> None:
    fetches = [fetch(consumer, 10 * n, 10 * n + 9) for n in range(5)]
    for index in (3, 0, 1):
        ack(fetches[index])
    assert consumer._new_offset(PARTITION) == 20
    ack(fetches[2])
    assert consumer._new_offset(PARTITION) == 40


def test_gaps_in_offsets_do_not_matter(consumer: Any) -> None:
    first, second = fetch(consumer, 0, 4), fetch(consumer, 1_000_000_000, 1_000_000_001)
    ack(first)
    ack(second)
    assert consumer._new_offset(PARTITION) == 1_000_000_002


async def test_a_seek_voids_old_acks(consumer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def perform_seek(self: Any) -> None:
        pass

    monkeypatch.setattr(driver.Consumer, "perform_seek", perform_seek)
    old = fetch(consumer, 0, 9)
    await consumer.perform_seek()
    ack(old)
    assert consumer._new_offset(PARTITION) is None


async def test_a_fetch_of_a_partition_is_one_record_to_faust(
    consumer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def getmany(self: Any, active_partitions: Any, timeout: float) -> Any:  # noqa: ASYNC109
        return {PARTITION: ["a", "b"]}

    monkeypatch.setattr(driver.Consumer, "_getmany", getmany)
    assert await consumer._getmany({PARTITION}, 1.0) == {PARTITION: [["a", "b"]]}


def test_only_committed_records_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    made = SimpleNamespace(_isolation_level="read_uncommitted")
    monkeypatch.setattr(
        driver.AIOKafkaConsumerThread, "_create_worker_consumer", lambda self, transport: made
    )
    thread = ReadCommittedThread.__new__(ReadCommittedThread)
    assert thread._create_worker_consumer(None)._isolation_level == "read_committed"


def test_the_transport_makes_our_consumer() -> None:
    assert BulkTransport.Consumer is BulkConsumer
