from dataclasses import replace

import pytest

from app.core.records import StoredLetter
from app.dead_letters.text import line_of, page_of

LETTER = StoredLetter(
    stored_key=b"t/3/42",
    topic="t",
    timestamp_ms=1_736_937_000_123,
    key=b"k",
    value=b'{"secret":1}',
    error="missing-field",
    reason="id is missing.",
    headers=(("dlq.topic", b"t"), ("dlq.key", b"k")),
)


def test_a_line_tells_all_but_the_value() -> None:
    assert line_of(LETTER) == "t/3/42\t2025-01-15T10:30:00.123000Z\tmissing-field\tid is missing."


def test_a_line_is_one_line_and_moves_no_cursor() -> None:
    line = line_of(replace(LETTER, reason="a\nb\tc\x1b[2J\u009b\u202e", error="\ud800"))
    assert line.split("\t")[2:] == ["\\ud800", "a\\nb\\tc\\x1b[2J\\x9b\\u202e"]


def test_a_time_beyond_the_calendar_is_told_as_a_number() -> None:
    assert (
        line_of(replace(LETTER, timestamp_ms=1_736_937_000_123_000)).split("\t")[1] == "1736937000123000 ms"
    )


def test_a_page_has_headers_and_the_value_with_its_own_digits() -> None:
    page = page_of(replace(LETTER, value='{"n":1.500000000000000000001,"name":"Zoë\u009b"}'.encode()))
    assert page.split("\n") == [
        "t/3/42",
        "time: 2025-01-15T10:30:00.123000Z",
        "dlq.topic: t",
        "dlq.key: k",
        "",
        "{",
        '  "n": 1.500000000000000000001,',
        '  "name": "Zoë\\x9b"',
        "}",
    ]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"\xff{", r"b'\xff{'"),
        (b'"\xff"', r"""b'"\xff"'"""),
        (b"\x1b[2J", r"b'\x1b[2J'"),
        (b"", "b''"),
        (None, "(no value: a tombstone)"),
    ],
)
def test_what_is_no_json_is_shown_safely(value: bytes | None, shown: str) -> None:
    assert page_of(replace(LETTER, value=value)).split("\n")[-1] == shown


def test_a_value_too_deep_is_shown_as_it_is() -> None:
    assert page_of(replace(LETTER, value=b"[" * 5_000 + b"]" * 5_000)).endswith("]]]'")
