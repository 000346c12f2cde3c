"""Every event keeps to the schema of its type, and the schemas refuse what is none."""

import json

import jsonschema
import pytest
from msgspec.structs import replace

from app.core.models import EntityKey
from cdc.envelope import Skipped, decode
from cdc.events.events import events_of
from tests.unit.cdc import envelopes as e
from tests.unit.cdc.fakes import FakeSink
from tests.unit.cdc.schemas import SCHEMAS, require_valid

DATED = {"metadata": '{"a": 1.0}', "metadata_date": "2025-01-01T00:00:00.500000Z"}
REMOVED = {"removed_at": "2025-01-02T00:00:00.000000Z"}
VALUES = [
    *(e.captured(name) for name in e.NAMES),
    e.create("entities", e.entity()),
    e.update("entities", e.entity(properties='{"a": 1}'), e.entity(properties='{"b": null}')),
    e.update("entities", e.entity(type="unknown"), e.entity()),
    e.delete("entities", e.entity(properties='{"a": [1]}')),
    e.delete("entities", e.entity(properties='{"a": [1]}', erased_as="AAEC" * 10 + "AAE=")),
    e.create("edges", e.edge(left=1, right=2)),
    e.create("edges", e.edge(**DATED)),
    e.update("edges", e.edge(), e.edge(kind="other", **DATED)),
    e.update("edges", e.edge(**DATED), e.edge()),
    e.update("edges", e.edge(**DATED), e.edge(**DATED, **REMOVED)),
    e.update("edges", e.edge(**REMOVED), e.edge()),
    e.delete("edges", e.edge()),
    e.delete("edges", e.edge(erased_entity_id=13, **DATED)),
    e.create("temporal_properties", e.point(entity_id=1)),
    e.update("temporal_properties", e.point(), e.point(value="2", date="2025-10-06T00:00:00.000000Z")),
    e.delete("temporal_properties", e.point()),
    e.delete("temporal_properties", e.point() | {"erased": True}),
]
KEYS = {2: EntityKey("user", "u-2"), 7: EntityKey("user", "u-7"), 13: EntityKey("organization", "org-13")}


def test_every_event_keeps_to_its_schema() -> None:
    seen = set()
    for value in VALUES:
        change = decode(value)
        assert not isinstance(change, Skipped)
        for kind, event in events_of(change, KEYS):
            require_valid(event.value, event.headers)
            seen.add(kind)
    assert seen == SCHEMAS.keys()


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_schemas_are_valid_and_refuse_what_is_none(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"event_idempotency_key": "x", "data": {}}, SCHEMAS[name])


async def test_what_does_not_keep_to_its_schema_is_seen_by_every_test() -> None:
    change = decode(e.create("entities", e.entity(properties='{"a": {"value": 1}}')))
    assert not isinstance(change, Skipped)
    ((_, event),) = events_of(change, {})
    body = json.loads(event.value)
    del body["data"]["type"]
    without = [header for header in event.headers if header[0] != "event_id"]
    await FakeSink().publish([event])
    for broken in (
        replace(event, value=json.dumps(body).encode()),
        replace(event, headers=without),
        replace(event, headers=[*event.headers, ("event_id", b"x")]),
    ):
        with pytest.raises((jsonschema.ValidationError, AssertionError)):
            await FakeSink().publish([broken])
