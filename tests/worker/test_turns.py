"""Who is next: fair between partitions, live before bulk, bulk never starved."""

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.command import Priority
from harness.builders import a_command
from worker.fold import Fold
from worker.turns import Turns

LIVE, BULK = Priority.LIVE, Priority.BULK


class Waiting:
    """A partition as turns see it: so many turns of each priority wait, or endlessly many."""

    def __init__(self, name: str, *, live: float = 0, bulk: float = 0, may_begin: bool = True) -> None:
        self.name = name
        self.left = {LIVE: live, BULK: bulk}
        self.is_closing = False
        self.may_begin = may_begin

    def has_ready(self, priority: Priority) -> bool:
        """Whether any are left."""
        return self.left[priority] > 0

    def take(self, priority: Priority, now_ms: int) -> Fold | None:
        """One of them, unless they lie beyond the horizon."""
        assert not self.is_closing
        assert now_ms == 7
        if not self.may_begin:
            return None
        self.left[priority] -= 1
        return Fold([a_command(0, priority=priority)])


def turns_of(*partitions: Waiting, bulk_share: float = 0.2) -> Turns[Waiting]:
    """The turns of these partitions."""
    turns: Turns[Waiting] = Turns(bulk_share=bulk_share)
    turns.set_partitions(partitions)
    return turns


def order(turns: Turns[Waiting], number: int, *, admits_bulk: bool = True) -> list[str]:
    """The next so many turns, as "partition priority"."""
    taken = []
    for _ in range(number):
        turn = turns.next(7, admits_bulk=admits_bulk)
        if turn is None:
            break
        partition, fold = turn
        taken.append(f"{partition.name} {fold.commands[0].priority}")
    return taken


def test_partitions_take_turns() -> None:
    """A hot one does not starve the others."""
    turns = turns_of(Waiting("a", live=9), Waiting("b", live=1), Waiting("c", live=2))

    assert order(turns, 7) == ["a live", "b live", "c live", "a live", "c live", "a live", "a live"]


def test_no_turn_waits() -> None:
    """None, and not an error."""
    assert turns_of().next(7) is None
    assert turns_of(Waiting("a")).next(7) is None


def test_live_goes_before_bulk_wherever_it_waits() -> None:
    """In another partition too: an import does not hold up an edit."""
    turns = turns_of(Waiting("a", bulk=9), Waiting("b", live=2), bulk_share=0)

    assert order(turns, 4) == ["b live", "b live", "a bulk", "a bulk"]


@pytest.mark.parametrize("bulk_share", [0.0, 0.1, 0.2, 0.5, 0.9])
def test_bulk_gets_its_share_while_live_waits(bulk_share: float) -> None:
    """BULK_SHARE of the turns, no more and hardly less."""
    turns = turns_of(Waiting("a", live=float("inf"), bulk=float("inf")), bulk_share=bulk_share)
    taken = Counter(order(turns, 1_000))

    assert taken["a bulk"] == pytest.approx(1_000 * bulk_share, abs=2)


def test_bulk_alone_is_not_held_back_by_its_share() -> None:
    """The share counts while live commands wait."""
    assert turns_of(Waiting("a", bulk=1)).next(7) is not None
    assert order(turns_of(Waiting("a", bulk=5)), 9) == ["a bulk"] * 5


def test_bulk_saves_no_turns_up_while_none_of_it_waits() -> None:
    """A burst of live commands earlier gives an import no head start later."""
    partition = Waiting("a", live=1_000)
    turns = turns_of(partition)
    order(turns, 900)
    partition.left[BULK] = 100

    assert order(turns, 4) == ["a live"] * 4


def test_bulk_that_is_done_leaves_nothing_saved_up() -> None:
    """The next import begins as the first did."""
    partition = Waiting("a", live=1_000, bulk=10)
    turns = turns_of(partition)
    order(turns, 3)
    partition.left[BULK] = 0
    order(turns, 1)
    partition.left[BULK] = 10

    assert order(turns, 5) == ["a live"] * 4 + ["a bulk"]


