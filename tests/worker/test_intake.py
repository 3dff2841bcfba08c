"""Commands come in: each batch to its partition, and reading pauses where enough waits."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from harness.builders import TOPIC, a_record, customer_id
from harness.engine import make_partition
from harness.memory_ledger import MemoryLedger
from worker.back_pressure import CUSTOMERS_TO_PROBE_WITH, BackPressure
from worker.delivery import Delivery
from worker.intake import Intake
from worker.pacing.gate import Gate
from worker.pacing.rate_budget import RateBudget
from worker.partition import Partition
from worker.telemetry.metrics import Metrics
from worker.upstream.answers import Request, Unavailable

PARTITION = TopicPartition(TOPIC, 0)
OTHER = TopicPartition(TOPIC, 1)
PARTITION_BYTES = 100_000
ENOUGH = 400
"""So many commands hold more than a partition may."""


@dataclass
class Consumer:
    """What the intake asks of aiokafka's consumer; it has read to the end of all that a test hands over."""

    assigned: set[TopicPartition]
    is_paused: set[TopicPartition] = field(default_factory=set)
    positions: dict[TopicPartition, int] = field(default_factory=dict)

    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions that the group gave."""
        return frozenset(self.assigned)

    def paused(self) -> frozenset[TopicPartition]:
        """Those not read at present."""
        return frozenset(self.is_paused)

    def pause(self, partition: TopicPartition) -> None:
        """Reads no more of it."""
        assert partition not in self.is_paused
        self.is_paused.add(partition)

    def resume(self, partition: TopicPartition) -> None:
        """Reads on."""
        self.is_paused.remove(partition)

    async def position(self, partition: TopicPartition) -> int:
        """The next offset to read."""
        return self.positions.get(partition, 10**9)


class Woken:
    """The delivery, as far as the intake knows it."""

    times = 0

    def wake(self) -> None:
        """Something came."""
        self.times += 1


@dataclass
class Scene:
    """An intake with two assigned partitions, of which the worker has built one."""

    intake: Intake
    consumer: Consumer
    partition: Partition
    gate: Gate
    woken: Woken
    metrics: Metrics

    async def read(self, *records: ConsumerRecord[bytes | None, bytes | None]) -> None:
        """One batch, as `getmany` returns it."""
        await self.intake.receive(records)

    def open_circuit(self) -> None:
        """Three customers' writes have failed."""
        for number in range(3):
            pass_ = self.gate.enter(customer_id(number), 0.0)
            self.gate.record(pass_, Request.GET, Unavailable(503, "status"), 0.0)
            self.gate.leave(pass_, 0.0)
        assert not self.gate.is_open


@pytest.fixture
def scene() -> Scene:
    """Nothing read yet."""
    metrics = Metrics()
    partition, _ = make_partition(0, MemoryLedger(), metrics, lambda: None)
    consumer = Consumer({PARTITION, OTHER})
    gate = Gate(budget=RateBudget(limit=0, window_seconds=600), max_concurrency=64)
    woken = Woken()
    intake = Intake(
        back_pressure=BackPressure(partition_bytes=PARTITION_BYTES, process_bytes=2 * PARTITION_BYTES),
        delivery=cast("Delivery", woken),
        gate=gate,
        metrics=metrics,
        consumer=lambda: cast("AIOKafkaConsumer", consumer),
    )
    intake.set_partitions({PARTITION: partition})
    return Scene(intake, consumer, partition, gate, woken, metrics)


def a_consumer_record(
    offset: int, *, partition: int = 0, customer: int = 0, value: bytes | None = None
) -> ConsumerRecord[bytes | None, bytes | None]:
    """A record as aiokafka returns it."""
    record = a_record(offset, customer=customer, value=value)
    return ConsumerRecord(
        TOPIC, partition, offset, record.timestamp_ms, 0, record.key, record.value, None, -1, -1, record.headers
    )


def of_customers(customers: Iterable[int]) -> list[ConsumerRecord[bytes | None, bytes | None]]:
    """One command of each, at rising offsets."""
    return [a_consumer_record(offset, customer=customer) for offset, customer in enumerate(customers)]


