"""What topics and HTTP refuse alike, because PostgreSQL could not store or index it.

Messages name the field and the rule, never the value, which may be somebody's.
"""

import re
from typing import Final

from app.core.errors import InvalidError

# An index entry of PostgreSQL holds 2,704 bytes; (type, reference) is one.
MAX_TYPE_BYTES: Final = 255
MAX_REFERENCE_BYTES: Final = 1024
MAX_FIELD_BYTES: Final = 255
MAX_KEY_BYTES: Final = 255
MAX_RELATIONSHIP_BYTES: Final = 255

MAX_DEPTH: Final = 64  # of one value: parsers of consumers recurse

_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_HIGH: Final = range(0xD800, 0xDC00)
_LOW: Final = range(0xDC00, 0xE000)
_LONG_EXPONENT: Final = re.compile(r"[eE][+-]?0*[1-9]\d{3}")
_EXPONENT: Final = re.compile(r"[0-9][eE][+-]?0*([0-9]{1,3})(?![0-9])")
_MOST_FOR_A_CHARACTER: Final = 250  # written out: of `1e999`
_BRACKET: Final = re.compile(r"[\[\]{}]")


def check_name(text: str, field: str, max_bytes: int) -> str:
    """Return a type, reference, field name or the like as it is.

    Raises InvalidError where it is empty, longer than `max_bytes` in UTF-8, or not storable as text.
    """
    if not text:
        raise InvalidError(f"{field} is empty.", code="empty-name", field=field)
    if "\0" in text or (not text.isascii() and _SURROGATE.search(text)):
        raise _unstorable(field)
    if len(text) > max_bytes or (not text.isascii() and len(text.encode()) > max_bytes):
        raise InvalidError(
            f"{field} is longer than {max_bytes} bytes of UTF-8.", code="name-too-long", field=field
        )
    return text


def check_json_text(raw: bytes | str, field: str, max_bytes: int) -> str:
    """Return the text of one JSON value, byte for byte.

    `raw` must be well-formed (a msgspec.Raw is, but for UTF-8 and surrogates, which are checked here).
    Raises InvalidError where it is larger than `max_bytes` (PROFILE_MAX_VALUE_BYTES), as it is or with its numbers
    written out, as jsonb does; where it is nested deeper than MAX_DEPTH, or holds U+0000, half a surrogate pair or a
    number whose exponent has more than three digits. As a JSON string, jsonb text is at most twice as large.
    """
    try:
        size, text = (len(raw), raw.decode()) if isinstance(raw, bytes) else (len(raw.encode()), raw)
    except UnicodeError:
        raise _unstorable(field) from None
    if size > max_bytes:
        raise _too_large(field, max_bytes)
    if "\\u" in text:
        _check_escapes(text, field)
    if text.startswith('"'):  # neither brackets nor numbers
        return text
    if len(text) > MAX_DEPTH and text.count("[") + text.count("{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        raise InvalidError(
            f"{field} is nested deeper than {MAX_DEPTH} levels.", code="nested-too-deep", field=field
        )
    if "e" in text or "E" in text:
        _check_exponents(text, field, max_bytes, room=max_bytes - size)
    return text


def _check_exponents(text: str, field: str, max_bytes: int, *, room: int) -> None:
    if _LONG_EXPONENT.search(text) and _LONG_EXPONENT.search(_STRING.sub('""', text)):
        raise InvalidError(
            f"{field} holds a number whose exponent has more than three digits.",
            code="number-out-of-range",
            field=field,
        )
    if len(text) * _MOST_FOR_A_CHARACTER <= room:
        return
    # What stands in strings is no number; but it seldom says that there are so many.
    if _written_out(text) > room and _written_out(_STRING.sub('""', text)) > room:
        raise _too_large(field, max_bytes, " with its numbers written out")


def _written_out(text: str) -> int:
    """How many bytes more the numbers with exponents take at most, without them."""
    return sum(2 + int(exponent) for exponent in _EXPONENT.findall(text))


def _check_escapes(text: str, field: str) -> None:
    low_due_at = -1  # where a low surrogate has to start, after a high one
    for match in _ESCAPE.finditer(text):
        unit = int(match[1], 16) if match[1] else -1
        is_low = unit in _LOW
        if low_due_at >= 0 and not (is_low and match.start() == low_due_at):
            break
        if unit == 0 or (is_low and low_due_at < 0):
            raise _unstorable(field)
        low_due_at = match.end() if unit in _HIGH else -1
    if low_due_at >= 0:
        raise _unstorable(field)


def _depth(text: str) -> int:
    depth = deepest = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _too_large(field: str, max_bytes: int, how: str = "") -> InvalidError:
    return InvalidError(
        f"{field} is larger than {max_bytes} bytes{how} (PROFILE_MAX_VALUE_BYTES).",
        code="value-too-large",
        field=field,
    )


def _unstorable(field: str) -> InvalidError:
    return InvalidError(
        f"{field} holds U+0000 or half a surrogate pair, which can't be stored.",
        code="unstorable-text",
        field=field,
    )
