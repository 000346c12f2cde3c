"""What is a change, what is none, and that no digit is lost."""

import hashlib
import json
import uuid

import pytest

from app.core.errors import InvalidError
from app.core.models import EntityKey
from app.core.records import OutgoingEvent
from cdc.envelope import Skipped, decode
from cdc.events.events import events_of
from cdc.events.idempotency import NAMESPACE, event_id
from tests.unit.cdc import envelopes as e
from tests.unit.cdc.fakes import headers_of

KEYS = {
    2: EntityKey("user", "user_aqNSvRZ_74"),
    3: EntityKey("organization", "org-13"),
    7: EntityKey("user", "u-7"),
    8: EntityKey("user", "u-8"),
    13: EntityKey("organization", "org-13"),
}


def events(value: bytes, keys: dict[int, EntityKey] = KEYS) -> list[tuple[str, OutgoingEvent]]:
    change = decode(value)
    assert not isinstance(change, Skipped)
    return events_of(change, keys)


def kinds(value: bytes) -> list[str]:
    return [kind for kind, _ in events(value)]


def properties_update(old: str, new: str) -> bytes:
    return e.update("entities", e.entity(properties=old), e.entity(properties=new))


@pytest.mark.parametrize("number", ["12345678901234567890.123", "1E400", "-0.10", "1.0"])
def test_numbers_keep_their_text(number: str) -> None:
    ((_, event),) = events(properties_update("{}", f'{{"n": {{"value": {number}}}}}'))
    assert f'"new":{{"value": {number}}}'.encode() in event.value


def test_real_envelope_keeps_digits_and_shows_only_new_fields() -> None:
    ((kind, event),) = events(e.captured("entity-updated"))
    assert kind == "entity_properties_updated"
    assert headers_of(event)["fields_changed"] == "balance,big"
    assert b'"value": 12345678901234567890.123,' in event.value
    assert b'"value": 1' + b"0" * 400 + b"," in event.value


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        ("2025-09-22T22:24:43.000000Z", "2025-09-22T22:24:43Z"),
        ("2025-05-23T20:32:27.628939Z", "2025-05-23T20:32:27.628939Z"),
        ("2025-05-23T20:32:27.500000Z", "2025-05-23T20:32:27.5Z"),
        ("2025-09-22T20:30:00.000000Z", "2025-09-22T20:30:00Z"),
    ],
)
def test_the_date_of_a_property_is_told_without_zeros_and_nothing_else_changes(
    stored: str, told: str
) -> None:
    value = '{"name": "\\", \\"reference_date\\": \\"2025-01-01T00:00:00.000000Z\\"}", "n": 1.00}'
    text = '{"p": {"value": %s, "reference_date": "%s"}}'
    ((_, event),) = events(properties_update("{}", text % (value, stored)))
    assert ('"p":{"old":null,"new":%s}' % (text[6:-1] % (value, told))).encode() in event.value


@pytest.mark.parametrize(
    "value",
    [
        '"2025-01-01T00:00:00.000000Z"',
        '{"value": "2025-01-01T00:00:00.000000Z"}',
        '{"value": {"a": 1, "reference_date": "2025-01-01T00:00:00.000000Z"}}',
        '{"value": 1, "reference_date": ""}',
        "{}",
    ],
)
def test_other_dates_are_told_as_they_are(value: str) -> None:
    ((_, event),) = events(properties_update("{}", f'{{"p": {value}}}'))
    assert f'"new":{value}}}'.encode() in event.value


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ('{"key": 1, "granularity": 2}', "granularity,idempotency_key,key,reference_date"),
        ('{"value": 1}', "granularity,idempotency_key,key,reference_date,value"),
        ('{"items": []}', "granularity,idempotency_key,items,key,reference_date"),
    ],
)
def test_a_name_that_the_value_shares_with_the_point_is_told_once(value: str, names: str) -> None:
    ((_, event),) = events(e.create("temporal_properties", e.point(value=value)))
    assert headers_of(event)["fields_changed"] == names


def test_one_and_one_point_zero_differ() -> None:
    assert kinds(properties_update('{"n": {"value": 1}}', '{"n": {"value": 1.0}}')) == [
        "entity_properties_updated"
    ]


