import json

import pytest

from app.core.models import Lookup
from storage.cache import lookups
from storage.cache.lookups import (
    cacheable,
    canonical_number,
    canonical_path,
    canonical_value,
    json_literal,
    lookups_of,
)


@pytest.mark.parametrize(
    ("spelled", "plain"),
    [
        ("1", "1"),
        ("1.0", "1"),
        ("1e0", "1"),
        ("10E-1", "1"),
        ("-0.0", "0"),
        ("0e999999", "0"),
        ("1e3", "1000"),
        ("120", "120"),
        ("-12.50", "-12.5"),
        ("5e-3", "0.005"),
        ("12345678901234567890.1230", "12345678901234567890.123"),
        ("1e256", None),
        ("1e999999", None),
        ("1e-999999", None),
        ("1e99999999999999999999", None),
    ],
)
def test_the_shortest_plain_form_of_a_number(spelled: str, plain: str | None) -> None:
    assert canonical_number(spelled) == plain


def test_text_is_as_it_is_unless_it_spells_a_number() -> None:
    assert [canonical_value(text) for text in ("1.0", "01", "1,0", "+1", "true", "NaN", "é", "")] == [
        *("1", "01", "1,0", "+1", "true", "NaN", "é", ""),
    ]
    assert canonical_value("x" * 256) == "x" * 256
    assert canonical_value("x" * 257) is None
    assert canonical_value("é" * 129) is None


@pytest.mark.parametrize(
    ("path", "canonical"),
    [("a", "a"), ("a.value", "a"), ("a.value.b", "a.b"), ("a.b.value", "a.b.value"), ("value", "value")],
)
def test_the_storages_own_segment_is_left_out(path: str, canonical: str) -> None:
    assert canonical_path(path) == canonical


def test_every_scalar_leaf_is_a_lookup_and_elements_of_arrays_are_none() -> None:
    value = {"number": 1.0, "ok": True, "none": None, "tags": ["x", {"y": 1}], "deep": {"er": "z"}}
    assert set(lookups_of("doc", json.dumps(value))) == {
        Lookup("doc.number", "1"),
        Lookup("doc.ok", "true"),
        Lookup("doc.none", "null"),
        Lookup("doc.deep.er", "z"),
    }
    assert set(lookups_of("plain", '"x"')) == {Lookup("plain", "x")}


@pytest.mark.parametrize("depth", [7, 8, 9])
def test_what_is_cacheable_is_invalidated(depth: int) -> None:
    """A look-up that is cached and never invalidated would stay old; here for the deepest paths."""
    value: object = "x"
    path = ["p"]
    for n in range(depth - 1):
        value = {f"n{depth - n}": value}
    inner = value
    while isinstance(inner, dict):
        ((name, inner),) = inner.items()
        path.append(name)
    found = set(lookups_of("p", json.dumps(value)))
    name = cacheable(".".join(path), "x")
    assert (found, name) == (
        ({Lookup(".".join(path), "x")}, Lookup(".".join(path), "x")) if depth <= 8 else (set(), None)
    )


@pytest.mark.parametrize("text", ["1", "-1.5e3", "true", "false", "null"])
def test_what_spells_a_literal(text: str) -> None:
    assert json_literal(text) == text


@pytest.mark.parametrize("text", ["01", "x", "NaN", "Infinity", "1e99999", " 1", "1\n", "True", "\u0661"])
def test_what_spells_none(text: str) -> None:
    assert json_literal(text) is None


def test_more_leaves_than_the_limit_of_bytes_are_all_named() -> None:
    value = json.dumps({f"k{n}": n for n in range(500)})
    assert len(set(lookups_of("big", value))) == 500
    assert lookups.MAX_BYTES == 256
