"""What the worker changes about aiokafka's consumer."""

from contextlib import suppress

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import OffsetAndMetadata

from harness.polling import eventually
from harness.topics import Topics
from worker.kafka.consumer import OffsetReader, leave_on_stop
from worker.kafka.errors import CommitFailed


async def test_a_consumer_that_has_not_started_may_be_told_to_leave() -> None:
    """A worker that is stopped while it starts has no group yet: that is no error."""
    consumer = AIOKafkaConsumer()

    leave_on_stop(consumer)
    await consumer.stop()


class LoadingCoordinator:
    """An admin client whose coordinator is loading the group: aiokafka drops the error beside no offsets."""

    async def list_consumer_group_offsets(
        self, _group_id: str, *, partitions: list[TopicPartition]
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        """Nothing for any of *partitions*."""
        del partitions
        return {}


async def test_an_answer_without_the_partition_is_no_answer() -> None:
    """Taken for "nothing committed", it would have a whole partition done again."""
    with pytest.raises(CommitFailed, match="coordinator"):
        await OffsetReader(LoadingCoordinator(), "group").committed(TopicPartition("commands", 0))


@pytest.mark.partitions(2)
async def test_nothing_committed_is_an_answer(topics: Topics) -> None:
    """The broker says -1 for a partition that it is asked for, and a group that nobody has used."""
    partitions = [TopicPartition(topics.commands, number) for number in range(2)]
    admin = AIOKafkaAdminClient(bootstrap_servers=topics.bootstrap_servers)
    await admin.start()
    reader = OffsetReader(admin, topics.group_id)

    async def said() -> dict[TopicPartition, tuple[int, str]] | None:
        with suppress(CommitFailed):  # the broker has no coordinator yet
            return await reader.all_committed(partitions)
        return None

    try:
        assert await eventually(said, within_seconds=30, what="the coordinator answers") == dict.fromkeys(
            partitions, (-1, "")
        )
    finally:
        await admin.close()
