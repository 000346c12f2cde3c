"""Whom a dead letter may be about, read from a record that could not be read as it should. Pure.

In doubt it is about all that it names: every whole JSON string in it, and every token of a text, in whatever field,
encoding or text within text. Two things narrow that down.

- Where a record of a normalised topic, or a row of Debezium, tells a type beside a reference, the two are one key.
- A number or a short text (`1`) is a reference only where its name says so (`user/1`, `{"customer": {"id": 1}}`): else
  it is an amount, a count or a part of a date. Where such a text stands elsewhere it is kept apart, as `doubtful`.
"""

import itertools
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from app.core.dates import from_epoch_ms
from app.core.erasure import Named
from app.core.models import EntityKey, RecordSource
from app.erasure.letter_text import MAX_CHARACTERS, document_of, spellings_of, texts_of, tokens_of
from app.erasure.member_names import NOTHING, Meaning, meaning_of

_PAIRS: Final = (("type", "reference"), ("entity_type", "entity_reference"))
_IDS: Final = frozenset(("entity_id", "left_entity_id", "right_entity_id"))
_NAMED_BY_ID: Final = re.compile(r"entity-(\d{1,18})")
# Of records of the normalised topics: what names no entity.
_STRUCTURE: Final = frozenset(
    (
        *("type", "entity_type", "relation_type", "relationship_type", "field_name"),
        *(
            "property_type",
            "property_granularity",
            "granularity",
            "reference_date",
            "property_reference_date",
        ),
    )
)
_MEMBERS: Final = _STRUCTURE | frozenset(
    (
        *("id", "reference", "entity_reference", "edges", "metadata", "field_value", "property_value"),
        *("property_version", "before", "after", "source", "op", "schema", "payload"),
    )
)
_UNKNOWN: Final = "unknown"  # the type of placeholders, who may be of any type
_MAX_ID: Final = 2**63 - 1
_MAX_NAMES: Final = 100_000  # of one letter
_MAX_STEPS: Final = 250_000
_MAX_PAIRS: Final = 64  # of neighbours in one list, and of members of one object
_MAX_DEPTH: Final = 6  # of texts within texts
_MIN_CHARACTERS: Final = 3  # of a text with letters that is no number, and not any word
_MIN_DIGITS: Final = 9


def names_of(
    *,
    key: bytes | None,
    value: bytes | None,
    timestamp_ms: int,
    typed: bool,
    others: Sequence[bytes] = (),
    place: RecordSource | None = None,
) -> Named:
    """What the record names; `typed` is false for topics that name entities without their types.

    `others` are further texts of the letter, as the reason for which it is one; `place` is where its record lies.
    """
    reader = _Reader(typed=typed)
    reader.read_key(key or b"")
    for text in texts_of(value or b""):
        reader.read_text(text)
    for other in others:
        for text in texts_of(other):
            reader.read_tokens(text, _MAX_DEPTH)
    return Named(
        keys=frozenset(reader.keys),
        references=frozenset(reader.references),
        ids=frozenset(reader.ids),
        told_at=_told_at(timestamp_ms),
        place=place,
        doubtful=frozenset(reader.doubtful - reader.references),
        cut=reader.full,
    )


def _told_at(timestamp_ms: int) -> datetime:
    try:
        return from_epoch_ms(timestamp_ms)
    except OverflowError:  # no date at all: it may have been told before any erasure
        return datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Place:
    """A part of a document that is still to be read."""

    part: Any
    name: str = ""  # of the member that it is the value of
    within: str = ""  # of the member that holds that one
    row: bool = False  # of a table, as Debezium tells it


