"""Whom a dead letter may be about, read from a record that could not be read as it should.

In doubt it is about all that it names: where types are told beside references (records of the normalised topics,
Debezium's rows) both count; where they are not (source topics), or where the value is not JSON, every text in it may
be a reference. Pure.
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from app.core.dates import from_epoch_ms
from app.core.erasure import Named
from app.core.models import EntityKey

_PAIRS: Final = (("type", "reference"), ("entity_type", "entity_reference"))
_IDS: Final = ("entity_id", "left_entity_id", "right_entity_id")
_MAX_ID: Final = 2**63 - 1
_MAX_NAMES: Final = 20_000  # of one letter
_MAX_CHARACTERS: Final = 1024
_TEXTS: Final = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\s"\',;:=(){}\[\]]+)', re.DOTALL)


def names_of(*, key: bytes | None, value: bytes | None, timestamp_ms: int, typed: bool) -> Named:
    """What the record names; `typed` is false for topics that name entities without their types."""
    keys: set[EntityKey] = set()
    references: set[str] = set()
    ids: set[int] = set()
    document = _json(key)
    if document is None:
        keys.update(_splits(_text(key)))
    else:
        _collect(document, keys, ids, references=None)
    document = _json(value)
    if document is None:
        references.update(_texts(_text(value)))
    else:
        _collect(document, keys, ids, references=None if typed else references)
    if not typed:
        references.add(_text(key))
    return Named(
        keys=frozenset(k for k in keys if _storable(k.type) and _storable(k.reference)),
        references=frozenset(text for text in references if _storable(text)),
        ids=frozenset(ids),
        told_at=_told_at(timestamp_ms),
    )


def _told_at(timestamp_ms: int) -> datetime:
    try:
        return from_epoch_ms(timestamp_ms)
    except OverflowError:  # no date at all: it may have been told before any erasure
        return datetime.min.replace(tzinfo=UTC)


def _text(data: bytes | None) -> str:
    return (data or b"").decode(errors="replace")


def _json(data: bytes | None) -> Any:
    """The object or array, or None where it is none."""
    try:
        found = json.loads(data or b"")
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict | list) else None


def _collect(document: Any, keys: set[EntityKey], ids: set[int], *, references: set[str] | None) -> None:
    waiting = [document]
    seen = 0
    while waiting and seen < _MAX_NAMES:
        seen += 1
        match waiting.pop():
            case dict() as members:
                waiting += members.values()
                _collect_names(members, keys, ids)
            case list() as items:
                waiting += items
            case str() as text if references is not None:
                references.add(text)
            case bool() | None:
                pass
            case int() as number if references is not None:
                references.add(str(number))


def _collect_names(members: dict[str, Any], keys: set[EntityKey], ids: set[int]) -> None:
    named = set(_IDS)
    for kind, reference in _PAIRS:
        if isinstance(members.get(kind), str) and isinstance(members.get(reference), str):
            keys.add(EntityKey(members[kind], members[reference]))
            named.add("id")
    ids.update(
        members[name]
        for name in named
        if isinstance(members.get(name), int)
        and not isinstance(members[name], bool)
        and members[name] <= _MAX_ID
    )


def _splits(text: str) -> Iterator[EntityKey]:
    """`type:reference`, and both may hold colons."""
    parts = text.split(":")
    for index in range(1, min(len(parts), 16)):
        yield EntityKey(":".join(parts[:index]), ":".join(parts[index:]))


def _texts(text: str) -> Iterator[str]:
    for count, match in enumerate(_TEXTS.finditer(text)):
        if count >= _MAX_NAMES:
            return
        quoted, bare = match.groups()
        yield _unescaped(quoted) if quoted is not None else bare


def _unescaped(quoted: str) -> str:
    try:
        return str(json.loads(f'"{quoted}"', strict=False))
    except ValueError:
        return quoted


def _storable(text: str) -> bool:
    """Whether it can name an entity: no half of a surrogate pair, which has no bytes."""
    return 0 < len(text) <= _MAX_CHARACTERS and not any("\ud800" <= c <= "\udfff" for c in text)
