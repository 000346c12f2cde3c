"""Paths of look-ups: dots, quotes and escapes."""

import pytest

from app.core.errors import InvalidError
from app.core.property_paths import is_quoted, segments_of
from storage.cache.lookups import cacheable, canonical_path


@pytest.mark.parametrize(
    ("path", "segments"),
    [
        ("email", ["email"]),
        ("document.number", ["document", "number"]),
        ("document.value.number", ["document", "number"]),
        ("a..b.", ["a", "", "b", ""]),
        ('"utm.source"', ["utm.source"]),
        ('"utm.source".medium', ["utm.source", "medium"]),
        ('"utm.source".value.medium', ["utm.source", "medium"]),
        ('utm."a.b"."c"', ["utm", "a.b", "c"]),
        ('amount."value"', ["amount", "value"]),
        ('amount."value".value', ["amount", "value", "value"]),
        (r'"a\"b\\c.d".e', ['a"b\\c.d', "e"]),
        ('"".""', ["", ""]),
        ('a"b.c"d', ['a"b', 'c"d']),  # a quote within a plain segment is a character as others are
    ],
)
def test_segments(path: str, segments: list[str]) -> None:
    assert segments_of(path) == segments


@pytest.mark.parametrize("path", ['"a', '"', '"a"b', '"a"b.c', 'a."b', r'"a\"', r'"a\n"', '"a".b."c'])
def test_a_quote_that_is_not_closed_is_refused(path: str) -> None:
    with pytest.raises(InvalidError, match="begins with a quote"):
        segments_of(path)


def test_what_stands_in_quotes_is_not_cached_under_the_name_of_another_path() -> None:
    assert [is_quoted(path) for path in ('"a.b"', 'a."b"', 'a"b"', "a.b")] == [True, True, False, False]
    assert cacheable('"utm.source"', "x") is None
    assert canonical_path('a."b".value') == 'a."b".value'
