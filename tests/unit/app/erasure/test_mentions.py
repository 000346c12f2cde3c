"""Whom a letter names, whatever it looks like."""

import json
from datetime import UTC, datetime

import pytest

from app.core.erasure import Named
from app.core.models import EntityKey
from app.erasure.mentions import names_of

AT = 1_736_937_000_123


def names(value: bytes | None, *, key: bytes | None = None, typed: bool = True, at: int = AT) -> Named:
    return names_of(key=key, value=value, timestamp_ms=at, typed=typed)


def test_a_record_of_a_normalised_topic_names_by_type_and_reference() -> None:
    record = {
        "reference": "u",
        "type": "user",
        "edges": [{"entity_reference": "o", "entity_type": "org", "relation_type": None}],
    }
    named = names(json.dumps(record).encode())
    assert named.keys == {EntityKey("user", "u"), EntityKey("org", "o")}
    assert (named.references, named.ids) == (frozenset(), frozenset())
    assert named.told_at == datetime(2025, 1, 15, 10, 30, 0, 123000, UTC)


def test_a_key_is_split_at_each_colon() -> None:
    assert names(b"{}", key=b"user:mail:a@b").keys == {
        EntityKey("user", "mail:a@b"),
        EntityKey("user:mail", "a@b"),
    }


def test_a_row_of_debezium_names_ids() -> None:
    envelope = {
        "before": {"id": 7, "type": "user", "reference": "u"},
        "after": {"id": 9, "left_entity_id": 1, "right_entity_id": 2},
    }
    named = names(json.dumps(envelope).encode(), key=b'{"entity_id": 4}')
    assert named.keys == {EntityKey("user", "u")}
    assert named.ids == {7, 1, 2, 4}, "the id of an edge is none of an entity"


def test_a_source_record_may_name_by_any_text_or_number() -> None:
    record = {
        "meta": {"kind": "account.opened"},
        "owner": {"customerId": "c-1"},
        "n": 5,
        "x": [None, True, "z"],
    }
    named = names(json.dumps(record).encode(), key=b"c-2", typed=False)
    assert named.references >= {"account.opened", "c-1", "c-2"}
    assert named.doubtful >= {"5", "z"}, "what is short or a number names nobody without a name that says so"


@pytest.mark.parametrize(
    "value",
    [
        b'{"entity_reference": "maria@x.com", "entity_type": "user"',
        b"user;maria@x.com;1",
        b'\xff"maria@x.com"',
        b'{"a": "\\u006daria@x.com", ',
        b"[" * 100_000 + b'"maria@x.com"',
    ],
)
def test_what_is_not_json_may_name_by_any_text(value: bytes) -> None:
    assert "maria@x.com" in names(value).references


@pytest.mark.parametrize(
    "value", [None, b"", b"\xff\xfe", b'{"type": "\\ud800", "reference": "u"}', b'"x"', b"7"]
)
def test_nothing_is_too_odd(value: bytes | None) -> None:
    assert names(value, key=value).keys == frozenset()


def test_a_time_that_is_no_date_is_before_all() -> None:
    assert names(b"{}", at=2**62).told_at == datetime.min.replace(tzinfo=UTC)
