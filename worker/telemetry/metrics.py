"""The metrics of one worker, made from their declarations in the catalogue."""

import sys
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, disable_created_metrics
from prometheus_client.samples import Sample

from worker.telemetry import catalogue
from worker.telemetry.catalogue import Declaration
from worker.telemetry.histogram import Histogram

# When each counter began, as a gauge beside it: the process says that once.
disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no types


class Metrics:
    """The worker's metrics in one registry.

    Every series that can be named beforehand is there from the beginning: the first step of a series that appears with
    it is lost on whoever asks for an increase.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        if sys.platform == "linux":
            ProcessCollector(registry=self.registry)
        self.received = self._counter(catalogue.RECEIVED)
        self.skipped = self._counter(catalogue.SKIPPED)
        self.repeated = self._counter(catalogue.REPEATED)
        self.misplaced = self._counter(catalogue.MISPLACED)
        self.lost_to_retention = self._counter(catalogue.LOST_TO_RETENTION)
        self.outcomes = self._counter(catalogue.OUTCOMES)
        self.command_seconds = self._histogram(catalogue.COMMAND_SECONDS)

        self.lag = self._gauge(catalogue.LAG)
        self.lag_requests = self._gauge(catalogue.LAG_REQUESTS)
        self.drained_at = self._gauge(catalogue.DRAINED_AT)
        self.oldest = self._gauge(catalogue.OLDEST)
        self.waiting = self._gauge(catalogue.WAITING)
        self.retrying = self._gauge(catalogue.RETRYING)
        self.held_bytes = self._gauge(catalogue.HELD_BYTES)

        self.requests = self._counter(catalogue.REQUESTS)
        self.request_seconds = self._histogram(catalogue.REQUEST_SECONDS)
        self.retries = self._counter(catalogue.RETRIES)
        self.turns = self._counter(catalogue.TURNS)
        self.folded = self._counter(catalogue.FOLDED)
        self.requests_per_command = self._gauge(catalogue.REQUESTS_PER_COMMAND)
        self.in_flight = self._gauge(catalogue.IN_FLIGHT)
        self.most_in_flight = self._gauge(catalogue.MOST_IN_FLIGHT)
        self.budget_remaining = self._gauge(catalogue.BUDGET_REMAINING)
        self.budget_limit = self._gauge(catalogue.BUDGET_LIMIT)
        self.budget_window = self._gauge(catalogue.BUDGET_WINDOW)
        self.budget_share = self._gauge(catalogue.BUDGET_SHARE)
        self.circuit_open = self._gauge(catalogue.CIRCUIT_OPEN)
        self.held = self._gauge(catalogue.HELD)

        self.commit_seconds = self._histogram(catalogue.COMMIT_SECONDS)
        self.commit_failures = self._counter(catalogue.COMMIT_FAILURES)
        self.rebalances = self._counter(catalogue.REBALANCES)
        self.fences = self._counter(catalogue.FENCES)
        self.partitions = self._gauge(catalogue.PARTITIONS)
        self.topic_partitions = self._gauge(catalogue.TOPIC_PARTITIONS)

        self.ready = self._gauge(catalogue.READY)
        self.alive = self._gauge(catalogue.ALIVE)
        self.loop_delay = self._histogram(catalogue.LOOP_DELAY)
        self.tasks = self._gauge(catalogue.TASKS)
        self.spans = self._counter(catalogue.SPANS)
        self.build = self._gauge(catalogue.BUILD)

        # Looking up the labels costs more than counting, and both are done for every request.
        self.requests_of = cache(self.requests.labels)
        self.outcomes_of = cache(self.outcomes.labels)
        self._begin_series()

    def outcomes_by_reason(self) -> dict[str, dict[str, int]]:
        """Commands settled, by outcome and dead-letter reason (empty for events), of those that there were."""
        totals: dict[str, dict[str, int]] = {}
        for sample in _samples(self.outcomes):
            if sample.value:
                totals.setdefault(sample.labels["outcome"], {})[sample.labels["reason"]] = int(sample.value)
        return totals

    def settled(self) -> int:
        """Commands settled so far, copies included."""
        return int(sum(sample.value for counter in (self.outcomes, self.repeated) for sample in _samples(counter)))

    def requests_sent(self) -> int:
        """Requests sent upstream so far."""
        return int(sum(sample.value for sample in _samples(self.requests)))

    def _begin_series(self) -> None:
        for reason in catalogue.REASON.values:
            self.outcomes_of("dead_letter" if reason else "event", reason)
        for request in catalogue.REQUEST.values:
            for answer in catalogue.ANSWER.values:
                self.requests_of(request, answer)
        for failure in catalogue.FAILURE.values:
            self.commit_failures.labels(failure)
        for fate in catalogue.FATE.values:
            self.spans.labels(fate)

    def _counter(self, declared: Declaration) -> Counter:
        return Counter(declared.name, declared.meaning, _label_names(declared), registry=self.registry)

    def _gauge(self, declared: Declaration) -> Gauge:
        return Gauge(declared.name, declared.meaning, _label_names(declared), registry=self.registry)

    def _histogram(self, declared: Declaration) -> Histogram:
        labels = [(label.name, label.values) for label in declared.labels]
        histogram = Histogram(declared.name, declared.meaning, declared.buckets, *(labels[0] if labels else ()))
        self.registry.register(histogram)
        return histogram


def _label_names(declared: Declaration) -> tuple[str, ...]:
    return tuple(label.name for label in declared.labels)


def _samples(counter: Counter) -> list[Sample]:
    return [s for family in counter.collect() for s in family.samples if s.name.endswith("_total")]
