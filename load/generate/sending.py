"""Messages to one topic of Kafka, with a progress bar."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from tqdm import tqdm

from app.kafka.client import client_options
from load.errors import LoadError

_IN_FLIGHT = 5_000


class Message(NamedTuple):
    """One record; the timestamp is the event's time, in milliseconds since 1970."""

    key: bytes
    value: bytes
    timestamp_ms: int


async def send(brokers: Sequence[str], topic: str, messages: Iterable[Message], *, total: int) -> int:
    """Send all in order for each key; returns their number when the broker has acknowledged all.

    The topic has to exist, since Kafka would make it with one partition. Raises LoadError.
    """
    sent = 0
    try:
        await _require_topic(brokers, topic)
        producer = AIOKafkaProducer(
            **client_options(brokers), enable_idempotence=True, linger_ms=20, compression_type="lz4"
        )
        await producer.start()
        try:
            pending = []
            with tqdm(total=total, desc=topic, unit="msg", unit_scale=True, mininterval=0.5) as bar:
                for message in messages:
                    pending.append(
                        await producer.send(
                            topic, message.value, key=message.key, timestamp_ms=message.timestamp_ms
                        )
                    )
                    if len(pending) >= _IN_FLIGHT:
                        sent += await _settle(pending, bar)
                sent += await _settle(pending, bar)
        finally:
            await producer.stop()
    except KafkaError as error:
        raise LoadError(
            f"Kafka at {', '.join(brokers)} took {sent:,} messages, then: {error}; "
            "see that it runs with `make status`, or set PROFILE_KAFKA_BROKERS."
        ) from None
    return sent


async def _settle(pending: list, bar: tqdm) -> int:  # type: ignore[type-arg]
    for delivery in pending:
        await delivery
    count = len(pending)
    pending.clear()
    bar.update(count)
    return count


async def _require_topic(brokers: Sequence[str], topic: str) -> None:
    admin = AIOKafkaAdminClient(**client_options(brokers))
    await admin.start()
    try:
        if topic not in await admin.list_topics():
            raise LoadError(f"The topic {topic} does not exist; `make up` creates the topics.")
    finally:
        await admin.close()
