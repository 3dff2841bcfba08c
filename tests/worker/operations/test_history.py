"""The last hour, of a replica and of the group."""

from worker.operations.history import STEP_SECONDS, STEPS, Broken, History, Hour, step_of, together

STEP_MS = STEP_SECONDS * 1000
WELL = Broken(0)


def test_a_step_keeps_its_worst_and_adds_up_what_happened() -> None:
    """What waits at its end, the fewest requests left, whatever was open, all that was decided."""
    history = History()
    history.observe(5 * STEP_MS, lag=9, budget_left=80, broken=Broken.GET, events=10, dead_letters=1)
    history.observe(5 * STEP_MS + 9_000, lag=4, budget_left=90, broken=Broken.HOLD, events=13, dead_letters=1)
    history.observe(6 * STEP_MS, lag=0, budget_left=None, broken=WELL, events=15, dead_letters=4)

    assert history.hour() == Hour(
        5,
        lag=(4, 0),
        budget_left=(80, None),
        broken=(Broken.GET | Broken.HOLD, 0),
        events=(13, 2),
        dead_letters=(1, 3),
    )


def test_steps_in_which_nobody_looked_are_gaps() -> None:
    """The process was frozen."""
    history = History()
    history.observe(5 * STEP_MS, lag=1, budget_left=None, broken=WELL, events=0, dead_letters=0)
    history.observe(8 * STEP_MS, lag=2, budget_left=None, broken=WELL, events=0, dead_letters=0)

    assert (history.hour().first, history.hour().lag) == (5, (1, None, None, 2))


def test_a_clock_that_goes_back_begins_no_step() -> None:
    """It is set right now and then."""
    history = History()
    history.observe(8 * STEP_MS, lag=1, budget_left=None, broken=WELL, events=1, dead_letters=0)
    history.observe(7 * STEP_MS, lag=2, budget_left=None, broken=WELL, events=3, dead_letters=0)

    assert (history.hour().lag, history.hour().events) == ((2,), (3,))


def test_an_hour_is_remembered_and_no_more() -> None:
    """Also after a long sleep."""
    history = History()
    for step in range(3 * STEPS):
        history.observe(step * STEP_MS, lag=step, budget_left=None, broken=WELL, events=0, dead_letters=0)
    assert (history.hour().first, len(history.hour().lag)) == (2 * STEPS, STEPS)

    history.observe(9 * STEPS * STEP_MS, lag=7, budget_left=None, broken=WELL, events=0, dead_letters=0)
    assert len(history.hour().lag) == STEPS
    assert history.hour().lag[-2:] == (None, 7)


def test_nothing_is_remembered_yet() -> None:
    """A process has only begun."""
    assert History().hour() == Hour(0)


def test_hours_of_several_replicas_are_one() -> None:
    """What waits and what was decided adds up; the least that is left of the budget counts; anything open is open."""
    end_ms = 1_000 * STEP_MS
    first = step_of(end_ms) - STEPS
    one = Hour(998, lag=(5, 6, 99), budget_left=(70, 60, 1), broken=(1, 0, 7), events=(1, 2, 9), dead_letters=(0, 1, 9))
    other = Hour(999, lag=(4,), budget_left=(65,), broken=(4,), events=(3,), dead_letters=(0,))
    whole = together([one, Hour(0), other], end_ms)

    assert whole.first == first
    assert len(whole.lag) == STEPS
    assert whole.lag[-3:] == (None, 5, 10)
    assert (whole.budget_left[-2:], whole.broken[-2:], whole.events[-2:], whole.dead_letters[-2:]) == (
        (70, 60),
        (1, 4),
        (1, 5),
        (0, 1),
    )


def test_hour_of_nobody_is_empty() -> None:
    """Every step a gap."""
    assert together([], 1_000 * STEP_MS).lag == (None,) * STEPS
