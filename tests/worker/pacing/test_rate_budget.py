"""How many requests may still go out: against the upstream's fixed window, whatever overtakes what."""

import asyncio
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.virtual_time import now, run_virtually
from worker.pacing.rate_budget import LIVE_RESERVE, REQUESTS_PER_TURN, RateBudget

WINDOW_SECONDS = 600.0


def a_budget(limit: int = 1_000, *, share: float = 1.0, replicas: int = 1) -> RateBudget:
    """A fresh process's budget."""
    budget = RateBudget(limit=limit, window_seconds=WINDOW_SECONDS)
    budget.set_share(share, replicas)
    return budget


def ask(budget: RateBudget, *, remaining: int, now: float = 0.0, reset: float = 600.0, limit: int = 1_000) -> None:
    """One turn whose GET is answered with these figures, and that needs no PATCH."""
    assert budget.grant(REQUESTS_PER_TURN, now)
    budget.observed(limit=limit, remaining=remaining, reset_seconds=reset, now=now)
    budget.give_back(1)


def test_fresh_process_begins_with_one_turn() -> None:
    """It does not know where the window stands: its predecessor, or another replica, may have spent it."""
    budget = a_budget()

    assert budget.remaining(0.0) == REQUESTS_PER_TURN
    assert budget.grant(REQUESTS_PER_TURN, 0.0)
    assert budget.remaining(0.0) == 0
    budget.observed(limit=1_000, remaining=40, reset_seconds=300, now=0.1)
    assert budget.remaining(0.1) == 39, "40 are left, and one of them is granted"


def test_question_that_was_not_asked_is_asked_by_the_next() -> None:
    """The turn was cut short: nobody must wait for its answer."""
    budget = a_budget()
    budget.grant(REQUESTS_PER_TURN, 0.0)
    budget.give_back(REQUESTS_PER_TURN)

    assert budget.remaining(0.0) == REQUESTS_PER_TURN


def test_question_stays_asked_while_anybody_may_answer_it() -> None:
    """Any answer tells what remains: that of an earlier turn, too."""
    budget = a_budget()
    ask(budget, remaining=100)
    budget.grant(2, 0.0)
    budget.divide_again()
    budget.grant(REQUESTS_PER_TURN, 0.0)
    budget.give_back(REQUESTS_PER_TURN)

    assert budget.remaining(0.0) == 0
    budget.observed(limit=1_000, remaining=80, reset_seconds=600, now=0.0)
    assert budget.remaining(0.0) == 79


def test_giving_back_nothing_changes_nothing() -> None:
    """A turn that used both its requests."""
    budget = a_budget()
    budget.grant(REQUESTS_PER_TURN, 0.0)
    budget.give_back(0)

    assert budget.remaining(0.0) == 0


def test_all_or_none_is_granted() -> None:
    """A GET must not wait a window for its PATCH."""
    budget = a_budget()
    ask(budget, remaining=3)

    assert budget.grant(2, 0.0)
    assert not budget.grant(2, 0.0)
    assert budget.grant(1, 0.0)


def test_granted_requests_are_taken_until_they_are_answered_or_given_back() -> None:
    """What is on its way will be counted upstream; what is not sent will not."""
    budget = a_budget()
    ask(budget, remaining=100)
    budget.grant(10, 0.0)

    assert budget.remaining(0.0) == 90
    budget.give_back(4)
    assert budget.remaining(0.0) == 94
    budget.observed(limit=1_000, remaining=99, reset_seconds=600, now=0.0)
    assert budget.remaining(0.0) == 94


def test_request_without_an_answer_counts_as_sent() -> None:
    """A timeout: the upstream may have counted it."""
    budget = a_budget()
    ask(budget, remaining=100)
    budget.grant(2, 0.0)
    budget.answered(10.0)
    budget.answered(10.0)

    assert budget.remaining(10.0) == 98


def test_what_others_spend_is_believed_at_once() -> None:
    """Other replicas, other programs with the same token."""
    budget = a_budget()
    ask(budget, remaining=500)
    ask(budget, remaining=20, now=1.0, reset=599)

    assert budget.remaining(1.0) == 20


def test_upstream_can_lower_the_limit() -> None:
    """An operator changed it; it holds in the next window too, until another answer."""
    budget = a_budget(limit=1_000)
    ask(budget, remaining=50, limit=100)

    assert budget.limit == 100
    ask(budget, remaining=99, now=700.0, limit=100)
    assert budget.remaining(700.0) == 99


