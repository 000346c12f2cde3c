"""`python -m app dlq …` on a real broker."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaTimeoutError, MessageSizeTooLargeError

from agents.entity_properties import EntityProperties
from app.__main__ import main
from app.config.settings import Settings
from app.config.topics import DLQ_SUFFIX, TopicNames
from app.core.errors import TransientError
from app.core.records import DeadLetter
from app.dead_letters.filter import LetterFilter
from app.dead_letters.policy import DeadLetterPolicy
from app.dead_letters.sink import KafkaDeadLetters
from app.dead_letters.store import DeadLetterStore
from app.ingest.processor import IngestProcessor
from app.kafka.producer import DurableProducer, Outgoing
from storage.stores import Stores

pytestmark = pytest.mark.integration

AT = 1_736_937_000_123  # 2025-01-15T10:30:00.123Z
Records = list[ConsumerRecord[bytes, bytes]]


@pytest.fixture
def dlq(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> "Dlq":
    monkeypatch.setenv("PROFILE_KAFKA_BROKERS", ",".join(settings.kafka_brokers))
    monkeypatch.setenv("PROFILE_TOPIC_PREFIX", settings.topic_prefix)
    return Dlq(capsys)


class Dlq:
    """The commands, as a person calls them; `out` and `err` are what the latest one said."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out: list[str] = []
        self.err = ""

    async def __call__(self, *arguments: str) -> int:
        code = await asyncio.to_thread(main, ["dlq", *arguments])
        told = self._capsys.readouterr()
        self.out, self.err = told.out.splitlines(), told.err
        return code

    async def ids(self, *arguments: str) -> list[str]:
        assert await self("list", *arguments) == 0
        return [line.split("\t")[0] for line in self.out]


@pytest.fixture
async def producer(settings: Settings) -> AsyncIterator[DurableProducer]:
    made = DurableProducer(settings.kafka_brokers)
    yield made
    await made.close()


@pytest.fixture
async def sink(settings: Settings) -> AsyncIterator[KafkaDeadLetters]:
    made = KafkaDeadLetters(settings.kafka_brokers)
    yield made
    await made.close()


def letter(topic: str, offset: int, **told: Any) -> DeadLetter:
    told = {
        "key": b"k",
        "value": b'{"secret": 1}',
        "error": "missing-field",
        "reason": "id is missing.",
    } | told
    return DeadLetter(
        topic=topic, partition=0, offset=offset, timestamp_ms=told.pop("timestamp_ms", AT), **told
    )


