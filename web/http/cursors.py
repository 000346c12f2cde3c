"""Cursors of by-property pages: opaque, and bound to the lookup that gave them."""

import base64
import binascii
import struct
from hashlib import blake2b
from typing import Final

from web.problems import invalid_parameter

_LAYOUT: Final = struct.Struct(">Bq8s")
_VERSION: Final = 1


def encode(after: int, path: str, value: str) -> str:
    """The cursor of the page that starts after the entity `after`."""
    return base64.urlsafe_b64encode(_LAYOUT.pack(_VERSION, after, _lookup(path, value))).decode().rstrip("=")


def decode(text: str | None, path: str, value: str) -> int:
    """The id after which the page starts; 0 without a cursor. Raises ProblemError."""
    if text is None:
        return 0
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        version, after, lookup = _LAYOUT.unpack(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, struct.error, UnicodeError):
        version, after, lookup = 0, 0, b""
    if version != _VERSION or after < 0 or lookup != _lookup(path, value):
        raise invalid_parameter("cursor", "cursor is not one that this lookup gave; start without it.")
    return int(after)


def _lookup(path: str, value: str) -> bytes:
    return blake2b(f"{len(path)}:{path}{value}".encode(), digest_size=8).digest()