def test_upstream_cannot_raise_the_limit() -> None:
    """UPSTREAM_RATE_LIMIT is what the deployment allows; the rest is left to others."""
    budget = a_budget(limit=200)
    ask(budget, remaining=999, limit=1_000)

    assert budget.limit == 200
    assert budget.remaining(0.0) == 199
    ask(budget, remaining=790, limit=1_000)
    assert budget.remaining(0.0) == 0


def test_without_a_limit_everything_goes() -> None:
    """UPSTREAM_RATE_LIMIT=0, and an upstream that names none."""
    budget = a_budget(limit=0)

    assert budget.limit == math.inf
    assert budget.grant(10_000, 0.0)
    budget.answered(0.0)
    budget.divide_again()
    assert budget.remaining(0.0) == math.inf
    assert budget.remaining_for_bulk(0.0) == math.inf


def test_upstream_s_own_limit_holds_where_none_is_configured() -> None:
    """The headers are believed."""
    budget = a_budget(limit=0)
    budget.grant(2, 0.0)
    budget.observed(limit=100, remaining=3, reset_seconds=60, now=0.0)
    budget.give_back(1)

    assert budget.limit == 100
    assert budget.remaining(0.0) == 3


def test_refusal_closes_the_budget_until_the_time_it_names() -> None:
    """429 with Retry-After: everybody in the process obeys; then one turn asks again."""
    budget = a_budget()
    ask(budget, remaining=500)
    budget.grant(4, 10.0)
    budget.refused(30.0, 10.0)
    budget.refused(20.0, 11.0)

    assert budget.remaining(39.9) == 0
    assert budget.retry_at(11.0) == 40.0
    budget.give_back(2)
    assert budget.remaining(40.0) == REQUESTS_PER_TURN
    ask(budget, remaining=999, now=40.0)
    assert budget.remaining(40.0) == 999, "those that were refused are no longer on their way"


def test_refusal_of_the_question_does_not_stop_the_next() -> None:
    """The fresh process of a full window: it waits as told, and asks again."""
    budget = a_budget()
    budget.grant(2, 0.0)
    budget.refused(100.0, 0.1)
    budget.give_back(1)

    assert budget.remaining(50.0) == 0
    assert budget.retry_at(50.0) == 100.1
    assert budget.remaining(100.1) == REQUESTS_PER_TURN


def test_next_window_is_waited_for_when_this_one_is_spent() -> None:
    """The end is named by the answers, not guessed."""
    budget = a_budget()
    ask(budget, remaining=1, reset=250)

    assert budget.remaining(0.0) == 1
    assert budget.retry_at(0.0) == 250.0
    assert budget.remaining(249.9) == 1
    assert budget.remaining(250.0) == REQUESTS_PER_TURN, "whoever came first may have spent it again"


@pytest.mark.parametrize(
    ("reset", "spent", "remaining"),
    [
        pytest.param(590.0, 0.1, 50, id="sent later, overtaken on the way"),
        pytest.param(600.0, 10.0, 50, id="ten seconds on its way"),
    ],
)
def test_answer_that_was_overtaken_gives_nothing_back(reset: float, spent: float, remaining: int) -> None:
    """The figures of one window only fall; an older answer names more."""
    budget = a_budget()
    ask(budget, remaining=100)
    budget.grant(2, 0.0)
    budget.observed(limit=1_000, remaining=50, reset_seconds=590, now=10.0, spent_seconds=0.1)
    budget.observed(limit=1_000, remaining=80, reset_seconds=reset, now=10.0, spent_seconds=spent)

    assert budget.remaining(10.0) == remaining


@pytest.mark.parametrize(
    ("now", "reset", "told", "remaining"),
    [
        pytest.param(2.0, 10, 900, 5, id="at the latest end that it allows for"),
        pytest.param(2.1, 10, 900, 899, id="a later window"),
        pytest.param(0.0, 8, 3, 2, id="at the earliest end that it allows for"),
        pytest.param(0.0, 7, 3, 5, id="an earlier window"),
    ],
)
def test_in_doubt_an_answer_tells_of_the_same_window(now: float, reset: float, told: int, remaining: int) -> None:
    """Its figures can then only lower what remains."""
    budget = a_budget()
    ask(budget, remaining=5, reset=10)
    budget.grant(1, now)
    budget.observed(limit=1_000, remaining=told, reset_seconds=reset, now=now)
    budget.grant(1, now)

    assert budget.remaining(now) == remaining - (remaining == 5)


