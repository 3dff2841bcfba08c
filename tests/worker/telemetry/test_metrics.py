"""Every metric, declared once, and nothing but what is declared."""

import re
from typing import get_args

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from harness.engine import between, running_engine, upstream_with
from harness.virtual_time import run_virtually
from worker.kafka.measured_ledger import _FAILURES
from worker.telemetry import catalogue
from worker.telemetry.catalogue import DECLARATIONS, Declaration, Kind
from worker.telemetry.metrics import Metrics
from worker.upstream.answers import Answer, Cause, Request, Unavailable

BASE_UNITS = {"seconds": "_seconds", "bytes": "_bytes", "0 to 1": "_ratio", "Unix time": "_timestamp_seconds"}


@pytest.mark.parametrize("declared", DECLARATIONS, ids=lambda declared: declared.name)
def test_names_are_as_prometheus_wants_them(declared: Declaration) -> None:
    """Counters end in _total, units are base units and in the name, and a sentence says what it is."""
    assert re.fullmatch(r"customer_sync_[a-z_]+", declared.name)
    assert declared.name.endswith("_total") == (declared.kind is Kind.COUNTER)
    assert declared.name.endswith(BASE_UNITS.get(declared.unit, ""))
    assert re.search("_(milliseconds|ms|kb|mb|percent|minutes|hours)", declared.name) is None
    assert declared.meaning.endswith(".")
    assert declared.buckets == tuple(sorted(declared.buckets))
    assert bool(declared.buckets) == (declared.kind is Kind.HISTOGRAM)


def test_no_two_have_one_name() -> None:
    """Each is declared once."""
    assert len({declared.name for declared in DECLARATIONS}) == len(DECLARATIONS)


def test_what_is_declared_is_there_and_nothing_else() -> None:
    """With its type, its meaning and its labels; beside it only what the library tells of the process."""
    families = {family.name: family for family in Metrics().registry.collect()}
    declared = {one.name.removesuffix("_total"): one for one in DECLARATIONS}

    assert {name for name in families if not name.startswith("process_")} == declared.keys()
    for name, one in declared.items():
        family = families[name]
        assert (family.type, family.documentation) == (one.kind, one.meaning)
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        assert labels <= {label.name for label in one.labels}


def test_no_label_identifies_a_person() -> None:
    """Each has a set of values that is written down, but for two that count things of this deployment."""
    labels = {label for declared in DECLARATIONS for label in declared.labels}

    assert {label.name for label in labels if not label.values} == {"partition", "version"}


def test_values_of_labels_are_those_of_the_code() -> None:
    """Answers, their causes, kinds of requests, and what can become of a commit."""
    answers = [kind for kind in get_args(Answer) if kind is not Unavailable]
    causes = [Unavailable(None, cause) for cause in get_args(Cause)]

    assert sorted(catalogue.ANSWER.values) == sorted(answer.kind for answer in [*answers, *causes])
    assert catalogue.REQUEST.values == tuple(Request)
    assert catalogue.FAILURE.values == tuple(_FAILURES.values())


def test_series_are_there_before_anything_happens() -> None:
    """Else the first dead letter of its reason would be no increase."""
    text = generate_latest(Metrics().registry).decode()

    assert 'customer_sync_outcomes_total{outcome="dead_letter",reason="contract"} 0.0' in text
    assert 'customer_sync_outcomes_total{outcome="event",reason=""} 0.0' in text
    assert 'customer_sync_upstream_requests_total{answer="timeout",request="PATCH"} 0.0' in text
    assert 'customer_sync_commit_failures_total{failure="fenced"} 0.0' in text
    assert 'customer_sync_upstream_request_duration_seconds_count{request="GET"} 0.0' in text


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
    """Events have none, and what has not happened is left out."""
    metrics = Metrics()
    metrics.outcomes_of("event", "").inc(3)
    metrics.outcomes_of("dead_letter", "invalid").inc()
    metrics.outcomes_of("dead_letter", "expired").inc(2)
    metrics.repeated.inc()

    assert metrics.outcomes_by_reason() == {"event": {"": 3}, "dead_letter": {"invalid": 1, "expired": 2}}
    assert metrics.settled() == 7


def test_requests_are_counted_over_all_kinds_and_answers() -> None:
    """The budget is spent by each of them."""
    metrics = Metrics()
    metrics.requests_of("GET", "ok").inc(3)
    metrics.requests_of("PATCH", "rejected").inc()

    assert metrics.requests_sent() == 4


def test_nothing_has_happened_yet() -> None:
    """A fresh worker's figures are there, and zero."""
    assert Metrics().outcomes_by_reason() == {}
    assert Metrics().requests_sent() == 0


def test_requests_turns_and_retries_are_counted_as_they_happen() -> None:
    """Two commands of one customer share a turn whose first GET fails: three requests, one retry, one turn."""

    async def scenario() -> None:
        upstream = upstream_with(1, behaviour=between(0, 0.01, Unavailable(None, "timeout")))
        async with running_engine(upstream) as engine:
            engine.send((1, {"note": "a"}), (1, {"city": "Ghent"}))
            await engine.settled()
            text = generate_latest(engine.metrics.registry).decode()

            for line in (
                'upstream_requests_total{answer="timeout",request="GET"} 1.0',
                'upstream_requests_total{answer="ok",request="GET"} 1.0',
                'upstream_requests_total{answer="ok",request="PATCH"} 1.0',
                'upstream_request_duration_seconds_count{request="GET"} 2.0',
                "retries_total 1.0",
                "turns_settled_total 1.0",
                "commands_folded_total 1.0",
                'outcomes_total{outcome="event",reason=""} 2.0',
            ):
                assert f"customer_sync_{line}\n" in text

    run_virtually(scenario())
