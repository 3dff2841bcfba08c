"""Records whose header names are no UTF-8 are read all the same.

Kafka takes any bytes for a header's name, and not every client library encodes a text. aiokafka insists on UTF-8 and
raises for the whole fetch, at every attempt: one such record would stop its partition for ever. So a batch that
cannot be read strictly is read once more with U+FFFD in place of what is no UTF-8, as Java's clients do.

Relies on aiokafka's private parser; pinned to 0.14 and guarded by a test.
"""

import struct
from collections.abc import Iterator
from itertools import islice
from typing import Any, SupportsIndex

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

# A batch begins with its first offset (8 bytes) and the length of what follows (4 bytes): Kafka protocol, RecordBatch.
_OVERHEAD = struct.Struct(">qi")


def read_any_header_name() -> None:
    """Has all consumers of this process read on where a header's name is no UTF-8."""
    fetcher.MemoryRecords = _Records


class _Records:
    """aiokafka's `MemoryRecords`, with batches that can be read leniently."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._position = 0
        self._records = MemoryRecords(raw)
        self.size_in_bytes = self._records.size_in_bytes
        self.has_next = self._records.has_next

    def next_batch(self) -> "_Batch | None":
        batch = self._records.next_batch()
        if batch is None:
            return None
        begin = self._position
        _, length = _OVERHEAD.unpack_from(self._raw, begin)
        self._position = begin + _OVERHEAD.size + length
        return _Batch(batch, memoryview(self._raw)[begin : self._position])


class _Batch:
    """aiokafka's record batch, read leniently from the first record on that cannot be read strictly."""

    def __init__(self, batch: Any, raw: memoryview) -> None:  # noqa: ANN401  # aiokafka is untyped
        self._batch = batch
        self._raw = raw

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # aiokafka is untyped
        return getattr(self._batch, name)

    def __next__(self) -> Any:  # noqa: ANN401  # aiokafka is untyped
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        read = 0
        try:
            for record in self._batch:
                yield record
                read += 1
        except (UnicodeDecodeError, CorruptRecordException):
            yield from islice(_LenientBatch(bytearray(self._raw)), read, None)


class _LenientBatch(_DefaultRecordBatchPy):  # type: ignore[misc]  # aiokafka is untyped
    _buffer: bytearray

    def __iter__(self) -> "_LenientBatch":
        super().__iter__()
        self._buffer = _LenientBuffer(self._buffer)
        return self


class _LenientBuffer(bytearray):
    """Decodes whatever it holds; of all that a record consists of, only header names are decoded."""

    def __getitem__(self, where: SupportsIndex | slice) -> Any:  # noqa: ANN401  # as bytearray
        part = super().__getitem__(where)
        return _LenientBuffer(part) if isinstance(part, bytearray) else part

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return super().decode(encoding, errors)
