"""Figures in words."""

import math

import pytest

from worker.operations.words import clock, count, listed, milliseconds, moment, number, shortened, span


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "–"),
        (math.inf, "–"),
        (0, "0 s"),
        (-3, "0 s"),
        (0.4, "under 1 s"),
        (1.4, "1 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (3_599, "59 min 59 s"),
        (3_600, "1 h"),
        (3_629, "1 h"),
        (3_631, "1 h 1 min"),
        (7_500, "2 h 5 min"),
        (90_000, "1 d 1 h"),
        (86_460, "1 d"),
    ],
)
def test_span_has_two_units_at_most(seconds: float | None, words: str) -> None:
    """And no unit that nobody needs."""
    assert span(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "–"), (0.0008, "0.8 ms"), (0.0242, "24 ms"), (0.0996, "100 ms"), (0.25, "250 ms"), (1.254, "1.25 s")],
)
def test_short_times_have_two_or_three_digits(seconds: float | None, words: str) -> None:
    """More would be noise."""
    assert milliseconds(seconds) == words


def test_numbers_and_counts() -> None:
    """With their thousands apart."""
    assert (number(None), number(0), number(12_345.6)) == ("–", "0", "12,346")
    assert (count(1, "command"), count(1_204, "command"), count(2, "entry", "entries")) == (
        "1 command",
        "1,204 commands",
        "2 entries",
    )


def test_points_in_time_are_in_utc() -> None:
    """As logs have them."""
    at_ms = 1_764_000_202_999

    assert (clock(at_ms), clock(at_ms, seconds=False), moment(at_ms)) == ("16:03:22", "16:03", "2025-11-24T16:03:22Z")


def test_identifiers_are_shortened() -> None:
    """Enough to find a customer that one has, too little to name one that one has not."""
    assert shortened("5eed0000-0000-4000-8000-000000000001") == "5eed…0001"
    assert shortened("short") == "short"


def test_lists_end_in_an_and() -> None:
    """As people write them."""
    assert [listed(list(words)) for words in ("", "a", "ab", "abc")] == ["", "a", "a and b", "a, b and c"]
