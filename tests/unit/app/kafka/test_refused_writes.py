"""What aiokafka's sender says of a broker that refuses is heard, by its own code; and a call to a silent one ends."""

import asyncio
import inspect
import logging

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import NotEnoughReplicasError
from aiokafka.producer import sender
from aiokafka.structs import TopicPartition

from app.kafka import producer as producers
from app.kafka.producer import DurableProducer, Outgoing
from app.kafka.refused_writes import REFUSED, NotTakenError, RefusedWrites, why
from tests.unit.app.kafka.fake_producer import FakeProducer

RECORDS = [Outgoing("t", b"k", b"v", [], None)]


def refuse(topic: str) -> None:
    sender.log.warning(
        "Got error produce response on topic-partition %s, retrying. Error: %s",
        TopicPartition(topic, 0),
        NotEnoughReplicasError,
    )


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> type[FakeProducer]:
    monkeypatch.setattr(producers, "AIOKafkaProducer", FakeProducer)
    monkeypatch.setattr(producers, "_LOOK_S", 0.01)
    FakeProducer.made.clear()
    return FakeProducer


def test_the_text_is_that_of_the_pinned_client() -> None:
    source = inspect.getsource(sender.SendProduceReqHandler.handle_response)
    assert '"Got error produce response on topic-partition"' in source
    assert '" %s, retrying. Error: %s"' in source
    assert "self._sender = Sender(" in inspect.getsource(AIOKafkaProducer.__init__)
    assert sender.log.name == "aiokafka.producer.sender"


def test_a_refusal_is_known_by_its_topic_and_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(100):
        refuse("refused-once")
    sender.log.warning("Got error produce response: %s", "another line")
    assert len(caplog.records) == 2
    assert REFUSED.since({"refused-once", "other"}, 0) == "refused-once (NotEnoughReplicasError)"
    assert REFUSED.since({"other"}, 0) is None
    assert REFUSED.since({"refused-once"}, float("inf")) is None


def test_what_is_kept_is_bounded() -> None:
    kept = RefusedWrites()
    for number in range(2_000):
        record = logging.LogRecord(
            "x", logging.WARNING, "", 0,
            "Got error produce response on topic-partition %s, retrying. Error: %s",
            (TopicPartition(f"t{number}", 0), "text"), None,
        )  # fmt: skip
        kept.filter(record)
    assert len(kept._latest) <= 1_000


async def test_a_call_ends_with_the_reason_and_the_producer_is_replaced(
    waiting: type[FakeProducer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producers, "_REFUSED_S", 0.1)
    made = DurableProducer(["b"], timeout_s=30)
    publishing = asyncio.create_task(made.publish(RECORDS))
    while not publishing.done():
        refuse("t")
        await asyncio.sleep(0.01)
    with pytest.raises(NotTakenError) as ended:
        await publishing
    assert why(ended.value) == "the broker refuses writes for now: t (NotEnoughReplicasError)"
    (first,) = waiting.made
    assert first.stopped
    assert all(delivery.cancelled() for delivery in first.deliveries), "else it would be sent later"


async def test_a_silent_broker_is_given_up_after_the_time_out(waiting: type[FakeProducer]) -> None:
    made = DurableProducer(["b"], timeout_s=0.1)
    with pytest.raises(NotTakenError, match=r"the broker took nothing for 0\.1 s"):
        await made.publish([Outgoing("silent", b"k", b"v", [], None)])
    assert waiting.made[0].stopped


async def test_one_that_does_not_stop_is_ended(
    waiting: type[FakeProducer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last request may be held back by the broker until it times out."""
    monkeypatch.setattr(producers, "_GIVEN_UP_S", 0.05)
    made = DurableProducer(["b"], timeout_s=0.1)
    publishing = asyncio.create_task(made.publish([Outgoing("silent", b"k", b"v", [], None)]))
    while not waiting.made or not waiting.made[0].deliveries:  # noqa: ASYNC110
        await asyncio.sleep(0)
    waiting.made[0].hangs = True
    with pytest.raises(NotTakenError):
        await publishing
    assert waiting.made[0].client.closed
    assert waiting.made[0]._sender.closed, "else it sends what is old when it is allowed to"


def test_other_failures_are_told_by_their_type() -> None:
    assert why(ValueError("a record's text")) == "ValueError"
