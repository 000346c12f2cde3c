"""Look-ups by property: how paths and values are spelled, so that a change names exactly the answers it touches.

The path leaves out the storage's `value` segment after the field name. A value's canonical text is a number in its
shortest plain form (`1`, `1.0` and `1e0` are `1`), and all else as it is; a string that spells a number shares its
text. Elements of arrays don't match. A path with a segment in quotes (app.core.property_paths) is never cached.
"""

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Final

from app.core import property_paths
from app.core.models import Lookup

MAX_DEPTH: Final = 8  # segments of a path
MAX_BYTES: Final = 256  # of a canonical text

_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?\Z", re.ASCII)
_LONG_EXPONENT: Final = re.compile(
    r"[eE][+-]?0*[1-9]\d{3}", re.ASCII
)  # never stored: jsonb would write it out
_LITERALS: Final = frozenset({"true", "false", "null"})


class _Number(str):
    """A JSON number as it was spelled."""

    __slots__ = ()


_DECODER: Final = json.JSONDecoder(parse_int=_Number, parse_float=_Number)


def canonical_path(path: str) -> str:
    """`document.value.number` and `document.number` are the same look-up. Only one segment is left out, once."""
    if ".value" not in path or property_paths.is_quoted(path):
        return path
    field, *rest = path.split(".")
    if rest and rest[0] == "value":
        rest = rest[1:]
    return ".".join([field, *rest])


def canonical_number(text: str) -> str | None:
    """The shortest plain form of a JSON number, or None where that is longer than MAX_BYTES."""
    if text.isdecimal() and text.isascii() and text[0] != "0":  # as most are that anybody looks up
        return text if len(text) <= MAX_BYTES else None
    try:
        sign, digits, exponent = Decimal(text).as_tuple()
    except InvalidOperation:  # an exponent beyond what Decimal holds
        return None
    if not isinstance(exponent, int):
        return None
    figures = "".join(map(str, digits)).lstrip("0")
    stripped = figures.rstrip("0")
    exponent += len(figures) - len(stripped)
    if not stripped:
        return "0"
    if max(len(stripped), len(stripped) + exponent, -exponent) > MAX_BYTES:
        return None
    if exponent >= 0:
        plain = stripped + "0" * exponent
    elif len(stripped) > -exponent:
        plain = f"{stripped[:exponent]}.{stripped[exponent:]}"
    else:
        plain = f"0.{stripped.rjust(-exponent, '0')}"
    return f"-{plain}" if sign else plain


def canonical_value(text: str) -> str | None:
    """The canonical text of what a look-up asks for, or None where it is too long to be cached."""
    found = canonical_number(text) if len(text) <= MAX_BYTES and _NUMBER.match(text) else text
    return found if found is not None and _bytes_of(found) <= MAX_BYTES else None


def _bytes_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def is_number(text: str) -> bool:
    """Whether the text spells a JSON number."""
    return _NUMBER.match(text) is not None


def json_literal(text: str) -> str | None:
    """The JSON number, boolean or null that the text spells and that can be stored, or None."""
    storable = is_number(text) and not _LONG_EXPONENT.search(text)
    return text if text in _LITERALS or storable else None


def cacheable(path: str, value: str) -> Lookup | None:
    """The look-up's name in the cache, or None where it is answered without one.

    The path is as it was asked for. A canonical one is not to be made canonical again: `amount.value.value` is the leaf
    `value` of an object, which `amount.value` names there, and `amount.value` as it is asked for is another look-up.
    A quoted path is not cached: names with dots are seldom, and each would need a spelling that all versions know.
    """
    if '"' in path and property_paths.is_quoted(path):
        return None
    name = canonical_path(path)
    text = canonical_value(value)
    if text is None or name.count(".") >= MAX_DEPTH:
        return None
    return Lookup(name, text)


def lookups_of(field: str, value_json: str) -> list[Lookup]:
    """Every cacheable look-up that a property with this value answers."""
    found: list[Lookup] = []
    _add_leaves(found, field, _DECODER.decode(value_json), 1)
    return found


def _add_leaves(found: list[Lookup], path: str, value: object, depth: int) -> None:
    text: str | None
    match value:
        case _Number():
            text = canonical_number(value)
        case str():
            text = canonical_value(value)
        case dict():
            if depth < MAX_DEPTH:
                for name, inner in value.items():
                    # A dot within a name is a path of more segments to whoever asks.
                    _add_leaves(found, f"{path}.{name}", inner, depth + 1)
            return
        case list():
            return
        case None:
            text = "null"
        case _:
            text = "true" if value else "false"
    if text is not None and _bytes_of(text) <= MAX_BYTES:
        found.append(Lookup(path, text))
