"""How the producers compress, which reaches for a private name of aiokafka."""

from types import SimpleNamespace

import pytest
from aiokafka.codec import lz4_decode, lz4_encode
from aiokafka.record import _crecords
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from app.kafka import compression

# What an aiokafka that is installed anew has to have; without it batches are compressed at its own level.
PRIVATE_NAMES = ["_crecords.default_records.lz4_encode"]
TEXT = b'{"event_idempotency_key": "0123456789abcdef", "data": {"type": "user"}}'


def batch() -> bytes:
    builder = DefaultRecordBatchBuilder(2, DefaultRecordBatch.CODEC_LZ4, 0, -1, -1, -1, 1 << 20)
    for offset in range(500):
        builder.append(offset, None, b"user:%d" % offset, TEXT + b"%d" % (offset * 7919), [])
    return bytes(builder.build())


def test_batches_are_compressed_at_the_fast_level(monkeypatch: pytest.MonkeyPatch) -> None:
    levels: list[int] = []

    def noted(payload: bytes, level: int) -> bytes:
        levels.append(level)
        return lz4_encode(payload, level)

    monkeypatch.setattr(_crecords.default_records, "lz4_encode", lz4_encode)
    monkeypatch.setattr(compression.codec, "lz4_encode", noted)
    assert compression.use_fast_lz4(), f"aiokafka lacks one of {PRIVATE_NAMES}"
    batch()
    assert levels == [compression.LZ4_LEVEL]


def test_what_is_compressed_is_read_by_everybody() -> None:
    assert lz4_decode(compression._lz4_encode(TEXT * 100)) == TEXT * 100
    assert len(compression._lz4_encode(TEXT * 100)) < len(TEXT) * 10


def test_an_aiokafka_without_the_name_compresses_as_it_likes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "_crecords", SimpleNamespace())
    assert not compression.use_fast_lz4()
