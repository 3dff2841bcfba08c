"""The worker's own connections to Kafka: administration, and the producers behind the ledgers."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, KafkaError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from handlers.record import CommandRecord
from worker.kafka.consumer import OffsetReader
from worker.kafka.errors import KafkaRefused, KafkaUnreachable
from worker.kafka.ledger import AtLeastOnceLedger, ExactlyOnceLedger, Ledger
from worker.kafka.log import read_back
from worker.kafka.members import GroupReader

START_SECONDS = 60.0
# The broker decides what is too large; this only keeps the client from deciding first.
OUTCOME_MAX_BYTES = 16 * 1024 * 1024
OUTCOME_BATCH_BYTES = 256 * 1024
TRANSACTION_TIMEOUT_MS = 30_000
REQUEST_TIMEOUT_MS = 15_000


class Cluster:
    """Connects once, and makes the ledger of each partition."""

    def __init__(
        self,
        options: dict[str, Any],
        *,
        group_id: str,
        exactly_once: bool,
        consumer: Callable[[], AIOKafkaConsumer | None],
        say: Callable[[str], None],
    ) -> None:
        """*options* are those of every aiokafka client; *say* is told why connecting takes time."""
        self._options = options
        self._group_id = group_id
        self._exactly_once = exactly_once
        self._consumer = consumer
        self._say = say
        self._admin: AIOKafkaAdminClient | None = None
        self._producer: AIOKafkaProducer | None = None

    async def connect(self, topics: Collection[str]) -> None:
        """Connects, and checks that *topics* exist.

        Raises:
            KafkaUnreachable: no broker answered within a minute.
            KafkaRefused: a topic is missing.

        """
        self._admin = AIOKafkaAdminClient(**self._options)
        await self.reach(self._admin.start)
        missing = sorted(set(topics) - set(await self._admin.list_topics()))
        if missing:
            msg = f"the topics {', '.join(missing)} do not exist; create them with: customer-sync topics create"
            raise KafkaRefused(msg)
        if not self._exactly_once:
            self._producer = self._make_producer(transactional_id=None)
            await self.reach(self._producer.start)

    async def reach(self, start: Callable[[], Awaitable[None]]) -> None:
        """Calls *start* until it finds a broker, for a minute at most. Raises KafkaUnreachable."""
        repeat = AsyncRetrying(
            retry=retry_if_exception_type(KafkaConnectionError),
            wait=wait_exponential_jitter(multiplier=0.2, max=5),
            stop=stop_after_delay(START_SECONDS),
            before_sleep=self._say_why,
            reraise=True,
        )
        try:
            await repeat(start)
        except KafkaConnectionError as error:
            raise KafkaUnreachable(str(self._options["bootstrap_servers"]), str(error)) from error
        except KafkaError as error:
            msg = f"Kafka refused the connection ({type(error).__name__}: {error}); see the KAFKA_ settings"
            raise KafkaRefused(msg) from error

    def offsets(self) -> OffsetReader:
        """Reads the group's committed offsets; after `connect`."""
        if self._admin is None:
            msg = "offsets() before connect()"
            raise RuntimeError(msg)
        return OffsetReader(self._admin, self._group_id)

    def group_reader(self, topic: str) -> GroupReader | None:
        """Asks who the members of the group are, and which partitions of *topic* each has; None before `connect`."""
        return None if self._admin is None else GroupReader(self._admin, self._group_id, topic)

    def ledger(self, partition: TopicPartition) -> Ledger:
        """The ledger of one input partition; after `connect`."""
        if self._exactly_once:
            transactional_id = f"{self._group_id}.{partition.topic}.{partition.partition}"
            return ExactlyOnceLedger(lambda: self._make_producer(transactional_id), self._group_id, partition)
        consumer = self._consumer()
        if self._producer is None or consumer is None:
            msg = "ledger() before connect()"
            raise RuntimeError(msg)
        return AtLeastOnceLedger(self._producer, consumer.commit, partition)

    def read_back(self, partition: TopicPartition, start: int, end: int) -> AsyncIterator[CommandRecord]:
        """The log of *partition* from offset *start* up to, but not including, *end*."""
        return read_back(self._options, partition, start, end)

    async def close(self) -> None:
        """Closes the connections that `connect` opened."""
        if self._producer is not None:
            await self._producer.stop()
        if self._admin is not None:
            await self._admin.close()

    def _make_producer(self, transactional_id: str | None) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            **self._options,
            transactional_id=transactional_id,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            # Alone it would be a trap: one batch that the broker refuses, and it refuses all that follow.
            enable_idempotence=transactional_id is not None,
            acks="all",
            max_request_size=OUTCOME_MAX_BYTES,
            max_batch_size=OUTCOME_BATCH_BYTES,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
        )

    def _say_why(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        self._say(f"attempt {state.attempt_number}: {error}")
