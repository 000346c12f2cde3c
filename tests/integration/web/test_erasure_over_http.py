"""Erasure as its users meet it: over HTTP, with records, dead letters and caches on real servers."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agents.entities_edges import EntitiesEdges
from agents.entity_properties import EntityProperties
from agents.temporal_data import TemporalData
from app.config.settings import Settings
from app.config.topics import TopicNames
from app.core.dates import parse, to_epoch_ms, to_text
from app.core.records import DeadLetter
from app.dead_letters.filter import LetterFilter
from app.dead_letters.policy import DeadLetterPolicy
from app.dead_letters.sink import KafkaDeadLetters
from app.dead_letters.store import DeadLetterStore
from app.erasure.guarded_sink import ErasureAwareLetters
from app.ingest.processor import IngestProcessor
from app.kafka.producer import DurableProducer, Outgoing
from app.kafka.reading import read_to_end
from tests.integration.web.serving import Client, Served, serving

pytestmark = pytest.mark.integration

HALF_AN_HOUR = timedelta(minutes=30)
MARIA = "/v1/graph/by-reference/user/maria"
SYNC = {
    "entities": [
        {"reference": "maria", "type": "user", "properties": {"email": "maria@x.com", "n": None}},
        {"reference": "jose", "type": "user", "properties": {"name": "José"}},
    ],
    "relationships": [
        {"source_reference": "jose", "target_reference": "maria", "relationship_type": "knows"},
        {"source_reference": "maria", "target_reference": "jose", "relationship_type": "knows"},
    ],
}


@pytest.fixture
async def served(settings: Settings) -> AsyncIterator[Served]:
    async with serving(settings) as served:
        yield served


@pytest.fixture
async def letters(settings: Settings) -> AsyncIterator[KafkaDeadLetters]:
    made = KafkaDeadLetters(settings.kafka_brokers)
    yield made
    await made.close()


async def body(response: Any, status: int = 200) -> Any:
    assert response.status == status, await response.text()
    return await response.json(content_type=None)


async def tree(client: Client, path: str, status: int = 200) -> Any:
    return await body(await client.get(path), status)


class Record:
    """As a consumer gives it."""

    def __init__(self, topic: str, value: Any, told_at: datetime, offset: int = 0) -> None:
        self.topic, self.partition, self.offset = topic, 0, offset
        self.timestamp = to_epoch_ms(told_at)
        self.key = b"user:maria"
        self.value = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.headers: list[tuple[str, bytes]] = []


def letter(topic: str, offset: int, value: Any, *, key: bytes | None = None) -> DeadLetter:
    return DeadLetter(
        topic=topic,
        partition=0,
        offset=offset,
        timestamp_ms=to_epoch_ms(datetime.now(UTC) - timedelta(hours=1)),
        key=key,
        value=value if isinstance(value, bytes) else json.dumps(value).encode(),
        error="missing-field",
        reason="x is missing.",
    )


async def ids(settings: Settings, *topics: str) -> list[str]:
    async with DeadLetterStore(settings.kafka_brokers, topics) as store:
        selection = await store.select(LetterFilter())
        return [found.id async for found in store.read(selection)]


async def all_of(settings: Settings, topic: str) -> list[Any]:
    """The records of a topic, as a consumer gives them."""
    return [record async for fetched in read_to_end(settings.kafka, topic) for record in fetched]


async def swept_receipt(client: Client, path: str) -> Any:
    """The receipt once the letters were seen to, which on a busy machine is after the first answer."""
    async with asyncio.timeout(60):
        while True:
            receipt = await body(await client.delete(path))
            if receipt["dead_letters"]["state"] == "removed":
                return receipt
            await asyncio.sleep(0.2)


async def test_the_entity_its_neighbours_and_look_ups_are_gone_before_the_answer(
    served: Served, topics: TopicNames
) -> None:
    client = served.client
    await body(await client.post("/v1/graph/sync", json=SYNC), 202)
    for _ in range(2):  # into the caches
        assert len((await tree(client, "/v1/graph/by-reference/user/jose"))["edges"]) == 1
        (found,) = await tree(client, "/v1/graph/by-property/email/value/maria@x.com")
        maria = await tree(client, MARIA)

    response = await client.delete(f"/v1/graph/{maria['id']}")
    receipt = await body(response)
    assert receipt["removed"] == {"entities": 1, "properties": 2, "relationships": 2, "temporal_points": 0}
    assert (receipt["caches"], receipt["dead_letters"]["state"]) == ("invalidated", "removed")
    token = {"Consistency-Token": response.headers["Consistency-Token"]}
    assert (await client.get(MARIA, headers=token)).status == 404
    await tree(client, MARIA, 404)
    await tree(client, f"/v1/graph/{maria['id']}", 404)
    await tree(client, f"/v1/graph/{maria['id']}/export", 404)
    assert await tree(client, "/v1/graph/by-property/email/value/maria@x.com") == []
    assert (await tree(client, "/v1/graph/by-reference/user/jose"))["edges"] == []
    assert found["id"] == maria["id"]

    assert await body(await client.delete(f"/v1/graph/{maria['id']}")) == receipt
    assert await body(await client.delete(MARIA)) == receipt
    await body(await client.delete("/v1/graph/by-reference/user/nobody"), 404)

    # What is told now is another beginning, and its end is another erasure.
    await body(await client.post("/v1/graph/sync", json=SYNC), 202)
    anew = await tree(client, MARIA)
    assert anew["id"] != maria["id"]
    again = await body(await client.delete(MARIA))
    assert (again["ledger_id"], again["removed"]) == (receipt["ledger_id"], receipt["removed"])
    assert again["erased_at"] > receipt["erased_at"]


async def test_records_from_before_do_not_bring_it_back_and_later_ones_do(
    served: Served, settings: Settings, topics: TopicNames, letters: KafkaDeadLetters, db: Any
) -> None:
    client = served.client
    await body(await client.post("/v1/graph/sync", json=SYNC), 202)
    receipt = await body(await client.delete(MARIA))
    erased_at = parse(receipt["erased_at"], field="erased_at")

    sink = ErasureAwareLetters(letters, served.stores.erasures)
    policy = DeadLetterPolicy(max_ratio=1.0, min_records=1_000, max_run=1_000)
    properties = IngestProcessor(EntityProperties(settings), served.stores.writer, sink, policy)
    edges = IngestProcessor(EntitiesEdges(settings), served.stores.writer, sink, policy)

    async def tell(told_at: datetime, offset: int) -> None:
        field = {
            "entity_reference": "maria",
            "entity_type": "user",
            "field_name": "email",
            "field_value": "maria@x.com",
            "reference_date": to_text(erased_at + timedelta(hours=1)),
        }
        await properties.process([Record(topics.entity_properties, field, told_at, offset)])
        knows = {"entity_reference": "maria", "entity_type": "user", "relation_type": "knows"}
        jose = {"reference": "jose", "type": "user", "edges": [knows]}
        await edges.process([Record(topics.entities_edges, jose, told_at, offset)])
        # What can't be read becomes a letter, and is no less about her.
        await properties.process([Record(topics.entity_properties, b"{broken", told_at, offset + 1)])

    await tell(erased_at - timedelta(milliseconds=1), 10)
    await tree(client, MARIA, 404)
    assert await db.fetchval("SELECT count(*) FROM edges") == 0
    assert await ids(settings, topics.entity_properties) == []

    await tell(erased_at + timedelta(milliseconds=1), 20)
    assert (await tree(client, MARIA))["properties"]["email"]["value"] == "maria@x.com"
    assert await db.fetchval("SELECT count(*) FROM edges") == 1
    assert await ids(settings, topics.entity_properties) == [f"{topics.entity_properties}/0/21"]


async def test_records_from_before_that_are_stamped_ahead_do_not_bring_it_back(
    served: Served, settings: Settings, topics: TopicNames, letters: KafkaDeadLetters, db: Any
) -> None:
    """All three topics, on their real logs; the same record told again after the answer comes in."""
    client = served.client
    point = {
        "entity_reference": "maria",
        "entity_type": "user",
        "property_type": "visits",
        "property_value": 1,
        "property_reference_date": "2025-01-01T00:00:00Z",
        "property_granularity": "day",
    }
    field = {
        "entity_reference": "maria",
        "entity_type": "user",
        "field_name": "email",
        "field_value": "m",
        "reference_date": "2025-01-01T00:00:00Z",
    }
    knows = {"entity_reference": "maria", "entity_type": "user", "relation_type": "knows"}
    bodies = {
        topics.temporal_data: (TemporalData, point),
        topics.entity_properties: (EntityProperties, field),
        topics.entities_edges: (EntitiesEdges, {"reference": "jose", "type": "user", "edges": [knows]}),
    }
    sink = ErasureAwareLetters(letters, served.stores.erasures)
    policy = DeadLetterPolicy(max_ratio=1.0, min_records=1_000, max_run=1_000)
    producer = DurableProducer(settings.kafka_brokers)

    async def produce(topic: str, value: Any, told_at: datetime) -> None:
        data = json.dumps(value).encode()
        await producer.publish([Outgoing(topic, b"user:maria", data, [], to_epoch_ms(told_at))])

    async def read_again() -> None:
        for topic, (decoder, _) in bodies.items():
            processor = IngestProcessor(decoder(settings), served.stores.writer, sink, policy)
            await processor.process(await all_of(settings, topic))

    try:
        await body(await client.post("/v1/graph/sync", json=SYNC), 202)
        for minutes, (topic, (_, value)) in enumerate(bodies.items(), start=1):
            await produce(topic, value, datetime.now(UTC) + timedelta(minutes=19 * minutes))
        await produce(
            topics.entity_properties, {"entity_reference": "maria"}, datetime.now(UTC) + HALF_AN_HOUR
        )
        await read_again()
        receipt = await swept_receipt(client, MARIA)
        assert receipt["dead_letters"]["removed"] == 1, "its letter is stamped ahead too"
        await read_again()
        await tree(client, MARIA, 404)
        assert await db.fetchval("SELECT count(*) FROM edges") == 0
        assert await ids(settings, topics.entity_properties) == []

        await asyncio.sleep(0.01)  # another millisecond, which is what timestamps are counted in
        for topic, (_, value) in bodies.items():
            await produce(topic, value, datetime.now(UTC))
        await read_again()
        told = await tree(client, MARIA)
        assert (set(told["properties"]), set(told["temporal_data"])) == ({"email"}, {"visits"})
        assert await db.fetchval("SELECT count(*) FROM edges") == 1
    finally:
        await producer.close()


async def test_a_relationship_that_was_told_ahead_of_its_removal_stays_removed(
    served: Served, settings: Settings, topics: TopicNames, letters: KafkaDeadLetters
) -> None:
    client = served.client
    knows = {"entity_reference": "maria", "entity_type": "user", "relation_type": "knows"}
    data = json.dumps({"reference": "jose", "type": "user", "edges": [knows]}).encode()
    policy = DeadLetterPolicy(max_ratio=1.0, min_records=1_000, max_run=1_000)
    processor = IngestProcessor(EntitiesEdges(settings), served.stores.writer, letters, policy)
    producer = DurableProducer(settings.kafka_brokers)

    async def produce(told_at: datetime) -> None:
        await producer.publish(
            [Outgoing(topics.entities_edges, b"user:jose", data, [], to_epoch_ms(told_at))]
        )

    async def edges() -> int:
        await processor.process(await all_of(settings, topics.entities_edges))
        return len((await tree(client, "/v1/graph/by-reference/user/jose"))["edges"])

    removal = {"source_reference": "jose", "target_reference": "maria", "relationship_type": "knows"}
    try:
        await produce(datetime.now(UTC) + HALF_AN_HOUR)
        assert await edges() == 1
        await body(await client.post("/v1/graph/sync", json={"removed_relationships": [removal]}), 202)
        assert await edges() == 0
        await asyncio.sleep(0.01)
        await produce(datetime.now(UTC))
        assert await edges() == 1, "told again after the removal, though an older record is stamped later"
    finally:
        await producer.close()


async def test_dead_letters_about_it_are_removed_and_those_of_others_stay(
    served: Served, settings: Settings, topics: TopicNames, letters: KafkaDeadLetters
) -> None:
    client = served.client
    await body(await client.post("/v1/graph/sync", json=SYNC), 202)
    maria = await tree(client, MARIA)
    edges, properties, source, cdc = (
        topics.entities_edges,
        topics.entity_properties,
        topics.sources[1],
        topics.cdc,
    )
    about = {"entity_reference": "maria", "entity_type": "user"}
    published = [
        letter(properties, 1, about),
        letter(properties, 2, {"entity_reference": "maria", "entity_type": "device"}),
        letter(properties, 3, b"{", key=b"user:maria"),
        letter(properties, 4, b"{", key=b"user:jose"),
        letter(edges, 1, {"reference": "jose", "type": "user", "edges": [about]}),
        letter(edges, 2, {"reference": "jose", "type": "user", "edges": []}),
        letter(source, 1, {"owner": {"customerId": "maria"}}),
        letter(source, 2, {"owner": {"customerId": "jose"}}),
        letter(cdc, 1, {"after": {"left_entity_id": maria["id"]}}),
        letter(cdc, 2, {"after": {"left_entity_id": maria["id"] + 1_000}}),
    ]
    for each in published:
        await letters.publish([each])
    receipt = await body(await client.delete(MARIA))
    assert (receipt["dead_letters"]["state"], receipt["dead_letters"]["removed"]) == ("removed", 5)
    assert await ids(settings, edges, properties, source, cdc) == [
        f"{edges}/0/2",
        f"{properties}/0/2",
        f"{properties}/0/4",
        f"{source}/0/2",
        f"{cdc}/0/2",
    ]


async def test_letters_that_name_it_in_any_way_go_and_a_thousand_about_others_stay(
    served: Served, settings: Settings, topics: TopicNames, letters: KafkaDeadLetters
) -> None:
    client = served.client
    one = {"entities": [{"reference": "1", "type": "user", "properties": {"n": 1}}]}
    await body(await client.post("/v1/graph/sync", json=one), 202)
    metrics, crm = topics.sources[4], topics.sources[2]
    about = [
        letter(metrics, 1, {"subject": "user/1", "metric": "m", "revision": 1}),
        letter(crm, 1, {"Customer": {"ExternalRef": 1}}),
        letter(crm, 2, '{"user_id": "1", "name": "José"}'.encode("latin-1")),
        letter(topics.entity_properties, 1, {"entity_reference": "1", "entity_type": None}),
        letter(topics.entities_edges, 1, {"payload": json.dumps({"entityReference": "1"})}),
    ]
    of_others = [
        letter(
            topics.entity_properties,
            number,
            {"entity_reference": str(number), "entity_type": "user", "field_value": 1, "id": 1},
            key=f"user:{number}".encode(),
        )
        for number in range(10, 1_010)
    ]
    for each in about:
        await letters.publish([each])
    await letters.publish(of_others)
    receipt = await swept_receipt(client, "/v1/graph/by-reference/user/1")
    assert receipt["dead_letters"]["removed"] == 5
    assert await ids(settings, metrics, crm, topics.entities_edges) == []
    assert len(await ids(settings, topics.entity_properties)) == 1_000
    (left,) = [each for each in receipt["not_reached"] if each["what"] == "dead_letters"]
    assert left["note"].startswith("1000 dead letters")

    # Another program writes later, about a record from before.
    await letters.publish([letter(crm, 3, {"Customer": {"ExternalRef": "1"}})])
    async with asyncio.timeout(30):
        while await ids(settings, crm):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        removed = 0
        while removed < 6:
            again = await body(await client.delete("/v1/graph/by-reference/user/1"))
            removed = again["dead_letters"]["removed"]
    assert removed == 6


async def test_receipts_of_erasures_within_a_second_count_their_letters(
    served: Served, topics: TopicNames, letters: KafkaDeadLetters
) -> None:
    client = served.client
    people = [f"person-{number}" for number in range(12)]
    told = {"entities": [{"reference": each, "type": "user", "properties": {}} for each in people]}
    await body(await client.post("/v1/graph/sync", json=told), 202)
    for at, person in enumerate(people):
        await letters.publish(
            [letter(topics.sources[1], 10 * at + n, {"customerId": person}) for n in range(at)]
        )

    async def erased(person: str) -> int:
        receipt = await swept_receipt(client, f"/v1/graph/by-reference/user/{person}")
        return int(receipt["dead_letters"]["removed"])

    assert await asyncio.gather(*map(erased, people)) == list(range(12))


async def test_with_kafka_down_it_is_erased_and_the_letters_are_removed_later(
    settings: Settings, topics: TopicNames, letters: KafkaDeadLetters
) -> None:
    await letters.publish([letter(topics.entity_properties, 1, b"{", key=b"user:maria")])
    async with serving(settings, brokers=["127.0.0.1:1"]) as served:
        await body(await served.client.post("/v1/graph/sync", json=SYNC), 202)
        receipt = await body(await served.client.delete(MARIA))
        assert receipt["dead_letters"] == {"state": "pending", "removed": 0, "checked_at": None}
        await tree(served.client, MARIA, 404)
    assert await ids(settings, topics.entity_properties) != []

    # Another process, or the same one after the outage: the ledger says what is due.
    async with serving(settings) as served, asyncio.timeout(60):
        while await ids(settings, topics.entity_properties):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        receipt = await body(await served.client.delete(MARIA))
    assert (receipt["dead_letters"]["state"], receipt["dead_letters"]["removed"]) == ("removed", 1)


async def test_what_is_written_after_an_erasure_comes_in_though_the_clock_went_back(
    served: Served, db: Any
) -> None:
    """As after a promotion of a server whose clock is behind."""
    client = served.client
    await body(await client.post("/v1/graph/sync", json=SYNC), 202)
    ahead = datetime.now(UTC) + timedelta(minutes=10)
    await db.execute("UPDATE writers_clock SET latest = $1", ahead)
    receipt = await body(await client.delete(MARIA))
    assert parse(receipt["erased_at"], field="erased_at") > ahead
    answer = await body(await client.post("/v1/graph/sync", json=SYNC), 202)
    assert "ignored" not in answer
    assert len((await tree(client, MARIA))["edges"]) == 1
    again = await body(await client.delete(MARIA))
    assert again["erased_at"] > receipt["erased_at"]

    await body(await client.post("/v1/graph/sync", json=SYNC), 202)
    knows = {"source_reference": "jose", "target_reference": "maria", "relationship_type": "knows"}
    await body(await client.post("/v1/graph/sync", json={"removed_relationships": [knows]}), 202)
    await body(await client.post("/v1/graph/sync", json={"relationships": [knows]}), 202)
    assert len((await tree(client, "/v1/graph/by-reference/user/jose"))["edges"]) == 1


async def test_a_write_that_is_older_says_so(served: Served) -> None:
    client = served.client
    await body(await client.post("/v1/graph/sync", json=SYNC), 202)
    old = {"reference": "maria", "type": "user", "reference_date": "2020-01-01", "properties": {"email": "x"}}
    answer = await body(await client.post("/v1/graph/sync", json={"entities": [old]}), 202)
    assert answer["ignored"] == [
        {"kind": "property", "type": "user", "reference": "maria", "field": "email", "reason": "older"}
    ]
    point = {
        "entity_reference": "maria",
        "entity_type": "user",
        "key": "k",
        "granularity": "day",
        "reference_date": "2025-01-01",
        "value": 1,
    }
    for value, ignored in ((1, 0), (1, 0), (0, 1)):
        points = {"data_points": [{**point, "value": value}]}
        answer = await body(await client.post("/v1/temporal/ingest", json=points), 202)
        assert len(answer.get("ignored", [])) == ignored


async def test_removals_over_http(served: Served) -> None:
    client = served.client
    await body(await client.post("/v1/graph/sync", json=SYNC), 202)
    removal = {
        "removed_relationships": [
            {"source_reference": "jose", "target_reference": "maria", "relationship_type": "knows"}
        ],
        "removed_properties": [
            {"reference": "maria", "type": "user", "field": "email"},
            {"reference": "jose", "type": "user", "field": "name", "reference_date": "2020-01-01"},
        ],
    }
    would = await body(await client.post("/v1/graph/sync?dry_run=true", json=removal))
    assert [(item["kind"], item.get("field")) for item in would["removed"]] == [
        ("property", "email"),
        ("relationship", None),
    ]
    assert would["removed"][0]["old"]["value"] == "maria@x.com"
    assert would["removed"][0]["new"]["removed"] is True
    assert [(item["field"], item["reason"]) for item in would["unchanged"]] == [("name", "older")]

    await body(await client.post("/v1/graph/sync", json=removal), 202)
    maria = await tree(client, MARIA)
    assert set(maria["properties"]) == {"n"}
    assert maria["properties"]["n"]["value"] is None
    assert (await tree(client, "/v1/graph/by-reference/user/jose"))["edges"] == []
    assert await tree(client, "/v1/graph/by-property/email/value/maria@x.com") == []
    listed = {item["reference"]: item for item in await tree(client, "/v1/entities?type=user")}
    assert set(listed["maria"]["properties"]) == {"n"}

    both = {**SYNC, "removed_relationships": removal["removed_relationships"]}
    refused = await body(await client.post("/v1/graph/sync", json=both), 422)
    assert (refused["code"], refused["field"]) == ("contradiction", "removed_relationships[0]")

    await body(await client.post("/v1/graph/sync", json=SYNC), 202)
    assert set((await tree(client, MARIA))["properties"]) == {"email", "n"}
    assert len((await tree(client, "/v1/graph/by-reference/user/jose"))["edges"]) == 1


async def test_a_hub_is_gone_with_the_answer_and_its_rows_in_pieces(settings: Settings, db: Any) -> None:
    small = settings.model_copy(update={"erasure_piece_rows": 50, "erasure_rows_per_s": 1_000_000})
    edges = [
        {"source_reference": "maria", "target_reference": f"n{n}", "relationship_type": "knows"}
        for n in range(1_000)
    ]
    names = ["maria", *(f"n{n}" for n in range(1_000))]
    entities = [{"reference": name, "type": "user"} for name in names]
    async with serving(small) as served:
        client = served.client
        await body(await client.post("/v1/graph/sync", json={"entities": entities}), 202)
        await body(await client.post("/v1/graph/sync", json={"relationships": edges}), 202)
        back = [{**edges[0], "source_reference": "n0", "target_reference": "maria"}]
        await body(await client.post("/v1/graph/sync", json={"relationships": back}), 202)
        neighbour = "/v1/graph/by-reference/user/n0"
        assert len((await tree(client, neighbour))["edges"]) == 1
        response = await client.delete(MARIA)
        receipt = await body(response, 202)
        where = response.headers["Location"]
        assert (receipt["state"], receipt["progress"]) == (
            "deleting",
            {"rows_deleted": 0, "rows_total": None},
        )
        assert await db.fetchval("SELECT count(*) FROM edges") == 1_001
        assert (await tree(client, neighbour))["edges"] == []
        await tree(client, MARIA, 404)
        assert await served.stores.deletions.piece()
        for answer in (await client.delete(MARIA), await client.get(where)):
            told = await body(answer, 202)
            assert told["progress"] == {"rows_deleted": 50, "rows_total": 1_001}
            assert told["removed"]["relationships"] == 50
        while await served.stores.deletions.piece():
            pass
        for answer in (await client.delete(MARIA), await client.get(where)):
            told = await body(answer)
            assert (told["state"], told["removed"]["relationships"]) == ("deleted", 1_001)
            assert told["ledger_id"] == receipt["ledger_id"]
        assert await db.fetchval("SELECT count(*) FROM edges") == 0
