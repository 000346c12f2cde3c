"""Keys go where the Java client, and aiokafka after it, would put them."""

import random

import pytest
from aiokafka import partitioner as aiokafka_partitioner

from app.kafka.partitioner import murmur2, partition_of


@pytest.mark.parametrize("length", range(41))
def test_the_hash_is_that_of_aiokafka(length: int) -> None:
    draw = random.Random(length)
    for _ in range(100):
        key = draw.randbytes(length)
        assert murmur2(key) == aiokafka_partitioner.murmur2(key)


# Of Kafka's own test, UtilsTest.testMurmur2, as unsigned numbers.
@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
    ],
)
def test_the_hash_is_that_of_the_java_client(key: bytes, hashed: int) -> None:
    assert murmur2(key) == hashed % 2**32


def test_partitions() -> None:
    default = aiokafka_partitioner.DefaultPartitioner()
    for number in range(500):
        key = f"user:{number}".encode()
        assert partition_of(key, [0, 1, 2, 3, 4], [2]) == default(key, [0, 1, 2, 3, 4], [2])
    assert partition_of(None, [0, 1, 2], [1]) == 1
    assert partition_of(None, [2], []) == 2
