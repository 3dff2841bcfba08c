"""When what waits will be settled."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker.pacing.forecast import Experience, Supply, seconds_to_drain

DAY = Supply(remaining=1_000, limit=1_000, window_seconds=600, resets_in_seconds=600)
UNLIMITED = Supply(math.inf, math.inf, 600, math.inf)


@pytest.mark.parametrize(
    ("requests", "supply", "arriving", "speed", "seconds"),
    [
        pytest.param(0, DAY, 5, 1, 0, id="nothing waits, whatever comes"),
        pytest.param(500, DAY, 0, 10, 50, id="what the window has is sent as fast as it goes"),
        pytest.param(1_500, DAY, 0, 10, 650, id="the rest goes with the next window"),
        pytest.param(3_500, DAY, 0, 10, 1_850, id="and with as many as it takes"),
        pytest.param(20_000, DAY, 0, math.inf, 19 * 600, id="an import of 10,000 customers: more than three hours"),
        pytest.param(500, Supply(0, 1_000, 600, 42), 0, 10, 92, id="a window that is used up is waited for"),
        pytest.param(500, Supply(0, 1_000, 600, 0), 0, math.inf, 0, id="a window that begins now"),
        pytest.param(500, Supply(0, 0, 600, 42), 0, 10, math.inf, id="without a budget never"),
        pytest.param(300, DAY, 5, 10, 60, id="what comes meanwhile takes its part"),
        pytest.param(300, DAY, 10, 10, math.inf, id="as much comes as goes"),
        pytest.param(2_000, DAY, 1_000 / 600, math.inf, math.inf, id="as much comes as the budget has"),
        pytest.param(2_000, DAY, 0.5, math.inf, 1_200, id="windows gain less while commands come"),
        pytest.param(500, UNLIMITED, 0, 50, 10, id="without a limit only speed counts"),
        pytest.param(500, DAY, 0, 0.1, 5_000, id="a slow upstream uses up no budget"),
        pytest.param(500, DAY, 0, 0, math.inf, id="an upstream that answers nothing"),
    ],
)
def test_time_to_drain(requests: float, supply: Supply, arriving: float, speed: float, seconds: float) -> None:
    """Requests, left of the window's budget or not, to seconds."""
    assert seconds_to_drain(requests, supply, arriving=arriving, speed=speed) == pytest.approx(seconds)


def played(requests: float, supply: Supply, *, arriving: float, speed: float, until: float, step: float) -> float:
    """The same second by second, in small steps: what a queue with this supply does."""
    waiting, left, resets_at, at = requests, supply.remaining, supply.resets_in_seconds, 0.0
    while waiting > 1e-6 and at < until:
        at += step
        if at > resets_at:
            left, resets_at = supply.limit, resets_at + supply.window_seconds
        sent = min(speed * step, left, waiting + arriving * step)
        waiting += arriving * step - sent
        left -= sent
    return at


@given(
    requests=st.floats(1, 5_000),
    remaining=st.floats(0, 1_000),
    resets_in=st.floats(1, 100),
    arriving=st.floats(0, 20),
    speed=st.floats(0.5, 100),
)
@example(requests=5_000, remaining=0, resets_in=100, arriving=9.5, speed=100)
def test_forecast_is_what_a_queue_does(
    requests: float, remaining: float, resets_in: float, arriving: float, speed: float
) -> None:
    """Played in small steps, with whatever is left, comes and goes."""
    supply = Supply(remaining, 1_000, 100, resets_in)
    step, until = 0.05, 3_000.0
    seconds = seconds_to_drain(requests, supply, arriving=arriving, speed=speed)

    took = played(requests, supply, arriving=arriving, speed=speed, until=until, step=step)
    if seconds > until:
        assert took >= until
    else:
        # A step too late may miss a window's end, where the budget runs out with what waits.
        close = {
            0.0,
            *(
                played(requests + more, supply, arriving=arriving, speed=speed, until=until, step=step)
                for more in (-speed * step - 0.1, speed * step + 0.1)
            ),
        }
        assert min(*close, took) - 3 * step <= seconds <= max(*close, took) + 3 * step


def test_share_of_a_supply_is_its_part_of_what_is_left_and_of_the_limit() -> None:
    """The windows are everybody's."""
    assert DAY.shared(0.25) == Supply(250, 250, 600, 600)


def test_command_costs_a_get_and_a_patch_until_more_is_known() -> None:
    """Too much rather than too little."""
    experience = Experience()

    assert experience.requests_per_command == 2
    assert experience.forecast(500, DAY, is_open=True).requests == 1_000


def test_cost_of_a_command_is_what_was_seen_lately() -> None:
    """A hundred of them shared 50 requests, later each took two again."""
    experience = Experience()
    experience.note(settled=0, sent=0, ends={}, is_busy=False, now=0)
    experience.note(settled=1_000, sent=500, ends={}, is_busy=False, now=1)
    assert experience.requests_per_command == pytest.approx(0.5, abs=0.01)

    experience.note(settled=2_000, sent=2_500, ends={}, is_busy=False, now=3_600)
    assert experience.requests_per_command == pytest.approx(2, abs=0.01)


def test_what_is_known_is_kept_while_nothing_happens() -> None:
    """A night without commands changes no cost."""
    experience = Experience()
    for second, settled in enumerate([0, 100, *[100] * 40]):
        experience.note(settled=settled, sent=settled // 2, ends={}, is_busy=False, now=second * 600)

    assert experience.requests_per_command == pytest.approx(0.5, abs=0.02)


def test_commands_that_come_are_counted_by_the_ends_of_the_log() -> None:
    """Those of a partition that has only just come, with its whole log, have not come now."""
    experience = Experience()
    experience.note(settled=0, sent=0, ends={0: 10}, is_busy=False, now=0)
    experience.note(settled=0, sent=0, ends={0: 30, 1: 1_000_000}, is_busy=False, now=10)

    assert experience.commands_per_second == pytest.approx(2)


def test_speed_is_that_of_busy_times() -> None:
    """Not of those in which nothing waited or no budget was left."""
    experience = Experience()
    assert experience.requests_per_second == math.inf
    experience.note(settled=0, sent=0, ends={}, is_busy=False, now=0)
    experience.note(settled=0, sent=200, ends={}, is_busy=True, now=10)
    experience.note(settled=0, sent=201, ends={}, is_busy=False, now=500)

    assert experience.requests_per_second == pytest.approx(20)


@pytest.mark.parametrize(("is_open", "seconds"), [(True, 50), (False, math.inf)])
def test_nothing_is_drained_while_a_circuit_is_open(is_open: bool, seconds: float) -> None:
    """It waits for the upstream, and nobody knows how long."""
    experience = Experience()
    experience.note(settled=0, sent=0, ends={}, is_busy=False, now=0)
    experience.note(settled=100, sent=200, ends={}, is_busy=True, now=10)
    forecast = experience.forecast(500, DAY, is_open=is_open)

    assert forecast.requests == pytest.approx(1_000)
    assert forecast.seconds == pytest.approx(seconds)


def test_nothing_that_waits_is_drained_also_while_a_circuit_is_open() -> None:
    """There is nothing to wait for."""
    assert Experience().forecast(0, DAY, is_open=False).seconds == 0
