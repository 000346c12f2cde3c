"""docs/asyncapi.yaml tells all topics, and nothing that the code does not keep to."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import jsonschema
import msgspec
import pytest
import yaml
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from agents import entities_edges, entity_properties, temporal_data
from app.config.settings import Settings
from app.config.topics import TopicNames, TopicSpec
from app.core import dates
from app.core.errors import InvalidError
from app.core.models import Batch, EntityKey
from app.core.records import Record
from app.dead_letters.letter import dead_letter, headers_of
from cdc.envelope import Skipped, decode
from cdc.events.notes import Noted, relationship_note
from load.generate import generated, source_events
from load.generate.sending import Message
from tests.unit.app.fakes import FakeRecord
from tests.unit.cdc import envelopes
from tests.unit.cdc.fakes import headers_of as event_headers
from tests.unit.docs.published import DOCS, SCHEMAS, examples

PATH = DOCS / "asyncapi.yaml"
DOCUMENT: dict[str, Any] = yaml.safe_load(PATH.read_text())
MESSAGES: dict[str, Any] = DOCUMENT["components"]["messages"]
TOPICS = TopicNames()
SETTINGS = Settings()
KINDS = sorted(path.stem for path in SCHEMAS.glob("*.json"))


class Decoder(Protocol):
    def add(self, record: Record, batch: Batch) -> None: ...


NORMALISED: dict[str, tuple[str, Decoder, type[msgspec.Struct]]] = {
    TOPICS.entities_edges: (
        "entityWithEdges",
        entities_edges.EntitiesEdges(SETTINGS),
        entities_edges.EntityIn,
    ),
    TOPICS.entity_properties: (
        "entityProperty",
        entity_properties.EntityProperties(SETTINGS),
        entity_properties.PropertyIn,
    ),
    TOPICS.temporal_data: ("temporalPoint", temporal_data.TemporalData(SETTINGS), temporal_data.PointIn),
}


def retrieve(uri: str) -> Resource[Any]:
    """A file that the document refers to."""
    return DRAFT202012.create_resource(json.loads(Path(urlsplit(uri).path).read_text()))


REGISTRY: Registry[Any] = Registry(retrieve=retrieve).with_resource(
    PATH.as_uri(), DRAFT202012.create_resource(DOCUMENT)
)


def problems(pointer: str, value: object) -> list[str]:
    """What a value breaks of the schema at a place in the document."""
    schema = {"$ref": f"{PATH.as_uri()}#{pointer}"}
    errors = jsonschema.Draft202012Validator(schema, registry=REGISTRY).iter_errors(value)
    return [error.message for error in errors]


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from references(child)


def addresses(channel: dict[str, Any]) -> list[str]:
    """The topics of a channel, with each value of its parameter."""
    parameters = channel.get("parameters", {})
    names = [channel["address"]]
    for parameter, allowed in parameters.items():
        names = [name.replace(f"{{{parameter}}}", value) for name in names for value in allowed["enum"]]
    return names


CHANNELS = {name: channel for channel in DOCUMENT["channels"].values() for name in addresses(channel)}
SPECS = {
    spec.name: spec
    for spec in TOPICS.specs(
        partitions=SETTINGS.topic_partitions, source_partitions=SETTINGS.source_topic_partitions
    )
}


def messages_of(topic: str) -> list[str]:
    return [reference.rpartition("/")[2] for reference in references(CHANNELS[topic]["messages"])]


def test_the_channels_are_the_topics() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert sorted(CHANNELS) == sorted(SPECS)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_channel_tells_how_its_topic_is_created(spec: TopicSpec) -> None:
    binding = CHANNELS[spec.name]["bindings"]["kafka"]
    config = binding["topicConfiguration"]
    told = {
        name: ",".join(value) if isinstance(value, list) else str(value) for name, value in config.items()
    }
    assert (binding["partitions"], told) == (spec.partitions, spec.config)


@pytest.mark.parametrize("reference", sorted(set(references(DOCUMENT))))
def test_every_reference_resolves(reference: str) -> None:
    assert REGISTRY.resolver(base_uri=PATH.as_uri()).lookup(reference).contents


def test_every_part_is_used() -> None:
    used = set(references(DOCUMENT))
    for kind in ("messages", "schemas"):
        assert {f"#/components/{kind}/{name}" for name in DOCUMENT["components"][kind]} <= used
    assert {f"#/channels/{name}" for name in DOCUMENT["channels"]} <= used


@pytest.mark.parametrize("name", MESSAGES)
def test_schemas_are_of_draft_07_and_of_2020_12(name: str) -> None:
    for part in ("payload", "headers"):
        schema = MESSAGES[name].get(part, {})
        if schema.keys() == {"$ref"}:
            schema = REGISTRY.resolver(base_uri=PATH.as_uri()).lookup(schema["$ref"]).contents
        jsonschema.Draft7Validator.check_schema(schema)
        jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("name", MESSAGES)
def test_every_example_keeps_to_its_schema(name: str) -> None:
    message = MESSAGES[name]
    assert message["examples"]
    for example in message["examples"]:
        assert problems(f"/components/messages/{name}/payload", example["payload"]) == []
        assert ("headers" in example) == ("headers" in message)
        if "headers" in message:
            assert problems(f"/components/messages/{name}/headers", example["headers"]) == []


# --- domain events


def test_every_type_of_event_is_a_message() -> None:
    assert sorted(messages_of(TOPICS.domain_events)) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_is_shown_as_it_is_published(kind: str) -> None:
    message, event = MESSAGES[kind], examples()[kind]
    assert message["payload"] == {"$ref": f"../cdc/schemas/{kind}.json"}
    (example,) = message["examples"]
    assert example["payload"] == json.loads(event.value)
    assert example["headers"] == event_headers(event)


def test_a_change_is_shown_as_it_was_captured() -> None:
    (name,) = messages_of(TOPICS.cdc)
    (example,) = MESSAGES[name]["examples"]
    assert example["payload"] == json.loads(envelopes.captured("edge-created"))


@pytest.mark.parametrize("sample", envelopes.NAMES)
def test_captured_changes_keep_to_the_schema(sample: str) -> None:
    value = envelopes.captured(sample)
    assert not isinstance(decode(value), Skipped)
    (name,) = messages_of(TOPICS.cdc)
    assert problems(f"/components/messages/{name}/payload", json.loads(value)) == []


# --- normalised topics


@pytest.mark.parametrize("topic", TOPICS.normalised)
def test_agents_take_the_examples(topic: str) -> None:
    name, decoder, _ = NORMALISED[topic]
    assert messages_of(topic) == [name]
    for example in MESSAGES[name]["examples"]:
        batch = Batch()
        decoder.add(FakeRecord(value=json.dumps(example["payload"]).encode()), batch)
        assert batch


@pytest.mark.parametrize("topic", TOPICS.normalised)
def test_what_is_required_is_what_agents_require(topic: str) -> None:
    name, _, struct = NORMALISED[topic]
    payload = MESSAGES[name]["payload"]
    fields = msgspec.structs.fields(struct)
    assert sorted(payload["required"]) == sorted(f.encode_name for f in fields if f.required)
    assert {field.encode_name for field in fields} <= payload["properties"].keys()


@pytest.mark.parametrize("wrong", [None, [1], "", "unknown", 2**63], ids=repr)
@pytest.mark.parametrize("topic", TOPICS.normalised)
def test_agents_refuse_what_the_schema_refuses(topic: str, wrong: object) -> None:
    name, decoder, struct = NORMALISED[topic]
    (example,) = MESSAGES[name]["examples"]
    for field in msgspec.structs.fields(struct):
        payload = example["payload"] | {field.encode_name: wrong}
        record = FakeRecord(value=json.dumps(payload).encode())
        if problems(f"/components/messages/{name}/payload", payload):
            with pytest.raises(InvalidError):
                decoder.add(record, Batch())
        else:
            decoder.add(record, Batch())


def test_granularities_are_those_of_the_service() -> None:
    schema = MESSAGES["temporalPoint"]["payload"]["properties"]["property_granularity"]
    assert sorted(schema["enum"]) == sorted(dates.GRANULARITIES)


# --- source topics


@pytest.fixture(scope="module")
def sent() -> dict[str, list[Message]]:
    since, until = datetime(1997, 1, 1, tzinfo=UTC), datetime(1998, 1, 1, tzinfo=UTC)
    purchases = list(generated.purchases(range(50), seed=7, since=since, until=until))
    events, _ = source_events.build(purchases, origin="generated", seed=7)
    return dict(zip(TOPICS.sources, events, strict=True))


@pytest.mark.parametrize("topic", TOPICS.sources)
def test_what_generators_send_is_one_message_and_what_is_malformed_none(
    topic: str, sent: dict[str, list[Message]]
) -> None:
    seen = set()
    for message in sent[topic]:
        try:
            body = json.loads(message.value)
        except ValueError:
            continue
        fits = [
            name for name in messages_of(topic) if not problems(f"/components/messages/{name}/payload", body)
        ]
        assert len(fits) == (0 if message.key.startswith(b"malformed-") else 1)
        seen.update(fits)
    assert sorted(seen) == sorted(messages_of(topic))


# --- dead letters


def test_a_dead_letter_is_shown_as_it_is_written() -> None:
    (name,) = {name for topic in SPECS if topic.endswith(".dlq") for name in messages_of(topic)}
    (example,) = MESSAGES[name]["examples"]
    told = example["headers"]
    record = FakeRecord(
        topic=told["dlq.topic"],
        partition=int(told["dlq.partition"]),
        offset=int(told["dlq.offset"]),
        timestamp=int(told["dlq.timestamp"]),
        key=told["dlq.key"].encode(),
        value=example["payload"].encode(),
    )
    _, decoder, _ = NORMALISED[record.topic]
    with pytest.raises(InvalidError) as caught:
        decoder.add(record, Batch())
    headers = headers_of(dead_letter(record, caught.value))
    assert {header: value.decode() for header, value in headers} == told
    known = MESSAGES[name]["headers"]["properties"]
    assert {*told, "dlq.tombstone"} == known.keys()


# --- notes of what was published


def test_a_note_is_shown_as_it_is_written() -> None:
    (name,) = messages_of(TOPICS.published)
    example, removal = (example["payload"] for example in MESSAGES[name]["examples"])
    ends = EntityKey(example["type"], example["reference"]), EntityKey("organization", "org-13")
    note = relationship_note((2, 13), ends, example["key"], example["at"])
    assert note.value is not None
    assert (json.loads(note.value), removal) == (example, None)
    assert problems(f"/components/messages/{name}/payload", json.loads(note.value)) == []
    known = MESSAGES[name]["payload"]["properties"]
    assert {field.name for field in msgspec.structs.fields(Noted)} == known.keys()