def test_bulk_of_a_closing_partition_saves_no_turns_up() -> None:
    """It takes none any more; else those of other partitions would come in a burst when they arrive."""
    closing, other = Waiting("a", bulk=10), Waiting("b", live=1_000)
    turns = turns_of(closing, other)
    closing.is_closing = True
    order(turns, 900)
    other.left[BULK] = 100

    assert order(turns, 4) == ["b live"] * 4


def test_turns_that_bulk_took_for_want_of_others_are_not_charged() -> None:
    """Nobody waited for them."""
    partition = Waiting("a", bulk=100)
    turns = turns_of(partition)
    order(turns, 50)
    partition.left[LIVE] = 100

    assert order(turns, 5) == ["a live"] * 4 + ["a bulk"]


def test_bulk_waits_while_its_pace_says_so() -> None:
    """The budget spreads it over the window; live commands go on."""
    turns = turns_of(Waiting("a", live=2, bulk=2))

    assert order(turns, 9, admits_bulk=False) == ["a live", "a live"]
    assert order(turns, 9) == ["a bulk", "a bulk"]


def test_credit_of_bulk_is_bounded_while_its_pace_keeps_it_waiting() -> None:
    """Hours of live traffic, and bulk that may not go: afterwards it gets its share, not the hours' sum."""
    turns = turns_of(Waiting("a", live=float("inf"), bulk=float("inf")))
    order(turns, 10_000, admits_bulk=False)

    assert order(turns, 5) == ["a bulk"] + ["a live"] * 3 + ["a bulk"]


def test_closing_partition_takes_no_turn() -> None:
    """It finishes what is under way and begins nothing."""
    closing = Waiting("a", live=5)
    turns = turns_of(closing, Waiting("b", live=2))
    closing.is_closing = True

    assert order(turns, 9) == ["b live", "b live"]


def test_partition_whose_turns_may_not_begin_yet_keeps_nobody_waiting() -> None:
    """Its lanes lie beyond the horizon, which a commit has yet to move."""
    turns = turns_of(Waiting("a", live=5, may_begin=False), Waiting("b", live=1, bulk=1))

    assert order(turns, 9) == ["b live", "b bulk"]


def test_partitions_that_stay_keep_their_place() -> None:
    """A rebalance does not send those to the end who have waited longest."""
    a, b, c, d = (Waiting(name, live=9) for name in "abcd")
    turns = turns_of(a, b, c)
    order(turns, 1)
    turns.set_partitions([c, d, a])

    assert order(turns, 3) == ["c live", "a live", "d live"]


@given(
    waiting=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=5),
    bulk_share=st.floats(min_value=0, max_value=0.99),
)
def test_everything_that_waits_gets_its_turn_once(waiting: Sequence[tuple[int, int]], bulk_share: float) -> None:
    """Whatever waits where; nobody waits longer than a round of the partitions for each of its own turns."""
    partitions = [Waiting(str(number), live=live, bulk=bulk) for number, (live, bulk) in enumerate(waiting)]
    taken = order(turns_of(*partitions, bulk_share=bulk_share), 1_000)
    expected = [f"{number} live" for number, (live, _) in enumerate(waiting) for _ in range(live)]
    expected += [f"{number} bulk" for number, (_, bulk) in enumerate(waiting) for _ in range(bulk)]

    assert sorted(taken) == sorted(expected)


@given(live=st.lists(st.integers(1, 6), min_size=2, max_size=5))
def test_no_partition_waits_longer_than_one_round(live: list[int]) -> None:
    """Between two turns of a partition every other one has at most one."""
    partitions = [Waiting(str(number), live=turns) for number, turns in enumerate(live)]
    since: dict[str, list[str]] = {partition.name: [] for partition in partitions}
    for turn in order(turns_of(*partitions), sum(live)):
        name = turn.split()[0]
        assert len(set(since[name])) == len(since[name])
        since[name].clear()
        for waiting, taken in since.items():
            if waiting != name:
                taken.append(name)