def test_late_answer_of_an_earlier_window_says_nothing_of_this_one() -> None:
    """It names few left and an end that is near: believed, it would open a window that does not exist."""
    budget = a_budget()
    ask(budget, remaining=500, reset=10)
    budget.grant(2, 9.0)
    ask(budget, remaining=990, now=10.0, reset=600)
    budget.observed(limit=1_000, remaining=498, reset_seconds=1, now=12.0, spent_seconds=3.0)
    budget.observed(limit=1_000, remaining=497, reset_seconds=1, now=12.0, spent_seconds=3.0)

    assert budget.remaining(12.0) == 990
    assert budget.retry_at(12.0) == 610.0


def test_late_answer_does_not_stand_for_the_question() -> None:
    """The window has rolled over, and nobody has asked yet."""
    budget = a_budget()
    ask(budget, remaining=500, reset=10)
    budget.grant(2, 9.0)
    assert budget.remaining(10.0) == REQUESTS_PER_TURN
    budget.observed(limit=1_000, remaining=498, reset_seconds=1, now=10.5, spent_seconds=1.5)

    assert budget.remaining(10.5) == REQUESTS_PER_TURN


def test_restart_of_the_upstream_begins_a_new_window() -> None:
    """Its counter is in memory: what it says afterwards is a later window."""
    budget = a_budget()
    ask(budget, remaining=5, reset=300)
    ask(budget, remaining=999, now=1.0, reset=600)

    assert budget.remaining(1.0) == 999
    assert budget.retry_at(1.0) == 601.0


def test_earliest_end_that_an_answer_names_is_the_best() -> None:
    """Seconds are rounded up, so each answer names the end or a moment after it."""
    budget = a_budget()
    ask(budget, remaining=500, now=0.0, reset=100)
    ask(budget, remaining=499, now=0.9, reset=99)
    ask(budget, remaining=1, now=1.0, reset=99)

    assert budget.retry_at(1.0) == pytest.approx(99.9)


def test_share_of_what_remains_is_spent_in_each_division() -> None:
    """Half of it, less what is left for the next division; what others leave is divided again."""
    budget = a_budget(share=0.5, replicas=2)
    ask(budget, remaining=999)
    division = budget.remaining(0.0)

    assert division == pytest.approx(999 * 0.95 / 2, abs=2)
    budget.grant(int(division), 0.0)
    for _ in range(int(division)):
        budget.observed(limit=1_000, remaining=600, reset_seconds=600, now=0.0)
    assert budget.remaining(0.0) == 0
    due = budget.retry_at(0.0)
    assert 0.0 < due <= WINDOW_SECONDS / 20
    assert budget.remaining(due) == REQUESTS_PER_TURN, "one turn asks what others have left"
    ask(budget, remaining=599, now=due, reset=600 - due)
    assert budget.remaining(due) == pytest.approx(599 * 0.95 / 2, abs=2)


def test_division_leaves_enough_for_everybody_to_ask_again() -> None:
    """Its turn, and one that nobody has seen yet; where that is not most of what remains."""
    budget = a_budget(share=0.5, replicas=2)
    ask(budget, remaining=12, reset=200)

    assert budget.remaining(0.0) == 3
    assert budget.retry_at(0.0) < 200.0


def test_divisions_are_those_of_the_window_whenever_a_replica_joins() -> None:
    """So that all replicas look at about the same time: twenty to a window, counted back from its end."""
    budget = a_budget(share=0.5, replicas=2)
    ask(budget, remaining=900, now=100.0, reset=500)

    assert budget.retry_at(100.0) == 120.0


def test_last_division_leaves_nothing() -> None:
    """Too little is left for everybody to ask again."""
    budget = a_budget(share=0.5, replicas=2)
    ask(budget, remaining=11, reset=200)

    assert budget.remaining(0.0) == 5
    assert budget.retry_at(0.0) == 200.0


def test_whole_share_needs_no_divisions() -> None:
    """A replica that has all partitions, or is given them: nobody to leave anything to."""
    budget = a_budget(share=0.5, replicas=2)
    ask(budget, remaining=999)
    budget.set_share(1.0, 1)

    assert budget.remaining(0.0) == 999
    assert budget.share == 1.0
    ask(budget, remaining=1)
    assert budget.retry_at(0.0) == WINDOW_SECONDS


