"""Outcomes and the offset they settle, written to Kafka as one.

`ExactlyOnceLedger` writes both in one transaction of a producer whose transactional id belongs to the input
partition: its start fences whoever had the partition before, and completes or aborts what that one left open, so the
committed offset read afterwards is final. (aiokafka 0.14 commits transactional offsets without the group's
generation, KIP-447, so one id for the whole worker would not fence.)

`AtLeastOnceLedger` writes the outcomes and then the offset, for brokers without transactions.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    CommitFailedError,
    GroupAuthorizationFailedError,
    IllegalGenerationError,
    IllegalOperation,
    IllegalStateError,
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    OffsetMetadataTooLargeError,
    ProducerFenced,
    RebalanceInProgressError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnknownMemberIdError,
    UnsupportedForMessageFormatError,
    UnsupportedVersionError,
)
from aiokafka.structs import OffsetAndMetadata

from handlers.record import OutcomeRecord
from worker.kafka.errors import CommitFailed, CommitUncertain, KafkaRefused, OutcomeTooLarge, PartitionLost

# A producer that cannot flush (its broker is gone) is left behind: its successor's start ends its transaction.
CLOSE_SECONDS = 3.0

Publication = tuple[str, OutcomeRecord]
"""A topic and the record to publish there."""

_LOST = (
    ProducerFenced,
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    CommitFailedError,
    IllegalGenerationError,
    UnknownMemberIdError,
    RebalanceInProgressError,
)
# aiokafka guards the states of its producer with assertions: after a fatal error every further call meets one.
_CLIENT_ERRORS = (KafkaError, KeyError, IllegalOperation, IllegalStateError, AssertionError)
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
_REFUSED = (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    InvalidTopicError,
    OffsetMetadataTooLargeError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedForMessageFormatError,
    UnsupportedVersionError,
)
_ADVICE: dict[type[KafkaError], str] = {
    ClusterAuthorizationFailedError: "grant IdempotentWrite on the cluster to this principal",
    GroupAuthorizationFailedError: "grant Read on the consumer group (KAFKA_GROUP_ID) to this principal",
    TopicAuthorizationFailedError: "grant Write on the event and dead-letter topics to this principal",
    TransactionalIdAuthorizationFailed: "grant Write and Describe on transactional ids that start with the group id",
    UnsupportedVersionError: "the broker has no transactions: set DELIVERY=at_least_once, knowing what that means",
    UnsupportedForMessageFormatError: "the broker has no transactions: set DELIVERY=at_least_once",
}


class Ledger(Protocol):
    """Where a partition's outcomes and its offset are written together."""

    async def start(self) -> None:
        """Connects; fences a predecessor where the ledger can."""

    async def commit(self, publications: Sequence[Publication], offset: int, metadata: str) -> None:
        """Publishes all outcomes and commits *offset* (the next to read) with *metadata*.

        Raises:
            CommitFailed: nothing was written for readers of committed records; repeat it whole.
            CommitUncertain: it may or may not have been written.
            PartitionLost: somebody else has the partition.
            OutcomeTooLarge: an outcome is larger than the broker takes; nothing was written.
            KafkaRefused: the deployment does not allow it.

        After one of the first two, or the fourth, the ledger must be started again. Since that fences whoever has the
        partition by now, the caller must then look where the partition stands before it commits anything more.

        """

    async def close(self) -> None:
        """Lets go of the connection; an open transaction is left to whoever comes next."""


