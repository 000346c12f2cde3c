"""How look-ups are spelled: a change has to name exactly the answers it touches."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.models import Lookup
from storage.lookups import MAX_BYTES, cacheable, canonical_number, canonical_path, json_literal, lookups_of


@pytest.mark.parametrize(
    ("spelled", "canonical"),
    [
        ("1", "1"),
        ("1.0", "1"),
        ("1e0", "1"),
        ("-0", "0"),
        ("0.10", "0.1"),
        ("1e2", "100"),
        ("1.50e1", "15"),
        ("-2.50", "-2.5"),
        ("1e-5", "0.00001"),
        ("12345678901234567890.123", "12345678901234567890.123"),
        ("1E400", None),
        ("1e-999999", None),
    ],
)
def test_numbers_have_one_short_plain_form(spelled: str, canonical: str | None) -> None:
    assert canonical_number(spelled) == canonical


@given(st.integers(), st.integers(-30, 30), st.integers(-30, 30))
def test_equal_numbers_share_their_text_and_others_do_not(digits: int, first: int, second: int) -> None:
    one, other = canonical_number(f"{digits}e{first}"), canonical_number(f"{digits}e{second}")
    assert (one == other) == (digits == 0 or first == second)


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        ("email", "email"),
        ("email.value", "email"),
        ("document.value.number", "document.number"),
        ("document.number", "document.number"),
        ("x.value.value", "x.value"),
    ],
)
def test_the_storage_segment_is_left_out(path: str, canonical: str) -> None:
    assert canonical_path(path) == canonical


def test_every_scalar_leaf_is_a_lookup_and_array_elements_are_none() -> None:
    value = {"type": "cpf", "n": 1, "a": ["x"], "b": {"c": True, "d": None}, "value": "inner"}
    assert set(lookups_of("document", json.dumps(value))) == {
        Lookup("document.type", "cpf"),
        Lookup("document.n", "1"),
        Lookup("document.b.c", "true"),
        Lookup("document.b.d", "null"),
        Lookup("document.value", "inner"),
    }


@pytest.mark.parametrize("value", ['"1"', "1", "1.0", "10e-1", '"1.0"'])
def test_a_number_and_the_strings_that_spell_it_are_invalidated_together(value: str) -> None:
    (lookup,) = lookups_of("n", value)
    assert lookup == Lookup("n", "1")
    assert cacheable("n.value", json.loads(value) if value.startswith('"') else value) == lookup


def test_what_is_too_long_or_too_deep_is_not_cached() -> None:
    assert cacheable("x", "é" * (MAX_BYTES // 2)) is not None
    assert cacheable("x", "é" * (MAX_BYTES // 2) + "é") is None
    assert list(lookups_of("x", json.dumps("y" * (MAX_BYTES + 1)))) == []
    deep = "a." * 8 + "b"
    assert cacheable(deep, "1") is None


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ("1", "1"),
        ("-1.5e3", "-1.5e3"),
        ("true", "true"),
        ("null", "null"),
        ("01", None),
        ("", None),
        ("x", None),
    ],
)
def test_literals_that_a_text_spells(text: str, literal: str | None) -> None:
    assert json_literal(text) == literal


_scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=20)


@given(st.recursive(_scalars, lambda inner: st.dictionaries(st.text("abc", min_size=1), inner), max_leaves=8))
def test_whatever_can_be_asked_for_is_named_by_the_change(value: object) -> None:
    """Each scalar reached by a path is among the look-ups of the value, spelled as an asker spells it."""

    def leaves(path: str, inner: object) -> None:
        if isinstance(inner, dict):
            for name, below in inner.items():
                leaves(f"{path}.{name}", below)
            return
        text = inner if isinstance(inner, str) else json.dumps(inner)
        asked = cacheable(path, text)
        assert asked is None or asked in found

    found = set(lookups_of("field", json.dumps(value)))
    leaves("field.value", value)
