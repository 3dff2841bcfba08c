"""The partition of a key, against vectors of the Java client and of librdkafka."""

import pytest
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from worker.kafka.partitioner import murmur2, partition_of

# UtilsTest.testMurmur2 of Apache Kafka; signed there.
JAVA = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}
# unittest_murmur2 of librdkafka's rdmurmur2.c.
LIBRDKAFKA = {
    b"kafka": 0xD067CF64,
    b"giberish123456789": 0x8F552B0C,
    b"1234": 0x9FC97B14,
    b"234": 0xE7C009CA,
    b"34": 0x873930DA,
    b"4": 0x5A4B5CA1,
    b"": 0x106E08D9,
}


@pytest.mark.parametrize(("key", "expected"), JAVA.items())
def test_hash_is_that_of_the_java_client(key: bytes, expected: int) -> None:
    """Java publishers and this worker agree on every key."""
    assert murmur2(key) == expected & 0xFFFFFFFF


@pytest.mark.parametrize(("key", "expected"), LIBRDKAFKA.items())
def test_hash_is_librdkafkas_murmur2(key: bytes, expected: int) -> None:
    """So do librdkafka publishers with partitioner=murmur2_random."""
    assert murmur2(key) == expected


@given(key=st.binary(max_size=100), partitions=st.integers(min_value=1, max_value=1000))
def test_partition_is_that_of_aiokafkas_partitioner(key: bytes, partitions: int) -> None:
    """A producer of aiokafka without a partition of its own sends a key to the same place."""
    everywhere = list(range(partitions))

    assert partition_of(key, partitions) == DefaultPartitioner()(key, everywhere, everywhere)
