"""Kafka as the worker meets it: the command log, transactions with fencing, and committed offsets.

What is modelled, and from where: an InitProducerId bumps the epoch, aborts what the predecessor left open and waits
for what it has begun to commit; a commit is decided when it arrives and seen a moment later, when its markers are
written; a transaction that stays open too long is aborted and its producer fenced (KIP-98, KIP-447).
"""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TypeAlias

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, OffsetMetadataTooLargeError, ProducerFenced

from handlers.record import CommandRecord, OutcomeRecord
from simulation.world import World

TOPIC = "customer.update"
EVENTS = "customer.updated"
DEAD_LETTERS = "customer.update.dlq"
TRANSACTION_SECONDS = 30.0
LARGEST_METADATA = 4096
LARGEST_EVENT = 3000

Reply = Callable[[object], None]
Record: TypeAlias = "ConsumerRecord[bytes | None, bytes | None]"


class State(Enum):
    """Where a transaction stands."""

    OPEN = auto()
    COMMITTING = auto()
    COMMITTED = auto()
    ABORTED = auto()


@dataclass(eq=False, slots=True)
class Transaction:
    """What one transaction has written so far."""

    began_at: float
    state: State = State.OPEN
    offsets: dict[TopicPartition, tuple[int, str]] = field(default_factory=dict)
    records: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """One record of an outcome topic, and the transaction that decides whether anybody sees it."""

    topic: str
    record: OutcomeRecord
    transaction: Transaction
    written_by: str


@dataclass(eq=False, slots=True)
class Producer:
    """One transactional id: its epoch, and its transaction."""

    epoch: int = -1
    transaction: Transaction | None = None
    when_done: list[Callable[[], None]] = field(default_factory=list)


