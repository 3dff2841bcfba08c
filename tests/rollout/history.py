"""Commands that were settled long ago: what a partition's new owner reads back in order to know copies of them."""

import json
import uuid
from collections.abc import Iterator

from aiokafka import AIOKafkaConsumer, TopicPartition

from harness.commands import cloud_event
from harness.publisher import publish
from harness.topics import Message, Topics
from worker.demo.upstream import customer_id_for


async def settle_before(topics: Topics, *, per_partition: int) -> None:
    """Publishes so many to each partition, every one with an id of its own, and commits them for the group."""
    await publish(topics.bootstrap_servers, topics.commands, _commands(topics.partitions, per_partition))
    ends = {TopicPartition(topics.commands, number): per_partition for number in range(topics.partitions)}
    async with AIOKafkaConsumer(
        bootstrap_servers=topics.bootstrap_servers, group_id=topics.group_id, enable_auto_commit=False
    ) as consumer:
        consumer.assign(list(ends))
        await consumer.commit(ends)


def _commands(partitions: int, per_partition: int) -> Iterator[Message]:
    for number in range(per_partition):
        customer = customer_id_for(number)
        value = json.dumps({"customer_id": customer, "changes": {"note": "settled before"}}).encode()
        for partition in range(partitions):
            headers = cloud_event(event_id=str(uuid.uuid4()))
            yield Message(customer, value, headers, partition=partition)
