"""What a compressed batch of records may unpack to: a few kilobytes of zeros can be gigabytes in a consumer's memory.

aiokafka unpacks a batch whole, without a limit, and again at each restart. `bound_unpacking` puts decoders in its place
that stop at the limit; it holds for all consumers of the process. In the place of a batch that is larger stands one
record, the last of its offsets, whose value is an `OversizedBatch`: a reader sees that there was something, and goes on
behind it.

This replaces names of aiokafka 0.14, which is why that version is pinned. tests/unit/app/kafka/test_unpacking.py holds
each of them.
"""

import threading
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import aiokafka.record._crecords.default_records as batches
import aiokafka.record._crecords.legacy_records as message_sets
import cramjam
from aiokafka import codec
from aiokafka.consumer import fetcher

from app.core.oversized import OversizedBatch

DEFAULT_LIMIT: Final = 32 * 1024 * 1024  # twice the largest batch that a producer of ours sends
_FIRST: Final = 1024 * 1024
_KEPT: Final = 8 * 1024 * 1024
_GROWTH: Final = 4
_MORE: Final = 0x80  # the bit of a varint that says that another byte follows
_GZIP: Final = 31  # zlib's number for a gzip header
_CODECS: Final = ("none", "gzip", "snappy", "lz4", "zstd")
_PATCHED: Final = ("gzip_decode", "snappy_decode", "lz4_decode", "zstd_decode")


class BatchTooLargeError(Exception):
    """A batch that unpacks to more than the limit; raised while it is read, and never beyond this module."""


class _StandIn(NamedTuple):
    """What aiokafka uses of a record."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: None
    value: OversizedBatch
    headers: tuple[()] = ()
    checksum: None = None


class _Local(threading.local):
    """What a thread unpacks into, again and again."""

    def __init__(self) -> None:
        self.buffer = bytearray(_FIRST)


_local: Final = _Local()
_limit = DEFAULT_LIMIT


def bound_unpacking(limit: int = DEFAULT_LIMIT) -> None:
    """Let no batch unpack to more than `limit` bytes, in all consumers of this process. May be called again."""
    global _limit  # noqa: PLW0603 - aiokafka's decoders are those of the process
    _limit = limit
    own: dict[str, Callable[[Any], bytes]] = {
        "gzip_decode": _gzip,
        "snappy_decode": _snappy,
        "lz4_decode": lambda data: _into(cramjam.lz4.decompress_into, data),
        "zstd_decode": lambda data: _into(cramjam.zstd.decompress_into, data),
    }
    for module in (batches, message_sets):
        for name in _PATCHED:
            if hasattr(module, name):
                setattr(module, name, own[name])
    fetcher.MemoryRecords = _Records


class _Records:
    """aiokafka's MemoryRecords, whose batches stand in for themselves where they are too large."""

    __slots__ = ("_inner", "has_next", "size_in_bytes")

    def __init__(self, data: bytes) -> None:
        self._inner = inner = _MemoryRecords(data)
        self.has_next = inner.has_next
        self.size_in_bytes = inner.size_in_bytes

    def next_batch(self) -> Any:
        batch = self._inner.next_batch()
        # Message sets of before version 2 come from brokers that are older than ours.
        if batch is None or not getattr(batch, "compression_type", 0):
            return batch
        return _Batch(batch)


_MemoryRecords: Final = fetcher.MemoryRecords


class _Batch:
    """A compressed batch: as it is, but for what iterating gives."""

    __slots__ = ("_inner",)

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __next__(self) -> Any:
        return next(self._inner)

    def __iter__(self) -> Iterator[Any]:
        try:
            return iter(self._inner)
        except BatchTooLargeError:
            return iter([_stand_in(self._inner)])


def _stand_in(batch: Any) -> _StandIn:
    value = OversizedBatch()
    value.first_offset, value.last_offset = batch.base_offset, batch.next_offset - 1
    value.codec, value.limit = _CODECS[batch.compression_type], _limit
    # The last offset: a reader that was within the batch passes over earlier ones.
    return _StandIn(value.last_offset, batch.max_timestamp, batch.timestamp_type, None, value)


def _into(decode: Callable[[Any, bytearray], int], data: Any) -> bytes:
    """Unpack into this thread's buffer, and into larger ones up to the limit where it does not fit."""
    buffer = _local.buffer if len(_local.buffer) <= _limit else bytearray(_limit)
    while True:
        try:
            size = decode(data, buffer)
        except cramjam.DecompressionError as error:
            if "whole buffer" not in str(error):
                raise
            if len(buffer) >= _limit:
                raise BatchTooLargeError from None
            buffer = bytearray(min(_limit, _GROWTH * len(buffer)))
        else:
            if len(_local.buffer) < len(buffer) <= _KEPT:
                _local.buffer = buffer
            return bytes(memoryview(buffer)[:size])


def _gzip(data: Any) -> bytes:
    """One member or several, as gzip allows."""
    parts: list[bytes] = []
    left, rest = _limit, bytes(data)
    while rest:
        stream = zlib.decompressobj(_GZIP)
        part = stream.decompress(rest, left + 1)
        left -= len(part)
        if left < 0:
            raise BatchTooLargeError
        if not stream.eof:
            raise EOFError("The gzip data of a batch ends early.")
        parts.append(part)
        rest = stream.unused_data.lstrip(b"\0")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _snappy(data: Any) -> bytes:
    """Snappy says how much comes, in front of each of its blocks."""
    view = memoryview(data)
    size = 0
    if codec._detect_xerial_stream(view):  # noqa: SLF001 - as snappy_decode does
        at = 16
        while at < len(view):
            length = int.from_bytes(view[at : at + 4], "big")
            size += _length_of_snappy(view[at + 4 : at + 4 + length])
            at += 4 + length
    else:
        size = _length_of_snappy(view)
    if size > _limit:
        raise BatchTooLargeError
    decoded: bytes = _snappy_decode(data)
    return decoded


_snappy_decode: Final = codec.snappy_decode


def _length_of_snappy(block: memoryview) -> int:
    """The varint at its start."""
    length = 0
    for shift, byte in enumerate(block[:5]):
        length |= (byte & 0x7F) << (7 * shift)
        if byte < _MORE:
            break
    return length
