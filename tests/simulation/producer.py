"""The clients that the ledgers and the offset reader use, with aiokafka's faces and its errors."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import (
    IllegalOperation,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    NotLeaderForPartitionError,
)
from aiokafka.structs import OffsetAndMetadata

from handlers.record import CommandRecord, OutcomeKind, OutcomeRecord
from simulation.broker import DEAD_LETTERS, EVENTS, TOPIC, Broker, Reply, command_record
from simulation.process import current


class ModelProducer:
    """As AIOKafkaProducer with a transactional id: one batch at a time is under way, so that records keep order."""

    def __init__(self, *, transactional_id: str, **_options: object) -> None:
        self._process = current()
        self._id = transactional_id
        self._epoch = -1
        self._is_open = False
        self._gathered: list[tuple[str, OutcomeRecord]] = []
        self._batch: asyncio.Future[Any] | None = None

    @property
    def _broker(self) -> Broker:
        return self._process.broker

    async def start(self) -> None:
        """InitProducerId."""
        self._process.note("fence", self._id)
        epoch = await self._process.link.ask(lambda reply: self._broker.init_producer(self._id, reply))
        self._epoch = epoch

    async def begin_transaction(self) -> None:
        """Nothing is sent for it."""
        if self._is_open:
            raise IllegalOperation("a transaction is open")
        self._is_open = True

    async def send(
        self, topic: str, *, value: bytes | None, key: bytes | None, headers: list[tuple[str, bytes]]
    ) -> asyncio.Future[Any]:
        """Adds a record to the batch that leaves in a moment."""
        kind = OutcomeKind.EVENT if topic == EVENTS else OutcomeKind.DEAD_LETTER
        self._gathered.append((topic, OutcomeRecord(kind, key, value, tuple(headers))))
        loop = asyncio.get_running_loop()
        if self._batch is None:
            self._batch = loop.create_future()
            self._batch.add_done_callback(lambda done: done.cancelled() or done.exception())
            loop.call_later(self._process.world.between(0.0001, 0.003), self._flush, self._batch)
        batch = self._batch
        delivered: asyncio.Future[Any] = loop.create_future()
        batch.add_done_callback(lambda done: _copy(done, delivered))
        return delivered

    def create_batch(self) -> "ModelBatch":
        """For records without key and value."""
        return ModelBatch()

    async def partitions_for(self, _topic: str) -> set[int]:
        """One partition is enough: order between customers is not promised."""
        return {0}

    async def send_batch(self, batch: "ModelBatch", topic: str, *, partition: int) -> asyncio.Future[Any]:
        """As `send`."""
        assert partition == 0
        return await self.send(topic, value=None, key=None, headers=batch.headers)

    def _flush(self, batch: asyncio.Future[Any]) -> None:
        records, self._gathered, self._batch = self._gathered, [], None
        self._process.note("publish", f"{self._id} {len(records)}")
        fault = self._process.fault("publish")

        def act(reply: Reply) -> None:
            if fault == "failed":
                # Some were written before the leader moved.
                some = records[: len(records) // 2]
                self._broker.produce(self._id, self._epoch, some, self._process.name, lambda _: None)
                reply(NotLeaderForPartitionError())
            else:
                self._broker.produce(self._id, self._epoch, records, self._process.name, reply)

        sent = self._process.link.ask(act)
        sent.add_done_callback(lambda done: _copy(done, batch))

    async def send_offsets_to_transaction(
        self, offsets: dict[TopicPartition, OffsetAndMetadata], _group_id: str
    ) -> None:
        """AddOffsetsToTxn and TxnOffsetCommit in one."""
        what = {partition: (to.offset, to.metadata) for partition, to in offsets.items()}
        self._process.note("offsets", f"{self._id} {what}")
        if self._process.fault("offsets") == "failed":
            raise KafkaTimeoutError
        await self._process.link.ask(lambda reply: self._broker.add_offsets(self._id, self._epoch, what, reply))

    async def commit_transaction(self) -> None:
        """EndTxn; a caller that is cancelled does not stop it."""
        self._process.note("commit", self._id)
        fault = self._process.fault("commit")
        world = self._process.world
        if fault == "not written":
            await asyncio.sleep(world.between(0.01, 2))
        elif fault == "written late":
            world.after(world.between(0.01, 5), self._commit_late)
            await asyncio.sleep(world.between(0.01, 5))
        else:
            await self._process.link.ask(
                lambda reply: self._broker.end_transaction(self._id, self._epoch, commit=True, reply=reply)
            )
        if fault is not None:
            raise KafkaConnectionError("the answer was lost")
        self._is_open = False

    def _commit_late(self) -> None:
        with suppress(KafkaError):
            self._broker.end_transaction(self._id, self._epoch, commit=True, reply=lambda _: None)

    async def abort_transaction(self) -> None:
        """EndTxn."""
        self._process.note("abort", self._id)
        await self._process.link.ask(
            lambda reply: self._broker.end_transaction(self._id, self._epoch, commit=False, reply=reply)
        )
        self._is_open = False

    @property
    def client(self) -> "ModelProducer":
        """Its connections, which are closed where stopping takes too long."""
        return self

    async def close(self) -> None:
        """Lets go of them."""

    async def stop(self) -> None:
        """Leaves an open transaction to the successor."""
        await asyncio.sleep(self._process.world.between(0, 0.01))


class ModelBatch:
    """Headers alone."""

    def __init__(self) -> None:
        self.headers: list[tuple[str, bytes]] = []

    def append(self, *, timestamp: None, key: None, value: None, headers: list[tuple[str, bytes]]) -> None:
        """One record."""
        assert (timestamp, key, value) == (None, None, None)
        self.headers = headers

    def close(self) -> None:
        """Nothing more comes."""


class ModelAdmin:
    """As AIOKafkaAdminClient, for what the worker asks of it."""

    def __init__(self, **_options: object) -> None:
        self._process = current()

    async def start(self) -> None:
        """Finds a broker."""
        await self._process.link.ask(lambda reply: reply(None))

    async def list_topics(self) -> list[str]:
        """All three."""
        return [TOPIC, EVENTS, DEAD_LETTERS]

    async def list_consumer_group_offsets(
        self, _group_id: str, partitions: list[TopicPartition] | None = None
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        """OffsetFetch."""
        broker = self._process.broker
        if partitions is not None:
            self._process.note("read offsets", str(partitions[0].partition))
        found = await self._process.link.ask(lambda reply: reply(broker.read_offsets(partitions)))
        return {partition: OffsetAndMetadata(*committed) for partition, committed in found.items()}

    async def close(self) -> None:
        """Nothing to close."""


async def read_back(_options: object, partition: TopicPartition, start: int, end: int) -> AsyncIterator[CommandRecord]:
    """As `worker.kafka.log.read_back`."""
    process = current()
    process.note("read back", f"{partition.partition} {start}..{end}")
    records = await process.link.ask(lambda reply: reply(process.broker.read(partition, start, end - start)))
    for record in records:
        if record.offset < end:
            yield command_record(record)


def _copy(done: asyncio.Future[Any], to: asyncio.Future[Any]) -> None:
    if to.done() or done.cancelled():
        return
    to.add_done_callback(lambda seen: seen.cancelled() or seen.exception())
    error = done.exception()
    if error is not None:
        to.set_exception(error)
    else:
        to.set_result(done.result())
