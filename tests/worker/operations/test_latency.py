"""How long things took lately."""

import pytest
from prometheus_client import CollectorRegistry, Histogram

from worker.operations.latency import Distribution, RecentLatencies, added_up, distributions

BOUNDS = (0.1, 0.2, 0.4)


@pytest.mark.parametrize(
    ("counts", "part", "seconds"),
    [
        ((0, 0, 0, 0), 0.5, None),
        ((10, 0, 0, 0), 0.5, 0.05),
        ((0, 10, 0, 0), 0.5, 0.15),
        ((5, 0, 5, 0), 0.95, 0.38),
        ((5, 5, 0, 0), 0.5, 0.1),
        ((0, 0, 0, 3), 0.5, 0.4),
        ((9, 0, 0, 1), 0.99, 0.4),
    ],
)
def test_quantiles_are_estimated_as_prometheus_does(
    counts: tuple[int, ...], part: float, seconds: float | None
) -> None:
    """Evenly within a bucket; beyond the last bound nothing is known."""
    found = Distribution(BOUNDS, counts).quantile(part)

    assert found == (None if seconds is None else pytest.approx(seconds))


def test_histogram_is_read_by_its_label() -> None:
    """Each bucket by itself."""
    histogram = Histogram("took", "Took.", ["request"], buckets=BOUNDS, registry=CollectorRegistry())
    for seconds in (0.05, 0.15, 0.15, 9):
        histogram.labels("GET").observe(seconds)
    histogram.labels("PATCH").observe(0.3)

    assert distributions(histogram) == {
        "GET": Distribution(BOUNDS, (1, 2, 0, 1)),
        "PATCH": Distribution(BOUNDS, (0, 0, 1, 0)),
    }


def test_histogram_without_a_label() -> None:
    """There is one series."""
    histogram = Histogram("took", "Took.", buckets=BOUNDS, registry=CollectorRegistry())
    histogram.observe(0.3)

    assert distributions(histogram) == {"": Distribution(BOUNDS, (0, 0, 1, 0))}


def test_lately_is_five_minutes() -> None:
    """What was before is taken off, once it is older."""
    recent = RecentLatencies()
    assert recent.is_due(0.0)
    for minute in range(8):
        recent.note({"GET": Distribution(BOUNDS, (minute * 10, 0, 0, 0))}, minute * 60.0)

    assert not recent.is_due(7 * 60.0 + 29)
    assert recent.is_due(7 * 60.0 + 30)
    assert recent.lately({"GET": Distribution(BOUNDS, (75, 0, 0, 0))}) == {"GET": Distribution(BOUNDS, (55, 0, 0, 0))}


def test_kind_that_was_not_there_before_is_all_of_lately() -> None:
    """The first PATCH."""
    recent = RecentLatencies()
    recent.note({}, 0.0)
    new = {"PATCH": Distribution(BOUNDS, (1, 0, 0, 0))}

    assert recent.lately(new) == new


def test_replicas_add_up_where_their_buckets_are_the_same() -> None:
    """Those of another version may have others."""
    one, other = Distribution(BOUNDS, (1, 2, 3, 4)), Distribution((1.0,), (5, 5))

    assert added_up([{"GET": one}, {"GET": one, "PATCH": other}, {"GET": other}]) == {
        "GET": Distribution(BOUNDS, (2, 4, 6, 8)),
        "PATCH": other,
    }
