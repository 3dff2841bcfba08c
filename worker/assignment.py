"""Partitions come and go: the group gives them to this worker and takes them away.

A new partition is held until its ledger has fenced the predecessor, its progress is read and the consumer is set to
it; one task owns it from then on. One that is taken away hands out no more turns, finishes what is under way within a
deadline that all partitions share, commits, and is dropped; whatever is not finished the successor does again. A member
that was thrown out of the group commits nothing more: its partitions have long been somebody else's.

aiokafka logs and swallows what a rebalance callback raises; so the callbacks only begin and end tasks, and what fails
in those ends the process.
"""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from functools import partial

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential_jitter

from handlers.record import CommandRecord
from worker import progress
from worker.commit import Committer
from worker.deduplication import DeduplicationWindow, identity_in
from worker.delivery import Delivery
from worker.intake import Intake
from worker.kafka.consumer import OffsetReader, beat_now, has_handled, is_expelled, watch_heartbeats, watch_resets
from worker.kafka.errors import CommitFailed, CommitUncertain, KafkaRefused, PartitionLost
from worker.kafka.ledger import Ledger
from worker.lease import Lease
from worker.partition import Partition
from worker.progress import Progress, ProgressUnreadable, Tried
from worker.telemetry.metrics import Metrics
from worker.telemetry.recent import Recent
from worker.watermark import Watermark

log = structlog.get_logger(__name__)

# A partition whose producer was fenced while the group still assigns it here is built anew after so long.
FENCED_PAUSE_SECONDS = 0.5
LONGEST_FENCED_PAUSE_SECONDS = 10.0
# How often to look whether everything that a predecessor may have acted on is read.
READ_FIRST_SECONDS = 0.01


