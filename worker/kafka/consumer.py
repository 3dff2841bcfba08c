"""What the worker needs of aiokafka's consumer beyond its public face. Pinned to aiokafka 0.14 and guarded by tests."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from handlers.record import CommandRecord
from worker.kafka.errors import CommitFailed
from worker.kafka.partitioner import partition_of

# How long records are waited for before the consumer looks around: whether it was stopped, above all.
LOOK_AROUND_MS = 500


class PatientConsumer(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka has no types
    """A consumer whose `getmany` returns when there are records, and not before.

    FastStream sleeps after each empty batch for as long as it has waited for it: with a short wait that burns CPU time
    on an idle topic, and with a long one it delays the next command.
    """

    answered_at = math.inf
    """When records were last asked for without an error, be there any or none (monotonic seconds).

    A request that fails each time, for a broken record or a missing permission, is asked again and again, and nothing
    ever comes.
    """

    async def start(self) -> None:
        """Connects."""
        await super().start()
        self.answered_at = asyncio.get_running_loop().time()

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> dict[TopicPartition, list[ConsumerRecord[Any, Any]]]:
        """The next records, however long that takes; *timeout_ms* counts for nothing."""
        del timeout_ms
        while True:
            batches: dict[TopicPartition, list[ConsumerRecord[Any, Any]]] = await super().getmany(
                *partitions, timeout_ms=LOOK_AROUND_MS, max_records=max_records
            )
            self.answered_at = asyncio.get_running_loop().time()
            if batches:
                # What is fetched comes without a pause: with many partitions seconds would pass before anything else,
                # heartbeats among it, had its turn.
                await asyncio.sleep(0)
                return batches


class OffsetReader:
    """Committed offsets with their metadata, which `AIOKafkaConsumer.committed` leaves out."""

    def __init__(self, admin: AIOKafkaAdminClient, group_id: str) -> None:
        self._admin = admin
        self._group_id = group_id

    async def committed(self, partition: TopicPartition) -> tuple[int, str]:
        """The next offset to read and the commit's metadata; (-1, "") where nothing is committed.

        Raises CommitFailed where Kafka does not answer; it may be asked again.
        """
        return (await self.all_committed([partition]))[partition]

    async def all_committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, tuple[int, str]]:
        """The same for each of *partitions*."""
        try:
            found = await self._admin.list_consumer_group_offsets(self._group_id, partitions=list(partitions))
        except KafkaError as error:
            msg = f"the committed offsets could not be read ({type(error).__name__}: {error})"
            raise CommitFailed(msg) from error
        # A coordinator answers for every partition that it is asked for. One that has just taken over, or is no
        # coordinator any more, answers for none, and aiokafka does not look at the error beside that.
        if missing := [partition for partition in partitions if partition not in found]:
            msg = f"the group's coordinator does not say what is committed for {missing[0]}"
            raise CommitFailed(msg)
        return {partition: (found[partition].offset, found[partition].metadata or "") for partition in partitions}


async def group_lags(consumer: AIOKafkaConsumer, offsets: OffsetReader, topic: str) -> dict[int, int]:
    """The unsettled offsets of every partition of *topic*, whoever in the group holds it. Raises CommitFailed."""
    partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
    try:
        ends = await consumer.end_offsets(partitions)
        starts = await consumer.beginning_offsets(partitions)
    except KafkaError as error:
        msg = f"the ends of {topic} could not be read ({type(error).__name__}: {error})"
        raise CommitFailed(msg) from error
    committed = await offsets.all_committed(partitions)
    return {
        partition.partition: max(ends[partition] - max(committed[partition][0], starts[partition]), 0)
        for partition in partitions
    }


def is_expelled(consumer: AIOKafkaConsumer) -> bool:
    """Whether the group has thrown this member out, so that its partitions have belonged to others for a while.

    aiokafka has no `on_partitions_lost`: an expelled member's generation is reset before its revocation is called.
    """
    coordinator = consumer._coordinator  # noqa: SLF001
    return bool(coordinator.member_id == "")


def leave_on_stop(consumer: AIOKafkaConsumer) -> None:
    """Makes `stop()` leave the group at once also for a static member, which otherwise blocks its partitions.

    aiokafka sends LeaveGroup only for dynamic members; the broker accepts it for the member id alone (measured: the
    peer had everything 0.75 s later, instead of after the session timeout).
    """
    coordinator = consumer._coordinator  # noqa: SLF001
    if coordinator is not None:  # None: a consumer that has not started has no group to leave
        coordinator._group_instance_id = None  # noqa: SLF001


def watch_heartbeats(consumer: AIOKafkaConsumer, now: Callable[[], float], renew: Callable[[float], None]) -> None:
    """Calls *renew* with the moment a heartbeat was sent, once the group's coordinator has accepted it.

    The moment of sending, because the coordinator may have counted from then on.
    """
    coordinator = consumer._coordinator  # noqa: SLF001
    beat: Callable[[], Awaitable[bool]] = coordinator._do_heartbeat  # noqa: SLF001

    async def watched() -> bool:
        sent_at = now()
        accepted = await beat()
        if accepted:
            renew(sent_at)
        return accepted

    coordinator._do_heartbeat = watched  # noqa: SLF001


async def beat_now(consumer: AIOKafkaConsumer) -> None:
    """Sends a heartbeat at once, and not only after the usual interval.

    What the group said when this member joined may have waited unread in a process that was frozen: only an answer to
    a later question is news. Raises nothing of Kafka's: the usual heartbeats go on, and meet the same fault.
    """
    with suppress(KafkaError):
        await consumer._coordinator._do_heartbeat()  # noqa: SLF001


def seconds_since_last_poll(consumer: AIOKafkaConsumer) -> float:
    """How long ago records were last asked for."""
    return float(consumer._subscription.fetcher_idle_time)  # noqa: SLF001


def watch_resets(consumer: AIOKafkaConsumer, partition: TopicPartition, on_reset: Callable[[], None]) -> None:
    """Calls *on_reset* when the broker no longer has what *partition* was to be read from.

    aiokafka then goes on with the earliest record, and says so only at level INFO.
    """
    state = consumer._subscription.subscription.assignment.state_value(partition)  # noqa: SLF001
    await_reset: Callable[[Any], None] = state.await_reset

    def watched(strategy: Any) -> None:  # noqa: ANN401  # as aiokafka's
        on_reset()
        await_reset(strategy)

    state.await_reset = watched


async def has_handled(consumer: AIOKafkaConsumer, partition: TopicPartition, offset: int) -> bool:
    """Whether everything below *offset* was read and handed on.

    The position moves when records are taken out of the fetched ones, also over transaction markers, which are no
    records; that they were handled shows in the next batch being asked for.
    """
    is_asking = seconds_since_last_poll(consumer) == 0
    return is_asking and bool(await consumer.position(partition) >= offset)


def is_misplaced(record: CommandRecord, consumer: AIOKafkaConsumer | None) -> bool:
    """Whether *record* is on another partition than that of its key; False where that cannot be told."""
    partitions = consumer.partitions_for_topic(record.topic) if consumer is not None else None
    if not partitions or record.key is None:
        return False
    return partition_of(record.key, len(partitions)) != record.partition
