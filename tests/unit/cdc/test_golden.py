"""The six events that consumers know, byte for byte in their fields, with business keys in place of ids.

Of headers they know all but entity_id and point_idempotency_key.
"""

import hashlib
import json
import uuid
from typing import Any

from app.core.models import EntityKey
from cdc.envelope import Skipped, decode
from cdc.events.events import events_of
from cdc.events.idempotency import NAMESPACE
from tests.unit.cdc import envelopes as e
from tests.unit.cdc.fakes import headers_of

KEYS = {7: EntityKey("user", "u-7"), 13: EntityKey("organization", "org-13")}
ITEMS = (
    '{"items": [{"mdr": 2, "rav": 999, "amount": 915103, "chargeback": 552, "interchange": 0, '
    '"average_ticket": 585, "payment_method": "pix", "transaction_count": 1564}]}'
)


def one_event(value: bytes) -> tuple[dict[str, Any], dict[str, str], bytes]:
    change = decode(value)
    assert not isinstance(change, Skipped)
    ((_, event),) = events_of(change, KEYS)
    return json.loads(event.value), headers_of(event), event.key


def check(value: bytes, *, data: dict[str, Any], headers: dict[str, str], unique: str, key: bytes) -> None:
    body, found, record_key = one_event(value)
    expected_key = hashlib.md5(unique.encode()).hexdigest()
    assert body == {
        "event_idempotency_key": expected_key,
        "event_timestamp": "2025-09-22T22:06:47.845Z",
        "data": data,
    }
    assert list(body) == ["event_idempotency_key", "event_timestamp", "data"]
    assert found == {
        "schema_version": "v1",
        "source_service": "user-profile-api",
        "entity_id": "7",
        "event_id": str(uuid.uuid5(NAMESPACE, expected_key)),
        **headers,
    }
    assert record_key == key


def test_entity_created() -> None:
    properties = {
        "name": {"value": "Lady Leda Schulist", "reference_date": "2025-09-22T22:24:43Z"},
        "position": {"value": "Manager", "reference_date": "2025-09-22T23:12:49Z"},
        "department": {"value": "Finance", "reference_date": "2025-09-22T23:34:59Z"},
    }
    check(
        e.create("entities", e.entity(reference="user_aqNSvRZ_74", properties=json.dumps(properties))),
        data={
            "type": "user",
            "reference": "user_aqNSvRZ_74",
            "properties": {name: {"old": None, "new": told} for name, told in properties.items()},
        },
        headers={
            "event_type": "entity_created",
            "entity_type": "user",
            "fields_changed": "department,name,position",
        },
        unique="1000|900|1758578807845001|entities|7|c",
        key=b"user:user_aqNSvRZ_74",
    )


def test_entity_updated_shows_only_what_changed() -> None:
    old = {"value": "batataa@example.com", "verified_at": "2025-05-23T20:32:27.628939Z"}
    new = {"value": "batataa@examaple.com", "verified_at": "2025-05-23T20:32:27.628939Z"}
    same = {"value": "João", "reference_date": "2025-05-23T20:32:27.628939Z"}
    check(
        e.update(
            "entities",
            e.entity(properties=json.dumps({"name": same, "email": old})),
            e.entity(properties=json.dumps({"name": same, "email": new})),
        ),
        data={"type": "user", "reference": "u-7", "properties": {"email": {"old": old, "new": new}}},
        headers={
            "event_type": "entity_properties_updated",
            "entity_type": "user",
            "fields_changed": "email",
        },
        unique="1000|900|1758578807845001|entities|7|u",
        key=b"user:u-7",
    )


def test_relationship_created() -> None:
    check(
        e.create("edges", e.edge()),
        data={
            "type": "user",
            "reference": "u-7",
            "target_entity_type": "organization",
            "target_entity_reference": "org-13",
            "properties": {"relationship_type": {"old": None, "new": "member_of"}},
        },
        headers={
            "event_type": "relationship_created",
            "relation_type": "member_of",
            "fields_changed": "relationship_type",
        },
        unique="1000|900|1758578807845001|edges|1|c",
        key=b"user:u-7",
    )


def test_relationship_updated() -> None:
    check(
        e.update("edges", e.edge(kind="his"), e.edge(kind="has")),
        data={
            "type": "user",
            "reference": "u-7",
            "target_entity_type": "organization",
            "target_entity_reference": "org-13",
            "properties": {"relationship_type": {"old": "his", "new": "has"}},
        },
        headers={
            "event_type": "relationship_updated",
            "relation_type": "has",
            "fields_changed": "relationship_type",
        },
        unique="1000|900|1758578807845001|edges|1|u",
        key=b"user:u-7",
    )


def test_temporal_data_created() -> None:
    check(
        e.create("temporal_properties", e.point(value=ITEMS)),
        data={
            "type": "user",
            "reference": "u-7",
            "properties": {
                "granularity": {"old": None, "new": "month"},
                "idempotency_key": {"old": None, "new": "7:tpv:month:2025-10"},
                "key": {"old": None, "new": "tpv"},
                "reference_date": {"old": None, "new": "2025-10-05T14:59:59Z"},
                "value": {"old": None, "new": ITEMS},
            },
        },
        headers={
            "event_type": "temporal_data_created",
            "granularity": "month",
            "property_type": "tpv",
            # The members of the value, where it is an object, stand for `value`: as consumers know it.
            "fields_changed": "granularity,idempotency_key,items,key,reference_date",
        },
        unique="1000|900|1758578807845001|temporal_properties|7|tpv|month|2025-10-01T00:00:00.000000Z|c",
        key=b"user:u-7",
    )


def test_temporal_data_updated() -> None:
    corrected = ITEMS.replace("999", "1")
    check(
        e.update("temporal_properties", e.point(value=ITEMS), e.point(value=corrected)),
        data={
            "type": "user",
            "reference": "u-7",
            "properties": {"value": {"old": ITEMS, "new": corrected}},
        },
        headers={
            "event_type": "temporal_data_updated",
            "granularity": "month",
            "property_type": "tpv",
            "point_idempotency_key": "7:tpv:month:2025-10",
            "fields_changed": "value",
        },
        unique="1000|900|1758578807845001|temporal_properties|7|tpv|month|2025-10-01T00:00:00.000000Z|u",
        key=b"user:u-7",
    )
