"""The rate limit's headers, as recorded and as nobody should send them."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from worker.upstream.answers import Quota
from worker.upstream.rate_limit_headers import (
    DEFAULT_RETRY_SECONDS,
    LONGEST_RETRY_SECONDS,
    SHORTEST_RETRY_SECONDS,
    quota_from,
    retry_after_seconds,
)

RECORDED = {
    "ratelimit-policy": "1000;w=600",
    "ratelimit-limit": "1000",
    "ratelimit-remaining": "997",
    "ratelimit-reset": "552",
}


def headers(**changes: str | None) -> CIMultiDict[str]:
    """The recorded headers with some replaced or, by None, left out; `_` stands for `-`."""
    replaced = {name.replace("_", "-"): value for name, value in changes.items()}
    return CIMultiDict({name: value for name, value in {**RECORDED, **replaced}.items() if value is not None})


@pytest.mark.parametrize("spell", [str.lower, str.upper, str.title])
def test_the_account_is_read_in_whatever_case_the_names_come(spell: Callable[[str], str]) -> None:
    """The upstream itself sends the names in different cases."""
    spelled = CIMultiDict({spell(name): value for name, value in RECORDED.items()})

    assert quota_from(spelled) == Quota(limit=1000, remaining=997, window_seconds=600.0, reset_seconds=552.0)


@pytest.mark.parametrize("missing", RECORDED)
def test_an_account_without_one_of_its_figures_is_none(missing: str) -> None:
    """Nothing is guessed: half an account would pace the worker wrongly."""
    assert quota_from(headers(**{missing.replace("-", "_"): None})) is None


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"ratelimit_limit": "0"}, id="no requests at all"),
        pytest.param({"ratelimit_limit": "-5"}, id="negative limit"),
        pytest.param({"ratelimit_limit": "lots"}, id="no number"),
        pytest.param({"ratelimit_limit": "9" * 400}, id="a number of 400 digits"),
        pytest.param({"ratelimit_remaining": "nan"}, id="not a number by name"),
        pytest.param({"ratelimit_reset": "1e3"}, id="an exponent"),
        pytest.param({"ratelimit_policy": "1000"}, id="no window"),
        pytest.param({"ratelimit_policy": "1000;w=0"}, id="a window of nothing"),
        pytest.param({"ratelimit_policy": "1000;w=99999999"}, id="a window of three years"),
        pytest.param({"ratelimit_limit": "\u0661000"}, id="digits of another script"),
    ],
)
def test_an_account_that_makes_no_sense_is_none(changes: dict[str, str]) -> None:
    """What cannot be meant counts as not sent."""
    assert quota_from(headers(**changes)) is None


@pytest.mark.parametrize(
    ("changes", "remaining", "reset_seconds"),
    [
        pytest.param({"ratelimit_remaining": "-3"}, 0, 552.0, id="overdrawn is nothing left"),
        pytest.param({"ratelimit_remaining": "5000"}, 1000, 552.0, id="no more left than the limit"),
        pytest.param({"ratelimit_reset": "-1"}, 997, 0.0, id="a window that should be over"),
        pytest.param({"ratelimit_reset": "100000"}, 997, 600.0, id="no window ends later than it is long"),
        pytest.param({"ratelimit_reset": "12.9"}, 997, 12.0, id="fractions are dropped"),
        pytest.param({"ratelimit_remaining": " 7 "}, 7, 552.0, id="blanks around"),
    ],
)
def test_a_figure_beyond_its_range_is_brought_back_into_it(
    changes: dict[str, str], remaining: int, reset_seconds: float
) -> None:
    """Slightly wrong figures still say which way things stand."""
    quota = quota_from(headers(**changes))

    assert quota is not None
    assert (quota.remaining, quota.reset_seconds) == (remaining, reset_seconds)


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        pytest.param({"retry_after": "600"}, 600.0, id="as recorded"),
        pytest.param({"retry_after": None}, 552.0, id="missing: the window's end"),
        pytest.param({"retry_after": "soon"}, 552.0, id="no number: the window's end"),
        pytest.param({"retry_after": "-1"}, 552.0, id="negative: the window's end"),
        pytest.param({"retry_after": "soon", "ratelimit_reset": None}, DEFAULT_RETRY_SECONDS, id="nothing usable"),
        pytest.param({"ratelimit_reset": "-4"}, DEFAULT_RETRY_SECONDS, id="negative reset"),
        pytest.param({"retry_after": "0"}, SHORTEST_RETRY_SECONDS, id="at once would be a hot loop"),
        pytest.param({"retry_after": "999999999999"}, LONGEST_RETRY_SECONDS, id="30,000 years"),
        pytest.param({"retry_after": "9" * 400}, 552.0, id="beyond all numbers"),
        pytest.param(
            {"retry_after": "Mon, 23 Nov 2026 12:00:30 GMT", "date": "Mon, 23 Nov 2026 12:00:00 GMT"},
            30.0,
            id="a date, seen from the answer's own",
        ),
        pytest.param(
            {"retry_after": "Mon, 23 Nov 2026 11:59:00 GMT", "date": "Mon, 23 Nov 2026 12:00:00 GMT"},
            SHORTEST_RETRY_SECONDS,
            id="a date gone by",
        ),
        pytest.param({"retry_after": "Mon, 23 Nov 2026 12:00:30 GMT"}, 552.0, id="a date without the answer's own"),
        pytest.param(
            {"retry_after": "Mon, 23 Nov 2026 12:00:30", "date": "Mon, 23 Nov 2026 12:00:00 GMT"},
            552.0,
            id="a date without its zone",
        ),
        pytest.param(
            {"retry_after": "Mon, 99 Nov 99999 12:00:30 GMT", "date": "Mon, 23 Nov 2026 12:00:00 GMT"},
            552.0,
            id="a day that never comes",
        ),
    ],
)
def test_the_wait_after_a_429(changes: dict[str, str | None], seconds: float) -> None:
    """Retry-After, else the window's end, else a default; never less than a second nor more than an hour."""
    assert retry_after_seconds(headers(**changes)) == seconds


ANYTHING = st.dictionaries(
    st.sampled_from([*RECORDED, "retry-after", "date"]), st.text(max_size=30) | st.integers().map(str)
)


@given(ANYTHING)
def test_no_header_value_raises(anything: dict[str, str]) -> None:
    """Headers come from outside: whatever they hold, the result is in its range."""
    quota = quota_from(anything)

    assert SHORTEST_RETRY_SECONDS <= retry_after_seconds(anything) <= LONGEST_RETRY_SECONDS
    assert quota is None or (0 <= quota.remaining <= quota.limit and 0 <= quota.reset_seconds <= quota.window_seconds)