def test_large_integers_differ_beyond_the_precision_of_a_float() -> None:
    assert kinds(properties_update('{"n": 9007199254740993}', '{"n": 9007199254740992}')) != []


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        ("entity-created", ["entity_created"]),
        ("entity-created-empty", ["entity_created"]),
        ("entity-date-alone", ["entity_properties_updated"]),
        ("entity-bookkeeping-alone", []),
        ("edge-created", ["relationship_created"]),
        ("edge-metadata", ["relationship_updated"]),
        ("edge-removed", ["relationship_deleted"]),
        ("edge-deleted-after-removal", []),
        ("temporal-created", ["temporal_data_created"]),
        ("temporal-updated", ["temporal_data_updated"]),
        ("temporal-deleted", ["temporal_data_deleted"]),
        ("entity-deleted", ["entity_deleted"]),
        ("entity-snapshot", ["entity_created"]),
    ],
)
def test_kinds_of_real_envelopes(sample: str, expected: list[str]) -> None:
    assert kinds(e.captured(sample)) == expected


def test_a_reference_date_alone_is_a_change() -> None:
    assert kinds(e.update("temporal_properties", e.point(), e.point(date="2025-10-06T00:00:00.000000Z"))) == [
        "temporal_data_updated"
    ]


def test_bookkeeping_alone_is_none() -> None:
    assert kinds(e.update("temporal_properties", e.point(version=1), e.point(version=2))) == []
    assert kinds(e.update("edges", e.edge(updated_at="a"), e.edge(updated_at="b"))) == []
    dated = e.edge(metadata='{"a": 1}', metadata_date="2025-01-01T00:00:00.000000Z")
    assert kinds(e.update("edges", dated, dated | {"metadata_date": "2025-01-02T00:00:00.000000Z"})) == []


def test_deletes_carry_what_was() -> None:
    ((_, event),) = events(e.delete("entities", e.entity(properties='{"n": {"value": 1.0}}')))
    data = json.loads(event.value)["data"]
    assert data == {
        "type": "user",
        "reference": "u-7",
        "properties": {"n": {"old": {"value": 1.0}, "new": None}},
    }
    ((_, event),) = events(e.delete("edges", e.edge()))
    assert headers_of(event)["relation_type"] == "member_of"
    assert json.loads(event.value)["data"]["properties"] == {
        "relationship_type": {"old": "member_of", "new": None}
    }
    ((_, event),) = events(e.delete("temporal_properties", e.point()))
    assert headers_of(event)["fields_changed"] == "granularity,idempotency_key,key,reference_date,value"


def test_a_field_that_left_is_new_null() -> None:
    ((_, event),) = events(properties_update('{"a": 1, "b": 2}', '{"a": 1}'))
    assert json.loads(event.value)["data"]["properties"] == {"b": {"old": 2, "new": None}}


def test_an_edge_whose_removal_is_taken_back_is_created() -> None:
    removed = e.edge(removed_at="2025-01-01T00:00:00.000000Z")
    assert kinds(e.update("edges", removed, e.edge())) == ["relationship_created"]
    assert kinds(e.update("edges", removed, removed | {"removed_at": "2025-01-02T00:00:00.000000Z"})) == []
    assert kinds(e.create("edges", removed)) == []


def test_who_is_gone_is_named_by_its_id() -> None:
    ((_, event),) = events(e.create("edges", e.edge(left=244731, right=99)))
    assert json.loads(event.value)["data"] == {
        "reference": "entity-244731",
        "target_entity_reference": "entity-99",
        "properties": {},
    }
    assert event.key == b"entity-244731"


SECRET = '{"secret": "secret"}'


@pytest.mark.parametrize(
    "value",
    [
        e.create("edges", e.edge(left=244731, metadata=SECRET)),
        e.create("edges", e.edge(right=99, metadata=SECRET)),
        e.update("edges", e.edge(right=99, metadata=SECRET), e.edge(right=99)),
        e.delete("edges", e.edge(right=99, metadata=SECRET)),
        e.create("temporal_properties", e.point(entity_id=99, value=SECRET)),
        e.update("temporal_properties", e.point(entity_id=99, value=SECRET), e.point(entity_id=99)),
        e.delete("temporal_properties", e.point(entity_id=99, value=SECRET)),
    ],
)
def test_of_who_is_gone_without_a_name_no_value_is_told(value: bytes) -> None:
    ((_, event),) = events(value)
    assert json.loads(event.value)["data"]["properties"] == {}
    assert headers_of(event)["fields_changed"] == ""
    assert b"secret" not in event.value


def test_of_who_is_gone_too_what_changes_nothing_is_no_event() -> None:
    gone = e.point(entity_id=99)
    assert events(e.update("temporal_properties", gone, gone | {"version": 2})) == []


