"""How many turns may be under way at once: less under overload, more while it is used and goes well."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.pacing.concurrency_limit import ConcurrencyLimit


def test_limit_starts_at_the_most() -> None:
    """An upstream that is well is used fully from the first second."""
    assert ConcurrencyLimit(64).limit == 64


def test_overload_lowers_the_limit_by_a_tenth() -> None:
    """Timeouts, 5xx, lost connections."""
    limit = ConcurrencyLimit(100)
    limit.overloaded(10.0, spent_seconds=2.0)

    assert limit.limit == 90


def test_one_round_trip_lowers_it_once() -> None:
    """A hundred requests that fail together are one sign of overload."""
    limit = ConcurrencyLimit(100)
    for now in (10.0, 10.1, 11.9):
        limit.overloaded(now, spent_seconds=2.0)

    assert limit.limit == 90
    limit.overloaded(12.0, spent_seconds=2.0)
    assert limit.limit == 81


def test_limit_never_falls_below_one() -> None:
    """Else nobody would find out that the upstream is well again."""
    limit = ConcurrencyLimit(3)
    for now in range(100):
        limit.overloaded(float(now), spent_seconds=0.5)

    assert limit.limit == 1


def test_limit_grows_by_one_in_each_full_round() -> None:
    """Additive increase: as many answers as turns under way."""
    limit = ConcurrencyLimit(100)
    for now in range(20):
        limit.overloaded(float(now), spent_seconds=0.5)
    lowered = limit.limit
    for _ in range(lowered + 1):
        limit.succeeded(under_way=lowered)

    assert limit.limit == lowered + 1


def test_limit_that_is_not_used_does_not_grow() -> None:
    """A quiet time says nothing about what the upstream bears."""
    limit = ConcurrencyLimit(100)
    limit.overloaded(0.0, spent_seconds=0.5)
    for _ in range(10_000):
        limit.succeeded(under_way=44)

    assert limit.limit == 90


@given(
    most=st.integers(min_value=1, max_value=300),
    answers=st.lists(st.one_of(st.none(), st.floats(min_value=0.001, max_value=10)), max_size=200),
)
def test_limit_stays_between_one_and_the_most(most: int, answers: list[float | None]) -> None:
    """None: a good answer with all slots used; a number: overload after so many seconds."""
    limit = ConcurrencyLimit(most)
    now = 0.0
    for spent in answers:
        now += 1.0
        if spent is None:
            limit.succeeded(under_way=limit.limit)
        else:
            limit.overloaded(now, spent)

        assert 1 <= limit.limit <= most


@pytest.mark.parametrize("most", [1, 2, 3, 64])
def test_limit_recovers_fully_after_any_overload(most: int) -> None:
    """From the bottom back to the top, as long as it is used: nothing gets stuck below one."""
    limit = ConcurrencyLimit(most)
    for now in range(200):
        limit.overloaded(float(now), spent_seconds=0.1)
    for _ in range(most * most + most):
        limit.succeeded(under_way=limit.limit)

    assert limit.limit == most
