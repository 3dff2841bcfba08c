"""Which partition a key belongs to, as Kafka's Java clients compute it.

Every publisher of commands has to agree on this, or the commands of one customer end on two partitions and their
order is lost. The hash is org.apache.kafka.common.utils.Utils.murmur2; the sign bit is dropped as in
BuiltInPartitioner.partitionForKey. librdkafka calls it `murmur2_random`. aiokafka's partitioner gives the same in
three times the time, and the worker asks once for each record.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final

_MULTIPLIER: Final = 0x5BD1E995
_SEED: Final = 0x9747B28C
_WORD: Final = 0xFFFFFFFF


def partition_of(key: bytes, partitions: int) -> int:
    """The partition, from 0 to *partitions* - 1, of a record with this key."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """The hash as an unsigned number of 32 bits."""
    length = len(data)
    hashed = _SEED ^ length
    for word in _words(length).unpack_from(data):
        mixed = word * _MULTIPLIER & _WORD
        mixed = (mixed ^ mixed >> 24) * _MULTIPLIER
        hashed = (hashed * _MULTIPLIER ^ mixed) & _WORD
    rest = length & 3
    if rest:
        hashed ^= int.from_bytes(data[length - rest :], "little")
        hashed = hashed * _MULTIPLIER & _WORD
    hashed ^= hashed >> 13
    hashed = hashed * _MULTIPLIER & _WORD
    return hashed ^ hashed >> 15


@lru_cache(maxsize=64)
def _words(length: int) -> struct.Struct:
    return struct.Struct(f"<{length // 4}I")