async def read(settings: Settings, topic: str) -> Records:
    """All records of a topic, in the order of each partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka_brokers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        count = 1 if topic.endswith(DLQ_SUFFIX) else settings.topic_partitions
        partitions = [TopicPartition(topic, n) for n in range(count)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found: Records = []
        while any([await consumer.position(p) < end for p, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += records
        return found
    finally:
        await consumer.stop()


async def test_letters_are_listed_by_topic_error_time_and_key(
    topics: TopicNames, sink: KafkaDeadLetters, dlq: Dlq
) -> None:
    edges, properties = topics.entities_edges, topics.entity_properties
    await sink.publish(
        [
            letter(edges, 0, key=b"user:1"),
            letter(edges, 1, key=b"user:2", error="invalid-json", reason="The record is not JSON."),
            letter(edges, 2, key=None, value=None, error="tombstone", timestamp_ms=AT + 86_400_000),
        ]
    )
    await sink.publish([letter(properties, 0, key=b"account:1")])

    assert await dlq("list") == 0
    assert dlq.out[1] == f"{edges}/0/1\t2025-01-15T10:30:00.123000Z\tinvalid-json\tThe record is not JSON."
    assert dlq.err == "4 dead letters.\n"
    assert "secret" not in "".join(dlq.out)
    assert await dlq.ids(edges) == [f"{edges}/0/{n}" for n in range(3)]
    assert await dlq.ids(f"{properties}/0/0", edges, "--error", "missing-field") == [
        f"{edges}/0/0",
        f"{properties}/0/0",
    ]
    assert await dlq.ids("--since", "2025-01-16") == [f"{edges}/0/2"]
    assert await dlq.ids(edges, "--until", "2025-01-15T10:30:00.123Z") == []
    assert await dlq.ids("--key", "user:*") == [f"{edges}/0/0", f"{edges}/0/1"]
    assert await dlq.ids("--key", f"{edges}/0/2") == [f"{edges}/0/2"]
    assert await dlq("list", "--summary") == 0
    assert dlq.out == [
        f"{edges}\tinvalid-json\t1",
        f"{edges}\tmissing-field\t1",
        f"{edges}\ttombstone\t1",
        f"{properties}\tmissing-field\t1",
    ]


async def test_removals_and_repetitions_count_before_the_broker_compacts(
    topics: TopicNames, sink: KafkaDeadLetters, producer: DurableProducer, dlq: Dlq
) -> None:
    topic = topics.temporal_data
    await sink.publish([letter(topic, n) for n in range(3)])
    await sink.publish([letter(topic, 0, error="later")])
    removed = Outgoing(topics.dead_letters(topic), f"{topic}/0/1".encode(), None, [], None)
    await producer.publish([removed])
    assert await dlq.ids(topic) == [f"{topic}/0/2", f"{topic}/0/0"]
    assert await dlq.ids(topic, "--error", "missing-field") == [f"{topic}/0/2"]
    assert await dlq.ids(topic, "--error", "later") == [f"{topic}/0/0"]


async def test_what_lies_between_the_wanted_ones_is_left_alone(
    settings: Settings, topics: TopicNames, sink: KafkaDeadLetters, dlq: Dlq
) -> None:
    topic = topics.temporal_data
    await sink.publish(
        [letter(topic, n, error="odd" if n % 2 else "even", value=b"%d" % n) for n in range(5)]
    )
    evens = [f"{topic}/0/{n}" for n in (0, 2, 4)]
    assert await dlq.ids("--error", "even") == evens
    assert await dlq("replay", "--error", "even") == 0
    assert dlq.out == [f"replayed {one}" for one in evens]
    assert sorted(record.value or b"" for record in await read(settings, topic)) == [b"0", b"2", b"4"]
    assert await dlq.ids() == [f"{topic}/0/1", f"{topic}/0/3"]


async def test_letters_written_in_transactions_are_read_to_their_end(
    settings: Settings, topics: TopicNames, dlq: Dlq
) -> None:
    source = topics.sources[0]
    flink = AIOKafkaProducer(bootstrap_servers=settings.kafka_brokers, transactional_id=f"{source}-dlq")
    await flink.start()

    async def send(offset: int) -> None:
        # As in flink/jobs: the same headers, in whichever order its map has.
        headers = [
            ("dlq.reason", b"traits[7].name: missing"),
            ("dlq.path", b"traits[].name"),
            ("dlq.error", b"malformed-part-source"),
            ("dlq.offset", str(offset).encode()),
            ("dlq.partition", b"1"),
            ("dlq.topic", source.encode()),
            ("dlq.key", b"c-%d" % offset),
            ("dlq.timestamp", str(AT).encode()),
        ]
        key = f"{source}/1/{offset}/traits[7]".encode()
        await flink.send_and_wait(f"{source}.dlq", b"{}", key, timestamp_ms=AT, headers=headers)

    async def shown(*arguments: str, offsets: list[int]) -> None:
        """The broker writes the marker of a transaction's end after it has answered."""
        expected = [f"{source}/1/{offset}/traits[7]" for offset in offsets]
        async with asyncio.timeout(30):
            while await dlq.ids(source, *arguments) != expected:  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    try:
        async with flink.transaction():
            await send(0)
        await flink.begin_transaction()
        await send(1)
        await flink.abort_transaction()
        await shown("--key", "c-*", offsets=[0])
        await flink.begin_transaction()
        await send(2)
        # Open: nobody knows yet whether that letter will be there.
        await shown(offsets=[0])
        await flink.commit_transaction()
        await shown(offsets=[0, 2])
    finally:
        await flink.stop()

    assert await dlq("list", source, "--summary") == 0
    assert dlq.out == [f"{source}\tmalformed-part-source at traits[].name\t2"]
    assert await dlq("replay", f"{source}/1/0/traits[7]") == 0
    (replayed,) = await read(settings, source)
    assert (replayed.key, replayed.value) == (b"c-0", b"{}")
    assert replayed.timestamp > AT, "the broker stamps what a source topic gets"
    assert await dlq.ids(source) == [f"{source}/1/2/traits[7]"]


async def test_one_is_shown_with_its_headers_and_value(
    topics: TopicNames, sink: KafkaDeadLetters, dlq: Dlq
) -> None:
    topic = topics.cdc
    await sink.publish([letter(topic, 0), letter(topic, 1, value=b"\xff\x1b[2J")])
    assert await dlq("show", f"{topic}/0/0") == 0
    assert dlq.out[:2] == [f"{topic}/0/0", "time: 2025-01-15T10:30:00.123000Z"]
    assert {"dlq.key: k", "dlq.offset: 0", "dlq.reason: id is missing."} <= set(dlq.out)
    assert dlq.out[-3:] == ["{", '  "secret": 1', "}"]
    assert await dlq("show", f"{topic}/0/0", f"{topic}/0/1") == 0
    assert dlq.out[-1] == r"b'\xff\x1b[2J'"


