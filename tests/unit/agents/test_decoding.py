"""What the three topics accept, and what becomes a dead letter with which reason."""

import json
from datetime import UTC, datetime
from typing import Any, Protocol

import pytest

from agents.entities_edges import EntitiesEdges
from agents.entity_properties import EntityProperties
from agents.temporal_data import TemporalData
from app.config.settings import Settings
from app.core.errors import InvalidError
from app.core.models import Batch, EntityRow, PropertyRow, RecordSource
from app.core.records import Record
from tests.unit.app.fakes import FakeRecord

SETTINGS = Settings(max_value_bytes=500, max_edges_per_record=3)


class Decoder(Protocol):
    def add(self, record: Record, batch: Batch) -> None: ...


EDGES, PROPERTIES, TEMPORAL = EntitiesEdges(SETTINGS), EntityProperties(SETTINGS), TemporalData(SETTINGS)

EDGE = {"entity_reference": "o1", "entity_type": "organization", "relation_type": "member_of"}
ENTITY = {"id": "1", "reference": "u1", "type": "user", "edges": [EDGE]}
PROPERTY = {
    "entity_reference": "u1",
    "entity_type": "user",
    "field_name": "email",
    "field_value": "a@b.c",
    "reference_date": "2025-01-15T10:30:00Z",
}
POINT = {
    "entity_reference": "u1",
    "entity_type": "user",
    "property_type": "tpv",
    "property_value": 12.5,
    "property_reference_date": "2025-01-15T10:30:00Z",
    "property_granularity": "monthly",
}
ALL = [
    pytest.param(EDGES, ENTITY, id="entities-edges"),
    pytest.param(PROPERTIES, PROPERTY, id="entity-properties"),
    pytest.param(TEMPORAL, POINT, id="temporal-data"),
]

TOLD_AT = datetime(2025, 1, 15, 10, 30, 0, 123_000, tzinfo=UTC)  # the timestamp of a FakeRecord


def decode(decoder: Decoder, value: bytes | dict[str, Any] | None) -> Batch:
    batch = Batch()
    payload = json.dumps(value).encode() if isinstance(value, dict) else value
    decoder.add(FakeRecord(value=payload), batch)
    return batch


def refused(decoder: Decoder, value: bytes | dict[str, Any] | None) -> InvalidError:
    batch = Batch()
    payload = json.dumps(value).encode() if isinstance(value, dict) else value
    with pytest.raises(InvalidError) as caught:
        decoder.add(FakeRecord(value=payload), batch)
    assert len(batch) == 0
    return caught.value


def test_an_entity_and_its_edges() -> None:
    batch = decode(EDGES, ENTITY | {"edges": [EDGE, EDGE | {"metadata": {"role": "admin"}}]})
    assert batch.entities == [EntityRow("user", "u1", TOLD_AT, RecordSource("topic", 0, 0))]
    plain, described = batch.edges
    assert plain[:6] == ("user", "u1", "organization", "o1", "member_of", None)
    assert json.loads(described.metadata or "") == {"role": "admin"}
    assert plain.told_at == TOLD_AT


@pytest.mark.parametrize("payload", [{"reference": "u1", "type": "user"}, ENTITY | {"edges": []}])
def test_an_entity_alone(payload: dict[str, Any]) -> None:
    batch = decode(EDGES, payload)
    assert batch.entities == [EntityRow("user", "u1", TOLD_AT, RecordSource("topic", 0, 0))]
    assert batch.edges == []


def test_metadata_null_is_a_plain_edge() -> None:
    assert decode(EDGES, ENTITY | {"edges": [EDGE | {"metadata": None}]}).edges[0].metadata is None


def test_a_property() -> None:
    batch = Batch()
    PROPERTIES.add(FakeRecord(value=json.dumps(PROPERTY).encode(), topic="t", partition=3, offset=7), batch)
    told_by = RecordSource("t", 3, 7)
    assert batch.properties == [
        PropertyRow("user", "u1", "email", '"a@b.c"', "2025-01-15T10:30:00.000000Z", TOLD_AT, told_by)
    ]


@pytest.mark.parametrize(
    "text", ["12345678901234567890.123", "1E400", "1.0", "null", "false", '"\\u00e9"', '{"a": [1,  2]}', "-0"]
)
def test_values_pass_byte_for_byte(text: str) -> None:
    head = json.dumps({k: v for k, v in PROPERTY.items() if k != "field_value"})[:-1]
    (row,) = decode(PROPERTIES, f'{head}, "field_value": {text}}}'.encode()).properties
    assert row.value == text
    head = json.dumps({k: v for k, v in POINT.items() if k != "property_value"})[:-1]
    (point,) = decode(TEMPORAL, f'{head}, "property_value": {text}}}'.encode()).temporal
    assert point.value == text


