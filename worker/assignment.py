"""Partitions come and go: the group gives them to this worker and takes them away.

A new partition is held until its ledger has fenced the predecessor, its progress is read and the consumer is set to
it. One that is taken away hands out no more turns, finishes what is under way within a deadline that all partitions
share, commits, and is dropped; whatever is not finished the successor does again. A member that was thrown out of
the group commits nothing more: its partitions have long been somebody else's.

aiokafka logs and swallows what a rebalance callback raises, and without its state a partition must not be consumed;
so a failure here is raised in the worker's task group and ends the process.
"""

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from worker import progress
from worker.commit import Committer
from worker.delivery import Delivery
from worker.intake import Intake
from worker.kafka.consumer import OffsetReader, is_expelled
from worker.kafka.errors import CommitFailed, CommitUncertain, PartitionLost
from worker.kafka.ledger import Ledger
from worker.partition import Partition
from worker.telemetry.metrics import Metrics
from worker.watermark import Watermark

log = structlog.get_logger(__name__)

START_SECONDS = 60.0


@dataclass(slots=True)
class _Assigned:
    partition: Partition
    ledger: Ledger
    committing: asyncio.Task[None]


class Assignment(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """Builds and drops partitions as the group tells."""

    def __init__(
        self,
        *,
        consumer: Callable[[], AIOKafkaConsumer | None],
        make_ledger: Callable[[TopicPartition], Ledger],
        make_partition: Callable[[TopicPartition, Watermark], Partition],
        offsets: Callable[[], OffsetReader],
        intake: Intake,
        delivery: Delivery,
        metrics: Metrics,
        commit_interval_seconds: float,
        drain_seconds: float,
    ) -> None:
        """*drain_seconds*: how long a revocation waits for what is under way, in all."""
        self._consumer = consumer
        self._tasks: asyncio.TaskGroup | None = None
        self._make_ledger = make_ledger
        self._make_partition = make_partition
        self._offsets = offsets
        self._intake = intake
        self._delivery = delivery
        self._metrics = metrics
        self._commit_interval_seconds = commit_interval_seconds
        self._drain_seconds = drain_seconds
        self._assigned: dict[TopicPartition, _Assigned] = {}
        self.is_member = False

    def begin(self, tasks: asyncio.TaskGroup) -> None:
        """Gives the committers a task group to run in; before the first rebalance."""
        self._tasks = tasks

    @property
    def partitions(self) -> dict[TopicPartition, Partition]:
        """The partitions this worker has now."""
        return {tp: assigned.partition for tp, assigned in self._assigned.items()}

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Builds the new partitions, all at once, and lets them be read."""
        try:
            await self._take(assigned)
        except Exception as error:  # noqa: BLE001  # carried out: aiokafka would swallow it
            self._group().create_task(_fail(error))

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Finishes and drops the partitions that are taken away."""
        self.is_member = False
        try:
            await self._give_up(revoked)
        except Exception as error:  # noqa: BLE001  # carried out: aiokafka would swallow it
            self._group().create_task(_fail(error))

    async def drain(self, deadline_seconds: float) -> bool:
        """Finishes everything under way and drops all partitions; False when time ran out before the end."""
        finished = await self._drain(list(self._assigned), deadline_seconds)
        await self._drop(list(self._assigned))
        return finished

    def _member(self) -> AIOKafkaConsumer:
        consumer = self._consumer()
        if consumer is None:
            msg = "a rebalance without a consumer"
            raise RuntimeError(msg)
        return consumer

    def _group(self) -> asyncio.TaskGroup:
        if self._tasks is None:
            msg = "a rebalance before begin()"
            raise RuntimeError(msg)
        return self._tasks

    async def _take(self, assigned: Collection[TopicPartition]) -> None:
        consumer = self._member()
        self._metrics.rebalances.inc()
        consumer.pause(*assigned)
        starts = await consumer.beginning_offsets(list(assigned)) if assigned else {}
        ends = await consumer.end_offsets(list(assigned)) if assigned else {}
        async with asyncio.TaskGroup() as building:
            built = [
                building.create_task(self._build(consumer, partition, starts[partition], ends[partition]))
                for partition in assigned
            ]
        for task in built:
            entry = task.result()
            self._assigned[entry.partition.topic_partition] = entry
        # No await between the two: what is read must find its partition.
        consumer.resume(*assigned)
        self._publish()
        self.is_member = True
        log.info("partitions_assigned", partitions=sorted(partition.partition for partition in assigned))

    async def _build(
        self, consumer: AIOKafkaConsumer, topic_partition: TopicPartition, start: int, end: int
    ) -> _Assigned:
        ledger = self._make_ledger(topic_partition)
        offsets = self._offsets()
        repeat = AsyncRetrying(
            retry=retry_if_exception_type((CommitFailed, CommitUncertain)),
            wait=wait_exponential_jitter(initial=0.1, max=2, jitter=0.1),
            stop=stop_after_delay(START_SECONDS),
            reraise=True,
        )
        await repeat(ledger.start)
        committed: int
        metadata: str
        committed, metadata = await repeat(offsets.committed, topic_partition)
        watermark = _watermark(topic_partition, committed, metadata, start, end)
        consumer.seek(topic_partition, watermark.committable)
        partition = self._make_partition(topic_partition, watermark)
        committer = Committer(
            ledger,
            watermark,
            partition=topic_partition.partition,
            interval_seconds=self._commit_interval_seconds,
            expects_company=lambda: partition.in_flight > 1,
            read_progress=lambda: offsets.committed(topic_partition),
        )
        partition.attach(committer)
        partition.on_committed = self._noticed
        return _Assigned(partition, ledger, self._group().create_task(self._commit(topic_partition, committer)))

    async def _commit(self, topic_partition: TopicPartition, committer: Committer) -> None:
        try:
            await committer.run()
        except PartitionLost as lost:
            log.warning("partition_lost", partition=topic_partition.partition, error=str(lost))
            entry = self._assigned.pop(topic_partition, None)
            self._publish()
            if entry is not None:
                entry.partition.is_closing = True
                await entry.ledger.close()

    async def _give_up(self, revoked: Collection[TopicPartition]) -> None:
        mine = [partition for partition in revoked if partition in self._assigned]
        if not mine:
            return
        if is_expelled(self._member()):
            log.warning("expelled_from_group", partitions=sorted(partition.partition for partition in mine))
        else:
            await self._drain(mine, self._drain_seconds)
        await self._drop(mine)
        log.info("partitions_revoked", partitions=sorted(partition.partition for partition in mine))

    async def _drain(self, partitions: Collection[TopicPartition], deadline_seconds: float) -> bool:
        entries = [self._assigned[partition] for partition in partitions]
        try:
            async with asyncio.timeout(deadline_seconds), asyncio.TaskGroup() as draining:
                for entry in entries:
                    draining.create_task(_drain_or_lose(entry))
        except TimeoutError:
            log.warning("drain_cut_short", in_flight=sum(entry.partition.in_flight for entry in entries))
            return False
        return True

    async def _drop(self, partitions: Collection[TopicPartition]) -> None:
        entries = [entry for partition in partitions if (entry := self._assigned.pop(partition, None)) is not None]
        self._publish()
        for entry in entries:
            entry.partition.is_closing = True
            entry.committing.cancel()
        for entry in entries:
            with suppress(asyncio.CancelledError):
                await entry.committing
            await entry.ledger.close()

    def _publish(self) -> None:
        partitions = self.partitions
        self._intake.set_partitions(partitions)
        self._delivery.set_partitions(tuple(partitions.values()))

    def _noticed(self) -> None:
        self._intake.regulate()
        self._delivery.wake()


def _watermark(topic_partition: TopicPartition, committed: int, metadata: str, start: int, end: int) -> Watermark:
    """Where the partition goes on; *start* is the log's first offset, *end* the one that its next record gets."""
    if committed < 0:
        return Watermark(start)
    if committed < start:
        log.error(
            "commands_lost_to_retention",
            partition=topic_partition.partition,
            committed=committed,
            earliest=start,
            missing_offsets=start - committed,
            advice="the topic's retention overtook the worker: commands in this gap were deleted unread",
        )
        return Watermark(start)
    if committed > end:
        log.error(
            "committed_beyond_end",
            partition=topic_partition.partition,
            committed=committed,
            end=end,
            advice="the topic was probably recreated: starting from its first record",
        )
        return Watermark(start)
    try:
        return Watermark(committed, progress.decode(metadata))
    except progress.ProgressUnreadable as error:
        log.warning("progress_unreadable", partition=topic_partition.partition, error=str(error))
        return Watermark(committed)


async def _drain_or_lose(entry: _Assigned) -> None:
    """Drains, unless committing ends first because the partition is lost."""
    async with asyncio.TaskGroup() as both:
        draining = both.create_task(entry.partition.drain())
        await asyncio.wait({draining, entry.committing}, return_when=asyncio.FIRST_COMPLETED)
        draining.cancel()


async def _fail(error: Exception) -> None:
    raise error
