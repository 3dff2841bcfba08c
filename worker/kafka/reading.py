"""Topics read fast and without a consumer group, up to the end that they have when they are asked.

For people who look something up among millions of records: librdkafka fetches and unpacks in threads of its own, so
that Python only hands records on. Committed records alone are read, nothing is committed, no group changes, and what
waits in memory is bounded whatever the topics hold.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import methodcaller
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, NoReturn, Self, TypeVar

import aiokafka
from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaError, KafkaException, TopicPartition

from handlers.record import Headers
from worker.kafka.admin import connect, murmurs
from worker.kafka.errors import KafkaRefused, KafkaUnreachable, TopicMissing
from worker.kafka.header_names import read_any_header_name
from worker.kafka.log import read_back

Answer = TypeVar("Answer")
Progress = Callable[[int, int], None]
"""Told how many offsets of how many have been passed."""

# Of these, few enough live on at a time for the garbage collector not to look at them: half the time in all.
_BATCH_RECORDS: Final = 128
_BATCH_SECONDS: Final = 0.05
_FETCHED_AHEAD_KIB: Final = 8 * 1024
_BETWEEN_QUESTIONS_SECONDS: Final = 0.05

# librdkafka would tell standard error what the errors raised here say.
_SILENT: Final = logging.getLogger("worker.librdkafka")
_SILENT.disabled = True

# Where a header's name is no UTF-8, confluent-kafka sets an exception and returns a broken list all the same. CPython
# detects that in a call such as this one, but not in an optimised `message.headers()`, which would crash.
_headers_of: Final = methodcaller("headers")

# librdkafka marks its own codes by an underscore.
_PARTITION_EOF: Final = KafkaError._PARTITION_EOF  # noqa: SLF001
_NO_ENTRY: Final = KafkaError._AUTHENTICATION  # noqa: SLF001
_NO_ANSWER: Final = frozenset(
    {
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
        KafkaError.REQUEST_TIMED_OUT,
    }
)
_MISSING: Final = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC})  # noqa: SLF001
_PASSING: Final = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.OFFSET_NOT_AVAILABLE,
    }
)
_FORBIDDEN: Final = KafkaError.TOPIC_AUTHORIZATION_FAILED


class Record(NamedTuple):
    """One record of any topic; *timestamp_ms* is -1 where it has none."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Range(NamedTuple):
    """Offsets of one partition, from *start* up to, but not including, *end*. Not all of them need hold a record."""

    topic: str
    partition: int
    start: int
    end: int


class Committed(NamedTuple):
    """What a group has committed for a partition: the next *offset* to read, and the commit's metadata."""

    offset: int
    metadata: str


def librdkafka_options(
    *,
    bootstrap_servers: str,
    client_id: str,
    security_protocol: str,
    sasl: tuple[str, str, str] | None = None,
    cafile: Path | None = None,
    certfile: Path | None = None,
    keyfile: Path | None = None,
) -> dict[str, str]:
    """Address, name and security as librdkafka takes them; *sasl* is mechanism, user and password.

    As with Python's own TLS, a certificate's file may hold its key, and SSL_CERT_FILE names the system's authorities.
    """
    options = {
        "bootstrap.servers": bootstrap_servers,
        "client.id": client_id,
        "security.protocol": security_protocol,
    }
    if sasl is not None:
        options |= dict(zip(("sasl.mechanism", "sasl.username", "sasl.password"), sasl, strict=True))
    if security_protocol.endswith("SSL"):
        options["ssl.ca.location"] = str(cafile or ssl.get_default_verify_paths().cafile or "probe")
        if certfile is not None:
            options |= {"ssl.certificate.location": str(certfile), "ssl.key.location": str(keyfile or certfile)}
    return options


