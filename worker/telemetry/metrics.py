"""Every metric, declared once: its name, its unit, its meaning. No label holds an identifier of a person."""

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.samples import Sample

LATENCY_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 600)


class Metrics:
    """The worker's metrics in one registry."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.received = self._counter("commands_received_total", "Command records read from Kafka.")
        self.skipped = self._counter("commands_skipped_total", "Records read again that were settled before.")
        self.repeated = self._counter("commands_repeated_total", "Copies of a command, settled without an outcome.")
        self.misplaced = self._counter(
            "commands_misplaced_total", "Commands found on another partition than murmur2 of their key says."
        )
        self.lost_to_retention = self._counter(
            "commands_lost_to_retention_total", "Offsets that retention deleted before they were read."
        )
        self.outcomes = self._counter(
            "outcomes_total",
            "Commands decided, by outcome (event, dead_letter) and dead-letter reason.",
            "outcome",
            "reason",
        )
        self.requests = self._counter(
            "upstream_requests_total", "Requests sent, by kind and answer.", "request", "answer"
        )
        self.request_seconds = Histogram(
            "customer_sync_upstream_request_seconds",
            "Time from sending a request to its answer.",
            ["request"],
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        # Looking up the labels costs more than counting, and both are done for every request.
        self.requests_of = cache(self.requests.labels)
        self.request_seconds_of = cache(self.request_seconds.labels)
        self.outcomes_of = cache(self.outcomes.labels)
        self.retries = self._counter("retries_total", "Attempts that failed and are tried again.")
        self.folded = self._counter("commands_folded_total", "Commands that shared their requests with an earlier one.")
        self.spans = self._counter(
            "spans_total", "Spans of traced commands, by what became of them (exported, failed, dropped).", "outcome"
        )
        self.rebalances = self._counter("rebalances_total", "Assignments of partitions to this worker.")
        self.loop_delay = self._gauge("loop_delay_seconds", "How late the event loop last ran a timer.")
        self.waiting = self._gauge("commands_waiting", "Commands in memory that are not settled.", "partition")
        self.lag = self._gauge("lag_commands", "Commands that are not settled, read or still in the log.", "partition")
        self.retrying = self._gauge("lanes_retrying", "Customers whose retry waits.", "partition")
        self.in_flight = self._gauge("turns_in_flight", "Customers whose requests are under way.")
        self.held_bytes = self._gauge("held_bytes", "Memory counted for waiting commands.")
        self.circuit_open = self._gauge(
            "circuit_open", "1 while the circuit for this kind of request is open.", "request"
        )
        self.held = self._gauge("held", "1 while a fault of the deployment holds everything.")
        self.budget_remaining = self._gauge(
            "budget_remaining_requests",
            "Requests left in the window for all replicas together, as far as this one knows.",
        )

    def outcomes_by_reason(self) -> dict[str, dict[str, int]]:
        """Commands decided, by outcome and dead-letter reason (empty for events)."""
        totals: dict[str, dict[str, int]] = {}
        for sample in self._samples(self.outcomes):
            totals.setdefault(sample.labels["outcome"], {})[sample.labels["reason"]] = int(sample.value)
        return totals

    def settled(self) -> int:
        """Commands settled so far, copies included."""
        return int(sum(sample.value for counter in (self.outcomes, self.repeated) for sample in self._samples(counter)))

    def requests_sent(self) -> int:
        """Requests sent upstream so far."""
        return int(sum(sample.value for sample in self._samples(self.requests)))

    @staticmethod
    def _samples(counter: Counter) -> list[Sample]:
        return [s for family in counter.collect() for s in family.samples if s.name.endswith("_total")]

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"customer_sync_{name}", meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(f"customer_sync_{name}", meaning, labels, registry=self.registry)
