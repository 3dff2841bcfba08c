"""The histogram for what happens often, held to the library's own."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Histogram as Reference

from worker.telemetry.histogram import Histogram

BUCKETS = (0.005, 0.1, 1, 30)


@given(st.lists(st.tuples(st.sampled_from(["GET", "PATCH"]), st.floats(0, 100) | st.sampled_from(BUCKETS))))
def test_it_shows_what_the_library_s_own_shows(observed: list[tuple[str, float]]) -> None:
    """To the byte, at the bounds of buckets and beyond them."""
    registry, reference_registry = CollectorRegistry(), CollectorRegistry()
    histogram = Histogram("some_seconds", "What it is.", BUCKETS, "request", ["GET", "PATCH"])
    registry.register(histogram)
    reference = Reference("some_seconds", "What it is.", ["request"], buckets=BUCKETS, registry=reference_registry)
    for request in ("GET", "PATCH"):
        reference.labels(request)
    for request, seconds in observed:
        histogram.of(request).observe(seconds)
        reference.labels(request).observe(seconds)

    assert generate_latest(registry) == generate_latest(reference_registry)


def test_without_a_label_there_is_one_series() -> None:
    """And it is there before anything was observed."""
    registry = CollectorRegistry()
    histogram = Histogram("some_seconds", "What it is.", BUCKETS)
    registry.register(histogram)
    assert b"some_seconds_count 0.0" in generate_latest(registry)
    histogram.observe(math.inf)

    assert histogram.of().count == 1
    assert b'some_seconds_bucket{le="30.0"} 0.0' in generate_latest(registry)


def test_registry_refuses_a_second_of_that_name() -> None:
    """As of every metric."""
    registry = CollectorRegistry()
    registry.register(Histogram("some_seconds", "What it is.", BUCKETS))

    with pytest.raises(ValueError, match="Duplicated"):
        registry.register(Histogram("some_seconds", "What it is.", BUCKETS))
