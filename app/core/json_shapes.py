"""Which members the objects of a document have: what is meant by an unknown name, and which name comes twice.

Of a name that an object has twice, parsers keep one value in silence, and not all of them the same one.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final

import msgspec
from msgspec import inspect

from app.core.errors import InvalidError
from app.core.field_paths import join

_PART: Final = re.compile(r"\w+|\[\d+\]")
_SIGNS: Final = re.compile(r"[^a-z0-9]")


class _Name(str):
    """A name that equals no other one, so that a dict keeps all members."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return self is not other


def _named(_: type, text: str) -> _Name:
    return _Name(text)


_MEMBERS: Final = msgspec.json.Decoder(dict[_Name, msgspec.Raw], dec_hook=_named)
_ITEMS: Final = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A struct has the members that it lists, an open object any. What is within a `Raw` is a value of the client's,
    which is not looked into.
    """

    members: Mapping[str, "Shape"] = field(default_factory=dict)
    items: "Shape | None" = None
    required: frozenset[str] = frozenset()
    is_open: bool = False

    def at(self, path: str) -> "Shape":
        """The shape of a part such as `entities[0]`; one that knows nothing where there is none."""
        shape = self
        for part in _PART.findall(path):
            within = shape.items if part.startswith("[") else shape.members.get(part)
            if within is None:
                return _UNKNOWN
            shape = within
        return shape

    def similar(self, name: str) -> str | None:
        """The member that is probably meant by a name that this object does not have."""
        known = {_plain(member): member for member in self.members}
        found = get_close_matches(_plain(name), known, n=1)
        return known[found[0]] if found else None

    def check_names(self, raw: bytes | msgspec.Raw, path: str = "") -> None:
        """Raise InvalidError where a well-formed document, or a part of it at `path`, has a name twice.

        A name that a struct does not list is passed over: it is refused or ignored, however often it comes.
        """
        if self.members or self.is_open:
            seen = set()
            for spelled, value in _MEMBERS.decode(raw).items():
                name = str(spelled)
                if not self.is_open and name not in self.members:
                    continue
                if name in seen:
                    raise repeated(join(path, name))
                seen.add(name)
                self.members.get(name, _UNKNOWN).check_names(value, join(path, name))
        elif self.items is not None and raw != _NULL:
            for index, item in enumerate(_ITEMS.decode(raw)):
                self.items.check_names(item, join(path, index))


_UNKNOWN: Final = Shape()
_NULL: Final = msgspec.Raw(b"null")


def repeated(path: str) -> InvalidError:
    """The error of a name that comes twice."""
    return InvalidError(
        f"{path} comes twice in one object; send it once.", code="repeated-member", field=path
    )


_SHAPES: Final[dict[object, Shape]] = {}


def shape_of(kind: object) -> Shape:
    """The shape of a type that msgspec decodes, of which the code has a handful."""
    if kind not in _SHAPES:
        _SHAPES[kind] = _shape(inspect.type_info(kind))
    return _SHAPES[kind]


def _shape(info: inspect.Type) -> Shape:
    for part in _alternatives(info):
        match part:
            case inspect.StructType():
                return Shape(
                    members={each.encode_name: _shape(each.type) for each in part.fields},
                    required=frozenset(each.encode_name for each in part.fields if each.required),
                )
            case inspect.ListType():
                return Shape(items=_shape(part.item_type))
            case inspect.DictType():
                return Shape(is_open=True)
            case _:
                pass
    return _UNKNOWN


def _alternatives(info: inspect.Type) -> Iterator[inspect.Type]:
    match info:
        case inspect.Metadata():
            yield from _alternatives(info.type)
        case inspect.UnionType():
            for each in info.types:
                yield from _alternatives(each)
        case _:
            yield info


def _plain(name: str) -> str:
    return _SIGNS.sub("", name.lower())
