"""When a call may return, and what becomes of the producer after a failure."""

import asyncio
from collections import defaultdict
from typing import Any

import pytest
from aiokafka.errors import KafkaTimeoutError, MessageSizeTooLargeError, OutOfOrderSequenceNumber

from app.core.errors import FatalError, TransientError
from app.core.records import OutgoingEvent, PublishedNote
from app.kafka import producer as durable_producer
from cdc.events.publisher import KafkaEventSink
from tests.unit.app.kafka.fake_producer import FakeProducer
from tests.unit.cdc.fakes import FakeHooks

EVENTS = [
    OutgoingEvent(key=b"user:u", value=str(number).encode(), headers=[], timestamp_ms=number)
    for number in range(3)
]


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> KafkaEventSink:
    monkeypatch.setattr(FakeProducer, "made", [])
    monkeypatch.setattr(durable_producer, "AIOKafkaProducer", FakeProducer)
    return KafkaEventSink(["broker"], "events")


async def started(sink: KafkaEventSink) -> "tuple[asyncio.Task[None], FakeProducer]":
    """A call that has sent everything and waits, and the producer that was made for it."""
    made = len(FakeProducer.made)
    call = asyncio.create_task(sink.publish(EVENTS))
    async with asyncio.timeout(1):
        while len(FakeProducer.made) == made or len(FakeProducer.made[-1].deliveries) < len(EVENTS):  # noqa: ASYNC110
            await asyncio.sleep(0)
    return call, FakeProducer.made[-1]


async def test_a_call_returns_when_the_last_event_is_acknowledged(sink: KafkaEventSink) -> None:
    call, producer = await started(sink)
    assert producer.sent == [b"0", b"1", b"2"]
    for delivery in producer.deliveries[:-1]:
        delivery.set_result(None)
    await asyncio.sleep(0.02)
    assert not call.done()
    producer.deliveries[-1].set_result(None)
    await call
    assert (producer.options["acks"], producer.options["enable_idempotence"]) == ("all", True)


@pytest.mark.parametrize("error", [KafkaTimeoutError(), OutOfOrderSequenceNumber()])
async def test_one_failed_delivery_fails_the_call_and_replaces_the_producer(
    sink: KafkaEventSink, error: Exception
) -> None:
    call, producer = await started(sink)
    producer.deliveries[0].set_result(None)
    producer.deliveries[1].set_exception(error)
    await asyncio.sleep(0.02)
    assert not call.done(), "the rest is awaited, so that a repetition comes after it"
    producer.deliveries[2].set_result(None)
    with pytest.raises(TransientError):
        await call
    assert producer.stopped
    again, second = await started(sink)
    assert second is not producer
    for delivery in second.deliveries:
        delivery.set_result(None)
    await again


async def test_a_refusal_for_size_is_fatal(sink: KafkaEventSink) -> None:
    call, producer = await started(sink)
    for delivery in producer.deliveries:
        delivery.set_exception(MessageSizeTooLargeError())
    with pytest.raises(FatalError):
        await call


async def test_an_event_beyond_the_limit_of_a_request_is_fatal_before_it_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FakeProducer, "made", [])
    monkeypatch.setattr(durable_producer, "AIOKafkaProducer", FakeProducer)
    sink = KafkaEventSink(["broker"], "events", max_request_bytes=1_000)
    with pytest.raises(FatalError):
        await sink.publish([OutgoingEvent(key=b"k", value=bytes(1_001), headers=[], timestamp_ms=0)])
    assert FakeProducer.made[-1].sent == []


async def test_calls_wait_for_each_other(sink: KafkaEventSink) -> None:
    first, producer = await started(sink)
    second = asyncio.create_task(sink.publish(EVENTS))
    await asyncio.sleep(0.02)
    assert len(producer.sent) == 3
    for delivery in producer.deliveries:
        delivery.set_result(None)
    await first
    await asyncio.sleep(0.02)
    assert len(producer.sent) == 6
    for delivery in producer.deliveries[3:]:
        delivery.set_result(None)
    await second


async def test_a_worker_can_be_killed_when_half_of_the_events_are_acknowledged(sink: KafkaEventSink) -> None:
    hooks = FakeHooks(lambda: list(FakeProducer.made[-1].sent))
    sink._hooks = hooks
    call = asyncio.create_task(sink.publish(EVENTS))
    async with asyncio.timeout(1):
        while not call.done():
            await asyncio.sleep(0)
            for delivery in FakeProducer.made[-1].deliveries if FakeProducer.made else []:
                if not delivery.done():
                    assert not hooks.reached or len(FakeProducer.made[-1].sent) > 1
                    delivery.set_result(None)
    assert hooks.reached == [("mid-publish", [b"0"])]
    assert FakeProducer.made[-1].sent == [b"0", b"1", b"2"]


async def test_the_notes_of_a_key_go_to_one_partition_and_those_of_many_to_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    places: dict[bytes, set[int]] = defaultdict(set)

    class Producer(FakeProducer):
        async def send_batch(self, batch: Any, topic: str, *, partition: int) -> "asyncio.Future[None]":
            places[batch.records[0]["key"]].add(partition)
            return await super().send_batch(batch, topic, partition=partition)

    monkeypatch.setattr(Producer, "ends_deliveries", True)
    monkeypatch.setattr(durable_producer, "AIOKafkaProducer", Producer)
    notes = [PublishedNote(b"entity/%d" % number, b"{}") for number in range(100)]
    for process in (
        KafkaEventSink(["broker"], "events", "notes"),
        KafkaEventSink(["broker"], "events", "notes"),
    ):
        await process.publish([], notes)
    assert all(len(found) == 1 for found in places.values())
    assert set.union(*places.values()) == {0, 1}
