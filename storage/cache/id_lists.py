"""A cached look-up: the ids that answer it, and from when they are."""

from typing import Final

import msgspec

MAX_CACHED_IDS: Final = 1_000


class IdList(msgspec.Struct, frozen=True, array_like=True):
    """`asked` is the exact spelling, since several share a key; no ids: too many to be cached.

    `within` is the property's path, or the type of the reference that was asked for. `position`, `upper` and `read_at`
    are those of storage.cache.fragments.Fragment.
    """

    within: str
    asked: str
    ids: list[int] | None
    position: int
    upper: int
    read_at: float

    def answers(self, within: str, asked: str) -> bool:
        """Whether it is the list of this very question, and not of one that shares its key."""
        return self.within == within and self.asked == asked

    @property
    def size_bytes(self) -> int:
        """About what it takes in memory."""
        return 200 + len(self.within) + len(self.asked) + 40 * len(self.ids or ())


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(IdList)


def encode(entry: IdList) -> bytes:
    """The cache's form."""
    return _ENCODER.encode(entry)


def decode(data: bytes) -> IdList | None:
    """Read the cache's form; None for bytes that are not one."""
    try:
        return _DECODER.decode(data)
    except msgspec.MsgspecError:
        return None
