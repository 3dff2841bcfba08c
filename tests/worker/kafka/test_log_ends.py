"""Where logs end, for partitions that are read and for those that are paused."""

from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from harness.broker import Broker
from harness.topics import Message, Topics
from worker.kafka.log_ends import LogEnds

RECORD = Message("key", 1, partition=0)


@pytest.fixture
async def consumer(broker: Broker, topics: Topics) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of a single partition of the command topic, from its first record."""
    async with AIOKafkaConsumer(
        bootstrap_servers=broker.bootstrap_servers, isolation_level="read_committed", auto_offset_reset="earliest"
    ) as consumer:
        consumer.assign([TopicPartition(topics.commands, 0)])
        yield consumer


async def test_end_of_a_paused_partition_is_asked_for(topics: Topics, consumer: AIOKafkaConsumer) -> None:
    """It is paused because much waits: what the last fetch told is less and less true."""
    place, log_ends = TopicPartition(topics.commands, 0), LogEnds()
    await topics.publish([RECORD] * 3)
    assert len((await consumer.getmany(timeout_ms=10_000))[place]) == 3
    assert log_ends.unread(consumer, place, 3) == 0

    consumer.pause(place)
    await topics.publish([RECORD] * 4)
    assert log_ends.unread(consumer, place, 3) == 0
    await log_ends.refresh(consumer)

    assert (log_ends.end(consumer, place), log_ends.unread(consumer, place, 3)) == (7, 4)


@pytest.mark.real_kafka
@pytest.mark.partitions(1)
async def test_marks_of_transactions_are_not_waited_for(topics: Topics, consumer: AIOKafkaConsumer) -> None:
    """They take an offset, and are no commands: a topic that is read to its end has nothing unread."""
    place, log_ends = TopicPartition(topics.commands, 0), LogEnds()
    await topics.publish_in_transaction([RECORD] * 2, commit=True)
    await topics.publish_in_transaction([RECORD] * 2, commit=False)
    assert len((await consumer.getmany(timeout_ms=10_000))[place]) == 2
    await consumer.getmany(timeout_ms=1_000)
    await log_ends.refresh(consumer)

    assert (log_ends.end(consumer, place), log_ends.unread(consumer, place, 2)) == (6, 0)


async def test_nothing_is_known_of_what_others_hold(topics: Topics, consumer: AIOKafkaConsumer) -> None:
    """They tell it themselves."""
    assert LogEnds().unread(consumer, TopicPartition(topics.commands, 1), 0) is None
