"""Commands come in: a batch from FastStream goes to its partitions, and reading pauses where enough waits.

The handler returns at once, whatever the upstream does: a member that does not poll is thrown out of its group.
Back-pressure is `pause()`, which aiokafka forgets at each rebalance, so it is applied anew after each.
"""

from collections.abc import Callable, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from handlers.record import CommandRecord
from worker.back_pressure import BackPressure
from worker.delivery import Delivery
from worker.kafka.log import command_record
from worker.pacing.gate import Gate
from worker.partition import Partition
from worker.telemetry.metrics import Metrics


class Intake:
    """Hands records to the assigned partitions, and pauses and resumes reading."""

    def __init__(
        self,
        *,
        back_pressure: BackPressure,
        delivery: Delivery,
        gate: Gate,
        metrics: Metrics,
        consumer: Callable[[], AIOKafkaConsumer | None],
    ) -> None:
        self._back_pressure = back_pressure
        self._delivery = delivery
        self._gate = gate
        self._metrics = metrics
        self._consumer = consumer
        self._partitions: dict[TopicPartition, Partition] = {}

    def set_partitions(self, partitions: dict[TopicPartition, Partition]) -> None:
        """The partitions whose records are taken; records of others are dropped and read again when they are ready."""
        self._partitions = partitions
        self.regulate()

    async def receive(self, records: Sequence[ConsumerRecord[bytes | None, bytes | None]]) -> None:
        """Takes one batch, as `getmany` returned it."""
        consumer = self._consumer()
        if consumer is None:
            return
        batches: dict[TopicPartition, list[CommandRecord]] = {}
        for record in records:
            batches.setdefault(TopicPartition(record.topic, record.partition), []).append(command_record(record))
        for topic_partition, batch in batches.items():
            partition = self._partitions.get(topic_partition)
            if partition is None or partition.is_closing or topic_partition not in consumer.assignment():
                continue
            if await consumer.position(topic_partition) <= batch[-1].offset:
                # Read before the partition was set to its committed offset: these records come again.
                continue
            self._metrics.received.inc(len(batch))
            partition.receive(batch)
        self.regulate()
        self._delivery.wake()

    def regulate(self) -> None:
        """Pauses and resumes partitions by what waits in memory."""
        consumer = self._consumer()
        if consumer is None:
            return
        assigned = consumer.assignment()
        open_partitions = {
            tp: partition for tp, partition in self._partitions.items() if tp in assigned and not partition.is_closing
        }
        paused = frozenset(tp.partition for tp in consumer.paused())
        # What a predecessor may have acted on is read whatever it takes: it read it within the same bounds.
        held = {
            tp.partition: 0 if partition.is_reading_back else partition.held_bytes
            for tp, partition in open_partitions.items()
        }
        customers = sum(len(partition.lanes) for partition in open_partitions.values())
        wanted = self._back_pressure.paused(held, paused, upstream_is_asked=self._gate.is_open, customers=customers)
        for topic_partition in open_partitions:
            number = topic_partition.partition
            if number in wanted and number not in paused:
                consumer.pause(topic_partition)
            elif number in paused and number not in wanted:
                consumer.resume(topic_partition)
