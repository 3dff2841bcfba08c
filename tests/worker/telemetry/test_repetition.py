"""How many lines a failure takes that goes on, and which."""

from hypothesis import given
from hypothesis import strategies as st

from worker.telemetry.repetition import FIRST_PAUSE_SECONDS, MOST_AT_ONCE, OVER_AFTER_SECONDS, Repetitions, Summary


def lines_of(failures: list[float], *, until: float) -> tuple[list[float], list[tuple[float, Summary]]]:
    """When a failure at each of these times is told at once, and the summaries; somebody looks every half second."""
    repetitions = Repetitions()
    at_once, summaries = [], []
    waiting = sorted(failures)
    for tick in range(int(until * 2) + 1):
        now = tick / 2
        while waiting and waiting[0] <= now:
            at = waiting.pop(0)
            if repetitions.is_news("failure", at, at):
                at_once.append(at)
        summaries += [(now, summary) for summary in repetitions.due(now)]
    return at_once, summaries


def test_ten_minutes_of_outage_take_a_handful_of_lines() -> None:
    """Ten failures a second: the first at once, summaries with growing pauses, and one when it is over."""
    at_once, summaries = lines_of([n / 10 for n in range(6_000)], until=1_000)

    assert at_once == [0.0]
    assert [round(now) for now, _ in summaries] == [30, 90, 210, 450, 690]
    assert [summary.is_over for _, summary in summaries] == [False] * 4 + [True]
    assert sum(summary.repeated for _, summary in summaries) == 5_999
    assert summaries[-1][1].lasted_seconds == 599.9


def test_a_failure_that_does_not_come_back_takes_one_line() -> None:
    """There is nothing to sum up."""
    assert lines_of([5.0], until=1_000) == ([5.0], [])


def test_what_comes_back_later_is_told_anew() -> None:
    """Once it was over."""
    at_once, summaries = lines_of([0.0, 10.0, 1_000.0], until=1_200)

    assert at_once == [0.0, 1_000.0]
    assert [(summary.repeated, summary.is_over) for _, summary in summaries] == [(1, False), (0, True)]


def test_failures_are_told_apart_by_their_key() -> None:
    """One hides no other."""
    repetitions = Repetitions()

    assert [repetitions.is_news(key, None, 0.0) for key in ("a", "b", "a", "b")] == [True, True, False, False]


def test_a_flood_of_different_failures_takes_no_memory() -> None:
    """Beyond the bound each is told."""
    repetitions = Repetitions()

    assert all(repetitions.is_news(number, None, 0.0) for number in range(2 * MOST_AT_ONCE))
    assert not repetitions.is_news(0, None, 0.0)
    assert repetitions.is_news(2 * MOST_AT_ONCE - 1, None, 0.0)


def test_the_summary_shows_the_last_line() -> None:
    """It is the one that says how things are."""
    repetitions = Repetitions()
    for number in range(3):
        repetitions.is_news("key", f"line {number}", float(number))

    assert repetitions.due(FIRST_PAUSE_SECONDS) == [Summary("line 2", 2, 2.0, is_over=False)]
    assert repetitions.due(FIRST_PAUSE_SECONDS) == []


@given(st.lists(st.integers(0, 3_000), min_size=1, max_size=60))
def test_every_failure_is_told_or_counted(failures: list[int]) -> None:
    """None is lost, whatever the times; and the last word says that it is over."""
    at_once, summaries = lines_of([float(at) for at in failures], until=3_000 + OVER_AFTER_SECONDS + 1)

    assert len(at_once) + sum(summary.repeated for _, summary in summaries) == len(failures)
    assert not summaries or summaries[-1][1].is_over