def test_share_counts_from_the_next_division() -> None:
    """What this one allows is being spent; the others count on it."""
    budget = a_budget(share=0.5, replicas=2)
    ask(budget, remaining=999)
    before = budget.remaining(0.0)
    budget.set_share(0.1, 2)

    assert budget.remaining(0.0) == before
    due = budget.retry_at(0.0)
    ask(budget, remaining=999, now=due, reset=600 - due)
    assert budget.remaining(due) == pytest.approx(999 * 0.95 * 0.1, abs=2)


@pytest.mark.parametrize(
    ("spent_seconds", "told", "granted"),
    [
        pytest.param(0.0, 580, 580 * 0.95 * 0.25, id="a turn takes but a moment"),
        pytest.param(15.0, 580, (580 - 294) * 0.95 * 0.25, id="a turn takes the whole division"),
        pytest.param(15.0, 250, 250 * 0.95 * 0.25, id="all that others were left is seen"),
    ],
)
def test_what_others_may_have_under_way_is_theirs(spent_seconds: float, told: int, granted: float) -> None:
    """The upstream has not counted it, and at the end of a division nobody knows of it but those who sent it."""
    budget = a_budget(share=0.25, replicas=4)
    ask(budget, remaining=999)
    due = budget.retry_at(0.0)
    assert budget.grant(REQUESTS_PER_TURN, due)
    budget.observed(limit=1_000, remaining=told, reset_seconds=600 - due, now=due, spent_seconds=spent_seconds)
    budget.give_back(1)

    assert budget.remaining(due) == pytest.approx(granted, abs=12)


def test_rebalance_divides_at_once() -> None:
    """The replicas are others: before more than one turn is sent, what remains is looked at anew."""
    budget = a_budget(share=0.5, replicas=2)
    ask(budget, remaining=999)
    budget.divide_again()

    assert budget.remaining(0.0) == REQUESTS_PER_TURN


def test_share_holds_where_the_upstream_tells_nothing() -> None:
    """A proxy that drops the headers: each replica keeps to its share of the whole, less what it has spent."""
    budget = a_budget(share=0.25, replicas=4)
    budget.grant(2, 0.0)
    budget.answered(0.1)
    budget.answered(0.1)

    assert budget.remaining(0.1) == 248
    budget.grant(100, 0.1)
    for _ in range(100):
        budget.answered(0.2)
    budget.divide_again()
    budget.grant(2, 0.3)
    budget.answered(0.3)
    budget.give_back(1)
    assert budget.remaining(0.3) == 147


def test_bulk_is_spread_over_the_rest_of_the_window() -> None:
    """An import must not spend the window in its first minute."""
    budget = a_budget()
    ask(budget, remaining=900, reset=600)

    assert budget.grant(REQUESTS_PER_TURN, 0.0, is_bulk=True)
    assert budget.remaining_for_bulk(0.0) == 0
    due = budget.bulk_retry_at(0.0)
    assert due == pytest.approx(600 * 2 / 900)
    assert budget.remaining_for_bulk(due) > 0
    assert budget.remaining(0.0) == 898, "live commands are not concerned"


@pytest.mark.parametrize("share", [1.0, 0.4])
def test_bulk_that_asks_the_first_question_is_spread_like_any_other(share: float) -> None:
    """Nobody else has work: one turn of bulk must not take the whole window for its pause."""
    budget = a_budget(share=share, replicas=3)
    seconds_a_turn = WINDOW_SECONDS * REQUESTS_PER_TURN / (1_000 * share)

    assert budget.grant(REQUESTS_PER_TURN, 0.0, is_bulk=True)
    for remaining in (999, 998):
        budget.observed(limit=1_000, remaining=remaining, reset_seconds=WINDOW_SECONDS, now=0.1)

    assert budget.bulk_retry_at(0.1) == pytest.approx(seconds_a_turn)
    budget.divide_again()
    assert budget.remaining_for_bulk(10.0) == REQUESTS_PER_TURN, "it asks anew after a division"


def test_what_was_granted_before_a_429_is_refused_with_the_rest() -> None:
    """A GET was answered, its PATCH is granted, and another turn of the process meets the end of the window."""
    budget = a_budget()
    ask(budget, remaining=100)
    budget.grant(REQUESTS_PER_TURN, 1.0)
    budget.refused(20.0, 2.0)

    assert budget.is_refused(21.9)
    assert not budget.is_refused(22.0)