def test_a_point() -> None:
    (row,) = decode(TEMPORAL, POINT).temporal
    assert row[:4] == ("user", "u1", "tpv", "month")
    assert (row.period_start.isoformat(), row.period) == ("2025-01-01T00:00:00+00:00", "2025-01")
    assert row.reference_date.isoformat() == "2025-01-15T10:30:00+00:00"
    assert (row.version, row.value, row.told_at) == (0, "12.5", TOLD_AT)


@pytest.mark.parametrize("version", [-(2**63), 0, 1_000_000_000_007, 2**63 - 1])
def test_versions(version: int) -> None:
    assert decode(TEMPORAL, POINT | {"property_version": version}).temporal[0].version == version


@pytest.mark.parametrize(("decoder", "payload"), ALL)
def test_unknown_fields_are_ignored(decoder: Decoder, payload: dict[str, Any]) -> None:
    assert len(decode(decoder, payload | {"more": {"deep": [1]}})) > 0


@pytest.mark.parametrize(
    ("decoder", "payload", "field"),
    [
        (decoder.values[0], decoder.values[1], name)
        for decoder in ALL
        for name in decoder.values[1]
        if name != "id"
    ],
)
def test_a_name_that_comes_twice_is_refused(decoder: Decoder, payload: dict[str, Any], field: str) -> None:
    text = json.dumps(payload)
    spelled = f"\\u{ord(field[0]):04x}{field[1:]}"
    for again in (field, spelled):
        error = refused(decoder, f'{text[:-1]}, "{again}": {json.dumps(payload[field])}}}'.encode())
        assert (error.code, error.field) == ("repeated-member", field)


def test_a_name_that_comes_twice_in_an_edge_is_refused() -> None:
    twice = json.dumps(EDGE | {"metadata": {}}).replace("}}", '}, "metadata": {"a": 1}}')
    error = refused(EDGES, json.dumps(ENTITY | {"edges": [EDGE, 0]}).replace("0]", f"{twice}]").encode())
    assert (error.code, error.field) == ("repeated-member", "edges[1].metadata")


@pytest.mark.parametrize(
    ("decoder", "payload"),
    [
        (EDGES, ENTITY | {"edges": [EDGE | {"metadata": ENTITY}, EDGE | {"entity_reference": "o2"}]}),
        (PROPERTIES, PROPERTY | {"field_value": PROPERTY}),
        (TEMPORAL, POINT | {"property_value": POINT}),
    ],
)
def test_names_within_values_and_unknown_ones_are_no_repetition(
    decoder: Decoder, payload: dict[str, Any]
) -> None:
    assert len(decode(decoder, json.dumps(payload).encode()[:-1] + b', "x": 1, "x": 2}')) > 0


@pytest.mark.parametrize(("decoder", "payload"), ALL)
@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "tombstone"),
        (b"", "invalid-json"),
        (b"{", "invalid-json"),
        (b"\xff\xfe", "invalid-utf8"),
        (b"[]", "ill-typed-field"),
        (b"null", "ill-typed-field"),
        (b"NaN", "invalid-json"),
        (b'{"more": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested-too-deep"),
    ],
    ids=["tombstone", "empty", "cut", "utf8", "array", "null", "nan", "deep"],
)
def test_what_is_no_object_is_refused(
    decoder: Decoder, payload: dict[str, Any], value: bytes | None, code: str
) -> None:
    assert refused(decoder, value).code == code


@pytest.mark.parametrize(
    ("decoder", "payload", "field"),
    [
        (decoder.values[0], decoder.values[1], name)
        for decoder in ALL
        for name in decoder.values[1]
        if name not in ("id", "edges")
    ],
)
def test_each_field_is_required(decoder: Decoder, payload: dict[str, Any], field: str) -> None:
    error = refused(decoder, {name: value for name, value in payload.items() if name != field})
    assert (error.code, error.field) == ("missing-field", field)
    assert field in str(error)


