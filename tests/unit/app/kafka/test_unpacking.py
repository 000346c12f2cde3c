"""Batches as aiokafka reads them: whole up to the limit, and one record that says what it stands for beyond."""

import gzip
import resource
import zlib
from collections.abc import Iterator
from typing import Any

import cramjam
import pytest
from aiokafka import codec
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from app.core.errors import InvalidError
from app.core.oversized import CODE, OversizedBatch, refuse_oversized
from app.kafka import unpacking
from app.kafka.unpacking import DEFAULT_LIMIT, bound_unpacking

LIMIT = 1024 * 1024
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
COMPRESSING = [name for name in CODECS if name != "none"]


@pytest.fixture(autouse=True)
def limit() -> Iterator[None]:
    bound_unpacking(LIMIT)
    yield
    bound_unpacking(DEFAULT_LIMIT)


def batch(compression: str, *values: bytes) -> bytes:
    builder = DefaultRecordBatchBuilder(2, CODECS[compression], 0, -1, -1, -1, 1 << 30)
    for offset, value in enumerate(values):
        assert builder.append(offset, 1_700_000_000_000, b"key", value, [("h", b"x")])
    return bytes(builder.build())


def read(data: bytes, *, fetch_offset: int = 0) -> tuple[list[Any], int]:
    """As a consumer does: its records, and where it goes on."""
    records = fetcher.PartitionRecords(
        fetcher.TopicPartition("t", 0), fetcher.MemoryRecords(data), [], fetch_offset, None, None, True, 1
    )
    found = list(records)
    return found, records.next_fetch_offset


@pytest.mark.parametrize("compression", CODECS)
@pytest.mark.parametrize("size", [0, 10, LIMIT - 1000])
def test_what_is_within_the_limit_is_as_it_was_sent(compression: str, size: int) -> None:
    found, goes_on_at = read(batch(compression, b"a" * size, b"b"))
    assert [(record.offset, record.key, record.value, record.headers) for record in found] == [
        (0, b"key", b"a" * size, (("h", b"x"),)),
        (1, b"key", b"b", (("h", b"x"),)),
    ]
    assert goes_on_at == 2


@pytest.mark.parametrize("compression", COMPRESSING)
@pytest.mark.parametrize("fetch_offset", [0, 1])
def test_what_is_beyond_is_one_record_that_says_so(compression: str, fetch_offset: int) -> None:
    data = batch(compression, b"a" * LIMIT, b"b") + batch("none", b"after")
    (stand_in, *rest), goes_on_at = read(data, fetch_offset=fetch_offset)
    assert (stand_in.topic, stand_in.offset, stand_in.key) == ("t", 1, None)
    assert goes_on_at > 0
    assert [record.value for record in rest] in ([b"after"], [])  # its own offsets begin at 0, too
    assert type(stand_in.value) is OversizedBatch
    assert f"The records 0 to 1 are one {compression} batch" in stand_in.value.reason
    with pytest.raises(InvalidError) as refused:
        refuse_oversized(stand_in.value)
    assert refused.value.code == CODE


@pytest.mark.parametrize("compression", COMPRESSING)
def test_a_gigabyte_is_never_in_memory(compression: str) -> None:
    block = 4 * LIMIT
    packed = {
        "gzip": lambda data: gzip.compress(data, 1),
        "snappy": lambda data: bytes(cramjam.snappy.compress_raw(data)),
        "lz4": lambda data: bytes(cramjam.lz4.compress(data)),
        "zstd": lambda data: bytes(cramjam.zstd.compress(data)),
    }[compression](bytes(64 * block))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(unpacking.BatchTooLargeError):
        getattr(unpacking.batches, f"{compression}_decode")(packed)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024  # KiB


def test_gzip_of_several_members_counts_all() -> None:
    member = gzip.compress(b"a" * (LIMIT // 2))
    assert unpacking.batches.gzip_decode(member * 2) == b"a" * LIMIT
    with pytest.raises(unpacking.BatchTooLargeError):
        unpacking.batches.gzip_decode(member * 3)


def test_damaged_data_is_an_error_of_its_own() -> None:
    with pytest.raises(EOFError):
        unpacking.batches.gzip_decode(gzip.compress(b"abc" * 100)[:-9])
    with pytest.raises(zlib.error):
        unpacking.batches.gzip_decode(b"no gzip")
    for name in ("lz4_decode", "zstd_decode"):
        with pytest.raises(cramjam.DecompressionError):
            getattr(unpacking.batches, name)(b"no data of this kind")


def test_snappy_in_blocks_counts_all() -> None:
    packed = codec.snappy_encode(b"a" * LIMIT)
    assert unpacking.batches.snappy_decode(packed) == b"a" * LIMIT
    with pytest.raises(unpacking.BatchTooLargeError):
        unpacking.batches.snappy_decode(codec.snappy_encode(b"a" * (LIMIT + 1)))


def test_aiokafka_has_the_names_that_are_replaced() -> None:
    for name in unpacking._PATCHED:
        assert getattr(unpacking.batches, name).__module__ == unpacking.__name__
    assert fetcher.MemoryRecords is unpacking._Records
