"""All that a worker shows of itself, put together: its status, its metrics, its outlook, its page."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from worker.kafka.cluster import Cluster
from worker.operations.http import Route, routes
from worker.operations.outlook import Outlook
from worker.operations.overview import Overview
from worker.operations.replica import Shown
from worker.operations.reporter import Reporter
from worker.operations.site import Site
from worker.operations.watcher import Watcher
from worker.pacing.gate import Gate
from worker.partition import Partition
from worker.telemetry.metrics import Metrics
from worker.telemetry.recent import Recent


class Operations:
    """What is shown to operators, and the loops that keep it up to date."""

    def __init__(
        self,
        *,
        worker: str,
        delivery: str,
        group_id: str,
        topic: str,
        settings: Sequence[Shown],
        gate: Gate,
        metrics: Metrics,
        recent: Recent,
        cluster: Cluster,
        consumer: Callable[[], AIOKafkaConsumer | None],
        partitions: Callable[[], Mapping[TopicPartition, Partition]],
        is_member: Callable[[], bool],
        address: Callable[[], str | None],
        now: Callable[[], float],
        now_ms: Callable[[], int],
    ) -> None:
        """*address* is where this replica answers HTTP; *now* in monotonic seconds, *now_ms* since 1970."""
        self._metrics = metrics
        self._outlook = Outlook(
            gate=gate, metrics=metrics, consumer=consumer, partitions=partitions, topic=topic, now=now
        )
        self.overview = Overview(
            worker=worker,
            delivery=delivery,
            gate=gate,
            metrics=metrics,
            consumer=consumer,
            partitions=partitions,
            outlook=self._outlook,
            is_member=is_member,
            now_ms=now_ms,
        )
        self._reporter = Reporter(
            overview=self.overview,
            outlook=self._outlook,
            gate=gate,
            metrics=metrics,
            recent=recent,
            partitions=partitions,
            is_member=is_member,
            settings=settings,
            now=now,
            now_ms=now_ms,
        )
        watcher = Watcher(
            report=self._reporter.report,
            kafka=cluster,
            consumer=consumer,
            address=address,
            group_id=group_id,
            topic=topic,
            now=now,
            now_ms=now_ms,
        )
        self._site = Site(watcher.view, self._reporter.report)

    async def run(self) -> None:
        """Looks and takes notes until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._outlook.run())
            tasks.create_task(self._reporter.run())

    def breaker_moved(self) -> None:
        """A circuit or the hold has opened or closed: it may do so again before the next note."""
        self._reporter.note()

    def end(self) -> None:
        """Ends what would keep the server from ending."""
        self._site.end()

    def routes(self, asyncapi: Mapping[str, Any]) -> list[Route]:
        """Every path that is served; *asyncapi* is the contract."""
        overview = self.overview
        return [
            *routes(overview.status, self._metrics.registry, overview.refresh_gauges, asyncapi),
            *self._site.routes(),
        ]
