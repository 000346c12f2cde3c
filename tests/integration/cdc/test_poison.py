"""One change that can't become an event, among many, on real servers."""

import json
from typing import Any

import pytest

from app.config.settings import Settings
from app.dead_letters.sink import KafkaDeadLetters
from cdc.events.processor import CdcProcessor
from cdc.events.publisher import KafkaEventSink
from storage.stores import Stores
from tests.e2e.workers import read_all
from tests.integration.cdc.conftest import read, read_events
from tests.integration.cdc.test_pipeline import Connection

pytestmark = pytest.mark.integration


@pytest.mark.usefixtures("connector")
async def test_a_poison_change_is_kept_with_its_envelope_and_stops_nobody(
    settings: Settings, cdc_topic: str, domain_topic: str, dead_topic: str, sql: Connection
) -> None:
    poison = "[1, 12345678901234567890.123]"  # jsonb, and no object: the table takes it, an event can't
    rows = [("user", f"u-{n}", poison if n == 20 else '{"a": {"value": 1}}') for n in range(40)]
    await sql.executemany("INSERT INTO entities (type, reference, properties) VALUES ($1, $2, $3)", rows)
    changes = await read(settings.kafka_brokers[0], cdc_topic, 40)
    stores = await Stores.open(settings)
    sink, dead = (
        KafkaEventSink(settings.kafka_brokers, domain_topic),
        KafkaDeadLetters(settings.kafka_brokers),
    )
    processor = CdcProcessor(
        directory=stores.directory, events=sink, dead_letters=dead, commit_log=stores.commit_log
    )
    try:
        await processor.process(changes)
    finally:
        await sink.close()
        await dead.close()
        await stores.close()

    events = await read_events(settings.kafka_brokers[0], domain_topic, 39)
    assert {event.key.decode() for event in events} == {f"user:u-{n}" for n in range(40) if n != 20}
    letter: Any
    (letter,) = await read_all(settings, dead_topic, 1)
    (whole,) = [c for c in changes if json.loads(c.value)["after"]["reference"] == "u-20"]
    assert letter.value == whole.value, "its envelope, byte for byte"
    assert json.loads(letter.value)["after"]["properties"] == poison
    told = dict(letter.headers)
    assert told["dlq.error"] == b"malformed-jsonb"
    assert (told["dlq.topic"].decode(), int(told["dlq.partition"]), int(told["dlq.offset"])) == (
        cdc_topic,
        whole.partition,
        whole.offset,
    )
