"""Cursors of pages: opaque, signed, and bound to the lookup that gave them.

Version 1 had no signature. It is refused: a page is read again from its start in a moment.
"""

import base64
import binascii
import struct
from collections.abc import Sequence
from typing import Final

from app.core.signing import Signer
from app.ports.graph import EdgePlace
from web.problems import invalid_parameter

_ENTITY: Final = struct.Struct(">Bq8s")
_EDGE: Final = struct.Struct(">Bqq8s")
_VERSION: Final = 2
_PURPOSE: Final = b"page cursor"


def encode(signer: Signer, after: int, path: str, value: str) -> str:
    """The cursor of the page that starts after the entity `after`."""
    return _encode(signer, _ENTITY, (after,), _lookup(path, value))


def decode(signer: Signer, text: str | None, path: str, value: str) -> int:
    """The id after which the page starts; 0 without a cursor. Raises ProblemError."""
    (after,) = _decode(signer, _ENTITY, text, _lookup(path, value), default=(0,))
    return after


def encode_edge(signer: Signer, after: EdgePlace, asked: Sequence[str]) -> str:
    """The cursor of the page of relationships that starts after this one. `asked` says of what: path and selection."""
    return _encode(signer, _EDGE, after, _lookup("", "\0".join(asked)))


def decode_edge(signer: Signer, text: str | None, asked: Sequence[str]) -> EdgePlace:
    """The relationship after which the page starts; zeros without a cursor. Raises ProblemError."""
    return EdgePlace(*_decode(signer, _EDGE, text, _lookup("", "\0".join(asked)), default=(0, 0)))


def _encode(signer: Signer, layout: struct.Struct, places: tuple[int, ...], lookup: bytes) -> str:
    tag = signer.tag(_PURPOSE, _signed(places, lookup))
    return base64.urlsafe_b64encode(layout.pack(_VERSION, *places, tag)).decode().rstrip("=")


def _decode(
    signer: Signer, layout: struct.Struct, text: str | None, asked: bytes, *, default: tuple[int, ...]
) -> tuple[int, ...]:
    if text is None:
        return default
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        version, *places, tag = layout.unpack(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, struct.error, UnicodeError):
        version, places, tag = 0, [], b""
    if version != _VERSION or min(places) < 0 or not signer.accepts(_PURPOSE, _signed(places, asked), tag):
        raise invalid_parameter("cursor", "cursor is not one that this lookup gave; start without it.")
    return tuple(places)


def _lookup(path: str, value: str) -> bytes:
    return f"{len(path)}:{path}{value}".encode()


def _signed(places: Sequence[int], lookup: bytes) -> bytes:
    return b"%b %b" % (",".join(map(str, places)).encode(), lookup)
