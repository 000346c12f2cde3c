"""The change feed and dead letters over HTTP, on real Kafka and PostgreSQL."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from app.config.settings import Settings
from app.config.topics import TopicNames
from app.core.models import Batch
from app.core.records import DeadLetter, OutgoingEvent
from app.dead_letters.sink import KafkaDeadLetters
from app.feed.log import KafkaEventLog
from app.kafka.reading import read_to_end
from cdc.events.publisher import KafkaEventSink
from tests.integration.web.serving import Served, serving
from tests.rows import edge, prop
from tests.unit.web.routes.test_events import following

pytestmark = pytest.mark.integration


@pytest.fixture
async def served(settings: Settings, topics: TopicNames) -> AsyncIterator[Served]:
    async with serving(settings) as served:
        yield served


@pytest.fixture
async def sink(settings: Settings, topics: TopicNames) -> AsyncIterator[KafkaEventSink]:
    made = KafkaEventSink(settings.kafka_brokers, topics.domain_events)
    yield made
    await made.close()


def event(
    number: int, subject: str, *, kind: str = "entity_properties_updated", **data: Any
) -> OutgoingEvent:
    return OutgoingEvent(
        key=subject.encode(),
        value=json.dumps({"n": number, "data": data}).encode(),
        headers=[("schema_version", b"v1"), ("event_type", kind.encode())],
        timestamp_ms=1_736_937_000_000 + number,
    )


async def test_no_event_is_lost_or_doubled_however_often_the_client_comes_back(
    served: Served, sink: KafkaEventSink
) -> None:
    await sink.publish([event(-1, f"user:u-{n}") for n in range(20)])  # from before
    async with following(served.client) as stream:
        last = stream.last_id
    found: list[int] = []
    for round_ in range(5):
        await sink.publish([event(round_ * 100 + n, f"user:u-{n % 20}") for n in range(100)])
        async with following(served.client, headers={"Last-Event-ID": last}) as stream:
            found += await stream.numbers(37)
            last = stream.last_id
    async with following(served.client, headers={"Last-Event-ID": last}) as stream:
        found += await stream.numbers(500 - len(found))
        await sink.publish([event(500, "user:u-1")])
        found += await stream.numbers(1)
    assert sorted(found) == list(range(501))
    for subject in range(20):
        mine = [n for n in found[:-1] if n % 100 % 20 == subject]
        assert mine == sorted(mine), "the order of one entity"


async def test_live_from_memory_and_filtered(served: Served, sink: KafkaEventSink) -> None:
    async with (
        following(served.client) as everything,
        following(served.client, "/v1/events?entity=user:u-1") as one,
        following(served.client, "/v1/events?type=entity_created") as created,
    ):
        await sink.publish(
            [
                event(1, "user:u-2"),
                event(2, "user:u-1"),
                event(3, "user:u-3", kind="entity_created"),
                event(
                    4,
                    "user:u-2",
                    kind="relationship_created",
                    target_entity_type="user",
                    target_entity_reference="u-1",
                ),
            ]
        )
        assert sorted(await everything.numbers(4)) == [1, 2, 3, 4]
        assert sorted(await one.numbers(2)) == [2, 4]
        assert await created.numbers(1) == [3]


async def test_records_of_aborted_transactions_are_not_told(
    served: Served, settings: Settings, topics: TopicNames, run_id: str
) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_brokers, transactional_id=f"t-{run_id}")
    await producer.start()
    async with following(served.client) as stream:
        last = stream.last_id
        for number in range(4):
            await producer.begin_transaction()
            await producer.send_and_wait(
                topics.domain_events,
                key=b"user:u",
                value=b'{"n": %d}' % number,
                headers=[("event_type", b"entity_created")],
                partition=0,
            )
            await (producer.abort_transaction() if number % 2 else producer.commit_transaction())
        assert await stream.numbers(2) == [0, 2]
    await producer.stop()
    # Their markers are no obstacle to whoever comes back.
    async with following(served.client, headers={"Last-Event-ID": last}) as stream:
        assert await stream.numbers(2) == [0, 2]


async def test_a_tree_is_watched_on_real_stores(served: Served, sink: KafkaEventSink, db: Any) -> None:
    await served.stores.writer.write(Batch(properties=[prop("a", "f", "1")], edges=[edge("a", "b")]))
    root = await db.fetchval("SELECT id FROM entities WHERE reference = 'a'")
    async with following(served.client, f"/v1/graph/{root}/watch") as stream:
        await sink.publish([event(1, "user:c"), event(2, "user:b")])
        assert await stream.numbers(1) == [2]
        await served.stores.writer.write(Batch(edges=[edge("b", "c")]))
        joins = {"target_entity_type": "user", "target_entity_reference": "c"}
        await sink.publish([event(3, "user:b", kind="relationship_created", **joins)])
        assert await stream.numbers(1) == [3]
        await sink.publish([event(4, "user:c"), event(5, "user:d")])
        assert await stream.numbers(1) == [4]


async def test_what_kafka_no_longer_has_is_told(
    served: Served, sink: KafkaEventSink, settings: Settings, topics: TopicNames
) -> None:
    async with following(served.client) as stream:
        last = stream.last_id
    await sink.publish([event(n, "user:u") for n in range(10)])
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_brokers)
    await admin.start()
    async with following(served.client, headers={"Last-Event-ID": last}) as stream:
        assert await stream.numbers(10) == list(range(10))
    ends = [await _end(settings, topics.domain_events, n) for n in range(settings.topic_partitions)]
    partition = ends.index(10)
    await admin.delete_records(
        {TopicPartition(topics.domain_events, partition): RecordsToDelete(before_offset=7)}
    )
    await admin.close()
    async with following(served.client, headers={"Last-Event-ID": last}) as stream:
        assert (await stream.event()).event == "gap"
        assert await stream.numbers(3) == [7, 8, 9]


async def _end(settings: Settings, topic: str, partition: int) -> int:
    async with KafkaEventLog(settings.kafka_brokers, topic) as log:
        return (await log.bounds())[partition].end


async def test_with_kafka_down_streams_are_refused_and_reads_are_not(settings: Settings) -> None:
    async with serving(settings, brokers=["127.0.0.1:1"]) as served:
        for path in ("/v1/events", "/v1/dead-letters"):
            response = await served.client.get(path)
            assert (response.status, response.content_type) == (503, "application/problem+json"), path
        assert (await served.client.get("/v1/entities")).status == 200


async def test_dead_letters_are_listed_and_replayed(
    served: Served, settings: Settings, topics: TopicNames
) -> None:
    client, topic = served.client, topics.entity_properties
    letters = KafkaDeadLetters(settings.kafka_brokers)
    await letters.publish([letter(topic, n) for n in range(5)])
    await letters.publish([letter(topics.cdc, 9, value=None)])
    await letters.remove([letter(topic, 1)])
    await letters.close()

    found: list[Any] = []
    path = "/v1/dead-letters?limit=2&payload=true"
    while path:
        response = await client.get(path)
        page = await response.json()
        assert response.status == 200, page
        assert len(page) <= 2
        found += page
        path = response.headers.get("Link", "").partition(">")[0].removeprefix("<")
    assert [each["id"] for each in found] == [f"{topic}/0/{n}" for n in (0, 2, 3, 4)] + [f"{topics.cdc}/0/9"]
    assert found[0]["payload"] == {"text": '{"n": 0}'}
    assert found[-1]["payload"] is None
    assert [
        each["id"] for each in await (await client.get(f"/v1/dead-letters?topic={topics.cdc}")).json()
    ] == [f"{topics.cdc}/0/9"]

    replay = f"/v1/dead-letters/{topic}/0/3/replay"
    assert (await client.post(replay)).status == 200
    assert (await client.post(replay)).status == 404
    assert (await client.post(f"/v1/dead-letters/{topics.cdc}/0/9/replay")).status == 409
    assert (await client.post("/v1/dead-letters/users/0/3/replay")).status == 404
    left = await (await client.get(f"/v1/dead-letters?topic={topic}")).json()
    assert [each["offset"] for each in left] == [0, 2, 4]
    records = await _records(settings, topic)
    assert [(record.key, record.value) for record in records] == [(b"user:maria", b'{"n": 3}')]


def letter(topic: str, offset: int, *, value: bytes | None = b"") -> DeadLetter:
    return DeadLetter(
        topic=topic,
        partition=0,
        offset=offset,
        timestamp_ms=1_736_937_000_123,
        key=b"user:maria",
        value=b'{"n": %d}' % offset if value == b"" else value,
        error="missing-field",
        reason="x is missing.",
    )


async def _records(settings: Settings, topic: str) -> Sequence[Any]:
    return [record async for records in read_to_end(settings.kafka_brokers, topic) for record in records]
