"""How far behind this replica is, and when it will have caught up: watched once a second, told to whoever asks."""

import asyncio
import math
from collections.abc import Callable, Mapping
from contextlib import suppress

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from handlers.command import Priority
from worker.kafka.log_ends import LogEnds
from worker.pacing.forecast import Experience, Forecast, Supply
from worker.pacing.gate import Gate
from worker.pacing.rate_budget import REQUESTS_PER_TURN, RateBudget
from worker.partition import Partition
from worker.telemetry.metrics import Metrics

LOOK_SECONDS = 1.0


class Outlook:
    """Knows what waits in the log and what it will take."""

    def __init__(
        self,
        *,
        gate: Gate,
        metrics: Metrics,
        consumer: Callable[[], AIOKafkaConsumer | None],
        partitions: Callable[[], Mapping[TopicPartition, Partition]],
        topic: str,
        now: Callable[[], float],
    ) -> None:
        """*topic* is that of the commands; *now* is monotonic seconds."""
        self._gate = gate
        self._metrics = metrics
        self._consumer = consumer
        self._partitions = partitions
        self._topic = topic
        self._now = now
        self._log_ends = LogEnds()
        self._was_busy = False
        self.experience = Experience()

    async def run(self) -> None:
        """Looks once a second until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            consumer = self._consumer()
            if consumer is not None:
                with suppress(KafkaError):  # others say that Kafka does not answer
                    await self._log_ends.refresh(consumer)
                self._look(consumer)

    def lag(self, topic_partition: TopicPartition) -> int | None:
        """Commands of a partition held that are not settled, read or not; None where that is not known yet."""
        consumer, partition = self._consumer(), self._partitions().get(topic_partition)
        if consumer is None or partition is None:
            return None
        unread = self._log_ends.unread(consumer, topic_partition, partition.next_offset)
        return None if unread is None else unread + partition.watermark.unfinished

    def topic_partitions(self) -> int:
        """How many partitions the command topic has; 0 where that is not known yet."""
        consumer = self._consumer()
        return 0 if consumer is None else len(consumer.partitions_for_topic(self._topic) or ())

    def supply(self) -> Supply:
        """What is left of the upstream's budget for all replicas together."""
        return supply_of(self._gate.budget, self._now())

    def forecast(self) -> Forecast:
        """When the partitions held will be settled, with this replica's share of the budget."""
        lag = sum(self.lag(topic_partition) or 0 for topic_partition in self._partitions())
        supply = self.supply().shared(self._gate.budget.share)
        return self.experience.forecast(lag, supply, is_open=self._gate.is_open)

    def _look(self, consumer: AIOKafkaConsumer) -> None:
        now = self._now()
        ends = {
            topic_partition.partition: end
            for topic_partition in self._partitions()
            if (end := self._log_ends.end(consumer, topic_partition)) is not None
        }
        is_busy = self._is_busy(now)
        self.experience.note(
            settled=self._metrics.settled(),
            sent=self._metrics.requests_sent(),
            ends=ends,
            is_busy=is_busy and self._was_busy,
            now=now,
        )
        self._was_busy = is_busy

    def _is_busy(self, now: float) -> bool:
        """Whether commands wait for a turn that nothing but the upstream's answers hold back."""
        if not self._gate.is_open or self._gate.budget.remaining(now) < REQUESTS_PER_TURN:
            return False
        return any(
            partition.has_ready(Priority.LIVE) or (partition.has_ready(Priority.BULK) and self._gate.admits_bulk(now))
            for partition in self._partitions().values()
        )


def supply_of(budget: RateBudget, now: float) -> Supply:
    """The budget as a forecast takes it."""
    remaining = budget.left_in_window(now)
    resets_in_seconds = math.inf if remaining == math.inf else budget.resets_in(now)
    return Supply(remaining, budget.limit, budget.window_seconds, resets_in_seconds)