def test_bulk_leaves_a_reserve_until_the_last_seconds() -> None:
    """Live commands come at any time; what they did not need is used up in the end."""
    budget = a_budget()
    ask(budget, remaining=int(1_000 * LIVE_RESERVE) + 1, reset=600)

    assert budget.remaining_for_bulk(0.0) == 1
    assert budget.bulk_retry_at(0.0) == 595.0
    assert budget.remaining_for_bulk(594.9) == 1
    assert budget.remaining_for_bulk(595.0) == 51
    budget.grant(2, 596.0, is_bulk=True)
    assert budget.remaining_for_bulk(596.0) == 49, "and without further pauses"


def test_bulk_waits_with_everybody_for_the_next_window() -> None:
    """Its own pace is no reason to begin."""
    budget = a_budget()
    ask(budget, remaining=1, reset=300)

    assert budget.bulk_retry_at(0.0) == 300.0


def test_new_window_begins_a_new_pace() -> None:
    """What bulk took from the last one says nothing of this one."""
    budget = a_budget()
    ask(budget, remaining=900, reset=10)
    budget.grant(REQUESTS_PER_TURN, 0.0, is_bulk=True)

    assert budget.remaining_for_bulk(10.0) == REQUESTS_PER_TURN


def test_end_of_the_window_is_told_as_far_as_it_is_known() -> None:
    """A window begins with a request: before that, a whole one lies ahead."""
    budget = a_budget()
    assert (budget.window_seconds, budget.resets_in(3.0)) == (WINDOW_SECONDS, WINDOW_SECONDS)
    ask(budget, remaining=900, now=10.0, reset=200)

    assert budget.resets_in(60.0) == 150.0
    assert budget.resets_in(210.0) == WINDOW_SECONDS


def test_repr_shows_what_is_left() -> None:
    """What a person sees in a debugger or a log."""
    budget = a_budget(share=0.5, replicas=2)
    ask(budget, remaining=900)
    budget.grant(10, 0.0)

    assert repr(budget) == "<RateBudget 890 of 1000, share 0.50>"


def test_whole_window_is_told_beside_the_share() -> None:
    """What an operator wants to know, however little of it is this replica's."""
    budget = a_budget(share=0.1, replicas=10)
    assert budget.left_in_window(0.0) == 1_000
    ask(budget, remaining=900, reset=60)
    budget.grant(10, 0.0)

    assert budget.left_in_window(0.0) == 890
    assert budget.left_in_window(59.9) == 890
    assert budget.left_in_window(60.0) == 1_000
    budget.refused(30.0, 0.0)
    assert budget.left_in_window(29.9) == 0


@dataclass
class Window:
    """The upstream's account: a fixed window that begins with the first request after the last one's end."""

    limit: int
    seconds: float
    ends_at: float = -math.inf
    served: list[int] = field(default_factory=list)
    refused_at: list[float] = field(default_factory=list)

    def request(self, now: float) -> tuple[int | None, int]:
        """What remains, None for a 429; and the seconds until the end, rounded up."""
        if now >= self.ends_at:
            self.ends_at = now + self.seconds
            self.served.append(0)
        reset = math.ceil(self.ends_at - now)
        if self.served[-1] >= self.limit:
            self.refused_at.append(now)
            return None, reset
        self.served[-1] += 1
        return self.limit - self.served[-1], reset


@dataclass
class Replica:
    """Spends from the window as fast as its budget allows, up to 16 turns at a time."""

    window: Window
    budget: RateBudget
    there_and_back: Iterator[tuple[float, float]]
    writes: Iterator[bool]
    has_headers: bool
    under_way: int = 0
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, until: float) -> None:
        """Takes turns; whoever waits is woken by an answer or by the time that the budget names."""
        async with asyncio.TaskGroup() as turns:
            while now() < until:
                self.wake.clear()
                while self.under_way < 16 and self.budget.grant(REQUESTS_PER_TURN, now()):
                    self.under_way += 1
                    turns.create_task(self.turn())
                due = self.budget.retry_at(now())
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(min(due if due > now() else math.inf, until)):
                        await self.wake.wait()

    async def turn(self) -> None:
        """A GET, and a PATCH where there is something to write."""
        if await self.request() and next(self.writes):
            await self.request()
        else:
            self.budget.give_back(1)
        self.under_way -= 1
        self.wake.set()

    async def request(self) -> bool:
        """Whether it was served."""
        sent_at = now()
        there, back = next(self.there_and_back)
        await asyncio.sleep(there)
        remaining, reset = self.window.request(now())
        await asyncio.sleep(back)
        if remaining is None:
            self.budget.refused(max(reset, 1), now())
        elif self.has_headers:
            self.budget.observed(
                limit=self.window.limit,
                remaining=remaining,
                reset_seconds=reset,
                now=now(),
                spent_seconds=now() - sent_at,
            )
        else:
            self.budget.answered(now())
        return remaining is not None


