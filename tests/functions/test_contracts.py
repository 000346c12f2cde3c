"""The contracts of the sources: schemas that others can read, and yesterday's valid events, which stay valid."""

import argparse
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from infra.flink.jobs import SQL_DIR, source_topics
from infra.flink.reading import Event, read_events
from infra.settings import InfraSettings
from load.generate import source_events

CONTRACTS = SQL_DIR / "contracts"
EXAMPLES = sorted(CONTRACTS.glob("*/examples/*/*.json"))
ARRIVAL_MS = 1_800_000_000_000


def schema_of(topic: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((CONTRACTS / topic / "schema.json").read_text())
    return found


def topic_of(example: Path) -> str:
    return example.parts[-4]


@pytest.mark.parametrize("topic", source_topics())
def test_a_contract_is_json_schema_and_has_examples_of_its_version(topic: str) -> None:
    schema = schema_of(topic)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    version = schema["$id"].rpartition(":")[2]
    assert len([*(CONTRACTS / topic / "examples" / version).glob("*.json")]) >= 2


@pytest.mark.usefixtures("jar")
def test_every_version_s_valid_events_are_valid_today(stack: InfraSettings) -> None:
    """A contract that refuses one of them, or leaves out a part of it, refuses what systems send."""
    events = [
        Event(source=topic_of(path), value=path.read_bytes(), arrival_ms=ARRIVAL_MS) for path in EXAMPLES
    ]
    for path, reading in zip(EXAMPLES, read_events(stack, events), strict=True):
        assert [fault.reason for fault in reading.faults] == [], path
        assert reading.id, path


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: "/".join(path.parts[-4:]))
def test_a_validator_of_json_schema_takes_them_too(path: Path) -> None:
    jsonschema.Draft202012Validator(schema_of(topic_of(path))).validate(json.loads(path.read_bytes()))


@pytest.mark.usefixtures("jar")
def test_what_generators_send_is_valid_but_for_what_is_malformed(stack: InfraSettings) -> None:
    parser = argparse.ArgumentParser()
    source_events.add_arguments(parser)
    (purchases,) = source_events.chunks(
        parser.parse_args(["--data", "generated", "--users", "20", "--seed", "7"])
    )
    messages, _ = source_events.build(purchases, origin="generated", seed=7)
    sent = [
        (
            message.key.startswith(b"malformed-"),
            Event(source=topic, value=message.value, arrival_ms=ARRIVAL_MS),
        )
        for topic, of_topic in zip(
            ("payment.events", "account.events", "crm.events", "cdp.events", "aggregated.metrics"),
            messages,
            strict=True,
        )
        for message in of_topic
    ]
    for (malformed, event), reading in zip(
        sent, read_events(stack, [event for _, event in sent]), strict=True
    ):
        assert (reading.id is None) == malformed, event
        assert bool(reading.faults) == malformed, reading.faults
        assert malformed or reading.records or reading.columns
