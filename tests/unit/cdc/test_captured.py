"""What was captured from a real pipeline gives the published events, which keep to the seed and to the schemas."""

import json
from typing import Any

import jsonschema
import pytest

from app.core.models import EntityKey
from cdc.envelope import Skipped, decode
from cdc.events.events import events_of
from tests.unit.cdc import envelopes, golden
from tests.unit.cdc.golden import ITEMS, LEDA, VERIFIED
from tests.unit.cdc.schemas import SCHEMAS

SCENARIOS = golden.load()
COMMON = {"schema_version": "v1", "source_service": "user-profile-api"}
USER = {"type": "user", "reference": "user_aqNSvRZ_74"}
MEMBER = {**USER, "target_entity_type": "organization", "target_entity_reference": "org-13"}


def created(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: {"old": None, "new": value} for name, value in fields.items()}


def deleted(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: {"old": value, "new": None} for name, value in fields.items()}


def point(value: str) -> dict[str, Any]:
    return {
        "granularity": "month",
        "idempotency_key": "1:tpv:month:2025-10",
        "key": "tpv",
        "reference_date": "2025-10-05T14:59:59Z",
        "value": value,
    }


# scenario → key of the record, headers, data
EXPECTED: dict[str, list[tuple[str, dict[str, str], dict[str, Any]]]] = {
    "entity created": [
        (
            "user:user_aqNSvRZ_74",
            {
                "event_type": "entity_created",
                "entity_type": "user",
                "fields_changed": "department,name,position",
            },
            {**USER, "properties": created(LEDA)},
        )
    ],
    "entity updated": [
        (
            "user:user-1d98ac68-00fa-4439-b5ec-43bfb0f3e4b8",
            {"event_type": "entity_properties_updated", "entity_type": "user", "fields_changed": "email"},
            {
                "type": "user",
                "reference": "user-1d98ac68-00fa-4439-b5ec-43bfb0f3e4b8",
                "properties": {
                    "email": {
                        "old": {"value": "batataa@example.com", "reference_date": VERIFIED["verified_at"]},
                        "new": {"value": "batataa@examaple.com", "reference_date": "2025-09-23T11:42:56Z"},
                    }
                },
            },
        )
    ],
    "entity updated, with the members of the seed": [
        (
            "user:user-1d98ac68-00fa-4439-b5ec-43bfb0f3e4b8",
            {"event_type": "entity_properties_updated", "entity_type": "user", "fields_changed": "email"},
            {
                "type": "user",
                "reference": "user-1d98ac68-00fa-4439-b5ec-43bfb0f3e4b8",
                "properties": {
                    "email": {
                        "old": {"value": "batataa@example.com", **VERIFIED},
                        "new": {"value": "batataa@examaple.com", **VERIFIED},
                    }
                },
            },
        )
    ],
    "relationship created": [
        (
            "user:user_aqNSvRZ_74",
            {
                "event_type": "relationship_created",
                "relation_type": "member_of",
                "fields_changed": "relationship_type",
            },
            {**MEMBER, "properties": created({"relationship_type": "member_of"})},
        )
    ],
    "relationship updated": [
        (
            "user:user_aqNSvRZ_74",
            {
                "event_type": "relationship_updated",
                "relation_type": "has",
                "fields_changed": "relationship_type",
            },
            {**MEMBER, "properties": {"relationship_type": {"old": "his", "new": "has"}}},
        )
    ],
    "relationship marked removed": [
        (
            "user:user_aqNSvRZ_74",
            {
                "event_type": "relationship_deleted",
                "relation_type": "has",
                "fields_changed": "relationship_type",
            },
            {**MEMBER, "properties": deleted({"relationship_type": "has"})},
        )
    ],
    "relationship's row deleted after it was marked": [],
    "relationship's metadata updated": [
        (
            "user:user_aqNSvRZ_74",
            {
                "event_type": "relationship_updated",
                "relation_type": "member_of",
                "fields_changed": "metadata",
            },
            {**MEMBER, "properties": created({"metadata": {"role": "owner"}})},
        )
    ],
    "relationship's row deleted": [
        (
            "user:user_aqNSvRZ_74",
            {
                "event_type": "relationship_deleted",
                "relation_type": "member_of",
                "fields_changed": "metadata,relationship_type",
            },
            {
                **MEMBER,
                "properties": deleted({"metadata": {"role": "owner"}, "relationship_type": "member_of"}),
            },
        )
    ],
    "temporal data created": [
        (
            "user:user_aqNSvRZ_74",
            {
                "event_type": "temporal_data_created",
                "granularity": "month",
                "property_type": "tpv",
                "fields_changed": "granularity,idempotency_key,items,key,reference_date",
            },
            {**USER, "properties": created(point(ITEMS))},
        )
    ],
    "temporal data updated": [
        (
            "user:user_aqNSvRZ_74",
            {
                "event_type": "temporal_data_updated",
                "granularity": "month",
                "property_type": "tpv",
                "point_idempotency_key": "1:tpv:month:2025-10",
                "fields_changed": "value",
            },
            {**USER, "properties": {"value": {"old": ITEMS, "new": ITEMS.replace("999", "1")}}},
        )
    ],
    "temporal data deleted": [
        (
            "user:user_aqNSvRZ_74",
            {
                "event_type": "temporal_data_deleted",
                "granularity": "month",
                "property_type": "tpv",
                "fields_changed": "granularity,idempotency_key,key,reference_date,value",
            },
            {**USER, "properties": deleted(point(ITEMS.replace("999", "1")))},
        )
    ],
    "entity deleted": [
        (
            "user:user_aqNSvRZ_74",
            {
                "event_type": "entity_deleted",
                "entity_type": "user",
                "fields_changed": "department,name,position",
            },
            {**USER, "properties": deleted(LEDA)},
        )
    ],
}


