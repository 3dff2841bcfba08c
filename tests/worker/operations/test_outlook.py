"""How far behind a replica is, and when it will have caught up: watched while the engine works, on a virtual clock."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from harness.builders import TOPIC
from harness.engine import Engine, between, running_engine, upstream_with
from harness.virtual_time import now, run_virtually
from worker.operations.outlook import Outlook
from worker.upstream.answers import Unavailable

PLACE = TopicPartition(TOPIC, 0)


@dataclass
class Consumer:
    """What the outlook asks aiokafka's consumer for: one partition, with *unread* records beyond those in memory."""

    engine: Engine
    unread: int = 0
    paused_now: set[TopicPartition] = field(default_factory=set)

    def assignment(self) -> set[TopicPartition]:
        """The partitions that the group gave."""
        return {PLACE}

    def paused(self) -> set[TopicPartition]:
        """Those that are not fetched."""
        return self.paused_now

    async def position(self, _partition: TopicPartition) -> int:
        """The next offset to be read."""
        return self.engine.partitions[0].next_offset

    def last_stable_offset(self, _partition: TopicPartition) -> int:
        """The end of the log."""
        return self.engine.partitions[0].next_offset + self.unread


@dataclass
class Scene:
    """An engine, its consumer, and who looks at both."""

    engine: Engine
    consumer: Consumer
    outlook: Outlook

    async def drained(self) -> float:
        """The seconds until nothing waits."""
        since = now()
        await self.engine.settled(within_seconds=100 * 3_600)
        return now() - since


@asynccontextmanager
async def a_scene(engine: Engine) -> AsyncIterator[Scene]:
    """The engine, watched."""
    consumer = Consumer(engine)
    outlook = Outlook(
        gate=engine.gate,
        metrics=engine.metrics,
        consumer=lambda: cast("AIOKafkaConsumer", consumer),
        partitions=lambda: {PLACE: engine.partitions[0]},
        topic=TOPIC,
        now=now,
    )
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(outlook.run())
        yield Scene(engine, consumer, outlook)
        watching.cancel()


def test_lag_is_what_waits_in_memory_and_in_the_log() -> None:
    """And what that costs, before anything was seen: a GET and a PATCH each."""

    async def scenario() -> None:
        upstream = upstream_with(*range(10), latency=100)
        async with running_engine(upstream) as engine, a_scene(engine) as scene:
            engine.send(*((customer, {"note": "new"}) for customer in range(10)))
            scene.consumer.unread = 40

            assert scene.outlook.lag(PLACE) == 50
            assert scene.outlook.forecast().requests == 100
            assert scene.outlook.lag(TopicPartition(TOPIC, 1)) is None

    run_virtually(scenario())


def test_forecast_comes_true_also_over_windows() -> None:
    """A backlog of four windows: foretold after its first seconds, it ends within a few of the time foretold."""

    async def scenario() -> None:
        customers = range(2_000)
        async with (
            running_engine(upstream_with(*customers), limit=1_000) as engine,
            a_scene(engine) as scene,
        ):
            engine.send(*((customer, {"note": "new"}) for customer in customers))
            await asyncio.sleep(5)
            foretold = scene.outlook.forecast().seconds

            assert foretold > 1_700
            assert await scene.drained() == pytest.approx(foretold, abs=15)

    run_virtually(scenario())


def test_forecast_comes_true_without_a_limit() -> None:
    """Then the upstream's own speed is what counts."""

    async def scenario() -> None:
        customers = range(4_000)
        upstream = upstream_with(*customers, latency=1)
        async with running_engine(upstream) as engine, a_scene(engine) as scene:
            engine.send(*((customer, {"note": "new"}) for customer in customers))
            await asyncio.sleep(30)
            foretold = scene.outlook.forecast().seconds

            assert foretold > 60
            assert await scene.drained() == pytest.approx(foretold, rel=0.1)

    run_virtually(scenario())


def test_forecast_counts_on_shared_requests_where_they_were_seen() -> None:
    """Ten commands of each customer cost as much as one."""

    async def scenario() -> None:
        customers = range(200)
        async with running_engine(upstream_with(*customers)) as engine, a_scene(engine) as scene:
            for note in range(10):
                engine.send(*((customer, {"note": str(note)}) for customer in customers))
            await scene.drained()
            await asyncio.sleep(2)
            scene.consumer.unread = 1_000

            assert scene.outlook.forecast().requests == pytest.approx(200, rel=0.02)

    run_virtually(scenario())


def test_nobody_knows_how_long_an_outage_takes() -> None:
    """Never, as things stand; a time again once the upstream is back."""

    async def scenario() -> None:
        upstream = upstream_with(*range(50), behaviour=between(0, 60, Unavailable(503, "status")))
        async with running_engine(upstream) as engine, a_scene(engine) as scene:
            engine.send(*((customer, {"note": "new"}) for customer in range(50)))
            await asyncio.sleep(30)
            assert scene.outlook.forecast().seconds == math.inf

            await scene.drained()
            assert scene.outlook.forecast().seconds == 0

    run_virtually(scenario())
