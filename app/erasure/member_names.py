"""What the name of a JSON member says of its value: whether it is a reference, and of which type of entity. Pure.

A short text or a number, such as `1`, is a reference only where its name says so: anywhere else it is an amount, a
count or a part of a date. A name that tells a type (`accountId`) makes it a reference of that type alone.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+")
_IDENTIFIERS: Final = (
    "references",
    "reference",
    "referencia",
    "identifier",
    "refs",
    "ref",
    "uuid",
    "uid",
    "ids",
    "id",
)
# A reference of an entity of any type.
_GENERIC: Final = frozenset(
    (
        "reference",
        "references",
        "referencia",
        "ref",
        "refs",
        "subject",
        "subjects",
        "entity",
        "entities",
        "entidade",
        "identifier",
        "uid",
        "external",
        "target",
        "left",
        "right",
        "related",
    )
)
# Sources have many words for a person, and for whatever type people are entities of.
PEOPLE: Final = frozenset(
    (
        "user",
        "customer",
        "client",
        "person",
        "people",
        "member",
        "owner",
        "holder",
        "employee",
        "patient",
        "profile",
        "contact",
        "lead",
        "usuario",
        "cliente",
        "pessoa",
    )
)
_NO_REFERENCE: Final = frozenset(
    (
        *(
            "date",
            "time",
            "timestamp",
            "at",
            "count",
            "amount",
            "total",
            "sum",
            "version",
            "offset",
            "age",
            "size",
        ),
        *(
            "type",
            "types",
            "kind",
            "tipo",
            "granularity",
            "hash",
            "index",
            "level",
            "score",
            "rank",
            "status",
        ),
        *("quantity", "price", "cents", "currency", "name", "data"),
    )
)
_TRANSPARENT: Final = frozenset(
    ("value", "new", "old")
)  # what they hold is what the member around them holds
_TYPES: Final = frozenset(("type", "kind", "tipo"))


@dataclass(frozen=True, slots=True)
class Meaning:
    """Of one name: whether its value may be a reference of any type, and of which types it is one."""

    generic: bool = False
    types: frozenset[str] = frozenset()
    tells_type: bool = False  # the value is a type of an entity


NOTHING: Final = Meaning()


@lru_cache(maxsize=8192)
def meaning_of(name: str, within: str = "") -> Meaning:
    """Of a member of an object that is itself the value of `within`: `{"customer": {"id": …}}`."""
    words = _words(name)
    if not words:
        return NOTHING
    if len(words) == 1 and words[0] in _TRANSPARENT:
        return meaning_of(within) if within else NOTHING
    if words[-1] in _TYPES and all(word in _GENERIC for word in words[:-1]):
        return Meaning(tells_type=True)
    if _NO_REFERENCE.intersection(words):
        return NOTHING
    stem = [word for word in words if word not in _IDENTIFIERS]
    generic = bool(_GENERIC.intersection(words))
    if not stem and not generic:  # a bare id is one of what holds it
        inner = meaning_of(within) if within else NOTHING
        return Meaning(generic=inner.generic, types=inner.types)
    types = {"_".join(stem), "-".join(stem), "".join(stem), *stem[-1:]} - {""}
    types |= {text.removesuffix("s") for text in types}
    if types & PEOPLE:
        types |= PEOPLE
    # `user_reference` is one of a user.
    generic = generic and not types - _GENERIC
    return Meaning(generic=generic, types=frozenset(types - _GENERIC))


def _words(name: str) -> list[str]:
    words = [word.lower() for word in _WORDS.findall(name[:200])]
    if not words:
        return []
    # Written in one: `customerid`, `entityreference`.
    last = words[-1]
    for ending in _IDENTIFIERS:
        stem = last.removesuffix(ending)
        if stem != last and (stem in PEOPLE or stem in _GENERIC):
            return [*words[:-1], stem, ending]
    for ending in _TYPES:
        stem = last.removesuffix(ending)
        if stem != last and stem in _GENERIC:
            return [*words[:-1], stem, ending]
    return words
