"""Gathers the worker's status from its parts."""

import asyncio
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version

from aiokafka import AIOKafkaConsumer, TopicPartition

from worker.operations.outlook import Outlook
from worker.operations.status import PartitionStatus, Status
from worker.pacing.circuit_breaker import CircuitState
from worker.pacing.gate import Gate
from worker.partition import Partition
from worker.telemetry.metrics import Metrics
from worker.upstream.answers import Request

# A member that asks for no records this long, or always in vain, is stuck; Kafka itself would wait five minutes.
LONGEST_POLL_PAUSE_SECONDS = 60.0


class Overview:
    """Says how the worker is, for probes, metrics and people."""

    def __init__(
        self,
        *,
        worker: str,
        delivery: str,
        gate: Gate,
        metrics: Metrics,
        consumer: Callable[[], AIOKafkaConsumer | None],
        partitions: Callable[[], Mapping[TopicPartition, Partition]],
        outlook: Outlook,
        is_member: Callable[[], bool],
        now_ms: Callable[[], int],
    ) -> None:
        """*now_ms* is milliseconds since 1970."""
        self._worker = worker
        self._delivery = delivery
        self._gate = gate
        self._metrics = metrics
        self._consumer = consumer
        self._partitions = partitions
        self._outlook = outlook
        self._is_member = is_member
        self._now_ms = now_ms
        self.state = "starting"
        self.is_stalled = False

    def status(self) -> Status:
        """The worker at this moment."""
        consumer = self._consumer()
        stuck = consumer is not None and time.monotonic() - consumer.answered_at > LONGEST_POLL_PAUSE_SECONDS
        reason = self._reason(stuck=stuck)
        remaining = self._gate.budget.left_in_window(time.monotonic())
        partitions = [
            PartitionStatus(statistics, self._outlook.lag(topic_partition))
            for topic_partition, partition in self._partitions().items()
            for statistics in [partition.statistics()]
        ]
        return Status(
            state="held" if self._gate.held_for and self.state == "running" else self.state,
            reason=reason,
            alive=not stuck and not self.is_stalled,
            ready=self.state == "running" and self._is_member() and not self._gate.held_for and not stuck,
            worker=self._worker,
            version=version("customer-sync"),
            delivery=self._delivery,
            partitions=tuple(sorted(partitions, key=lambda status: status.statistics.partition)),
            circuits={request.value.lower(): self._gate.circuit(request).value for request in Request},
            held_for=self._gate.held_for,
            forecast=self._outlook.forecast(),
            budget_remaining=None if remaining == float("inf") else remaining,
            outcomes=self._metrics.outcomes_by_reason(),
            requests=self._metrics.requests_sent(),
        )

    def refresh_gauges(self, status: Status) -> None:
        """Sets the gauges that are only looked at when somebody asks; within the event loop."""
        metrics, gate, now_ms = self._metrics, self._gate, self._now_ms()
        for gauge in (metrics.waiting, metrics.retrying, metrics.lag, metrics.oldest):
            gauge.clear()  # a partition that was given away is shown by whoever has it now
        for partition in status.partitions:
            statistics = partition.statistics
            label = str(statistics.partition)
            metrics.waiting.labels(label).set(statistics.unfinished)
            metrics.retrying.labels(label).set(statistics.retrying)
            oldest_ms = now_ms if statistics.oldest_ms is None else statistics.oldest_ms
            metrics.oldest.labels(label).set(max(now_ms - oldest_ms, 0) / 1_000)
            if partition.lag is not None:
                metrics.lag.labels(label).set(partition.lag)
        metrics.lag_requests.set(status.forecast.requests)
        metrics.drained_at.set(now_ms / 1_000 + status.forecast.seconds)
        metrics.held_bytes.set(sum(partition.statistics.held_bytes for partition in status.partitions))
        metrics.requests_per_command.set(self._outlook.experience.requests_per_command)
        metrics.in_flight.set(gate.under_way)
        metrics.most_in_flight.set(gate.concurrency.limit)
        supply = self._outlook.supply()
        metrics.budget_remaining.set(supply.remaining)
        metrics.budget_limit.set(supply.limit)
        metrics.budget_window.set(supply.window_seconds)
        metrics.budget_share.set(gate.budget.share)
        for request in Request:
            metrics.circuit_open.labels(request.value).set(gate.circuit(request) is not CircuitState.CLOSED)
        metrics.held.set(bool(status.held_for))
        metrics.partitions.set(len(status.partitions))
        metrics.topic_partitions.set(self._outlook.topic_partitions())
        metrics.ready.set(status.ready)
        metrics.alive.set(status.alive)
        metrics.tasks.set(len(asyncio.all_tasks()))
        metrics.build.labels(status.version, status.delivery).set(1)

    def _reason(self, *, stuck: bool) -> str:
        if stuck:
            return f"no request for records has succeeded in more than {LONGEST_POLL_PAUSE_SECONDS:g} s; see the log"
        if self.is_stalled:
            return "work waits, nothing holds it back, and nothing is settled: see progress_stalled in the log"
        if self._gate.held_for:
            return f"held by a fault of the deployment: {self._gate.held_for}; see UPSTREAM_TOKEN and UPSTREAM_BASE_URL"
        if self.state == "starting":
            return "waiting for Kafka and for a place in the group"
        if self.state == "running" and not self._is_member():
            return "no member of the group at present: it is rebalancing, or Kafka does not answer"
        failing = [request.value for request in Request if self._gate.circuit(request) is not CircuitState.CLOSED]
        if failing:
            return f"circuit open: most {' and '.join(failing)} requests fail; probing until the upstream is back"
        return ""
