"""Cursors of pages: opaque, and bound to the lookup that gave them."""

import base64
import binascii
import struct
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from app.ports.graph import EdgePlace
from web.problems import invalid_parameter

_ENTITY: Final = struct.Struct(">Bq8s")
_EDGE: Final = struct.Struct(">Bqq8s")
_VERSION: Final = 1


def encode(after: int, path: str, value: str) -> str:
    """The cursor of the page that starts after the entity `after`."""
    return _encode(_ENTITY, (after,), _lookup(path, value))


def decode(text: str | None, path: str, value: str) -> int:
    """The id after which the page starts; 0 without a cursor. Raises ProblemError."""
    (after,) = _decode(_ENTITY, text, _lookup(path, value), default=(0,))
    return after


def encode_edge(after: EdgePlace, asked: Sequence[str]) -> str:
    """The cursor of the page of relationships that starts after this one. `asked` says of what: path and selection."""
    return _encode(_EDGE, after, _lookup("", "\0".join(asked)))


def decode_edge(text: str | None, asked: Sequence[str]) -> EdgePlace:
    """The relationship after which the page starts; zeros without a cursor. Raises ProblemError."""
    return EdgePlace(*_decode(_EDGE, text, _lookup("", "\0".join(asked)), default=(0, 0)))


def _encode(layout: struct.Struct, places: tuple[int, ...], lookup: bytes) -> str:
    return base64.urlsafe_b64encode(layout.pack(_VERSION, *places, lookup)).decode().rstrip("=")


def _decode(
    layout: struct.Struct, text: str | None, asked: bytes, *, default: tuple[int, ...]
) -> tuple[int, ...]:
    if text is None:
        return default
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        version, *places, lookup = layout.unpack(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, struct.error, UnicodeError):
        version, places, lookup = 0, [], b""
    if version != _VERSION or min(places) < 0 or lookup != asked:
        raise invalid_parameter("cursor", "cursor is not one that this lookup gave; start without it.")
    return tuple(places)


def _lookup(path: str, value: str) -> bytes:
    return blake2b(f"{len(path)}:{path}{value}".encode(), digest_size=8).digest()