class Assignment(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """Builds and drops partitions as the group tells."""

    def __init__(
        self,
        *,
        consumer: Callable[[], AIOKafkaConsumer | None],
        instance_id: str | None,
        make_ledger: Callable[[TopicPartition], Ledger],
        make_partition: Callable[[TopicPartition, Watermark, DeduplicationWindow, int, Mapping[int, Tried]], Partition],
        read_back: Callable[[TopicPartition, int, int], AsyncIterator[CommandRecord]],
        offsets: Callable[[], OffsetReader],
        intake: Intake,
        delivery: Delivery,
        lease: Lease,
        metrics: Metrics,
        commit_interval_seconds: float,
        deduplication_window: int,
        drain_seconds: float,
        now: Callable[[], float],
        recent: Recent,
    ) -> None:
        """*make_partition* takes, last, the offset below which a predecessor may have acted, and what it tried in vain.

        *deduplication_window* in offsets; *drain_seconds*: how long a revocation waits for what is under way, in all.
        *recent* is told of each rebalance.
        """
        self._consumer = consumer
        self._instance_id = instance_id
        self._make_ledger = make_ledger
        self._make_partition = make_partition
        self._read_back = read_back
        self._offsets = offsets
        self._intake = intake
        self._delivery = delivery
        self._lease = lease
        self._metrics = metrics
        self._commit_interval_seconds = commit_interval_seconds
        self._deduplication_window = deduplication_window
        self._drain_seconds = drain_seconds
        self._now = now
        self._recent = recent
        self._tasks: asyncio.TaskGroup | None = None
        self._owning: dict[TopicPartition, asyncio.Task[None]] = {}
        self._partitions: dict[TopicPartition, Partition] = {}
        # Of partitions that were here before this rebalance: reading a window back takes a third of a second.
        self._windows: dict[TopicPartition, DeduplicationWindow] = {}
        self._watched: AIOKafkaConsumer | None = None
        self._is_leaving = False
        # From a revocation on until the next assignment: what is built or lost meanwhile begins nothing anew.
        self._is_revoking = False
        self.is_member = False

    def begin(self, tasks: asyncio.TaskGroup) -> None:
        """Gives the partitions a task group to live in; before the first rebalance."""
        self._tasks = tasks

    @property
    def partitions(self) -> dict[TopicPartition, Partition]:
        """The partitions that take part now: assigned, and built."""
        return self._partitions

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Holds the new partitions and begins to build them.

        Returns at once: aiokafka sends no heartbeat before this callback has ended.
        """
        consumer = self._member()
        self._metrics.rebalances.inc()
        if consumer is not self._watched:
            watch_heartbeats(consumer, self._now, self._lease.renew)
            self._watched = consumer
        consumer.pause(*assigned)
        self._is_revoking = False
        if self._is_leaving:
            # The rebalance had begun before: this member leaves in a moment, and others get them.
            return
        self._windows = {one: window for one, window in self._windows.items() if one in assigned}
        for topic_partition in assigned:
            self._owning[topic_partition] = self._group().create_task(self._own(topic_partition))
        self._group().create_task(self._renew_lease(consumer))
        self.is_member = True
        numbers = sorted(partition.partition for partition in assigned)
        self._recent.rebalance("assigned", numbers)
        log.info("partitions_assigned", partitions=numbers)

    async def _renew_lease(self, consumer: AIOKafkaConsumer) -> None:
        await beat_now(consumer)
        self._noticed()

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Finishes and drops the partitions that are taken away."""
        self.is_member = False
        self._is_revoking = True
        if not self._owning:
            return
        numbers = sorted(partition.partition for partition in revoked)
        if is_expelled(self._member()):
            self._recent.rebalance("expelled", numbers)
            log.warning("expelled_from_group", partitions=numbers)
            if self._instance_id is not None and self._lease.is_valid(self._now()):
                self._group().create_task(_displaced(self._instance_id))
        else:
            self._recent.rebalance("revoked", numbers)
            await self._drain(self._drain_seconds)
        await self._drop()
        # What refers to itself is looked for seldom (see `app`), and a partition's window alone is some MiB. Now there
        # is hardly anything else to look at.
        gc.collect()
        log.info("partitions_revoked", partitions=numbers)

    async def drain(self, deadline_seconds: float) -> bool:
        """Finishes everything under way and drops all partitions; False when time ran out before the end.

        Cancelled, it drops them at once. Partitions that are assigned from now on are not taken.
        """
        self._is_leaving = True
        try:
            return await self._drain(deadline_seconds)
        finally:
            await self._drop()

    async def _own(self, topic_partition: TopicPartition) -> None:
        """One partition from its assignment on, until this task is cancelled.

        One that another producer has fenced, or that Kafka could not serve, is built anew once the group has accepted
        a later heartbeat: it is still assigned here, so the other was a predecessor that came late. The pauses grow.
        """
        pause_seconds = FENCED_PAUSE_SECONDS
        while True:
            ledger = self._make_ledger(topic_partition)
            try:
                await self._own_until_lost(topic_partition, ledger)
            except* (PartitionLost, CommitFailed, CommitUncertain, KafkaError) as lost:
                if lost.subgroup(PartitionLost) is not None:
                    self._metrics.fences.inc()
                log.warning("partition_interrupted", partition=topic_partition.partition, error=str(lost.exceptions[0]))
                self._leave(topic_partition)
            finally:
                await ledger.close()
            is_dropped = self._owning.get(topic_partition) is not asyncio.current_task()
            if is_dropped or self._is_revoking or self._is_leaving:
                # Dropped meanwhile: a cancellation that meets a failing task group is lost (before Python 3.13).
                return
            lost_at = self._now()
            await asyncio.sleep(pause_seconds)
            while self._lease.renewed_at <= lost_at:  # noqa: ASYNC110  # a lease is pure and has no event
                await asyncio.sleep(pause_seconds)
            pause_seconds = min(pause_seconds * 2, LONGEST_FENCED_PAUSE_SECONDS)

    async def _own_until_lost(self, topic_partition: TopicPartition, ledger: Ledger) -> None:
        consumer = self._member()
        partition, read_first = await self._build(consumer, topic_partition, ledger)
        if self._is_revoking or self._is_leaving:
            return
        # No await between the two: what is read must find its partition.
        consumer.resume(topic_partition)
        self._partitions[topic_partition] = partition
        self._publish()
        async with asyncio.TaskGroup() as both:
            both.create_task(partition.committer.run())
            both.create_task(self._watch_retention(consumer, partition))
            partition.committer.move_horizon()
            while not await has_handled(consumer, topic_partition, read_first):  # noqa: ASYNC110  # aiokafka tells nobody
                await asyncio.sleep(READ_FIRST_SECONDS)
            partition.open()
            self._noticed()

    async def _watch_retention(self, consumer: AIOKafkaConsumer, partition: Partition) -> None:
        """Says what retention deletes from under a worker that reads too slowly, or has paused for too long."""
        topic_partition = partition.topic_partition
        overtaken: asyncio.Queue[int] = asyncio.Queue()
        watch_resets(consumer, topic_partition, lambda: overtaken.put_nowait(partition.next_offset))
        while True:
            expected = await overtaken.get()
            earliest = (await consumer.beginning_offsets([topic_partition]))[topic_partition]
            _say_gap(topic_partition, expected, earliest, self._metrics)

    async def _build(
        self, consumer: AIOKafkaConsumer, topic_partition: TopicPartition, ledger: Ledger
    ) -> tuple[Partition, int]:
        """The partition where its predecessor left it, and the offset up to which it must read before it acts."""
        offsets = self._offsets()
        repeat = AsyncRetrying(
            retry=retry_if_exception_type((CommitFailed, CommitUncertain)),
            wait=wait_exponential_jitter(multiplier=0.1, max=2, jitter=0.1),
            before_sleep=_say_why(topic_partition),
        )
        await repeat(ledger.start)
        committed: int
        metadata: str
        committed, metadata = await repeat(offsets.committed, topic_partition)
        start = (await consumer.beginning_offsets([topic_partition]))[topic_partition]
        end = (await consumer.end_offsets([topic_partition]))[topic_partition]
        committable, found = _starting_point(topic_partition, committed, metadata, start, end)
        _say_gap(topic_partition, committed, start, self._metrics)
        watermark = Watermark(committable, found.completed_beyond)
        window = self._window_up_to(topic_partition, start, committable)
        if window.next_offset < committable:
            async for record in self._read_back(topic_partition, window.next_offset, committable):
                window.judge(identity_in(record), record)
        consumer.seek(topic_partition, committable)
        tried = {committable + place: fold for place, fold in found.tried}
        partition = self._make_partition(topic_partition, watermark, window, committable + found.horizon, tried)
        partition.attach(
            Committer(
                ledger,
                watermark,
                partition=topic_partition.partition,
                horizon=committable + found.horizon,
                interval_seconds=self._commit_interval_seconds,
                expects_company=lambda: partition.in_flight > 1,
                wanted_horizon=partition.wanted_horizon,
                read_progress=lambda: offsets.committed(topic_partition),
                on_commit=partial(self._committed, partition),
                tried=partition.lanes.tried,
                committed=(committed, metadata),
            )
        )
        return partition, min(committable + found.horizon, end)

    def _window_up_to(self, topic_partition: TopicPartition, start: int, committable: int) -> DeduplicationWindow:
        """The window this partition had before the rebalance, where that still serves; else an empty one."""
        kept = self._windows.pop(topic_partition, None)
        if kept is not None and kept.rewind(committable, earliest=start):
            return kept
        begins_at = max(start, committable - self._deduplication_window)
        return DeduplicationWindow(window=self._deduplication_window, begins_at=begins_at)

    async def _drain(self, deadline_seconds: float) -> bool:
        try:
            async with asyncio.timeout(deadline_seconds), asyncio.TaskGroup() as draining:
                for topic_partition, partition in self._partitions.items():
                    draining.create_task(_drain_or_lose(partition, self._owning[topic_partition]))
        except TimeoutError:
            in_flight = sum(partition.in_flight for partition in self._partitions.values())
            log.warning("drain_cut_short", in_flight=in_flight)
            return False
        return True

    async def _drop(self) -> None:
        owning = list(self._owning.values())
        for topic_partition in list(self._partitions):
            self._leave(topic_partition)
        self._owning.clear()
        for task in owning:
            task.cancel()
        if owning:
            await asyncio.wait(owning)

    def _leave(self, topic_partition: TopicPartition) -> None:
        partition = self._partitions.pop(topic_partition, None)
        if partition is not None:
            partition.is_closing = True
            self._windows[topic_partition] = partition.window
            consumer = self._member()
            if topic_partition in consumer.assignment():
                consumer.pause(topic_partition)
            self._publish()

    def _publish(self) -> None:
        self._intake.set_partitions(self._partitions)
        self._delivery.set_partitions(tuple(self._partitions.values()))

    def _committed(self, partition: Partition) -> None:
        partition.tell()
        self._noticed()

    def _noticed(self) -> None:
        self._intake.regulate()
        self._delivery.wake()

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


def _starting_point(
    topic_partition: TopicPartition, committed: int, metadata: str, start: int, end: int
) -> tuple[int, Progress]:
    """Where the partition goes on; *start* is the log's first offset, *end* the one that its next record gets."""
    if committed < 0:
        return start, Progress(0, 0)
    if committed > end:
        log.error(
            "committed_beyond_end",
            partition=topic_partition.partition,
            committed=committed,
            end=end,
            advice="the topic was probably recreated: starting from its first record",
        )
        return start, Progress(0, 0)
    try:
        found = progress.decode(metadata)
    except ProgressUnreadable as error:
        log.warning("progress_unreadable", partition=topic_partition.partition, error=str(error))
        found = Progress(0, 0)
    if committed < start:
        # Retention has deleted what lies between; what was settled behind the gap, or may have been sent, still is so.
        behind_the_gap = Watermark(start, found.completed_beyond >> (start - committed))
        committable, moved = behind_the_gap.committable, behind_the_gap.committable - committed
        tried = tuple((place - moved, fold) for place, fold in found.tried if place >= moved)
        return committable, Progress(behind_the_gap.completed_beyond, max(found.horizon - moved, 0), tried)
    return committed, found


def _say_gap(topic_partition: TopicPartition, expected: int, earliest: int, metrics: Metrics) -> None:
    """Says, and counts, what was deleted between the offset that was to be read next and the earliest there is."""
    if 0 <= expected < earliest:
        metrics.lost_to_retention.inc(earliest - expected)
        log.error(
            "commands_lost_to_retention",
            partition=topic_partition.partition,
            expected=expected,
            earliest=earliest,
            missing_offsets=earliest - expected,
            advice="the topic's retention overtook the worker: commands in this gap were deleted unread",
        )


async def _displaced(instance_id: str) -> None:
    """Ends the process: two members with one id would evict each other at every heartbeat, for ever."""
    msg = (
        f"another process has joined the group as KAFKA_GROUP_INSTANCE_ID={instance_id}; "
        "give each replica an id of its own, such as its pod's name"
    )
    raise KafkaRefused(msg)


async def _drain_or_lose(partition: Partition, owning: asyncio.Task[None]) -> None:
    """Drains, unless the partition is lost first."""
    async with asyncio.TaskGroup() as both:
        draining = both.create_task(partition.drain())
        await asyncio.wait({draining, owning}, return_when=asyncio.FIRST_COMPLETED)
        draining.cancel()


def _say_why(topic_partition: TopicPartition) -> Callable[[RetryCallState], None]:
    def say(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning("partition_waits", partition=topic_partition.partition, error=str(error))

    return say
