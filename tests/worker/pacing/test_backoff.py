"""How long a failed attempt waits, and when attempts end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.pacing.backoff import RetryPolicy


def policy(
    *, initial: float = 0.5, multiplier: float = 1.5, longest: float = 60.0, elapsed: float = 300.0
) -> RetryPolicy:
    """By default the policy that the upstream's official client publishes."""
    return RetryPolicy(initial_seconds=initial, multiplier=multiplier, max_seconds=longest, max_elapsed_seconds=elapsed)


def test_jitter_is_a_tenth_at_most() -> None:
    """Of the wait, by chance."""
    assert policy().wait_seconds(1, 0.0, lambda: 0.5) == pytest.approx(0.525)


def no_jitter() -> float:
    """Chance adds nothing."""
    return 0.0


@pytest.mark.parametrize(
    ("attempts", "seconds"),
    [(1, 0.5), (2, 0.75), (3, 1.125), (4, 1.6875), (12, 43.2487), (13, 60.0), (100, 60.0), (100_000, 60.0)],
)
def test_wait_grows_by_its_factor_up_to_the_longest(attempts: int, seconds: float) -> None:
    """500 ms, half as long again each time, never more than a minute."""
    assert policy().wait_seconds(attempts, 0.0, no_jitter) == pytest.approx(seconds, rel=1e-5)


@pytest.mark.parametrize(
    ("elapsed", "is_over"),
    [
        pytest.param(0.0, False, id="at the beginning"),
        pytest.param(299.999, False, id="a moment before the end"),
        pytest.param(300.0, True, id="at the end"),
        pytest.param(10_000.0, True, id="long after it"),
    ],
)
def test_policy_ends_after_its_time(elapsed: float, is_over: bool) -> None:
    """What counts is the time spent, not the number of attempts."""
    assert (policy().wait_seconds(7, elapsed, no_jitter) is None) is is_over


def test_whole_policy_takes_what_it_says() -> None:
    """The attempts that a lone failing command gets when each fails at once."""
    elapsed = 0.0
    waits: list[float] = []
    while (wait := policy().wait_seconds(len(waits) + 1, elapsed, no_jitter)) is not None:
        waits.append(wait)
        elapsed += wait

    assert waits[:3] == [0.5, 0.75, 1.125]
    assert 300 <= elapsed < 360
    assert len(waits) == 15


@given(
    attempts=st.integers(min_value=1, max_value=50),
    chance=st.floats(min_value=0, max_value=1, exclude_max=True),
    initial=st.floats(min_value=0.001, max_value=10),
    multiplier=st.floats(min_value=1, max_value=10),
    longest=st.floats(min_value=0.001, max_value=600),
)
def test_jitter_stays_within_its_bounds(
    attempts: int, chance: float, initial: float, multiplier: float, longest: float
) -> None:
    """Up to a tenth more, so that customers who failed together do not come back together; never over the longest."""
    wanted = policy(initial=initial, multiplier=multiplier, longest=longest)
    plain = wanted.wait_seconds(attempts, 0.0, no_jitter)
    jittered = wanted.wait_seconds(attempts, 0.0, lambda: chance)

    assert plain is not None
    assert jittered is not None
    assert plain == pytest.approx(min(initial * multiplier ** (attempts - 1), longest))
    assert plain <= jittered <= min(plain * 1.1, longest) * (1 + 1e-9)


@given(elapsed=st.floats(min_value=0.001, max_value=1e6))
def test_end_is_the_same_whenever_it_is_asked_for(elapsed: float) -> None:
    """The machine's clock has no part in it: a policy is asked about numbers."""
    assert policy(elapsed=elapsed).wait_seconds(1, elapsed, no_jitter) is None