async def test_batch_goes_to_its_partition_and_wakes_delivery(scene: Scene) -> None:
    """Counted, and at once: the handler waits for nobody."""
    await scene.read(*of_customers([1, 2]))

    assert scene.partition.watermark.unfinished == 2
    assert scene.metrics.received._value.get() == 2
    assert scene.woken.times == 1


async def test_records_of_a_partition_that_is_not_ready_are_dropped(scene: Scene) -> None:
    """They are read again once its consumer stands at its committed offset."""
    await scene.read(a_consumer_record(0, partition=1))

    assert scene.metrics.received._value.get() == 0


async def test_records_of_a_closing_partition_are_dropped(scene: Scene) -> None:
    """The successor reads them."""
    scene.partition.is_closing = True
    await scene.read(*of_customers([1]))

    assert scene.partition.watermark.unfinished == 0


async def test_records_of_a_partition_that_was_taken_away_are_dropped(scene: Scene) -> None:
    """A rebalance came between reading and handling."""
    scene.consumer.assigned = {OTHER}
    await scene.read(*of_customers([1]))

    assert scene.partition.watermark.unfinished == 0


async def test_records_read_before_the_partition_was_set_to_its_offset_are_dropped(scene: Scene) -> None:
    """The consumer stands before them: they come again."""
    scene.consumer.positions[PARTITION] = 1
    await scene.read(*of_customers([1, 2]))

    assert scene.partition.watermark.unfinished == 0
    scene.consumer.positions[PARTITION] = 2
    await scene.read(*of_customers([1, 2]))
    assert scene.partition.watermark.unfinished == 2


async def test_without_a_consumer_nothing_is_taken(scene: Scene) -> None:
    """The broker is only just starting, or has stopped."""
    scene.intake._consumer = lambda: None
    await scene.read(*of_customers([1]))
    scene.intake.regulate()

    assert scene.partition.watermark.unfinished == 0


async def test_reading_pauses_where_enough_waits_and_goes_on_when_it_is_settled(scene: Scene) -> None:
    """Never by blocking: a member that does not poll is thrown out of its group."""
    await scene.read(*of_customers(range(ENOUGH)))
    assert scene.consumer.is_paused == {PARTITION}
    scene.intake.regulate()
    assert scene.consumer.is_paused == {PARTITION}
    scene.partition.held_bytes = 0
    scene.intake.regulate()

    assert scene.consumer.is_paused == set()


async def test_pause_that_a_rebalance_has_lifted_is_applied_anew(scene: Scene) -> None:
    """aiokafka forgets it."""
    await scene.read(*of_customers(range(ENOUGH)))
    scene.consumer.is_paused.clear()
    scene.intake.set_partitions({PARTITION: scene.partition})

    assert scene.consumer.is_paused == {PARTITION}


async def test_partition_that_is_not_built_yet_stays_paused(scene: Scene) -> None:
    """Whoever builds it lets it go."""
    scene.consumer.is_paused = {OTHER}
    scene.intake.regulate()

    assert scene.consumer.is_paused == {OTHER}


async def test_what_a_predecessor_may_have_sent_is_read_whatever_it_takes(scene: Scene) -> None:
    """It read it within the same bounds."""
    scene.partition.is_reading_back = True
    await scene.read(*of_customers(range(ENOUGH)))
    assert scene.consumer.is_paused == set()
    scene.partition.open()
    scene.intake.regulate()

    assert scene.consumer.is_paused == {PARTITION}


async def test_open_circuit_pauses_reading_once_there_is_enough_to_probe_with(scene: Scene) -> None:
    """Few customers may all be the ones that fail: another's command must come into view."""
    scene.open_circuit()
    await scene.read(*of_customers([1, 2, 3]))
    assert scene.consumer.is_paused == set()
    await scene.read(*[a_consumer_record(10 + n, customer=n) for n in range(4 * CUSTOMERS_TO_PROBE_WITH)])

    assert scene.consumer.is_paused == {PARTITION}