@dataclass(slots=True)
class _Reader:
    typed: bool
    keys: set[EntityKey] = field(default_factory=set)
    references: set[str] = field(default_factory=set)
    doubtful: set[str] = field(default_factory=set)
    ids: set[int] = field(default_factory=set)
    _read: set[str] = field(default_factory=set)  # texts that were taken apart
    _known: set[tuple[str, str, str]] = field(default_factory=set)  # tokens, with what stands before them
    _steps: int = 0

    @property
    def full(self) -> bool:
        """Whether it names more than is looked at."""
        named = len(self.keys) + len(self.references) + len(self.doubtful)
        return named >= _MAX_NAMES or self._steps >= _MAX_STEPS

    def read_key(self, key: bytes) -> None:
        """The record's own key: `type:reference`, a reference alone, or JSON."""
        for text in texts_of(key):
            document = document_of(text)
            if isinstance(document, str):
                self._add(document, Meaning(generic=True))
            if document is not None:
                self._read_document(_Place(document, row=self.typed), 0)
                continue
            pairs = list(_splits(text))
            for pair in pairs:
                self._add_key(*pair)
            if self.typed and any(_is_type(kind) for kind, _ in pairs):
                continue  # it is of that type and no other
            self._add(text, Meaning(generic=True))
            self.read_tokens(text, 1)

    def read_text(self, text: str, depth: int = 0, place: _Place | None = None) -> None:
        """JSON, or words of any kind."""
        if text in self._read:
            return
        self._read.add(text)
        document = document_of(text)
        if document is None:
            self.read_tokens(text, depth + 1)
        elif place is None:
            self._read_document(_Place(document), depth)
        else:
            self._read_document(_Place(document, place.name, place.within, place.row), depth)

    def read_tokens(self, text: str, depth: int) -> None:
        previous = ""
        for token in tokens_of(text):
            self._steps += 1
            if self.full:
                return
            known = (*token, previous)
            previous = token.text
            if known in self._known or not any(map(str.isalnum, token.text[:MAX_CHARACTERS])):
                continue
            self._known.add(known)
            self._add(token.text, meaning_of(token.name), known[1:])
            if (
                depth < _MAX_DEPTH
                and len(token.text) < len(text)
                and ('"' in token.text or "\\" in token.text)
            ):
                self.read_text(token.text, depth + 1)

    def _read_document(self, whole: _Place, depth: int) -> None:
        waiting = [whole]
        while waiting and not self.full:
            self._steps += 1
            place = waiting.pop()
            match place.part:
                case dict() as members:
                    waiting += self._read_members(members, place)
                case list() as items:
                    waiting += [_Place(item, place.name, place.within, place.row) for item in items]
                    self._read_neighbours(items)
                case str() as text:
                    self._read_scalar(text, place)
                    if depth < _MAX_DEPTH and not text.isalnum():
                        self.read_text(text, depth + 1, place)
                case bool() | None:
                    pass
                case int() | float() as number:
                    self._read_scalar(_spelled(number), place)

    def _read_members(self, members: dict[str, Any], place: _Place) -> Iterator[_Place]:
        told = self._read_pairs(members)
        if place.row:
            self._read_ids(members, paired=bool(told))
        for name, part in members.items():
            if name in told or (self.typed and name in _STRUCTURE and isinstance(part, str)):
                continue
            if place.row and (name in _IDS or name == "id"):
                continue
            if not (self.typed and name in _MEMBERS):
                self._read_scalar(name, place)
            row = place.row or (self.typed and name in ("before", "after"))
            yield _Place(part, name, place.name, row)

    def _read_pairs(self, members: dict[str, Any]) -> set[str]:
        """Take what tells a type and a reference; the names of members that so are one key, and nothing else."""
        told: set[str] = set()
        paired = False
        for kind, reference in _PAIRS:
            if not (isinstance(members.get(kind), str) and _is_scalar(members.get(reference))):
                continue
            paired = True
            type_, text = members[kind], _spelled(members[reference])
            self._add_key(type_, text)
            # A source may mean something else by `type`; of a text that names nobody alone it is the type.
            if _is_type(type_) and (self.typed or not _stands_alone(text)):
                told |= {kind, reference}
        if not paired:
            self._read_other_spellings(members)
        return told

    def _read_other_spellings(self, members: dict[str, Any]) -> None:
        """`{"entityType": "user", "ref": 1}`: whatever may be a type, with whatever may be a reference."""
        kinds = [
            part for name, part in members.items() if isinstance(part, str) and meaning_of(name).tells_type
        ]
        if not kinds:
            return
        for name, part in itertools.islice(members.items(), _MAX_PAIRS):
            if _is_scalar(part) and (meaning_of(name).generic or name.lower() == "id"):
                for kind in kinds[:4]:
                    self._add_key(kind, _spelled(part))

    def _read_ids(self, members: dict[str, Any], *, paired: bool) -> None:
        of_entity = paired or "properties" in members or "reference" in members
        for name in _IDS | {"id"} if of_entity else _IDS:
            number = members.get(name)
            if isinstance(number, str) and number.isdecimal() and len(number) <= len(str(_MAX_ID)):
                number = int(number)
            if isinstance(number, int) and not isinstance(number, bool) and number <= _MAX_ID:
                self.ids.add(number)

    def _read_neighbours(self, items: list[Any]) -> None:
        """`["user", 1]`"""
        for kind, reference in itertools.pairwise(items[:_MAX_PAIRS]):
            if isinstance(kind, str) and _is_scalar(reference):
                self._add_key(kind, _spelled(reference))

    def _read_scalar(self, text: str, place: _Place) -> None:
        self._add(text, meaning_of(place.name, place.within))
        if self.typed and (by_id := _NAMED_BY_ID.fullmatch(text)):
            self.ids.add(int(by_id[1]))

    def _add(self, text: str, meaning: Meaning = NOTHING, kinds: Collection[str] = ()) -> None:
        """Take a text that is a reference by itself, or by what its name means; `kinds` may be its type."""
        if len(text) > MAX_CHARACTERS:
            return
        for spelt in spellings_of(text):
            if not _storable(spelt):
                continue
            if meaning.generic or _stands_alone(spelt):
                self.references.add(spelt)
                continue
            self.doubtful.add(spelt)
            for kind in (*meaning.types, *kinds):
                self._add_key(kind, spelt)

    def _add_key(self, kind: str, reference: str) -> None:
        if _storable(kind) and _storable(reference):
            self.keys.add(EntityKey(kind, reference))


def _is_scalar(part: Any) -> bool:
    return isinstance(part, str | int | float) and not isinstance(part, bool)


def _spelled(part: str | float) -> str:
    """A number that is whole without its fraction, as references have it."""
    if isinstance(part, float) and part.is_integer() and abs(part) < _MAX_ID:
        return str(int(part))
    return str(part)


def _is_type(text: str) -> bool:
    """Whether it is a type as they are usually spelled, so that it was meant as it stands."""
    return bool(text) and text != _UNKNOWN and text == text.strip().lower() and text[0].isalpha()


def _stands_alone(text: str) -> bool:
    """Whether it names somebody wherever it stands: a text with a letter, or a number that is long for an amount."""
    if any(map(str.isalpha, text)):
        return len(text) >= _MIN_CHARACTERS
    return len(text) >= _MIN_DIGITS and sum(map(str.isdecimal, text)) >= _MIN_DIGITS


def _splits(text: str) -> Iterator[tuple[str, str]]:
    """`type:reference`, and both may hold colons; or `type/reference`."""
    for separator in (":", "/"):
        parts = text.split(separator)
        for index in range(1, min(len(parts), 16)):
            yield separator.join(parts[:index]), separator.join(parts[index:])


def _storable(text: str) -> bool:
    """Whether it can name an entity: no half of a surrogate pair, which has no bytes."""
    if not 0 < len(text) <= MAX_CHARACTERS:
        return False
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)
