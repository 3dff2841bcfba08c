"""What a fault is played on: topics, an upstream and workers of its own, scraped under a job of its own."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

from harness.builders import customer_id
from harness.commands import command, full_customer
from harness.polling import eventually
from harness.prometheus import Prometheus
from harness.stage import Stage
from harness.topics import Message
from harness.worker_process import WorkerProcess
from worker.kafka.partitioner import partition_of

CUSTOMERS = 400
PARTITIONS = 4


class Scene:
    """A stage, and the Prometheus that watches it."""

    def __init__(self, stage: Stage, prometheus: Prometheus, job: str) -> None:
        self.stage = stage
        self.topics = stage.topics
        self.upstream = stage.upstream
        self.job = job
        self._prometheus = prometheus
        self._published = 0
        self.watched_at = time.monotonic()

    async def prepare(self) -> None:
        """Gives the upstream its customers."""
        customers = [full_customer(customer_id(number), str(number)) for number in range(CUSTOMERS)]
        await self.upstream.control(customers=customers)

    async def start_workers(self, number: int = 1, *, wait: bool = True, **environment: str) -> list[WorkerProcess]:
        """Workers that are ready, unless nobody can *wait* for that, and that Prometheus has looked at."""
        workers = [self.stage.start_worker(**environment) for _ in range(number)]
        if wait:
            for worker in workers:
                await worker.wait_ready(within_seconds=60)
        self.watch(*workers)

        async def looked_at() -> bool:
            found = await self._prometheus.query(f'count(customer_sync_alive{{job="{self.job}"}}) >= {number}')
            return bool(found)

        await eventually(looked_at, within_seconds=60, what=f"Prometheus scrapes {self.job}")
        self.watched_at = time.monotonic()
        return workers

    def watch(self, *workers: WorkerProcess) -> None:
        """Prometheus scrapes these from now on."""
        self._prometheus.scrape(self.job, [worker.port for worker in workers])

    async def publish(self, customers: Iterable[int]) -> None:
        """A command for each of these customers, unlike all before."""
        messages = []
        for customer in customers:
            self._published += 1
            messages.append(command(customer_id(customer), note=f"as of {self._published}"))
        await self.topics.publish(messages)

    async def publish_for_ever(self, customers: Iterable[int], *, every_seconds: float = 0.5) -> None:
        """The same again and again, until cancelled."""
        customers = list(customers)
        while True:
            await self.publish(customers)
            await asyncio.sleep(every_seconds)

    async def publish_misplaced(self) -> None:
        """A command on a partition where it does not belong."""
        key = customer_id(0)
        right = partition_of(key.encode(), PARTITIONS)
        await self.topics.publish([command(key, partition=(right + 1) % PARTITIONS, note="misplaced")])

    async def publish_at(self, timestamp_ms: int) -> None:
        """A command whose record says that it was published then."""
        key = customer_id(0)
        value = {"customer_id": key, "changes": {"note": "old"}}
        await self.topics.publish([Message(key, value, timestamp_ms=timestamp_ms)])

    @staticmethod
    def now_ms() -> int:
        """What publishers stamp their records with."""
        return time.time_ns() // 1_000_000  # noqa: TID251  # records are of wall-clock time

    async def publish_broken(self, number: int) -> None:
        """Records that are no commands."""
        await self.topics.publish([Message(customer_id(0), b"{") for _ in range(number)])

    @asynccontextmanager
    async def stranger(self) -> AsyncIterator[None]:
        """Another program is a member of the group."""
        async with AIOKafkaConsumer(
            self.topics.commands,
            bootstrap_servers=self.topics.bootstrap_servers,
            group_id=self.topics.group_id,
            enable_auto_commit=False,
            partition_assignment_strategy=[StickyPartitionAssignor],
        ) as consumer:
            while not consumer.assignment():
                await consumer.getmany(timeout_ms=100)
            yield

    async def fence(self) -> None:
        """Another producer takes the transactional ids of all partitions."""
        for partition in range(PARTITIONS):
            transactional_id = f"{self.topics.group_id}.{self.topics.commands}.{partition}"
            async with AIOKafkaProducer(
                bootstrap_servers=self.topics.bootstrap_servers, transactional_id=transactional_id
            ):
                pass
