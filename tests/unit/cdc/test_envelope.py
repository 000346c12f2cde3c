import json

import pytest

from app.core.errors import InvalidError
from cdc.envelope import UNAVAILABLE, EntityChange, Skipped, decode, entity_of_key
from tests.unit.cdc import envelopes as e


def test_a_real_envelope() -> None:
    change = decode(e.captured("entity-deleted"))
    assert isinstance(change, EntityChange)
    assert (change.operation, change.after) == ("d", None)
    assert change.before is not None
    assert change.before.reference == "d-1"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "tombstone"),
        (e.envelope("entities", "t", None, None), "truncate"),
        (e.envelope("", "m", None, None), "message"),
        (e.envelope("schema_migrations", "c", None, {"id": 1}), "foreign-table"),
    ],
)
def test_records_that_speak_of_no_row(value: bytes | None, reason: str) -> None:
    assert decode(value) == Skipped(reason)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b"", "malformed-envelope"),
        (b"{", "malformed-envelope"),
        (b"[]", "malformed-envelope"),
        (b"\xff", "malformed-envelope"),
        (b'{"op":"c"}', "malformed-envelope"),
        (e.envelope("entities", "x", None, None), "unknown-operation"),
        (e.create("entities", {"id": "secret", "type": "user"}), "malformed-envelope"),
        (e.create("edges", e.edge() | {"left_entity_id": None}), "malformed-envelope"),
        (b'{"after":' + b"[" * 9000 + b"]" * 9000 + b"}", "malformed-envelope"),
        (e.envelope("entities", "c", None, None), "missing-after"),
        (e.envelope("entities", "u", None, e.entity()), "missing-before"),
        (e.envelope("entities", "d", None, None), "missing-before"),
    ],
)
def test_what_is_no_envelope_is_refused(value: bytes, code: str) -> None:
    with pytest.raises(InvalidError) as caught:
        decode(value)
    assert caught.value.code == code
    assert "secret" not in str(caught.value)


ROW = e.entity(reference='x","table":"edges', properties='{"table":"entities"}')


@pytest.mark.parametrize(
    "value",
    [
        *map(e.captured, e.NAMES),
        e.create("entities", ROW),
        e.update("entities", ROW, ROW | {"id": 8}),
        e.update("edges", e.edge(), e.edge(metadata='{"since": 1}')),
        e.delete("temporal_properties", e.point() | {"erased": True}),
        e.envelope("entities", "c", ROW, ROW),
        e.envelope("entities", "d", ROW, ROW),
        e.update("entities", ROW, ROW | {"properties": UNAVAILABLE}),
        e.create("entities", ROW).replace(b'"table":"entities"', b'"table":"entitled"'),
        e.create("entities", ROW).replace(b'"table":"entities"', b'"table":"edges"'),
        b'{"op":"c","source":{"table":"edges"},"after":{}}',
    ],
)
def test_a_value_is_read_at_once_as_it_is_read_step_by_step(value: bytes) -> None:
    assert verdict(value) == verdict(e.spelled_with_blanks(value))


def verdict(value: bytes) -> object:
    try:
        return decode(value)
    except InvalidError as error:
        return error.code, str(error)


def test_what_comes_usually_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cdc.envelope._decode", None)
    for value in [
        *map(e.captured, e.NAMES),
        e.create("edges", e.edge()),
        e.update("temporal_properties", e.point(), e.point(value="2")),
        e.delete("entities", ROW),
    ]:
        decode(value)


def test_text_that_is_no_utf8_is_refused() -> None:
    value = e.create("entities", e.entity(reference="@@")).replace(b"@@", b"\xff\xfe")
    with pytest.raises(InvalidError):
        decode(value)


def test_an_untouched_value_out_of_line_is_taken_from_before() -> None:
    before = e.entity(properties='{"bio": 1}')
    change = decode(e.update("entities", before, before | {"properties": UNAVAILABLE}))
    assert isinstance(change, EntityChange)
    assert change.after is not None
    assert change.after.properties == '{"bio": 1}'


def test_a_value_that_is_nowhere_is_refused() -> None:
    row = e.entity(properties=UNAVAILABLE)
    with pytest.raises(InvalidError) as caught:
        decode(e.update("entities", row, row))
    assert caught.value.code == "unavailable-value"
    assert "REPLICA IDENTITY FULL" in str(caught.value)


def test_a_value_that_spells_the_placeholder_is_a_value() -> None:
    change = decode(e.create("temporal_properties", e.point(value=json.dumps(UNAVAILABLE))))
    assert not isinstance(change, Skipped)


@pytest.mark.parametrize(
    ("key", "expected"), [(b'{"entity_id":5}', 5), (b"{}", None), (b"\xff", None), (None, None)]
)
def test_the_entity_of_a_key(key: bytes | None, expected: int | None) -> None:
    assert entity_of_key(key) == expected