def spend(
    window: Window,
    shares: Sequence[float],
    *,
    there_and_back: Sequence[tuple[float, float]] = ((0.01, 0.01),),
    writes: Sequence[bool] = (True,),
    windows: int = 5,
    has_headers: bool = True,
) -> None:
    """Replicas with endless work spend from one window; latencies and the need to write come in turn."""

    async def replicas() -> None:
        async with asyncio.TaskGroup() as all_of_them:
            for share in shares:
                budget = RateBudget(limit=window.limit, window_seconds=window.seconds)
                budget.set_share(share, len(shares))
                replica = Replica(window, budget, cycle(there_and_back), cycle(writes), has_headers)
                all_of_them.create_task(replica.run(windows * window.seconds))

    run_virtually(replicas())


seconds = st.floats(min_value=0.001, max_value=4.0)


@settings(max_examples=50)
@given(
    there_and_back=st.lists(st.tuples(seconds, seconds), min_size=1, max_size=30),
    writes=st.lists(st.booleans(), min_size=1, max_size=5),
    limit=st.sampled_from([10, 50, 200]),
)
@example(there_and_back=[(0.05, 0.05)] * 19 + [(0.05, 4.0)], writes=[True], limit=200)
def test_one_replica_meets_no_429_and_uses_the_whole_window(
    there_and_back: list[tuple[float, float]], writes: list[bool], limit: int
) -> None:
    """Whatever the latencies, and whichever answers overtake one another."""
    window = Window(limit, 60.0)
    spend(window, [1.0], there_and_back=there_and_back, writes=writes, windows=4)

    assert window.refused_at == []
    slowest = max(there + back for there, back in there_and_back)
    # Eight pairs of requests at a time and the slowest latency for each: what even a slow upstream allows for.
    reachable = min(limit, int(8 * (60 - 4 * slowest) / slowest))
    assert all(served >= 0.9 * reachable for served in window.served[:3])


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.8, 0.1, 0.1), (0.95, 0.04, 0.01), (0.25,) * 4], ids=str)
@pytest.mark.parametrize(("limit", "window_seconds"), [(200, 10.0), (1_000, 600.0)])
@pytest.mark.parametrize("there_and_back", [[(0.01, 0.01)], [(0.01, 0.03), (0.04, 0.01), (0.02, 0.02)]], ids=str)
def test_replicas_together_use_the_window_and_meet_no_429(
    shares: tuple[float, ...], limit: int, window_seconds: float, there_and_back: list[tuple[float, float]]
) -> None:
    """Without a word between them, and however uneven their shares: 95 % of the budget."""
    window = Window(limit, window_seconds)
    spend(window, shares, there_and_back=there_and_back)

    assert [at for at in window.refused_at if at > 1] == []
    assert all(served >= 0.95 * limit for served in window.served[:4])


def test_whoever_has_nearly_all_of_the_share_leaves_the_others_their_questions() -> None:
    """Two of them, each a turn to ask, and a PATCH that may be under way; of a small limit, a tenth."""
    budget = a_budget(share=0.95, replicas=3)
    ask(budget, remaining=11, reset=200)
    small = a_budget(limit=10, share=0.95, replicas=3)
    ask(small, limit=10, remaining=9, reset=200)

    assert budget.remaining(0.0) == 11 - 6
    assert small.remaining(0.0) == 9 - 1


def test_replicas_keep_to_the_limit_where_the_upstream_tells_nothing() -> None:
    """Each its share of the whole: at most the question of each meets a window that is full."""
    window = Window(1_000, 600.0)
    spend(window, [0.5, 0.3, 0.2], there_and_back=[(0.01, 0.01)], writes=[True], windows=5, has_headers=False)

    assert len(window.refused_at) <= 5 * 3 * REQUESTS_PER_TURN
    assert all(served >= 0.95 * 1_000 for served in window.served[:4])