@pytest.mark.parametrize("name", EXPECTED)
def test_the_published_events_are_those_of_the_seed(name: str) -> None:
    found = [golden.without_the_run(event) for event in SCENARIOS[name].events]
    for event in found:  # our own addition
        assert event["headers"].pop("entity_id") in {str(number) for number, _, _ in SCENARIOS[name].keys}
    assert found == [
        {"key": key, "headers": COMMON | headers, "body": {"data": data}}
        for key, headers, data in EXPECTED[name]
    ]


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_the_captured_changes_give_the_published_events(scenario: golden.Scenario) -> None:
    keys = {number: EntityKey(kind, reference) for number, kind, reference in scenario.keys}
    made = []
    for change in scenario.changes:
        decoded = decode(envelopes.spelled(change["value"]))
        assert not isinstance(decoded, Skipped)
        made += [golden.told(event) for _, event in events_of(decoded, keys)]
    assert sorted(made, key=str) == sorted(scenario.events, key=str)


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_identity_is_made_as_it_is_documented(scenario: golden.Scenario) -> None:
    possible = {
        golden.identity(change, operation)
        for change in scenario.changes
        for operation in (change["value"]["op"], "e")
    }
    for event in scenario.events:
        assert (event["body"]["event_idempotency_key"], event["headers"]["event_id"]) in possible


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_the_published_events_keep_to_their_schemas(scenario: golden.Scenario) -> None:
    for event in scenario.events:
        schema = SCHEMAS[event["headers"]["event_type"]]
        jsonschema.validate(event["body"], schema, cls=jsonschema.Draft202012Validator)


def test_an_erasure_tells_neither_name_nor_properties() -> None:
    events = SCENARIOS["erasure"].events
    found = sorted((event["key"], event["headers"]["event_type"]) for event in events)
    assert found == [
        ("entity-5", "entity_deleted"),
        ("entity-5", "entity_erased"),
        ("entity-5", "relationship_deleted"),
        ("entity-5", "temporal_data_deleted"),
        ("user:friend", "relationship_deleted"),
    ]
    for event in events:
        assert event["body"]["data"]["properties"] == {}
        assert event["headers"]["fields_changed"] == ""
        text = json.dumps(event)
        assert "forgotten" not in text
        assert "secret" not in text
    (erased,) = [event for event in events if event["headers"]["event_type"] == "entity_erased"]
    assert erased["body"]["data"].keys() == {"reference", "ledger_id", "properties"}
    (theirs,) = [event["body"]["data"] for event in events if event["key"] == "user:friend"]
    assert theirs == {
        "type": "user",
        "reference": "friend",
        "target_entity_reference": "entity-5",
        "properties": {},
    }