class Broker:
    """Plain and synchronous: requests arrive here, and `reply` takes each answer, at once or later."""

    def __init__(self, world: World, partitions: int) -> None:
        self._world = world
        self.partitions = [TopicPartition(TOPIC, number) for number in range(partitions)]
        self.down_until = 0.0
        self.outcomes: list[Outcome] = []
        self.committed: dict[TopicPartition, tuple[int, str]] = {}
        # How many outcomes a read_committed reader has seen.
        self.seen = 0
        self.when_written: list[Callable[[], None]] = []
        self._records: dict[TopicPartition, list[Record]] = {partition: [] for partition in self.partitions}
        self._offsets: dict[TopicPartition, list[int]] = {partition: [] for partition in self.partitions}
        self._ends = dict.fromkeys(self.partitions, 0)
        self._producers: dict[str, Producer] = {}

    def append(self, partition: int, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]) -> int:
        """Writes one command, behind a gap now and then, and returns its offset."""
        topic_partition = self.partitions[partition]
        gap = self._world.random.choice((0, 0, 0, 0, 1, 2))
        offset = self._ends[topic_partition] + gap
        timestamp = int(self._world.now * 1000)
        record: Record = ConsumerRecord(
            TOPIC, partition, offset, timestamp, 0, key, value, None, len(key or b""), len(value or b""), tuple(headers)
        )
        self._records[topic_partition].append(record)
        self._offsets[topic_partition].append(offset)
        # A marker, as behind a publisher's own transaction, is an offset that no record has.
        self._ends[topic_partition] = offset + 1 + self._world.random.choice((0, 0, 0, 1))
        for notice in self.when_written:
            notice()
        return offset

    def end(self, partition: TopicPartition) -> int:
        """The offset that the next record gets."""
        return self._ends[partition]

    def read(self, partition: TopicPartition, start: int, most: int) -> list[Record]:
        """Records from offset *start* on."""
        first = bisect_left(self._offsets[partition], start)
        return self._records[partition][first : first + most]

    def init_producer(self, transactional_id: str, reply: Reply) -> None:
        """Fences every earlier producer of this id, ends what it left, and answers with the new epoch."""
        producer = self._producers.setdefault(transactional_id, Producer())
        transaction = producer.transaction
        if transaction is not None and transaction.state is State.COMMITTING:
            producer.when_done.append(lambda: self.init_producer(transactional_id, reply))
            return
        if transaction is not None and transaction.state is State.OPEN:
            transaction.state = State.ABORTED
        producer.transaction = None
        producer.epoch += 1
        reply(producer.epoch)

    def produce(
        self, transactional_id: str, epoch: int, records: list[tuple[str, OutcomeRecord]], by: str, reply: Reply
    ) -> None:
        """Writes outcomes into the open transaction; an event that is too large is refused."""
        producer = self._current(transactional_id, epoch)
        if self._is_busy(producer):
            producer.when_done.append(lambda: self._again(reply, self.produce, transactional_id, epoch, records, by))
            return
        transaction = self._open(producer)
        if any(topic == EVENTS and len(record.value or b"") > LARGEST_EVENT for topic, record in records):
            reply(MessageSizeTooLargeError())
            return
        transaction.records += len(records)
        self.outcomes += [Outcome(topic, record, transaction, by) for topic, record in records]
        reply(None)

    def add_offsets(
        self, transactional_id: str, epoch: int, offsets: dict[TopicPartition, tuple[int, str]], reply: Reply
    ) -> None:
        """Puts offsets into the open transaction."""
        producer = self._current(transactional_id, epoch)
        if self._is_busy(producer):
            producer.when_done.append(lambda: self._again(reply, self.add_offsets, transactional_id, epoch, offsets))
            return
        if any(len(metadata) > LARGEST_METADATA for _, metadata in offsets.values()):
            raise OffsetMetadataTooLargeError
        self._open(producer).offsets.update(offsets)
        reply(None)

    def end_transaction(self, transactional_id: str, epoch: int, *, commit: bool, reply: Reply) -> None:
        """Decides the transaction; readers see it when its markers are written."""
        producer = self._current(transactional_id, epoch)
        transaction = producer.transaction
        if transaction is None or transaction.state is not State.OPEN:
            reply(None)
            return
        if not commit:
            transaction.state = State.ABORTED
            producer.transaction = None
            reply(None)
            return
        transaction.state = State.COMMITTING
        self._world.after(self._world.between(0.0005, 0.5), lambda: self._write_markers(producer, transaction))
        reply(None)

    def read_offsets(self, partitions: list[TopicPartition] | None) -> dict[TopicPartition, tuple[int, str]]:
        """Committed offsets and their metadata, as they are seen now; -1 where there is none."""
        return {tp: self.committed.get(tp, (-1, "")) for tp in partitions or self.partitions}

    def visible(self) -> list[Outcome]:
        """What a read_committed reader of the outcome topics sees."""
        return [outcome for outcome in self.outcomes if outcome.transaction.state is State.COMMITTED]

    def decided(self) -> list[Outcome]:
        """What such a reader sees, or will in a moment."""
        seen = {State.COMMITTED, State.COMMITTING}
        return [outcome for outcome in self.outcomes if outcome.transaction.state in seen]

    def _write_markers(self, producer: Producer, transaction: Transaction) -> None:
        transaction.state = State.COMMITTED
        self.committed |= transaction.offsets
        self.seen += transaction.records
        if producer.transaction is transaction:
            producer.transaction = None
        waiting, producer.when_done = producer.when_done, []
        for go_on in waiting:
            go_on()

    def _current(self, transactional_id: str, epoch: int) -> Producer:
        producer = self._producers[transactional_id]
        if epoch != producer.epoch:
            raise ProducerFenced
        return producer

    def _open(self, producer: Producer) -> Transaction:
        if producer.transaction is None:
            transaction = producer.transaction = Transaction(self._world.now)
            self._world.after(TRANSACTION_SECONDS, lambda: self._time_out(producer, transaction))
        return producer.transaction

    def _time_out(self, producer: Producer, transaction: Transaction) -> None:
        if transaction.state is State.OPEN:
            transaction.state = State.ABORTED
            producer.transaction = None
            producer.epoch += 1

    @staticmethod
    def _is_busy(producer: Producer) -> bool:
        return producer.transaction is not None and producer.transaction.state is State.COMMITTING

    @staticmethod
    def _again(reply: Reply, act: Callable[..., None], *arguments: object) -> None:
        try:
            act(*arguments, reply)
        except KafkaError as error:
            reply(error)


def command_record(record: Record) -> CommandRecord:
    """A record as the worker keeps it."""
    return CommandRecord(
        record.topic, record.partition, record.offset, record.timestamp, record.key, record.value, tuple(record.headers)
    )
