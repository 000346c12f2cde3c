import pytest
from msgspec.structs import replace

from app.core.errors import FatalError, TransientError
from app.core.records import OutgoingEvent
from cdc.events.publisher import KafkaEventSink
from infra.settings import InfraSettings
from tests.integration.cdc.conftest import ends, read

pytestmark = pytest.mark.integration


def event(key: str, number: int, *, size: int = 0) -> OutgoingEvent:
    return OutgoingEvent(
        key=key.encode(),
        value=f"{number}".encode().ljust(size, b" "),
        headers=[("event_type", b"entity_created"), ("schema_version", b"v1")],
        timestamp_ms=868_000_000_000 + number,
    )


async def test_events_of_one_key_keep_their_order_in_one_partition(
    kafka_stack: InfraSettings, domain_topic: str
) -> None:
    sink = KafkaEventSink([kafka_stack.kafka_broker], domain_topic)
    keys = [f"user:u-{n}" for n in range(20)]
    # Large enough that a call becomes many batches.
    for call in range(3):
        await sink.publish([event(k, call * 40 + n, size=2_000) for n in range(40) for k in keys])
    assert await ends(kafka_stack.kafka_broker, domain_topic) == 2_400, "acknowledged when it returned"
    records = await read(kafka_stack.kafka_broker, domain_topic, 2_400)
    for key in keys:
        mine = [record for record in records if record.key == key.encode()]
        assert len({record.partition for record in mine}) == 1
        assert [int(record.value) for record in mine] == list(range(120))
    assert len({record.partition for record in records}) == 3
    one = next(record for record in records if int(record.value) == 7)
    assert one.timestamp == 868_000_000_007, "the commit's time, not that of sending"
    assert dict(one.headers)["event_type"] == b"entity_created"
    await sink.close()


async def test_an_event_can_go_where_those_of_another_key_go(
    kafka_stack: InfraSettings, domain_topic: str
) -> None:
    sink = KafkaEventSink([kafka_stack.kafka_broker], domain_topic)
    for number in range(20):
        moved = replace(event(f"entity-{number}", 1), partition_key=f"user:u-{number}".encode())
        await sink.publish([event(f"user:u-{number}", 0), moved])
    places = {r.key: r.partition for r in await read(kafka_stack.kafka_broker, domain_topic, 40)}
    for number in range(20):
        assert places[f"entity-{number}".encode()] == places[f"user:u-{number}".encode()]
    assert set(places.values()) == {0, 1, 2}
    await sink.close()


async def test_a_broker_that_does_not_answer_is_transient() -> None:
    sink = KafkaEventSink(["127.0.0.1:9"], "nowhere", timeout_s=2)
    with pytest.raises(TransientError, match="did not take domain events"):
        await sink.publish([event("k", 1)])
    await sink.close()


async def test_a_topic_that_is_missing_is_transient_and_the_sink_works_after_it(
    kafka_stack: InfraSettings, domain_topic: str
) -> None:
    sink = KafkaEventSink([kafka_stack.kafka_broker], f"{domain_topic}-missing", timeout_s=2)
    with pytest.raises(TransientError):
        await sink.publish([event("k", 1)])
    sink._topic = domain_topic
    await sink.publish([event("k", 1)])
    assert await ends(kafka_stack.kafka_broker, domain_topic) == 1
    await sink.close()


async def test_an_event_that_is_refused_each_time_is_fatal(
    kafka_stack: InfraSettings, domain_topic: str
) -> None:
    sink = KafkaEventSink([kafka_stack.kafka_broker], domain_topic, max_request_bytes=10_000)
    with pytest.raises(FatalError, match=r"max\.message\.bytes"):
        await sink.publish([event("k", 1), event("k", 2, size=20_000)])
    await sink.close()


async def test_a_large_event_passes(kafka_stack: InfraSettings, domain_topic: str) -> None:
    sink = KafkaEventSink([kafka_stack.kafka_broker], domain_topic)
    await sink.publish([event("k", 1, size=8_000_000)])
    assert await ends(kafka_stack.kafka_broker, domain_topic) == 1
    await sink.close()
