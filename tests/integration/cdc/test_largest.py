"""The largest changes that limits allow pass through Debezium and become events."""

import json
from collections.abc import AsyncIterator

import pytest
from pydantic import ValidationError

from app.config.settings import Settings
from app.core.errors import InvalidError
from app.core.models import Batch
from app.core.validation import check_json_text
from cdc.events.processor import CdcProcessor
from cdc.events.publisher import KafkaEventSink
from storage.stores import Stores
from tests.integration.cdc.conftest import read, read_events
from tests.rows import at, edge, point, prop
from tests.unit.cdc.fakes import FakeDeadLetters

pytestmark = pytest.mark.integration

MOST = {"max_value_bytes": 7 * 512 * 1024, "max_entity_bytes": 7 * 1024 * 1024}
REQUEST_BYTES = 16 * 1024 * 1024


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update=MOST)


@pytest.fixture
async def stores(settings: Settings) -> AsyncIterator[Stores]:
    stores = await Stores.open(settings)
    yield stores
    await stores.close()


def quotes(size: int, mark: str) -> str:
    """A JSON string of so many bytes at most, of which each quote takes four in a change."""
    text = mark + r"\"" * ((size - len(mark) - 2) // 2)
    return check_json_text(f'"{text}"', "value", MOST["max_value_bytes"])


def test_settings_allow_no_more() -> None:
    for name, most in MOST.items():
        with pytest.raises(ValidationError):
            Settings(**{name: most + 1}, _env_file=None)


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("connector")
async def test_the_largest_changes_become_events(
    settings: Settings, stores: Stores, cdc_topic: str, domain_topic: str
) -> None:
    value, half = MOST["max_value_bytes"], MOST["max_entity_bytes"] // 4 - 200
    for seconds, mark in enumerate("ab"):
        batch = Batch(
            properties=[prop("large", f"f{n}", quotes(half, mark), seconds) for n in range(2)],
            temporal=[point("point", "tpv", quotes(value, mark), date=at(seconds))],
            edges=[
                edge("edge", "target", metadata=f'{{"note": {quotes(value - 20, mark)}}}', seconds=seconds)
            ],
        )
        await stores.writer.write(batch)
    with pytest.raises(InvalidError, match="PROFILE_MAX_ENTITY_BYTES"):
        await stores.writer.write(Batch(properties=[prop("large", "more", quotes(2_000, "c"))]))

    # Four entities, a point and an edge; then of each of the large ones a change.
    changes = await read(settings.kafka_brokers[0], cdc_topic, 6 + 3, timeout_s=120)
    sizes = sorted(len(change.value) for change in changes)
    assert sizes[-3] > 13 * 1024 * 1024, sizes
    assert sizes[-1] < REQUEST_BYTES - 1024 * 1024, sizes
    sink, dead = KafkaEventSink(settings.kafka_brokers, domain_topic), FakeDeadLetters()
    processor = CdcProcessor(directory=stores.directory, events=sink, dead_letters=dead)
    try:
        await processor.process(changes)
    finally:
        await sink.close()
    assert dead.letters == []
    events = await read_events(settings.kafka_brokers[0], domain_topic, 6 + 3, timeout_s=120)
    told = {dict(event.headers)["event_type"].decode(): json.loads(event.value)["data"] for event in events}
    for kind, name in (
        ("entity_properties_updated", "f0"),
        ("temporal_data_updated", "value"),
        ("relationship_updated", "metadata"),
    ):
        before, after = (json.dumps(told[kind]["properties"][name][when]) for when in ("old", "new"))
        assert len(before) == len(after) > half
        assert before != after
