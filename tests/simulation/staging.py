"""Puts the real worker on the stage: the modules that wire it find the models where Kafka, HTTP and time would be."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import worker.app
import worker.budget_sharing
import worker.commit
import worker.kafka.cluster
import worker.lanes
import worker.operations.overview
import worker.partition
import worker.progress
from simulation import consumer, producer
from simulation.upstream import ModelClient
from simulation.world import World
from worker.kafka.errors import KafkaFault
from worker.settings import Settings
from worker.telemetry.metrics import Metrics

_METRICS = Metrics()


@dataclass(frozen=True, slots=True)
class Bounds:
    """The engine's own bounds in one life: small ones are met by a short log."""

    horizon_ahead: int = 5000
    largest_fold: int = 500
    largest_commit: int = 2000
    metadata_limit: int = 4096
    membership_seconds: float = 0.1


class ModelServer:
    """As the HTTP server, which nobody asks anything."""

    def __init__(self) -> None:
        self._exit = asyncio.Event()

    @property
    def should_exit(self) -> bool:
        """Whether it is to end."""
        return self._exit.is_set()

    @should_exit.setter
    def should_exit(self, _value: bool) -> None:
        self._exit.set()

    async def serve(self, *_: object) -> None:
        """Waits for its end."""
        await self._exit.wait()


async def nowhere(*_: object) -> None:
    """As the address of a worker that serves no HTTP."""


async def run_worker(settings: Settings) -> None:
    """The whole life of one worker, as `worker.app.run` leads it."""
    worker_process = worker.app.Worker(settings)
    await worker_process.run()


def is_orderly(error: BaseException) -> bool:
    """Whether a worker may end so: with a clear line about Kafka, after which it is started again."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_orderly(one) for one in error.exceptions)
    return isinstance(error, KafkaFault)


@contextmanager
def staged(world: World, bounds: Bounds) -> Iterator[None]:
    """While this lasts, workers are made of models at their edges, and of themselves inside."""
    clock = SimpleNamespace(monotonic=lambda: world.now, time_ns=lambda: int(world.now * 1e9))
    changes: list[tuple[Any, str, Any]] = [
        (worker.app, "time", clock),
        (worker.app, "random", SimpleNamespace(random=world.random.random)),
        (worker.app, "Metrics", lambda: _METRICS),
        (worker.app, "UpstreamClient", ModelClient),
        (worker.app, "subscribe", consumer.subscribe),
        (worker.app, "listen", lambda *_: None),
        (worker.app, "own_address", nowhere),
        (worker.app, "make_server", lambda *_: ModelServer()),
        (worker.app.Worker, "_asgi", lambda _: None),
        (worker.operations.overview, "time", clock),
        (worker.kafka.cluster, "AIOKafkaAdminClient", producer.ModelAdmin),
        (worker.kafka.cluster, "AIOKafkaProducer", producer.ModelProducer),
        (worker.kafka.cluster, "read_back", producer.read_back),
        (worker.partition, "HORIZON_AHEAD", bounds.horizon_ahead),
        (worker.lanes, "LARGEST_FOLD", bounds.largest_fold),
        (worker.commit, "LARGEST_COMMIT", bounds.largest_commit),
        (worker.budget_sharing, "MEMBERSHIP_SECONDS", bounds.membership_seconds),
        (worker.progress, "METADATA_LIMIT", bounds.metadata_limit),
    ]
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in changes]
    for owner, name, value in changes:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)