def test_a_rename_ends_the_old_and_begins_the_new_with_keys_of_their_own() -> None:
    found = events(e.update("entities", e.entity(type="unknown"), e.entity(type="user")))
    assert [kind for kind, _ in found] == ["entity_deleted", "entity_created"]
    assert [event.key for _, event in found] == [b"unknown:u-7", b"user:u-7"]
    moved = events(e.update("edges", e.edge(left=7), e.edge(left=8)))
    assert [(kind, event.key) for kind, event in moved] == [
        ("relationship_deleted", b"user:u-7"),
        ("relationship_created", b"user:u-8"),
    ]
    keys = {json.loads(event.value)["event_idempotency_key"] for _, event in [*found, *moved]}
    assert len(keys) == 4


def test_metadata_is_an_object_and_null_fields_are_left_out() -> None:
    ((_, event),) = events(e.captured("edge-metadata"))
    assert b'"new":{"role": "owner", "share": 1.0}' in event.value
    assert headers_of(event)["fields_changed"] == "metadata"


def test_a_created_value_that_is_no_object_is_named_value() -> None:
    for value in ("1", "[1]", '"x"', "null", "{}"):
        ((_, event),) = events(e.create("temporal_properties", e.point(value=value)))
        assert headers_of(event)["fields_changed"] == "granularity,idempotency_key,key,reference_date,value"


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("2025-10-05T14:59:59.000000Z", "2025-10-05T14:59:59Z"),
        ("2025-10-05T14:59:59.120000Z", "2025-10-05T14:59:59.12Z"),
        ("2025-10-05T14:59:50Z", "2025-10-05T14:59:50Z"),
    ],
)
def test_dates_have_no_idle_zeros(date: str, expected: str) -> None:
    ((_, event),) = events(e.create("temporal_properties", e.point(date=date)))
    assert json.loads(event.value)["data"]["properties"]["reference_date"]["new"] == expected


def test_the_timestamp_keeps_its_width() -> None:
    ((_, event),) = events(e.create("entities", e.entity(), ts_ms=1_758_578_807_000))
    assert json.loads(event.value)["event_timestamp"] == "2025-09-22T22:06:47.000Z"
    assert event.timestamp_ms == 1_758_578_807_000


@pytest.mark.parametrize("text", ["[]", "{", "1", '{"a": }', '{"a":' + "[" * 5000 + "]" * 5000 + "}"])
def test_properties_that_are_no_object_are_refused_without_their_text(text: str) -> None:
    with pytest.raises(InvalidError, match=r"^properties is no JSON object\.$"):
        events(e.create("entities", e.entity(properties=text)))


def test_keys_are_stable_under_redelivery() -> None:
    def key(**more: str) -> str:
        ((_, event),) = events(e.create("entities", e.entity(), **more))
        return json.loads(event.value)["event_idempotency_key"]  # type: ignore[no-any-return]

    assert key(sequence='["990","1000"]') == key(sequence='[null,"1000"]')


def test_rows_of_one_copy_share_a_position_and_no_key() -> None:
    values = [e.captured(name) for name in ("copy-1", "copy-2", "copy-3")]
    assert len({json.loads(value)["source"]["lsn"] for value in values}) == 1
    keys = {
        json.loads(event.value)["event_idempotency_key"] for value in values for _, event in events(value)
    }
    assert len(keys) == 3


@pytest.mark.parametrize("changed", [{"lsn": 1001}, {"tx_id": 901}, {"ts_ms": 1_758_578_807_846}])
def test_every_part_of_the_position_makes_another_key(changed: dict[str, int]) -> None:
    def key(**more: int) -> bytes:
        ((_, event),) = events(e.create("entities", e.entity(), **more))
        return event.value[:64]

    assert key() != key(**changed)


SUBJECT = "AAEC" * 10 + "AAE="


def test_marking_rows_for_an_erasure_is_no_change() -> None:
    point = e.point()
    assert kinds(e.update("entities", e.entity(), e.entity(erased_as=SUBJECT))) == []
    assert kinds(e.update("edges", e.edge(), e.edge(erased_entity_id=7))) == []
    assert kinds(e.update("temporal_properties", point, point | {"erased": True})) == []


HIDDEN = e.entity(
    type="", reference="entity-7", erased_as=SUBJECT, erased_type="user", erased_reference="u-7"
)


