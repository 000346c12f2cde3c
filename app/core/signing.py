"""Signatures of what clients bring back: cursors and consistency tokens, which nobody else can make up or change.

A keyed BLAKE2b is a MAC by itself. The key is the database's, so that all workers accept what one has signed.
"""

import hmac
from hashlib import blake2b
from typing import Final

KEY_BYTES: Final = 32
TAG_BYTES: Final = 8  # guessing one takes 2^63 requests


class Signer:
    """`key` has KEY_BYTES bytes. A signature for one purpose is none for another one."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def tag(self, purpose: bytes, content: bytes, *, size: int = TAG_BYTES) -> bytes:
        """The signature; `purpose` has 16 bytes at most."""
        return blake2b(content, digest_size=size, key=self._key, person=purpose).digest()

    def accepts(self, purpose: bytes, content: bytes, tag: bytes) -> bool:
        """Whether this is the signature; takes as long for any that is not."""
        return hmac.compare_digest(self.tag(purpose, content, size=max(1, len(tag))), tag)
