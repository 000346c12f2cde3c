"""The partition of a key, as the Java client chooses it."""

import random
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

_MULTIPLIER: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF


def partition_of(key: bytes | None, partitions: Sequence[int], available: Sequence[int]) -> int:
    """One of the sorted `partitions` by the key's hash, or any that is available: for `AIOKafkaProducer`."""
    if key is None:
        return random.choice(available or partitions)  # noqa: S311 - to spread records
    return partitions[(murmur2(key) & 0x7FFFFFFF) % len(partitions)]


@lru_cache(maxsize=8_192)  # events of one window are about the same entities again and again
def murmur2(key: bytes) -> int:
    """What `aiokafka.partitioner.murmur2` gives, in less than half of its time: words at once, not bytes."""
    length = len(key)
    words = length >> 2
    found = 0x9747B28C ^ length
    for word in struct.unpack_from(f"<{words}I", key):
        mixed = word * _MULTIPLIER & _MASK
        mixed = (mixed ^ (mixed >> 24)) * _MULTIPLIER & _MASK
        found = (found * _MULTIPLIER & _MASK) ^ mixed
    if length & 3:
        found = (found ^ int.from_bytes(key[words * 4 :], "little")) * _MULTIPLIER & _MASK
    found = (found ^ (found >> 13)) * _MULTIPLIER & _MASK
    return found ^ (found >> 15)
