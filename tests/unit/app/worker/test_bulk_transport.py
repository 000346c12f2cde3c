"""The transport overrides private methods of Faust: an upgrade that moves one of them fails here."""

import inspect
from collections import defaultdict, deque
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.subscription_state import Assignment
from aiokafka.structs import TopicPartition
from faust.transport.consumer import ConsumerMessage
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from app.core.records import Offsets
from app.worker.bulk_transport import BulkConsumer, BulkTransport, Fetch, ReadCommittedThread
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


def test_faust_and_aiokafka_keep_the_state_that_offsets_are_read_from() -> None:
    assert "self._consumer =" in inspect.getsource(driver.AIOKafkaConsumerThread)
    assert "self._thread = self._new_consumer_thread()" in inspect.getsource(driver.Consumer.__mro__[1])
    assert "self._subscription =" in inspect.getsource(AIOKafkaConsumer)


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
    made._acked_to, made._fetched_to = {}, {}
    made._acked = defaultdict(list)
    made._acked_index = defaultdict(set)
    made.app = SimpleNamespace(consumer_generation_id=7)
    return made


def fetch(consumer: Any, first: int, last: int) -> Fetch:
    return consumer._to_message(PARTITION, records(first, last))


def records(first: int, last: int) -> list[FakeRecord]:
    made = [FakeRecord(value=b"x", offset=offset) for offset in range(first, last + 1)]
    for record in made:
        object.__setattr__(record, "timestamp_type", 0)
    return made


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


async def hand_over(consumer: Any, monkeypatch: pytest.MonkeyPatch, first: int, last: int) -> Any:
    """What Faust gets of one fetch; nothing of it is a message yet."""
    told = records(first, last)

    async def getmany(self: Any, active_partitions: Any, timeout: float) -> Any:  # noqa: ASYNC109
        return {TopicPartition(*PARTITION): told}

    monkeypatch.setattr(driver.Consumer, "_getmany", getmany)
    return told, await consumer._getmany({PARTITION}, 1.0)


async def test_a_fetch_of_a_partition_is_one_record_to_faust(
    consumer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, fetched = await hand_over(consumer, monkeypatch, 10, 14)
    assert fetched == {PARTITION: [told]}


class Client:
    """aiokafka's consumer, as far as its memory of one assigned partition goes."""

    def __init__(self, consumer: Any) -> None:
        assignment = Assignment({TopicPartition(*PARTITION)})
        self.state = assignment.state_value(TopicPartition(*PARTITION))
        self._subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))
        consumer._thread = ReadCommittedThread.__new__(ReadCommittedThread)
        consumer._thread._consumer = self

    def at(self, position: int, *, end: int) -> None:
        self.state.seek(position)
        self.state.lso = end


async def test_offsets_are_unknown_until_a_fetch_was_answered(consumer: Any) -> None:
    client = Client(consumer)
    assert consumer.offsets() == {}
    client.state.seek(7)
    assert consumer.offsets() == {}
    client.at(7, end=9)
    assert consumer.offsets() == {PARTITION: Offsets(7, 9)}


async def test_without_a_client_or_an_assignment_there_are_no_offsets(consumer: Any) -> None:
    client = Client(consumer)
    client._subscription.subscription.assignment = None
    assert consumer.offsets() == {}
    client._subscription.subscription = None
    assert consumer.offsets() == {}
    consumer._thread._consumer = None
    assert consumer.offsets() == {}


async def test_what_is_fetched_counts_only_when_its_prefix_is_acknowledged(
    consumer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(consumer)
    told = [(await hand_over(consumer, monkeypatch, first, first + 9))[0] for first in (10, 20, 30)]
    client.at(40, end=50)
    assert consumer.offsets()[PARTITION] == Offsets(10, 50), "handed over, and no message yet"
    messages = [consumer._to_message(PARTITION, fetched) for fetched in told[:2]]
    ack(messages[1])
    assert consumer.offsets()[PARTITION] == Offsets(10, 50)
    ack(messages[0])
    assert consumer.offsets()[PARTITION] == Offsets(30, 50), "acknowledged, and not committed yet"
    assert consumer._new_offset(PARTITION) == 30
    assert consumer.offsets()[PARTITION] == Offsets(30, 50)
    ack(consumer._to_message(PARTITION, told[2]))
    assert consumer.offsets()[PARTITION] == Offsets(40, 50)


async def test_markers_of_transactions_after_the_last_record_are_no_lag(
    consumer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(consumer)
    told, _ = await hand_over(consumer, monkeypatch, 0, 9)
    client.at(11, end=11)
    message = consumer._to_message(PARTITION, told)
    assert consumer.offsets()[PARTITION].lag == 11
    ack(message)
    assert consumer.offsets()[PARTITION].lag == 0


async def test_after_a_seek_the_position_is_the_clients(
    consumer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def perform_seek(self: Any) -> None:
        client.at(5, end=10)

    client = Client(consumer)
    monkeypatch.setattr(driver.Consumer, "perform_seek", perform_seek)
    told, _ = await hand_over(consumer, monkeypatch, 0, 9)
    client.at(10, end=10)
    consumer._to_message(PARTITION, told)
    await consumer.perform_seek()
    assert consumer.offsets()[PARTITION] == Offsets(5, 10)


def test_only_committed_records_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    made = SimpleNamespace(_isolation_level="read_uncommitted")
    monkeypatch.setattr(
        driver.AIOKafkaConsumerThread, "_create_worker_consumer", lambda self, transport: made
    )
    thread = ReadCommittedThread.__new__(ReadCommittedThread)
    assert thread._create_worker_consumer(None)._isolation_level == "read_committed"


def test_the_transport_makes_our_consumer() -> None:
    assert BulkTransport.Consumer is BulkConsumer