def processor(settings: Settings, stores: Stores, sink: KafkaDeadLetters) -> IngestProcessor:
    policy = DeadLetterPolicy(max_ratio=1, min_records=100, max_run=100)
    return IngestProcessor(EntityProperties(settings), stores.writer, sink, policy)


async def test_after_the_deploy_is_mended_a_replay_has_the_effect_and_the_letter_is_gone(
    settings: Settings,
    topics: TopicNames,
    sink: KafkaDeadLetters,
    producer: DurableProducer,
    dlq: Dlq,
) -> None:
    topic = topics.entity_properties
    value = json.dumps(
        {
            "entity_reference": "u1",
            "entity_type": "user",
            "field_name": "story",
            "field_value": "x" * 100,
            "reference_date": "2025-01-15T10:30:00Z",
        }
    ).encode()
    await producer.publish([Outgoing(topic, b"user:u1", value, [("trace", b"1")], AT)])
    (poison,) = await read(settings, topic)
    letter_id = f"{topic}/{poison.partition}/{poison.offset}"

    stores = await Stores.open(settings)
    try:
        broken = processor(settings.model_copy(update={"max_value_bytes": 10}), stores, sink)
        await broken.process([poison])
        assert await stores.reader.graph(1, depth=1, since=None) is None
        assert await dlq.ids(topic) == [letter_id]

        assert await dlq("replay", topic, "--dry-run") == 0
        assert dlq.out[0].startswith(f"would go to {topic}\t{letter_id}\t")
        assert len(await read(settings, topic)) == 1

        # The process dies between the broker's acknowledgement and the removal: the letter stays.
        await _replay_without_removal(settings, topic)
        assert await dlq.ids(topic) == [letter_id]
        assert await dlq("replay", letter_id) == 0
        assert dlq.out == [f"replayed {letter_id}"]
        assert dlq.err == "1 dead letter replayed.\n"
        assert await dlq.ids(topic) == []

        _, *replayed = await read(settings, topic)
        assert len(replayed) == 2
        for record in replayed:
            assert (record.value, record.key, record.timestamp) == (value, b"user:u1", AT)
            assert record.headers == (("dlq.replayed-from", letter_id.encode()),)
        # Not mended yet: it comes back as a letter of its new offset.
        await broken.process(replayed[:1])
        assert await dlq.ids(topic) == [f"{topic}/{replayed[0].partition}/{replayed[0].offset}"]
        assert await dlq("replay") == 0

        mended = processor(settings, stores, sink)
        for record in (await read(settings, topic))[1:]:
            await mended.process([record])
        answer = await stores.reader.graph(1, depth=1, since=None)
        assert answer is not None
        assert json.loads(answer.body)["properties"]["story"]["value"] == "x" * 100
    finally:
        await stores.close()
    assert await dlq.ids() == []
    assert await dlq("replay") == 0
    assert dlq.err == "0 dead letters replayed.\n"


async def _replay_without_removal(settings: Settings, topic: str) -> None:
    send = DurableProducer.publish

    async def die_at_removal(self: DurableProducer, records: Sequence[Outgoing]) -> None:
        if records[0].value is None:
            raise KafkaTimeoutError
        await send(self, records)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(DurableProducer, "publish", die_at_removal)
        async with DeadLetterStore(settings.kafka_brokers, [topic]) as store:
            with pytest.raises(TransientError, match="Repeat the command"):
                [told async for told in store.replay(await store.select(LetterFilter()))]


async def test_a_tombstone_is_not_replayed(
    settings: Settings, topics: TopicNames, sink: KafkaDeadLetters, dlq: Dlq
) -> None:
    topic = topics.entities_edges
    await sink.publish([letter(topic, 0, value=None), letter(topic, 1, value=b"", key=None)])
    assert await dlq("replay", topic, "--dry-run") == 0
    assert dlq.out[0].startswith("would stay (a tombstone)\t")
    assert await dlq("replay", topic) == 1
    assert dlq.out == [f"replayed {topic}/0/1"]
    assert dlq.err == (
        f"error: {topic}/0/0 stays: its record had no value (a tombstone): drop it.\n1 dead letter replayed.\n"
    )
    (empty,) = await read(settings, topic)
    assert (empty.key, empty.value) == (None, b"")
    assert await dlq.ids(topic) == [f"{topic}/0/0"]


