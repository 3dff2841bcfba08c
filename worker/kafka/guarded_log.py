"""Records appended only if nothing unforeseen stands before them: a transaction that looks before it commits.

Kafka gives a record its place when it is written, also while its transaction is open. So everything that stands
before it can be read, before anybody who reads committed records sees it, and the transaction can still be aborted.
While it is open, readers of committed records wait at its first record: it is kept short, and the broker ends it after
`TRANSACTION_SECONDS` where its writer dies.

One writer at a time: whoever starts fences the one before, whose open transaction is aborted by that.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import Any, Final, NoReturn, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from handlers.record import CommandRecord
from handlers.replay import Outgoing, Place
from worker.kafka.errors import KafkaRefused, KafkaUnreachable, WriterFenced
from worker.kafka.partitioner import partition_of

TRANSACTION_SECONDS: Final = 15.0
"""How long the broker lets a transaction stay open whose writer says nothing more."""

# librdkafka would tell standard error what the errors raised here say.
_SILENT: Final = logging.getLogger("worker.librdkafka")
_SILENT.disabled = True

_LARGEST_REQUEST_BYTES: Final = 128 * 1024 * 1024
_LOOK_SECONDS: Final = 0.05
_FENCED: Final = frozenset(
    {KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH}  # noqa: SLF001
)
_NO_ANSWER: Final = frozenset(
    {
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._MSG_TIMED_OUT,  # noqa: SLF001
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
        KafkaError._RESOLVE,  # noqa: SLF001
    }
)
_ADVICE: Final = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "allow WRITE on the command topic and on the desk's topic",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "allow WRITE on transactional ids that begin with the group",
    KafkaError.MSG_SIZE_TOO_LARGE: "raise max.message.bytes of the command topic: a replay has two headers more",
    KafkaError.UNKNOWN_TOPIC_OR_PART: "create the topics with: customer-sync topics create",
    KafkaError._UNKNOWN_TOPIC: "create the topics with: customer-sync topics create",  # noqa: SLF001
}


class GuardedLog:
    """Appends to *topic* as its only guarded writer; a context manager. See `worker.desk.replaying.GuardedLog`.

    Every method may block, and raises `KafkaUnreachable`, `KafkaRefused`, or `WriterFenced`.
    """

    def __init__(
        self,
        options: Mapping[str, str],
        *,
        transactional_id: str,
        topic: str,
        partitions: int,
        notes_topic: str,
        within_seconds: float,
    ) -> None:
        """Fences the writer before. Notes about what was appended go to *notes_topic*, in the same transaction."""
        self._servers = options["bootstrap.servers"]
        self._topic = topic
        self._partitions = partitions
        self._notes_topic = notes_topic
        self._within_seconds = within_seconds
        self._positions: dict[int, int] = {}
        self._own: set[tuple[int, int]] = set()
        quiet = {**options, "log_level": 0}
        self._producer = Producer(
            {
                **quiet,
                "transactional.id": transactional_id,
                "transaction.timeout.ms": int(TRANSACTION_SECONDS * 1000),
                "linger.ms": 0,
                "message.max.bytes": _LARGEST_REQUEST_BYTES,
            },
            logger=_SILENT,
        )
        self._consumer = Consumer(
            {
                **quiet,
                "group.id": transactional_id,
                "enable.auto.commit": False,
                "isolation.level": "read_uncommitted",
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 10,
            },
            logger=_SILENT,
        )
        try:
            with self._translated():
                self._producer.init_transactions(within_seconds)
        except BaseException:
            self._consumer.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def watch(self, positions: Mapping[int, int]) -> None:
        """What stands before these offsets, by partition, is known."""
        self._positions = dict(positions)

    def append(
        self,
        outgoing: Sequence[Outgoing],
        is_overtaken: Callable[[Iterable[CommandRecord]], bool],
        notes: Callable[[Sequence[Place]], Sequence[tuple[bytes, bytes]]],
    ) -> bool:
        """Appends *outgoing* and *notes* of their places, unless *is_overtaken* by what stands before them."""
        is_committed = False
        with self._translated():
            self._producer.begin_transaction()
            try:
                places = self._write(outgoing)
                if is_overtaken(self._before(places)):
                    return False
                self._deliver([(self._notes_topic, 0, Outgoing(key, value, ())) for key, value in notes(places)])
                self._producer.commit_transaction(self._within_seconds)
                is_committed = True
                return True
            finally:
                if not is_committed:
                    self._abort()

    def _write(self, outgoing: Sequence[Outgoing]) -> list[Place]:
        # A record without a key belongs to nobody; it has no order to keep.
        partitions = [0 if one.key is None else partition_of(one.key, self._partitions) for one in outgoing]
        return self._deliver(
            [(self._topic, number, one) for number, one in zip(partitions, outgoing, strict=True)], own=True
        )

    def _deliver(self, records: Sequence[tuple[str, int, Outgoing]], *, own: bool = False) -> list[Place]:
        """Writes all, and returns where they are, in their order."""
        places: dict[int, Place] = {}
        refused: list[KafkaError] = []

        def delivered(index: int, error: KafkaError | None, message: Any) -> None:  # noqa: ANN401  # untyped
            if error is not None:
                refused.append(error)
                return
            _, timestamp_ms = message.timestamp()
            places[index] = Place(message.topic(), message.partition(), message.offset(), timestamp_ms)
            if own:
                self._own.add((message.partition(), message.offset()))

        for index, (topic, partition, record) in enumerate(records):
            self._producer.produce(
                topic,
                key=record.key,
                value=record.value,
                headers=list(record.headers),
                partition=partition,
                on_delivery=partial(delivered, index),
            )
            self._producer.poll(0)
        left = self._producer.flush(self._within_seconds)
        if refused:
            raise KafkaException(refused[0])
        if left:
            raise KafkaUnreachable(self._servers, "no answer in time")
        return [places[index] for index in range(len(records))]

    def _before(self, places: Sequence[Place]) -> Iterator[CommandRecord]:
        """What others have written before the last of *places* on its partition, whether committed or not."""
        ends: dict[int, int] = {}
        for place in places:
            ends[place.partition] = max(place.offset, ends.get(place.partition, 0))
        if not ends:
            return
        self._consumer.assign([TopicPartition(self._topic, one, self._positions.get(one, 0)) for one in ends])
        silence = 0.0
        while ends:
            messages = self._consumer.consume(1_000, timeout=_LOOK_SECONDS)
            silence = 0.0 if messages else silence + _LOOK_SECONDS
            if silence > self._within_seconds:
                raise KafkaUnreachable(self._servers, "no answer in time")
            for record in (_command_record(message) for message in messages if message.error() is None):
                partition, offset = record.partition, record.offset
                if partition not in ends:
                    continue
                self._positions[partition] = offset + 1
                if (partition, offset) not in self._own:
                    yield record
                if offset >= ends[partition]:
                    del ends[partition]
        self._consumer.unassign()

    def _abort(self) -> None:
        try:
            self._producer.abort_transaction(self._within_seconds)
        except KafkaException as exception:
            # A writer that was fenced has nothing left to abort, and one that finds no broker leaves it to the broker.
            if not exception.args[0].fatal() and exception.args[0].code() not in _NO_ANSWER:
                raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except KafkaException as exception:
            self._fail(exception.args[0], exception)
        except SystemError as error:
            # A fatal error raised while deliveries are reported: the client calls on with its exception set.
            if not isinstance(error.__cause__, KafkaException):
                raise
            self._fail(error.__cause__.args[0], error.__cause__)

    def _fail(self, error: KafkaError, cause: KafkaException) -> NoReturn:
        if error.code() in _FENCED:
            raise WriterFenced("somebody else has begun to write as well, and goes on alone") from cause
        if error.code() in _NO_ANSWER:
            raise KafkaUnreachable(self._servers, error.str()) from cause
        raise KafkaRefused(
            f"Kafka refused to write ({error.str()}); {_ADVICE.get(error.code(), 'see the message')}"
        ) from cause


def _command_record(message: Any) -> CommandRecord:  # noqa: ANN401  # typed as if a record might lack its offset
    try:
        headers = tuple(message.headers() or ())
    except SystemError:  # a header's name is no UTF-8: none of those that tell something has such a name
        headers = ()
    _, timestamp_ms = message.timestamp()
    return CommandRecord(
        message.topic(), message.partition(), message.offset(), timestamp_ms, message.key(), message.value(), headers
    )
