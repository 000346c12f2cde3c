"""Cursors of the change feed: a position in every partition of the topic, opaque, compact and signed.

Version 1 has no signature. It is accepted by this version, since clients keep cursors across an upgrade: it can hold no
position that the topic has not, and events about people who were erased are left out whatever a cursor says.
"""

import base64
import binascii
from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

from app.core.errors import InvalidError
from app.core.signing import TAG_BYTES, Signer

_UNSIGNED: Final = 1
_VERSION: Final = 2
_PURPOSE: Final = b"feed cursor"
_TOPIC_BYTES: Final = 3
_MOST_BYTES: Final = 2_048
_LONGEST_NUMBER: Final = 9  # bytes of 7 bits: 63 of them


def encode(signer: Signer, topic: str, positions: Mapping[int, int]) -> str:
    """`positions` are the offsets of the next records, by partition."""
    packed = bytearray([_VERSION])
    packed += _identity(topic)
    for number in range(max(positions, default=-1) + 1):
        left = positions.get(number, 0)
        while left > 0x7F:  # noqa: PLR2004 - seven bits a byte
            packed.append(left & 0x7F | 0x80)
            left >>= 7
        packed.append(left)
    packed += signer.tag(_PURPOSE, bytes(packed))
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def decode(signer: Signer, topic: str, text: str) -> dict[int, int]:
    """The positions of a cursor. Raises InvalidError where it is not one of this topic."""
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        packed = b""
    head = bytes([_VERSION]) + _identity(topic)
    if packed.startswith(head):
        packed, tag = packed[:-TAG_BYTES], packed[-TAG_BYTES:]
        if not signer.accepts(_PURPOSE, packed, tag):
            raise _not_ours()
    else:
        head = bytes([_UNSIGNED]) + _identity(topic)
    if len(packed) > _MOST_BYTES or not packed.startswith(head):
        raise _not_ours()
    found: dict[int, int] = {}
    value = shift = 0
    for byte in packed[len(head) :]:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte & 0x80:
            if shift >= 7 * _LONGEST_NUMBER:
                raise _not_ours()
            continue
        found[len(found)] = value
        value = shift = 0
    if shift:
        raise _not_ours()
    return found


def _identity(topic: str) -> bytes:
    return blake2b(topic.encode(), digest_size=_TOPIC_BYTES).digest()


def _not_ours() -> InvalidError:
    return InvalidError(
        "last_event_id is not one that this feed gave; start without it.",
        code="unknown-event-id",
        field="last_event_id",
    )
