import pytest
from aiokafka.errors import KafkaTimeoutError, NotLeaderForPartitionError

from app.core.errors import TransientError
from app.core.records import DeadLetter
from app.dead_letters.letter import headers_of, key_of
from app.dead_letters.sink import KafkaDeadLetters
from app.kafka import producer as durable_producer
from tests.unit.app.kafka.fake_producer import FakeProducer

LETTER = DeadLetter(
    topic="t",
    partition=3,
    offset=42,
    timestamp_ms=1_736_937_000_123,
    key=b"user:1",
    value=b"\xff{",
    error="invalid-utf8",
    reason="The record is not UTF-8: byte 0 can't be read.",
)
TOMBSTONE = DeadLetter(
    topic="t", partition=0, offset=1, timestamp_ms=5, key=None, value=None, error="tombstone", reason="None."
)


@pytest.fixture(autouse=True)
def _no_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeProducer, "made", [])
    monkeypatch.setattr(FakeProducer, "failures", [])
    monkeypatch.setattr(FakeProducer, "ends_deliveries", True)
    monkeypatch.setattr(durable_producer, "AIOKafkaProducer", FakeProducer)


def test_headers_tell_where_it_came_from_and_why() -> None:
    assert dict(headers_of(LETTER)) == {
        "dlq.topic": b"t",
        "dlq.partition": b"3",
        "dlq.offset": b"42",
        "dlq.timestamp": b"1736937000123",
        "dlq.key": b"user:1",
        "dlq.error": b"invalid-utf8",
        "dlq.reason": LETTER.reason.encode(),
    }
    assert key_of(LETTER) == b"t/3/42"


def test_a_tombstone_is_marked() -> None:
    headers = dict(headers_of(TOMBSTONE))
    assert headers["dlq.tombstone"] == b"true"
    assert "dlq.key" not in headers


async def test_the_record_passes_byte_for_byte_with_its_time() -> None:
    await KafkaDeadLetters(["b"]).publish([LETTER, TOMBSTONE])
    (producer,) = FakeProducer.made
    assert producer.options["enable_idempotence"]
    assert producer.options["acks"] == "all"
    record, tombstone = sorted(producer.records, key=lambda each: bool(each["key"] != b"t/3/42"))
    assert record["topic"] == "t.dlq"
    assert (record["value"], record["key"], record["timestamp"]) == (
        b"\xff{",
        b"t/3/42",
        1_736_937_000_123,
    )
    assert tombstone["value"] == b""


async def test_a_failed_delivery_is_transient_and_replaces_the_producer() -> None:
    sink = KafkaDeadLetters(["b"])
    FakeProducer.failures[:] = [NotLeaderForPartitionError(), KafkaTimeoutError()]
    with pytest.raises(TransientError, match="NotLeaderForPartitionError"):
        await sink.publish([LETTER, TOMBSTONE])
    await sink.publish([LETTER, TOMBSTONE])
    first, second = FakeProducer.made
    assert first.stopped
    assert len(second.sent) == 2
    await sink.close()
    assert second.stopped


async def test_without_letters_it_does_not_connect() -> None:
    await KafkaDeadLetters(["b"]).publish([])
    assert FakeProducer.made == []