class TopicReader:
    """Reads ranges of topics; a context manager.

    Every method may block. Each raises `KafkaUnreachable` where no broker answers within *within_seconds*, and
    `KafkaRefused` where a topic is missing or the user may not read it.
    """

    def __init__(
        self, options: Mapping[str, str], *, group_id: str, within_seconds: float, aiokafka_options: Mapping[str, Any]
    ) -> None:
        """Connects with the *options* of `librdkafka_options`; *group_id* is the group that `committed` tells of.

        *aiokafka_options* are the same for aiokafka, of which is asked what librdkafka or its binding cannot tell.
        """
        self._group_id = group_id
        self._aiokafka_options = aiokafka_options
        self._servers = options["bootstrap.servers"]
        self._within_seconds = within_seconds
        self._heard: KafkaError | None = None
        self._consumer = Consumer(
            {
                **options,
                "group.id": group_id,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",  # where retention has deleted the beginning meanwhile
                "queued.max.messages.kbytes": _FETCHED_AHEAD_KIB,
                # Where that much waits, librdkafka would look away for a second; and at the end wait for half a one.
                "fetch.queue.backoff.ms": 10,
                "fetch.wait.max.ms": 10,
                "log_level": 0,
                "error_cb": self._hear,
            },
            logger=_SILENT,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def partitions(self, topic: str) -> Sequence[int]:
        """The partitions of *topic*."""

        def ask() -> Sequence[int]:
            described = self._consumer.list_topics(topic, timeout=self._within_seconds).topics[topic]
            if described.error is not None:
                raise KafkaException(described.error)
            return sorted(described.partitions)

        return self._answer(ask, f"topic {topic}")

    def ranges(self, topic: str, *, since_ms: int | None = None, until_ms: int | None = None) -> list[Range]:
        """What each partition of *topic* holds now, or what of it was written from *since_ms* until before *until_ms*.

        Times are those of records, in milliseconds since 1970. Publishers set them: between the first record at or
        after *since_ms* and the first at or after *until_ms* there may be some that say otherwise.
        """
        partitions = self.partitions(topic)
        starts = self._offsets_at(topic, partitions, since_ms)
        ends = self._offsets_at(topic, partitions, until_ms)
        ranges = []
        for partition in partitions:
            low, high = self._kept(topic, partition)
            start = low if since_ms is None else max(starts.get(partition, high), low)
            ranges.append(Range(topic, partition, start, min(ends.get(partition, high), high)))
        return ranges

    def committed(self, topic: str) -> dict[int, Committed]:
        """What the group has committed of *topic*; partitions that it never committed are left out.

        Asked of aiokafka: confluent-kafka reads beyond the end of the metadata, which has no zero byte behind it.
        """
        partitions = self.partitions(topic)

        async def ask() -> dict[int, tuple[int, str]]:
            with murmurs() as heard:
                async with connect(self._aiokafka_options, heard, within_seconds=self._within_seconds) as admin:
                    return await admin.committed(self._group_id, topic, partitions)

        return {partition: Committed(*found) for partition, found in _run(ask()).items()}

    def read(
        self, ranges: Sequence[Range], *, key: bytes | None = None, progress: Progress | None = None
    ) -> Iterator[list[Record]]:
        """The records of *ranges*, those of a partition in order; with *key*, only records that have this key."""
        way = _Way([one for one in ranges if one.start < one.end])
        total = way.left()
        self._consumer.assign([TopicPartition(*partition, start) for partition, start in way.positions.items()])
        try:
            heard_at = time.monotonic()
            while way.ends:
                messages = self._consumer.consume(_BATCH_RECORDS, timeout=_BATCH_SECONDS)
                if messages:
                    heard_at = time.monotonic()
                elif time.monotonic() - heard_at > self._within_seconds:
                    self._fail(None, "reading")
                records, reached = self._sorted_out(messages, way, key)
                if reached:
                    self._consumer.incremental_unassign([TopicPartition(*partition) for partition in reached])
                if progress is not None:
                    progress(total - way.left(), total)
                if records:
                    yield records
        finally:
            self._consumer.unassign()

    def _sorted_out(
        self, messages: Sequence[Any], way: _Way, key: bytes | None
    ) -> tuple[list[Record], list[tuple[str, int]]]:
        """The records that are asked for, and the partitions whose end was reached."""
        records: list[Record] = []
        reached: list[tuple[str, int]] = []
        ends, positions = way.ends, way.positions
        for message in messages:
            partition = (message.topic(), message.partition())
            error = message.error()
            if error is not None and error.code() != _PARTITION_EOF:
                # Others pass, or are not about what is read, such as a group that is not needed here.
                if error.code() == _FORBIDDEN or error.code() in _MISSING:
                    self._fail(error, f"topic {message.topic()}")
                continue
            end = ends.get(partition)
            if end is None:
                continue
            offset = message.offset()
            if error is None and offset < end:
                positions[partition] = offset + 1
                if key is None or message.key() == key:
                    records.append(self._record(message))
            # After the last record there may be transaction markers: only the next record or the end itself tells.
            if error is not None or offset >= end - 1:
                del ends[partition]
                reached.append(partition)
        return records, reached

    def _record(self, message: Any) -> Record:  # noqa: ANN401  # typed as if a record might lack its offset
        kind, timestamp_ms = message.timestamp()
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        try:
            headers = tuple(_headers_of(message) or ())
        except SystemError:  # a header's name is no UTF-8
            headers = _headers_read_otherwise(self._aiokafka_options, topic, partition, offset)
        timestamp_ms = timestamp_ms if kind != TIMESTAMP_NOT_AVAILABLE else -1
        return Record(topic, partition, offset, timestamp_ms, message.key(), message.value(), headers)

    def _kept(self, topic: str, partition: int) -> tuple[int, int]:
        """The first offset that the partition still holds, and the one after its last committed record."""

        def ask() -> tuple[int, int]:
            asked = TopicPartition(topic, partition)
            low, high = self._consumer.get_watermark_offsets(asked, timeout=self._within_seconds)
            return low, high

        return self._answer(ask, f"topic {topic}")

    def _offsets_at(self, topic: str, partitions: Sequence[int], time_ms: int | None) -> dict[int, int]:
        """The first offset at or after the time, in those partitions that have one."""
        if time_ms is None:
            return {}
        asked = [TopicPartition(topic, partition, time_ms) for partition in partitions]
        answer = self._of_partitions(
            lambda: self._consumer.offsets_for_times(asked, timeout=self._within_seconds), f"topic {topic}"
        )
        return {one.partition: one.offset for one in answer if one.offset >= 0}

    def _of_partitions(self, question: Callable[[], list[TopicPartition]], what: str) -> list[TopicPartition]:
        def ask() -> list[TopicPartition]:
            answer = question()
            for one in answer:
                if one.error is not None:
                    raise KafkaException(one.error)
            return answer

        return self._answer(ask, what)

    def _answer(self, question: Callable[[], Answer], what: str) -> Answer:
        """The answer, asked for again while a young topic or a lost broker gets a new leader."""
        deadline = time.monotonic() + self._within_seconds
        while True:
            try:
                return question()
            except KafkaException as exception:
                error = exception.args[0]
            if error.code() not in _PASSING or time.monotonic() > deadline:
                self._fail(error, what)
            self._consumer.poll(_BETWEEN_QUESTIONS_SECONDS)  # nothing is assigned: it only waits

    def _hear(self, error: KafkaError) -> None:
        self._heard = error

    def _fail(self, error: KafkaError | None, what: str) -> NoReturn:
        """Raises what *error*, or None where no answer came, means for *what* was asked for."""
        if error is None or error.code() in _NO_ANSWER:
            self._consumer.poll(0)  # has librdkafka tell what it heard of the connection
            cause = self._heard
            if cause is not None and cause.code() == _NO_ENTRY:
                raise KafkaRefused(f"Kafka at {self._servers} refuses the user: {_words(cause)}")
            raise KafkaUnreachable(self._servers, "no answer in time" if cause is None else _words(cause))
        if error.code() in _MISSING:
            raise TopicMissing(f"{what} does not exist; create the topics with: customer-sync topics create")
        if error.code() == _FORBIDDEN:
            raise KafkaRefused(f"{what}: this user may not see or read it; allow READ and DESCRIBE on it")
        raise KafkaRefused(f"{what}: {_words(error)}")


class _Way:
    """How far reading has come, by topic and partition."""

    __slots__ = ("ends", "positions")

    def __init__(self, ranges: Sequence[Range]) -> None:
        self.ends = {(one.topic, one.partition): one.end for one in ranges}
        self.positions = {(one.topic, one.partition): one.start for one in ranges}

    def left(self) -> int:
        """Offsets still to pass."""
        return sum(end - self.positions[partition] for partition, end in self.ends.items())


def _headers_read_otherwise(options: Mapping[str, Any], topic: str, partition: int, offset: int) -> Headers:
    """The headers of a record as the worker reads them: with U+FFFD where a name is no UTF-8."""

    async def read() -> list[Headers]:
        one = read_back(dict(options), aiokafka.TopicPartition(topic, partition), offset, offset + 1)
        return [record.headers async for record in one]

    read_any_header_name()
    found = _run(read())
    return found[0] if found else ()


def _run(asking: Coroutine[None, None, Answer]) -> Answer:
    with ThreadPoolExecutor(1) as thread:  # the caller's may have an event loop of its own
        return thread.submit(lambda: asyncio.run(asking)).result()


def _words(error: KafkaError) -> str:
    """What librdkafka says, without its own names: "sasl_plaintext://…/bootstrap: SASL … failed: …"."""
    text = str(error.str())
    return re.sub(r"^(?:\S+://)?\S*?/(?:bootstrap|\d+): | \(after \d+ms in state [A-Z_]+.*\)$", "", text)
