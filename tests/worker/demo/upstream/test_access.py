"""Who is let in, and how the window of a user is counted."""

import pytest

from worker.demo.upstream.access import RW_TOKEN, Account, Count, RateWindows, Unauthorized, authenticate

ACCOUNT = Account("somebody", ("customers.read",))


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        (f"Bearer {RW_TOKEN}", ACCOUNT),
        (None, Unauthorized("Authorization header required")),
        ("", Unauthorized("Authorization header required")),
        (f"bearer {RW_TOKEN}", Unauthorized("Invalid authorization scheme")),
        ("Bearer", Unauthorized("Token required")),
        ("Bearer  x", Unauthorized("Token required")),
        ("Bearer mid_access_token_x", Unauthorized("Invalid or expired access token")),
        ("Bearer mid_short", Unauthorized("Invalid token format")),
        ("Bearer mid_" + "0" * 64, Unauthorized("Invalid API key")),
    ],
)
def test_credentials_are_answered_so(authorization: str | None, expected: Account | Unauthorized) -> None:
    """Each refusal in its own words; the scheme counts with its case."""
    assert authenticate(authorization, {RW_TOKEN: ACCOUNT}) == expected


def test_the_window_starts_with_the_first_request_and_is_not_prolonged_by_refused_ones() -> None:
    """A table of moments."""
    windows = RateWindows(limit=2, window_seconds=10)

    counted = [windows.count("u", now) for now in (100.0, 104.2, 109.5, 110.0)]

    assert counted == [Count(2, 1, 10, False), Count(2, 0, 6, False), Count(2, 0, 1, True), Count(2, 1, 10, False)]


def test_a_new_window_lasts_exactly_its_length() -> None:
    """At a moment where (now + 600) - now is more than 600, as floating point has it."""
    assert RateWindows(limit=5, window_seconds=600).count("u", 3919.207) == Count(5, 4, 600, exceeded=False)


def test_users_do_not_share_a_window() -> None:
    """Whatever the number of their tokens: it is the user that is counted."""
    windows = RateWindows(limit=1, window_seconds=10)
    windows.count("a", 0.0)

    assert windows.count("a", 1.0) == Count(1, 0, 9, True)
    assert windows.count("b", 1.0) == Count(1, 0, 10, False)


def test_without_a_limit_nothing_is_counted() -> None:
    """Then there are no figures to send either."""
    assert RateWindows(limit=None, window_seconds=10).count("a", 0.0) is None


def test_a_changed_limit_starts_anew() -> None:
    """It takes a restart, which zeroes the counters."""
    windows = RateWindows(limit=1, window_seconds=10)
    windows.count("a", 0.0)

    windows.change(limit=3, window_seconds=0.5)

    assert windows.count("a", 1.0) == Count(3, 2, 1, False)
    assert windows.policy == "3;w=1"
