"""What is refused before PostgreSQL sees it."""

import json
import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import InvalidError
from app.core.validation import MAX_DEPTH, check_json_text, check_name


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty-name"),
        ("a" * 11, "name-too-long"),
        ("é" * 6, "name-too-long"),
        ("a\0b", "unstorable-text"),
        ("a\ud800b", "unstorable-text"),
    ],
)
def test_refuses_a_name(text: str, code: str) -> None:
    with pytest.raises(InvalidError, match=r"x\.name") as caught:
        check_name(text, "x.name", 10)
    assert (caught.value.code, caught.value.field) == (code, "x.name")


@pytest.mark.parametrize("text", ["a", "é" * 5, "x:y/z@w", " "])
def test_returns_a_good_name_as_it_is(text: str) -> None:
    assert check_name(text, "x", 10) == text


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b'"\\u0000"', "unstorable-text"),
        (b'"\\\\\\u0000"', "unstorable-text"),
        (b'"\\ud800"', "unstorable-text"),
        (b'"\\ud800 \\u0041"', "unstorable-text"),
        (b'"\\ud800x\\udc00"', "unstorable-text"),
        (b'"\\udc00\\ud800"', "unstorable-text"),
        (b'"\\ud83d\\ude00\\ude00"', "unstorable-text"),
        (b'{"\\u0000": 1}', "unstorable-text"),
        (b'"\xff"', "unstorable-text"),
        ('"\ud800"', "unstorable-text"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "nested-too-deep"),
        (b'"' + b"a" * 1000 + b'"', "value-too-large"),
        (b"1e1000", "number-out-of-range"),
        (b"[1E-0002000]", "number-out-of-range"),
    ],
)
def test_refuses_a_value(raw: bytes | str, code: str) -> None:
    with pytest.raises(InvalidError) as caught:
        check_json_text(raw, "v", 1000)
    assert (caught.value.code, caught.value.field) == (code, "v")


LARGE = 1024 * 1024


@pytest.mark.parametrize("number", ["1e999", "-1E+999", "1.5e-999", "9e0999"])
def test_numbers_count_as_they_are_written_out(number: str) -> None:
    many = f"[{','.join([number] * 1_100)}]".encode()
    with pytest.raises(InvalidError, match="PROFILE_MAX_VALUE_BYTES") as caught:
        check_json_text(many, "v", LARGE)
    assert caught.value.code == "value-too-large"
    few = f"[{','.join([number] * 1_000)}]"
    assert check_json_text(few.encode(), "v", LARGE) == few
    assert check_json_text(number, "v", LARGE) == number


def test_what_only_looks_like_such_numbers_counts_as_it_is() -> None:
    text = json.dumps(["1e999", "a1e999 \\", f"1e{'9' * 5_000}"] * 50)
    assert check_json_text(text, "v", LARGE) == text


_leaf = st.one_of(
    st.text(st.sampled_from('"\\\n\x01/aé😀'), max_size=20),
    st.sampled_from(["1e999", "1E-999", "-1.5e120", "0", "1.0"]).map(lambda number: f"\0{number}"),
    st.none(),
)
_tree = st.recursive(
    _leaf, lambda inner: st.lists(inner) | st.dictionaries(st.text('"\\a', max_size=3), inner)
)


def _spelled(value: object, separators: tuple[str, str]) -> str:
    """JSON without a float; of a number, marked by U+0000, its text."""
    text = json.dumps(value, ensure_ascii=False, separators=separators)
    return re.sub(r'"\\u0000([^"]*)"', r"\1", text)


def _as_jsonb(value: object) -> str:
    text = _spelled(value, (", ", ": "))
    outside = re.split(r'("(?:[^"\\]|\\.)*")', text)
    return "".join(
        part
        if part.startswith('"')
        else re.sub(r"-?\d+(\.\d+)?[eE]-?\d+", lambda m: f"{Decimal(m[0]):f}", part)
        for part in outside
    )


@given(_tree)
def test_what_is_let_through_is_at_most_twice_as_large_in_a_change(value: object) -> None:
    raw = _spelled(value, (",", ":"))
    in_a_change = len(json.dumps(_as_jsonb(value), ensure_ascii=False).encode())
    limit = in_a_change // 2 - 2  # its quotes are the change's
    if limit > 0:
        with pytest.raises(InvalidError):
            check_json_text(raw, "v", limit)


@pytest.mark.parametrize(
    "raw",
    [
        b"12345678901234567890.123",
        b"1E400",
        b'"\\\\u0000"',
        b'"\\ud83d\\ude00"',
        b'"' + b"[" * 200 + b'"',
        b"[" * MAX_DEPTH + b"]" * MAX_DEPTH,
        b'"1e5000 \\" 1e5000"',
        b'{"a": [1, true, null]}',
    ],
)
def test_returns_a_good_value_byte_for_byte(raw: bytes) -> None:
    assert check_json_text(raw, "v", 1000).encode() == raw


@given(st.text(max_size=20))
def test_judges_escapes_as_the_standard_parser_reads_them(text: str) -> None:
    storable = "\0" not in text
    raw = json.dumps(text)  # everything outside ASCII as \u escapes
    if storable:
        assert check_json_text(raw, "v", 1000) == raw
    else:
        with pytest.raises(InvalidError):
            check_json_text(raw, "v", 1000)
