"""What is refused is the same over HTTP, in a dry run and in the topics: each fact is told in all three ways."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import pytest

from agents.entities_edges import EntitiesEdges
from agents.entity_properties import EntityProperties
from agents.temporal_data import TemporalData
from app.config.settings import Settings
from app.core.dates import to_epoch_ms, to_text
from app.dead_letters.policy import DeadLetterPolicy
from app.ingest.processor import IngestProcessor
from tests.integration.web.serving import Served, serving
from tests.unit.app.fakes import FakeDeadLetters, FakeRecord

pytestmark = pytest.mark.integration

NOW: Final = datetime.now(UTC)
OF_VALUES: Final = [
    *("1", "1e999", "1e1000", "-1e-999", '"\\u0000"', '"\\ud800"', '"\\ud83d\\ude00"', "null", "[]", "true"),
    *(
        "[" * 64 + "]" * 64,
        "[" * 65 + "]" * 65,
        "9" * 131_072,
        "9" * 131_073,
        "0." + "1" * 16_384,
        "1e131071",
    ),
    *('{"a":1,"a":2}', '{"":1}', '{"removed": true}'),
]
OF_NAMES: Final = [
    "f",
    "a.b",
    'a"b',
    " ",
    "x" * 255,
    "x" * 256,
    "é" * 127,
    "é" * 128,
    "",
    "f\0",
    "\u200b",
    "😀",
]
OF_DATES: Final = [
    *("2024-01-01", "2024-01-01t00:00:00z", "2024-01-01 00:00:00", "2024-02-30", "2024-01-01T24:00:00Z"),
    *("2024-01-01T00:00:60Z", "2024-01-01T00:00:00+00:99", "2024-01-01T00:00:00-00:00", "0001-01-01"),
    *("0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "2999-01-01", "2024-W01-1", "1704067200"),
    *(
        "\uff12\uff10\uff12\uff14-01-01",
        " 2024-01-01",
        "",
        to_text(NOW + timedelta(hours=23)),
        to_text(NOW + timedelta(hours=25)),
    ),
]
OF_GRANULARITIES: Final = ["day", "daily", "DAY", "hour", "", "quarter", "annual"]
OF_METADATA: Final = ["{}", "null", "[]", "1", '"x"', '{"a":"\\u0000"}', '{"a":1e1000}', '{"a":1}']


class Fact(NamedTuple):
    """A fact as a request and as a record."""

    path: str
    body: str
    topic: str
    record: str


def of_property(
    reference: str, *, name: str = "f", value: str = "1", date: str | None = None, kind: str = "user"
) -> Fact:
    told, at = json.dumps, to_text(NOW) if date is None else date
    dated = f'{{"value":{value},"reference_date":{told(at)}}}'
    return Fact(
        "/v1/graph/sync",
        f'{{"entities":[{{"reference":{told(reference)},"type":{told(kind)},"properties":{{{told(name)}:{dated}}}}}]}}',
        "entity-properties",
        f'{{"entity_reference":{told(reference)},"entity_type":{told(kind)},"field_name":{told(name)},'
        f'"field_value":{value},"reference_date":{told(at)}}}',
    )


def of_point(
    reference: str, *, key: str = "k", value: str = "1", size: str = "day", date: str = "2024-01-01"
) -> Fact:
    told = json.dumps
    named = f'"entity_reference":{told(reference)},"entity_type":"user"'
    return Fact(
        "/v1/temporal/ingest",
        f'{{"data_points":[{{{named},"key":{told(key)},"value":{value},"granularity":{told(size)},'
        f'"reference_date":{told(date)}}}]}}',
        "temporal-data",
        f'{{{named},"property_type":{told(key)},"property_value":{value},"property_granularity":{told(size)},'
        f'"property_reference_date":{told(date)}}}',
    )


def of_edge(reference: str, *, kind: str = "knows", metadata: str = "{}") -> Fact:
    told = json.dumps
    return Fact(
        "/v1/graph/sync",
        f'{{"relationships":[{{"source_reference":{told(reference)},"source_type":"user","target_reference":"z",'
        f'"target_type":"user","relationship_type":{told(kind)},"metadata":{metadata}}}]}}',
        "entities-edges",
        f'{{"reference":{told(reference)},"type":"user","edges":[{{"entity_reference":"z","entity_type":"user",'
        f'"relation_type":{told(kind)},"metadata":{metadata}}}]}}',
    )


def facts() -> Iterator[Fact]:
    for number, value in enumerate(OF_VALUES):
        yield of_property(f"v{number}", value=value)
        yield of_point(f"v{number}", value=value)
    for number, name in enumerate(OF_NAMES):
        yield of_property(f"n{number}", name=name)
        yield of_property(f"t{number}", kind=name)
        yield of_point(f"n{number}", key=name)
        yield of_edge(f"n{number}", kind=name)
    for number, date in enumerate(OF_DATES):
        yield of_property(f"d{number}", date=date)
        yield of_point(f"d{number}", date=date)
    for number, size in enumerate(OF_GRANULARITIES):
        yield of_point(f"g{number}", size=size)
    for number, metadata in enumerate(OF_METADATA):
        yield of_edge(f"m{number}", metadata=metadata)
    for reference in ("x" * 1024, "x" * 1025, "é" * 512, "é" * 513, "", "a\0"):
        yield of_property(reference)


@pytest.fixture
async def served(settings: Settings) -> AsyncIterator[Served]:
    async with serving(settings) as made:
        yield made


async def by_topic(served: Served, settings: Settings, fact: Fact, offset: int) -> str | None:
    """The reason of its dead letter."""
    decoders: dict[str, Any] = {
        "entity-properties": EntityProperties,
        "temporal-data": TemporalData,
        "entities-edges": EntitiesEdges,
    }
    letters = FakeDeadLetters()
    policy = DeadLetterPolicy(max_ratio=1.0, min_records=10, max_run=10)
    agent = IngestProcessor(decoders[fact.topic](settings), served.stores.writer, letters, policy)
    at = to_epoch_ms(datetime.now(UTC))
    await agent.process(
        [FakeRecord(topic=fact.topic, value=fact.record.encode(), offset=offset, timestamp=at)]
    )
    return letters.letters[0].error if letters.letters else None


async def by_request(served: Served, fact: Fact, *, is_dry: bool) -> str | None:
    """Its code, where it is refused."""
    response = await served.client.post(
        fact.path,
        params={"dry_run": "true"} if is_dry else {},
        data=fact.body.encode(),
        headers={"Content-Type": "application/json"},
    )
    body = json.loads(await response.text(), parse_int=str, parse_float=str)
    if response.status == 422:
        return str(body["code"])
    assert response.status == (200 if is_dry else 202), body
    refused = body.get("refused")
    return str(refused[0]["code"]) if refused else None


async def test_each_way_refuses_the_same_for_the_same_reason(served: Served, settings: Settings) -> None:
    differing, refused = [], 0
    for number, fact in enumerate(facts()):
        codes = [
            await by_request(served, fact, is_dry=True),
            await by_request(served, fact, is_dry=False),
            await by_topic(served, settings, fact, number),
        ]
        refused += codes[0] is not None
        # Half a surrogate pair is no JSON for a record, which has to be UTF-8 and is told so as a whole.
        if len(set(codes) - {"invalid-json" if '\\ud800"' in fact.record else None}) > (codes[0] is not None):
            differing.append((fact.record[:200], codes))
    assert not differing
    assert refused > 40
