"""What is refused before PostgreSQL sees it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidError
from app.validation import MAX_DEPTH, check_json_text, check_name


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