class ExactlyOnceLedger:
    """One Kafka transaction for each commit, by a producer of its own for each input partition."""

    def __init__(self, make_producer: Callable[[], AIOKafkaProducer], group_id: str, partition: TopicPartition) -> None:
        self._make_producer = make_producer
        self._group_id = group_id
        self._partition = partition
        self._producer: AIOKafkaProducer | None = None
        self._must_start = False

    async def start(self) -> None:
        """Fences the predecessor (InitProducerId)."""
        await self.close()
        producer = self._producer = self._make_producer()
        try:
            await producer.start()
        except KafkaError as error:
            raise _translated(error) from error
        self._must_start = False

    async def commit(self, publications: Sequence[Publication], offset: int, metadata: str) -> None:
        """See `Ledger.commit`."""
        producer = self._producer
        if producer is None:
            msg = f"{self._partition}: the ledger is closed"
            raise PartitionLost(msg)
        if self._must_start:
            msg = f"{self._partition}: the last commit failed, and the ledger was not started again"
            raise CommitFailed(msg)
        try:
            await producer.begin_transaction()
        except _CLIENT_ERRORS as error:
            # A producer that cannot begin is of no more use, whatever became of its last transaction.
            raise _uncertain(error) from error
        try:
            await _publish(producer, publications)
            await producer.send_offsets_to_transaction(
                {self._partition: OffsetAndMetadata(offset, metadata)}, self._group_id
            )
        except _CLIENT_ERRORS as error:
            # aiokafka has counted a batch that the broker refused, so the broker would refuse every later one of
            # this producer (OutOfOrderSequenceNumber); a new epoch begins to count anew.
            self._must_start = True
            translated = _translated(error)
            if not isinstance(translated, PartitionLost | KafkaRefused):
                await self._abort(producer)
            raise translated from error
        try:
            await producer.commit_transaction()
        except _CLIENT_ERRORS as error:
            raise _uncertain(error) from error

    async def close(self) -> None:
        """Stops the producer, if one was started."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await producer.stop()
        except (TimeoutError, KafkaError):
            # stop() raises what its sender meets meanwhile, most often a successor's fence, and stays connected.
            await producer.client.close()

    async def _abort(self, producer: AIOKafkaProducer) -> None:
        try:
            await producer.abort_transaction()
        except _CLIENT_ERRORS as error:
            # A producer that cannot abort is of no more use; its successor's start aborts for it.
            raise _uncertain(error) from error


class AtLeastOnceLedger:
    """Outcomes first, then the offset: a crash between the two repeats outcomes."""

    def __init__(
        self,
        producer: AIOKafkaProducer,
        commit_offset: Callable[[dict[TopicPartition, OffsetAndMetadata]], Awaitable[None]],
        partition: TopicPartition,
    ) -> None:
        self._producer = producer
        self._commit_offset = commit_offset
        self._partition = partition

    async def start(self) -> None:
        """Nothing to do: the producer is shared and runs."""

    async def commit(self, publications: Sequence[Publication], offset: int, metadata: str) -> None:
        """See `Ledger.commit`."""
        try:
            await _publish(self._producer, publications)
            await self._commit_offset({self._partition: OffsetAndMetadata(offset, metadata)})
        except KafkaError as error:
            raise _translated(error) from error

    async def close(self) -> None:
        """Nothing to do: the producer is shared."""


async def _publish(producer: AIOKafkaProducer, publications: Sequence[Publication]) -> None:
    """Sends all and waits until the broker has all. Raises the first KafkaError when every send has ended."""
    sent: list[asyncio.Future[Any]] = []
    try:
        for topic, record in publications:
            sent.append(await _send(producer, topic, record))
    finally:
        # Also after a failure: an abort must not overtake a send.
        if sent:
            await asyncio.wait(sent)
    failures = [failure for delivered in sent if (failure := delivered.exception()) is not None]
    if failures:
        raise failures[0]


async def _send(producer: AIOKafkaProducer, topic: str, record: OutcomeRecord) -> asyncio.Future[Any]:
    if record.key is not None or record.value is not None:
        sent: asyncio.Future[Any] = await producer.send(
            topic, value=record.value, key=record.key, headers=list(record.headers)
        )
        return sent
    # aiokafka's send() refuses a record of neither key nor value, but a dead letter is published as it came.
    batch = producer.create_batch()
    batch.append(timestamp=None, key=None, value=None, headers=list(record.headers))
    batch.close()
    partitions = await producer.partitions_for(topic)
    sent_batch: asyncio.Future[Any] = await producer.send_batch(batch, topic, partition=min(partitions))
    return sent_batch


def _uncertain(error: Exception) -> Exception:
    translated = _translated(error)
    return CommitUncertain(str(translated)) if isinstance(translated, CommitFailed) else translated


def _translated(error: Exception) -> Exception:
    what = f"{type(error).__name__}: {error}"
    if isinstance(error, _LOST):
        return PartitionLost(what)
    if isinstance(error, _TOO_LARGE):
        return OutcomeTooLarge(what)
    if isinstance(error, _REFUSED):
        advice = next((_ADVICE[kind] for kind in _ADVICE if isinstance(error, kind)), "see the message")
        return KafkaRefused(f"Kafka refused a commit ({what}); {advice}")
    return CommitFailed(what)