async def test_what_the_broker_refuses_stays_and_the_others_go(
    settings: Settings, topics: TopicNames, sink: KafkaDeadLetters, producer: DurableProducer, dlq: Dlq
) -> None:
    topic = topics.entities_edges
    noise = random.Random(1).randbytes(100_000)
    await _limit(settings, topic, 20_000)
    with pytest.raises(MessageSizeTooLargeError):
        await _publish_for_ever(producer, Outgoing(topic, None, noise, [], AT))
    await sink.publish([letter(topic, n, value=noise if n == 3 else b"{}") for n in range(6)])
    assert await dlq("replay", topic) == 1
    assert sorted(dlq.out) == [f"replayed {topic}/0/{n}" for n in (0, 1, 2, 4, 5)]
    assert f"error: {topic}/0/3 stays: Kafka refuses the record" in dlq.err
    assert await dlq.ids(topic) == [f"{topic}/0/3"]


async def _limit(settings: Settings, topic: str, max_bytes: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_brokers)
    await admin.start()
    try:
        limit = {"max.message.bytes": str(max_bytes), "retention.ms": "-1"}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, limit)])
    finally:
        await admin.close()


async def _publish_for_ever(producer: DurableProducer, record: Outgoing) -> None:
    """The broker takes a new limit a moment after it has acknowledged it."""
    while True:
        await producer.publish([record])


async def test_letters_are_dropped_when_it_is_said_which_and_surely(
    settings: Settings, topics: TopicNames, sink: KafkaDeadLetters, dlq: Dlq
) -> None:
    topic = topics.entities_edges
    await sink.publish([letter(topic, n, error="tombstone" if n else "missing-field") for n in range(4)])
    assert await dlq("drop", topic, "--error", "tombstone") == 2
    assert dlq.err == "error: this removes 3 dead letters for good: repeat it with --yes.\n"
    assert await dlq("drop", f"{topic}/0/1", topic) == 2
    assert await dlq("drop", "--all") == 2
    assert len(await dlq.ids()) == 4

    assert await dlq("drop", f"{topic}/0/1") == 0
    assert dlq.out == [f"dropped {topic}/0/1"]
    assert await dlq("drop", "--error", "tombstone", "--yes") == 0
    assert dlq.err == "2 dead letters dropped.\n"
    assert await dlq.ids() == [f"{topic}/0/0"]
    assert await dlq("drop", "--all", "--yes") == 0
    assert await dlq.ids() == []
    assert await read(settings, topic) == []
    stored = await read(settings, topics.dead_letters(topic))
    assert [record.key for record in stored if record.value is None] == [
        f"{topic}/0/{n}".encode() for n in (1, 2, 3, 0)
    ]


@pytest.mark.parametrize("action", ["list", "show", "replay", "drop"])
async def test_a_letter_that_is_not_there_is_an_error_and_nothing_is_done(
    action: str, topics: TopicNames, sink: KafkaDeadLetters, dlq: Dlq
) -> None:
    topic = topics.entities_edges
    await sink.publish([letter(topic, 0)])
    assert await dlq(action, f"{topic}/0/0", f"{topic}/0/7") == 1
    assert dlq.out == []
    assert dlq.err.startswith(f"error: No such dead letter: {topic}/0/7.")
    assert dlq.err.count("\n") == 1
    assert await dlq.ids(topic) == [f"{topic}/0/0"]
    assert await dlq(action, "elsewhere/0/0") == 1
    assert dlq.err.startswith("error: elsewhere is not a topic with dead letters: name one of ")
    assert topics.cdc in dlq.err


async def test_topics_that_were_never_made_are_an_error(dlq: Dlq) -> None:
    assert await dlq("list") == 1
    assert "does not exist: create it by `python -m app topics`" in dlq.err
    assert dlq.err.count("\n") == 1


async def test_more_letters_than_a_batch_holds_are_replayed_in_order(
    settings: Settings, topics: TopicNames, sink: KafkaDeadLetters, dlq: Dlq
) -> None:
    topic = topics.temporal_data
    await sink.publish([letter(topic, n, value=b"%d" % n) for n in range(1_203)])
    assert await dlq("replay", topic) == 0
    assert dlq.err == "1203 dead letters replayed.\n"
    assert [int(record.value or b"") for record in await read(settings, topic)] == list(range(1_203))
    assert await dlq.ids() == []
