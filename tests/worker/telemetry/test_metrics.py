"""Every metric, declared once."""

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from worker.telemetry.metrics import Metrics

DECLARED = {name: metric for name, metric in vars(Metrics()).items() if isinstance(metric, Counter | Gauge | Histogram)}


@pytest.mark.parametrize("name", DECLARED)
def test_metric_has_the_project_s_prefix_and_says_what_it_means(name: str) -> None:
    """So that it is found in a Prometheus of many, and understood there."""
    family = next(iter(DECLARED[name].collect()))

    assert family.name.startswith("customer_sync_")
    assert family.documentation.endswith(".")


def test_no_label_identifies_a_person() -> None:
    """Partitions, kinds of requests, answers, outcomes, reasons: nothing else tells metrics apart."""
    labels = {label for metric in DECLARED.values() for label in metric._labelnames}

    assert labels <= {"partition", "request", "answer", "outcome", "reason"}


def test_each_worker_of_a_process_has_a_registry_of_its_own() -> None:
    """Tests run many; a registry of a library's own would refuse the second."""
    first, second = Metrics(), Metrics()
    first.received.inc()

    assert b"commands_received_total 1.0" in generate_latest(first.registry)
    assert b"commands_received_total 0.0" in generate_latest(second.registry)


def test_metrics_go_into_the_registry_that_they_are_given() -> None:
    """Beside those of FastStream."""
    registry = CollectorRegistry()

    assert Metrics(registry).registry is registry


def test_outcomes_are_counted_by_their_reason() -> None:
    """Events have none."""
    metrics = Metrics()
    metrics.outcomes.labels(outcome="event", reason="").inc(3)
    metrics.outcomes.labels(outcome="dead_letter", reason="invalid").inc()
    metrics.outcomes.labels(outcome="dead_letter", reason="expired").inc(2)

    assert metrics.outcomes_by_reason() == {"event": {"": 3}, "dead_letter": {"invalid": 1, "expired": 2}}


def test_requests_are_counted_over_all_kinds_and_answers() -> None:
    """The budget is spent by each of them."""
    metrics = Metrics()
    metrics.requests.labels(request="GET", answer="Ok").inc(3)
    metrics.requests.labels(request="PATCH", answer="Rejected").inc()

    assert metrics.requests_sent() == 4


def test_nothing_has_happened_yet() -> None:
    """A fresh worker's figures are there, and zero."""
    assert Metrics().outcomes_by_reason() == {}
    assert Metrics().requests_sent() == 0
