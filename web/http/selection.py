"""The query parameters `fields`, `types` and `as_of`."""

import re
from datetime import datetime
from typing import Final

from multidict import MultiMapping

from app.core.selection import MEMBERS, Fields, Selection
from web.http import parameters
from web.problems import invalid_parameter

NAMES: Final = ("fields", "types", "as_of")
_PART: Final = re.compile(r"(?:[^,\\]|\\.)*", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def of(query: MultiMapping[str]) -> Selection | None:
    """What of the tree is asked for; None: everything. Raises ProblemError."""
    if not any(name in query for name in NAMES):
        return None
    fields, types = parameters.single(query, "fields"), parameters.single(query, "types")
    until = parameters.date_of(query, "as_of")
    if until is not None and _DAY.fullmatch(query["as_of"]):
        until = _end_of(until)
    return Selection(
        fields=None if fields is None else _fields(_parts("fields", fields)),
        types=None if types is None else frozenset(_parts("types", types)),
        until=until,
    )


def _end_of(day: datetime) -> datetime:
    """The last instant of a day."""
    return day.replace(hour=23, minute=59, second=59, microsecond=999_999)


def _parts(name: str, text: str) -> list[str]:
    """The items between commas; a backslash takes the character after it as it is."""
    if len(text.encode(errors="replace")) > parameters.MAX_SELECTION_BYTES:
        raise invalid_parameter(name, f"{name} is longer than {parameters.MAX_SELECTION_BYTES} bytes.")
    parts, at = [], 0
    while at <= len(text):
        match = _PART.match(text, at)
        assert match is not None  # noqa: S101 - the pattern takes nothing, too
        if match.end() < len(text) and text[match.end()] != ",":
            raise invalid_parameter(name, f"{name} ends in a backslash that escapes nothing.")
        parts.append(_ESCAPED.sub(r"\1", match[0]))
        at = match.end() + 1
    if not all(parts):
        raise invalid_parameter(name, f"{name} has an empty item: expected names separated by commas.")
    return parts


def _fields(parts: list[str]) -> Fields:
    members, properties, series = set(), set(), set()
    for part in parts:
        member, dot, name = part.partition(".")
        if part in MEMBERS:
            members.add(part)
        elif dot and name and member == "properties":
            properties.add(name)
        elif dot and name and member == "temporal_data":
            series.add(name)
        elif part not in ("id", "type", "reference"):
            properties.add(part)
    return Fields(members=frozenset(members), properties=frozenset(properties), series=frozenset(series))