def test_hiding_an_entity_before_its_rows_are_deleted_in_pieces_is_no_change() -> None:
    named = e.entity(properties='{"name": {"value": "secret"}}')
    assert kinds(e.update("entities", named, HIDDEN)) == []


def test_an_entity_that_was_hidden_is_erased_where_its_events_stand() -> None:
    deleted, erased = events(e.delete("entities", HIDDEN), {})
    assert (deleted[0], erased[0]) == ("entity_deleted", "entity_erased")
    for _, event in (deleted, erased):
        assert (event.key, event.partition_key) == (b"entity-7", b"user:u-7")
        assert b"u-7" not in event.value
        assert ("entity_type", b"user") in event.headers


@pytest.mark.parametrize("known", [KEYS, {}], ids=["its name is remembered", "it is gone"])
def test_an_erasure_hides_who_it_was_and_keeps_the_place(known: dict[int, EntityKey]) -> None:
    row = e.entity(properties='{"name": {"value": "secret"}}', erased_as=SUBJECT)
    deleted, erased = events(e.delete("entities", row), known)
    assert (deleted[0], erased[0]) == ("entity_deleted", "entity_erased")
    for _, event in (deleted, erased):
        assert (event.key, event.partition_key) == (b"entity-7", b"user:u-7")
        assert b"u-7" not in event.value
        assert b"secret" not in event.value
    keys = {json.loads(event.value)["event_idempotency_key"] for _, event in (deleted, erased)}
    assert len(keys) == 2


def test_of_an_edge_the_end_that_stays_keeps_its_name() -> None:
    ((_, theirs),) = events(e.delete("edges", e.edge(erased_entity_id=13, metadata='"secret"')))
    assert (theirs.key, theirs.partition_key) == (b"user:u-7", None)
    assert json.loads(theirs.value)["data"] == {
        "type": "user",
        "reference": "u-7",
        "target_entity_reference": "entity-13",
        "properties": {},
    }
    ((_, own),) = events(e.delete("edges", e.edge(erased_entity_id=7)))
    assert (own.key, own.partition_key) == (b"entity-7", b"user:u-7")
    assert json.loads(own.value)["data"] == {
        "reference": "entity-7",
        "target_entity_type": "organization",
        "target_entity_reference": "org-13",
        "properties": {},
    }


def test_a_point_of_an_erasure_has_neither_period_nor_value() -> None:
    ((_, event),) = events(e.delete("temporal_properties", e.point() | {"erased": True}))
    assert (event.key, event.partition_key) == (b"entity-7", b"user:u-7")
    assert json.loads(event.value)["data"] == {"reference": "entity-7", "properties": {}}


REMOVED = '{"removed": true, "reference_date": "2025-01-01T00:00:00.000000Z"}'
REMOVED_LATER = REMOVED.replace("2025", "2026")
VALUE = '{"value": 1, "reference_date": "2024-01-01T00:00:00.000000Z"}'
TOLD = {"value": 1, "reference_date": "2024-01-01T00:00:00Z"}


def test_a_removed_property_ends_with_its_value() -> None:
    ((kind, event),) = events(properties_update(f'{{"f": {VALUE}}}', f'{{"f": {REMOVED}}}'))
    assert kind == "entity_properties_updated"
    assert json.loads(event.value)["data"]["properties"] == {"f": {"old": TOLD, "new": None}}
    assert headers_of(event)["fields_changed"] == "f"


def test_a_property_that_comes_back_begins_anew() -> None:
    ((_, event),) = events(properties_update(f'{{"f": {REMOVED}}}', f'{{"f": {VALUE}}}'))
    assert json.loads(event.value)["data"]["properties"] == {"f": {"old": None, "new": TOLD}}


@pytest.mark.parametrize("old", ["{}", f'{{"f": {REMOVED}}}'])
def test_to_remove_what_is_not_there_is_no_event(old: str) -> None:
    assert events(properties_update(old, f'{{"f": {REMOVED_LATER}}}')) == []


def test_a_value_that_looks_like_a_removal_is_told() -> None:
    look_alike = f'{{"value": {REMOVED}, "reference_date": "2024-01-01T00:00:00.000000Z"}}'
    ((_, event),) = events(properties_update("{}", f'{{"f": {look_alike}}}'))
    assert json.loads(event.value)["data"]["properties"]["f"]["new"]["value"] == json.loads(REMOVED)


def test_an_event_id_is_the_uuid5_of_its_key() -> None:
    for number in range(1_000):
        key = hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()
        assert event_id(key) == str(uuid.uuid5(NAMESPACE, key))
