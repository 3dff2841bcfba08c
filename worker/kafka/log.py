"""The command log read back, without a consumer group: what a partition held before the committed offset."""

from collections.abc import AsyncIterator
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from handlers.record import CommandRecord


def command_record(record: ConsumerRecord[bytes | None, bytes | None]) -> CommandRecord:
    """What the worker keeps of a consumed record: an eighth of its size in memory."""
    return CommandRecord(
        record.topic,
        record.partition,
        record.offset,
        record.timestamp,
        record.key,
        record.value,
        tuple(record.headers),
    )


async def read_back(
    options: dict[str, Any], partition: TopicPartition, start: int, end: int
) -> AsyncIterator[CommandRecord]:
    """The committed records of *partition* at offsets from *start* up to, but not including, *end*.

    *options* are those of every aiokafka client. Ends early where retention has deleted the beginning.
    """
    consumer = AIOKafkaConsumer(
        **options, enable_auto_commit=False, auto_offset_reset="earliest", isolation_level="read_committed"
    )
    await consumer.start()
    try:
        consumer.assign([partition])
        consumer.seek(partition, start)
        while await consumer.position(partition) < end:
            batches = await consumer.getmany(timeout_ms=100)
            for record in batches.get(partition, ()):
                if record.offset < end:
                    yield command_record(record)
    finally:
        await consumer.stop()
