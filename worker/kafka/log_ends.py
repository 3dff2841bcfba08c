"""Where the logs of the partitions held end, and how much of them is still to be read.

aiokafka learns a log's end from what it fetches, and it fetches nothing for a partition that is paused: the very one
with the longest backlog. So those are asked for.
"""

from aiokafka import AIOKafkaConsumer, TopicPartition


class LogEnds:
    """The end of each log, up to which committed records can be read; as fresh as the last `refresh`, or fresher."""

    def __init__(self) -> None:
        self._ends: dict[TopicPartition, int] = {}
        self._positions: dict[TopicPartition, int] = {}

    async def refresh(self, consumer: AIOKafkaConsumer) -> None:
        """Looks again, asking Kafka where nothing is fetched at present. Raises KafkaError where it does not answer."""
        positions = {partition: await consumer.position(partition) for partition in consumer.assignment()}
        paused = consumer.paused() & positions.keys()
        asked: dict[TopicPartition, int] = await consumer.end_offsets(paused) if paused else {}
        self._positions = positions
        self._ends = {
            partition: end
            for partition in positions
            if (end := asked.get(partition, _fetched_end(consumer, partition))) is not None
        }

    def end(self, consumer: AIOKafkaConsumer, partition: TopicPartition) -> int | None:
        """The offset that the next record gets, or None where that is not known, or not this member's business."""
        if partition not in consumer.assignment():
            return None
        known = [end for end in (self._ends.get(partition), _fetched_end(consumer, partition)) if end is not None]
        return max(known, default=None)

    def unread(self, consumer: AIOKafkaConsumer, partition: TopicPartition, next_offset: int) -> int | None:
        """How many offsets lie between *next_offset*, the next to read as far as the caller knows, and the end.

        The consumer's own position is further where what follows is no record: the marks of transactions.
        """
        end = self.end(consumer, partition)
        return None if end is None else max(end - max(next_offset, self._positions.get(partition, 0)), 0)


def _fetched_end(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int | None:
    """As the last fetch saw it, without the records of transactions that are still open."""
    if partition not in consumer.assignment():
        return None
    stable: int | None = consumer.last_stable_offset(partition)
    if stable is not None and stable >= 0:
        return stable
    end: int | None = consumer.highwater(partition)
    return end