@pytest.mark.parametrize(
    ("decoder", "payload", "code", "field"),
    [
        (EDGES, ENTITY | {"type": "unknown"}, "reserved-type", "type"),
        (EDGES, ENTITY | {"type": ""}, "empty-name", "type"),
        (EDGES, ENTITY | {"type": 7}, "ill-typed-field", "type"),
        (EDGES, ENTITY | {"reference": "a\0b"}, "unstorable-text", "reference"),
        (EDGES, ENTITY | {"reference": "r" * 1025}, "name-too-long", "reference"),
        (EDGES, ENTITY | {"edges": None}, "ill-typed-field", "edges"),
        (EDGES, ENTITY | {"edges": [EDGE] * 4}, "too-many-edges", "edges"),
        (
            EDGES,
            ENTITY | {"edges": [EDGE | {"entity_type": "unknown"}]},
            "reserved-type",
            "edges[0].entity_type",
        ),
        (EDGES, ENTITY | {"edges": [EDGE, {}]}, "missing-field", None),
        (EDGES, ENTITY | {"edges": [EDGE | {"metadata": [1]}]}, "ill-typed-field", "edges[0].metadata"),
        (
            EDGES,
            ENTITY | {"edges": [EDGE | {"metadata": {"a": "\0"}}]},
            "unstorable-text",
            "edges[0].metadata",
        ),
        (PROPERTIES, PROPERTY | {"entity_type": "unknown"}, "reserved-type", "entity_type"),
        (PROPERTIES, PROPERTY | {"reference_date": "yesterday"}, "invalid-date", "reference_date"),
        (PROPERTIES, PROPERTY | {"reference_date": 5}, "ill-typed-field", "reference_date"),
        (PROPERTIES, PROPERTY | {"field_value": "\ud800"}, "invalid-json", None),
        (PROPERTIES, PROPERTY | {"field_value": "x" * 500}, "value-too-large", "field_value"),
        (TEMPORAL, POINT | {"property_granularity": "hour"}, "invalid-granularity", "property_granularity"),
        (
            TEMPORAL,
            POINT | {"property_reference_date": "2025-02-30"},
            "invalid-date",
            "property_reference_date",
        ),
        (TEMPORAL, POINT | {"property_version": 1.5}, "ill-typed-field", "property_version"),
        (TEMPORAL, POINT | {"property_version": True}, "ill-typed-field", "property_version"),
        (TEMPORAL, POINT | {"property_version": 2**63}, "ill-typed-field", "property_version"),
        (TEMPORAL, POINT | {"property_version": None}, "ill-typed-field", "property_version"),
    ],
)
def test_wrong_fields_are_named(
    decoder: Decoder, payload: dict[str, Any], code: str, field: str | None
) -> None:
    error = refused(decoder, payload)
    assert error.code == code
    if field is not None:
        assert error.field == field


@pytest.mark.parametrize(
    ("date", "timestamp", "is_taken"),
    [
        ("2025-01-16T10:30:00.123Z", 1_736_937_000_123, True),
        ("2025-01-16T10:30:00.123001Z", 1_736_937_000_123, False),
        ("2025-01-17T00:30:00.123+14:00", 1_736_937_000_123, True),
        ("2999-01-01", 1_736_937_000_123, False),
        ("9999-12-31T23:59:59Z", 1_736_937_000_123, False),
        ("1997-01-02", 852_076_800_000, True),  # by the record's time, which may be decades ago
        ("2025-01-15", 852_076_800_000, False),
        ("9999-12-31T23:59:59Z", 253_402_300_799_000, True),
    ],
)
def test_a_property_is_dated_a_day_after_its_record_at_most(
    date: str, timestamp: int, is_taken: bool
) -> None:
    record = FakeRecord(value=json.dumps(PROPERTY | {"reference_date": date}).encode(), timestamp=timestamp)
    batch = Batch()
    if is_taken:
        PROPERTIES.add(record, batch)
        return
    with pytest.raises(InvalidError, match="PROFILE_PROPERTY_MAX_AHEAD_S") as caught:
        PROPERTIES.add(record, batch)
    assert (caught.value.code, caught.value.field) == ("date-too-far-ahead", "reference_date")
    assert len(batch) == 0


def test_how_far_ahead_a_property_may_be_dated_is_a_setting() -> None:
    tomorrow = json.dumps(PROPERTY | {"reference_date": "2025-01-16"}).encode()
    with pytest.raises(InvalidError, match="more than 60 s later"):
        EntityProperties(Settings(property_max_ahead_s=60)).add(FakeRecord(value=tomorrow), Batch())
    EntityProperties(Settings(property_max_ahead_s=1e12)).add(FakeRecord(value=tomorrow), Batch())


@pytest.mark.parametrize("year", [1, 1677, 2262, 2999, 9999])
def test_points_keep_their_years(year: int) -> None:
    (row,) = decode(TEMPORAL, POINT | {"property_reference_date": f"{year:04d}-06-01"}).temporal
    assert row.reference_date.year == year


def test_reasons_hold_no_value() -> None:
    error = refused(PROPERTIES, PROPERTY | {"reference_date": "secret@example.com"})
    assert "secret" not in str(error)


@pytest.mark.parametrize("timestamp", [10**15, 10**18, -(10**15)])
def test_timestamp_beyond_dates_is_a_dead_letter(timestamp: int) -> None:
    record = FakeRecord(value=json.dumps(ENTITY).encode(), timestamp=timestamp)
    with pytest.raises(InvalidError, match="timestamp") as caught:
        EDGES.add(record, Batch())
    assert caught.value.code == "invalid-date"
