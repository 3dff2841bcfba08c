"""Whose turn it is: order within a customer, fairness between customers, one fold at a time."""

import gc
from collections import deque

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from handlers.command import Command, Priority
from handlers.errors import Reason
from harness.builders import a_command, customer_id, offsets
from worker.fold import Dead, Fold
from worker.lanes import LARGEST_FOLD, Lane, Lanes, LaneState
from worker.progress import Tried
from worker.upstream.answers import Rejected, Request

LIVE, BULK = Priority.LIVE, Priority.BULK


def taken(lanes: Lanes, priority: Priority = LIVE, now_ms: int = 0) -> Fold:
    """The next fold, which there must be."""
    fold = lanes.take(priority, now_ms)
    assert fold is not None
    return fold


def turns(lanes: Lanes, priority: Priority = LIVE) -> list[str]:
    """The customers that are ready, in the order of their turns; takes them all."""
    customers = []
    while lanes.has_ready(priority):
        customers.append(taken(lanes, priority).customer_id)
    return customers


def lanes_with(*commands: Command, coalesce: bool = True) -> Lanes:
    """Lanes that *commands* have just joined."""
    lanes = Lanes(coalesce=coalesce)
    for command in commands:
        lanes.add(command)
    return lanes


def shorten(fold: Fold) -> None:
    """The upstream refuses the fold without saying why: its newest command is left out."""
    fold.rejected(Rejected(400, "no"), Request.PATCH)


def test_waiting_commands_of_a_customer_are_one_fold_in_order() -> None:
    """However many wait: one read and one write."""
    lanes = lanes_with(*(a_command(offset) for offset in range(5)))

    assert offsets(taken(lanes).commands) == [0, 1, 2, 3, 4]
    assert not lanes.has_ready(LIVE)


def test_without_coalescing_each_command_has_its_own_turn() -> None:
    """COALESCE=false: the commands of a customer follow one another."""
    lanes = lanes_with(a_command(0), a_command(1), coalesce=False)
    first = taken(lanes)
    lanes.settle(first, 1)
    lanes.committed(first.customer_id)

    assert offsets(first.commands) == [0]
    assert offsets(taken(lanes).commands) == [1]


def test_fold_is_bounded() -> None:
    """What goes beyond one transaction's worth folds in the next turn."""
    lanes = lanes_with(*(a_command(offset) for offset in range(LARGEST_FOLD + 2)))
    fold = taken(lanes)
    lanes.settle(fold, LARGEST_FOLD)
    lanes.committed(fold.customer_id)

    assert len(fold.commands) == LARGEST_FOLD
    assert offsets(taken(lanes).commands) == [LARGEST_FOLD, LARGEST_FOLD + 1]


def test_customers_take_turns_in_the_order_in_which_they_became_ready() -> None:
    """A customer with many commands waits like one with a single one."""
    lanes = lanes_with(
        *(a_command(offset, customer=0) for offset in range(9)), a_command(9, customer=1), a_command(10, customer=2)
    )
    hot = taken(lanes)
    lanes.add(a_command(11, customer=0))
    lanes.settle(hot, 9)
    lanes.committed(hot.customer_id)

    assert turns(lanes) == [customer_id(1), customer_id(2), customer_id(0)]


def test_customer_under_way_takes_no_second_turn() -> None:
    """Two writers of one customer at once lose each other's tags upstream."""
    lanes = lanes_with(a_command(0))
    taken(lanes)
    lanes.add(a_command(1))

    assert not lanes.has_ready(LIVE)
    assert lanes.take(LIVE, 0) is None


def test_next_turn_waits_for_the_commit() -> None:
    """Sent before the commit, a crash would move the customer back when the earlier command is repeated."""
    lanes = lanes_with(a_command(0))
    fold = taken(lanes)
    lanes.add(a_command(1))
    lanes.settle(fold, 1)

    assert not lanes.has_ready(LIVE)
    lanes.committed(fold.customer_id)
    assert offsets(taken(lanes).commands) == [1]


def test_customer_without_commands_is_forgotten() -> None:
    """Memory goes with what waits, not with who was ever seen."""
    lanes = lanes_with(a_command(0))
    fold = taken(lanes)
    lanes.settle(fold, 1)
    lanes.committed(fold.customer_id)

    assert len(lanes) == 0
    assert list(lanes) == []
    assert all(lanes.count(state) == 0 for state in LaneState)


def test_command_that_comes_during_the_commit_keeps_the_lane() -> None:
    """It takes its turn after the commit, as a lane of its own would."""
    lanes = lanes_with(a_command(0))
    fold = taken(lanes)
    lanes.settle(fold, 1)
    lanes.add(a_command(1))
    lanes.committed(fold.customer_id)

    assert offsets(taken(lanes).commands) == [1]


def test_lane_has_the_priority_of_its_most_urgent_command() -> None:
    """A live edit behind bulk ones of the same customer takes them along: order per customer holds."""
    lanes = lanes_with(a_command(0, priority=BULK), a_command(1, priority=BULK))

    assert (lanes.has_ready(LIVE), lanes.has_ready(BULK)) == (False, True)
    lanes.add(a_command(2, priority=LIVE))
    assert (lanes.has_ready(LIVE), lanes.has_ready(BULK)) == (True, False)
    assert offsets(taken(lanes).commands) == [0, 1, 2]


def test_lane_is_bulk_again_when_its_live_commands_are_settled() -> None:
    """What is left of a lane is as urgent as what is left in it."""
    lanes = lanes_with(a_command(0, priority=LIVE), a_command(1, priority=BULK), coalesce=False)
    fold = taken(lanes)
    lanes.settle(fold, 1)
    lanes.committed(fold.customer_id)

    assert (lanes.has_ready(LIVE), lanes.has_ready(BULK)) == (False, True)


def test_live_fold_that_is_retried_stays_live() -> None:
    """Its commands no longer wait, but they are as urgent as before."""
    lanes = lanes_with(a_command(0, priority=LIVE))
    fold = taken(lanes)
    lanes.retry(fold, due=0, now=0)

    assert (lanes.has_ready(LIVE), lanes.has_ready(BULK)) == (True, False)


def test_live_command_makes_a_retried_bulk_fold_urgent() -> None:
    """The fold must be settled before the edit behind it can be sent."""
    lanes = lanes_with(a_command(0, priority=BULK))
    fold = taken(lanes, BULK)
    lanes.retry(fold, due=0, now=0)
    lanes.add(a_command(1, priority=LIVE))

    assert taken(lanes, LIVE) is fold


def test_command_that_joins_costs_a_retried_lane_no_place() -> None:
    """Else a customer with steady bulk traffic would never come to its turn."""
    lanes = lanes_with(a_command(0, customer=0, priority=LIVE))
    lanes.retry(taken(lanes), due=0, now=0)
    lanes.add(a_command(1, customer=1, priority=LIVE))
    lanes.add(a_command(2, customer=0, priority=BULK))

    assert turns(lanes) == [customer_id(0), customer_id(1)]


def test_retry_gives_the_slot_back_until_it_is_due() -> None:
    """Other customers go on meanwhile; the same fold is tried again."""
    lanes = lanes_with(a_command(0, customer=0), a_command(1, customer=1))
    fold = taken(lanes)
    lanes.retry(fold, due=5.0, now=1.0)

    assert turns(lanes) == [customer_id(1)]
    assert lanes.next_due() == 5.0
    lanes.wake(4.9)
    assert not lanes.has_ready(LIVE)
    lanes.wake(5.0)
    assert lanes.next_due() is None
    assert taken(lanes) is fold


def test_retry_that_is_due_takes_its_turn_behind_those_who_wait() -> None:
    """Without a wait there is nothing to back off from, and no way to the front either."""
    lanes = lanes_with(a_command(0, customer=0), a_command(1, customer=1))
    lanes.retry(taken(lanes), due=1.0, now=1.0)

    assert lanes.next_due() is None
    assert turns(lanes) == [customer_id(1), customer_id(0)]


def test_commands_that_come_during_a_retry_wait_for_the_next_turn() -> None:
    """The fold that failed keeps its commands: its attempts are counted for them alone."""
    lanes = lanes_with(a_command(0))
    fold = taken(lanes)
    lanes.retry(fold, due=0, now=0)
    lanes.add(a_command(1))

    assert offsets(taken(lanes).commands) == [0]


def test_open_circuit_ends_all_backoff_in_the_order_of_the_dues() -> None:
    """Who may send is then decided by the circuit's probes alone."""
    lanes = lanes_with(*(a_command(number, customer=number) for number in range(3)))
    for due in (7.0, 3.0, 5.0):
        lanes.retry(taken(lanes), due=due, now=0)
    lanes.end_backoff()

    assert lanes.next_due() is None
    assert lanes.count(LaneState.BACKING_OFF) == 0
    assert turns(lanes) == [customer_id(1), customer_id(2), customer_id(0)]


def test_command_behind_an_accepted_prefix_is_tried_alone() -> None:
    """It is the suspect: whoever folds with it would be refused with it."""
    lanes = lanes_with(*(a_command(offset) for offset in range(4)))
    fold = taken(lanes)
    shorten(fold)
    shorten(fold)
    lanes.settle(fold, fold.tried)
    lanes.committed(fold.customer_id)

    suspect = taken(lanes)
    assert offsets(suspect.commands) == [2]
    lanes.settle(suspect, 1)
    lanes.committed(suspect.customer_id)
    assert offsets(taken(lanes).commands) == [3]


def test_commands_put_back_stand_before_those_that_came_later() -> None:
    """A prefix was settled; what is left of the fold comes first."""
    lanes = lanes_with(*(a_command(offset) for offset in range(3)), coalesce=True)
    fold = taken(lanes)
    lanes.add(a_command(3))
    shorten(fold)
    lanes.settle(fold, fold.tried)
    lanes.committed(fold.customer_id)
    suspect = taken(lanes)

    assert offsets(suspect.commands) == [2]
    lanes.settle(suspect, 1)
    lanes.committed(suspect.customer_id)
    assert offsets(taken(lanes).commands) == [3]


def test_command_put_back_is_as_urgent_as_before() -> None:
    """The live edit that was left out of a prefix still goes before bulk."""
    lanes = lanes_with(a_command(0, priority=BULK), a_command(1, priority=LIVE))
    fold = taken(lanes)
    shorten(fold)
    lanes.settle(fold, 1)
    lanes.committed(fold.customer_id)

    assert (lanes.has_ready(LIVE), lanes.has_ready(BULK)) == (True, False)


@pytest.mark.parametrize(
    ("now_ms", "expired"),
    [
        pytest.param(999, False, id="a millisecond before its time"),
        pytest.param(1_000, True, id="at its time"),
        pytest.param(1_001, True, id="after its time"),
    ],
)
def test_command_expires_when_it_is_not_begun_in_time(now_ms: int, expired: bool) -> None:
    """What counts is when its turn begins."""
    fold = taken(lanes_with(a_command(0, expires_at_ms=1_000)), now_ms=now_ms)

    assert bool(fold.changes()) is not expired
    if expired:
        (dead,) = fold.decided().fates
        assert isinstance(dead, Dead)
        assert (dead.reason, dead.status, dead.attempts) == (Reason.EXPIRED, None, 0)


def test_expired_command_leaves_the_fold_to_the_others() -> None:
    """Only what is still wanted is written."""
    lanes = lanes_with(a_command(0, {"city": "Ghent"}, expires_at_ms=5), a_command(1, {"zip": "9000"}))

    assert taken(lanes, now_ms=5).changes() == {"zip": "9000"}


def test_command_begun_in_time_does_not_expire_in_a_retry() -> None:
    """It may have been applied in part: only an outcome of the upstream's says what became of it."""
    lanes = lanes_with(a_command(0, expires_at_ms=1_000))
    lanes.retry(taken(lanes, now_ms=500), due=0, now=0)

    assert taken(lanes, now_ms=2_000).changes()


def test_command_begun_in_time_does_not_expire_when_its_fold_is_taken_apart() -> None:
    """It was sent with the others, and is tried again alone; one that joined later was never begun."""
    lanes = lanes_with(*(a_command(offset, expires_at_ms=1_000) for offset in range(4)))
    fold = taken(lanes, now_ms=500)
    shorten(fold)
    shorten(fold)
    lanes.add(a_command(4, expires_at_ms=1_000))
    lanes.settle(fold, 2)
    lanes.committed(fold.customer_id)

    suspect = taken(lanes, now_ms=2_000)
    assert suspect.changes() == {"note": "as of 2"}
    lanes.settle(suspect, 1)
    lanes.committed(suspect.customer_id)
    rest = taken(lanes, now_ms=2_000)
    assert offsets(rest.commands) == [3, 4]
    assert rest.changes() == {"note": "as of 3"}


def test_command_that_had_expired_stays_expired_when_its_fold_is_taken_apart() -> None:
    """It was in the fold, but not in what was sent."""
    lanes = lanes_with(a_command(0), a_command(1), a_command(2, expires_at_ms=1_000))
    fold = taken(lanes, now_ms=2_000)
    shorten(fold)
    lanes.settle(fold, 1)
    lanes.committed(fold.customer_id)
    suspect = taken(lanes, now_ms=2_000)
    lanes.settle(suspect, 1)
    lanes.committed(suspect.customer_id)

    rest = taken(lanes, now_ms=2_000)
    assert offsets(rest.commands) == [2]
    assert not rest.changes()


def test_lanes_that_are_gone_are_not_kept_in_memory() -> None:
    """Bulk lanes that a live edit overtakes, for hours: nothing is left behind in the queue of bulk."""
    lanes = Lanes(coalesce=True)

    def overtake(number: int) -> None:
        lanes.add(a_command(2 * number, customer=number, priority=BULK))
        lanes.add(a_command(2 * number + 1, customer=number, priority=LIVE))
        fold = taken(lanes)
        lanes.settle(fold, 2)
        lanes.committed(fold.customer_id)

    for number in range(1_000):
        overtake(number)
    gc.collect()

    assert sum(isinstance(thing, Lane) for thing in gc.get_objects()) < 10


def test_lane_beyond_the_horizon_waits_until_it_is_allowed() -> None:
    """What is not covered by a commit must not be sent: a successor would not know that it may have been."""
    lanes = lanes_with(a_command(10, customer=0), a_command(20, customer=1))
    lanes.allow(20)

    assert taken(lanes).customer_id == customer_id(0)
    assert lanes.take(LIVE, 0) is None
    assert not lanes.has_ready(LIVE)
    lanes.allow(21)
    assert turns(lanes) == [customer_id(1)]


def test_fold_ends_at_the_horizon() -> None:
    """Commands of one customer on both sides of it: those before it go, the others wait."""
    lanes = lanes_with(a_command(10), a_command(20))
    lanes.allow(20)
    fold = taken(lanes)

    assert offsets(fold.commands) == [10]
    lanes.settle(fold, 1)
    lanes.committed(fold.customer_id)
    assert lanes.take(LIVE, 0) is None
    lanes.allow(100)
    assert offsets(taken(lanes).commands) == [20]


def test_command_that_joins_a_lane_beyond_the_horizon_does_not_let_it_in() -> None:
    """Neither a bulk nor a live one."""
    lanes = lanes_with(a_command(10, priority=BULK))
    lanes.allow(5)
    assert lanes.take(BULK, 0) is None
    lanes.add(a_command(11, priority=BULK))
    lanes.add(a_command(12, priority=LIVE))

    assert not lanes.has_ready(BULK)
    assert not lanes.has_ready(LIVE)
    lanes.allow(11)
    assert offsets(taken(lanes, LIVE).commands) == [10]


def test_retry_needs_no_further_leave() -> None:
    """Its commands were below the horizon when it was begun."""
    lanes = lanes_with(a_command(10))
    fold = taken(lanes)
    lanes.allow(5)
    lanes.retry(fold, due=0, now=0)

    assert taken(lanes) is fold


def test_what_a_predecessor_may_have_sent_together_is_folded() -> None:
    """Whatever COALESCE says now, and however much it is: sent in parts, the customer would move back."""
    lanes = Lanes(coalesce=False, fold_below=LARGEST_FOLD + 5)
    for offset in range(LARGEST_FOLD + 7):
        lanes.add(a_command(offset))
    fold = taken(lanes)
    lanes.settle(fold, LARGEST_FOLD + 5)
    lanes.committed(fold.customer_id)

    assert len(fold.commands) == LARGEST_FOLD + 5
    assert offsets(taken(lanes).commands) == [LARGEST_FOLD + 5]


def test_fold_is_as_large_as_there_is_room_for() -> None:
    """But never empty, and what must be repeated together is never torn apart."""
    lanes = Lanes(coalesce=True, fold_below=2)
    for offset in range(4):
        lanes.add(a_command(offset, customer=0))
        lanes.add(a_command(10 + offset, customer=1))

    assert offsets(lanes.take(LIVE, 0, most=1).commands) == [0, 1]  # type: ignore[union-attr]  # there is one
    assert offsets(lanes.take(LIVE, 0, most=3).commands) == [10, 11, 12]  # type: ignore[union-attr]  # as above


def test_oldest_goes_first_whatever_its_priority() -> None:
    """It holds the committed offset back."""
    lanes = lanes_with(
        a_command(2, customer=2), a_command(0, customer=0, priority=BULK), a_command(1, customer=1), a_command(9)
    )
    first = lanes.oldest()
    oldest = lanes.take_oldest(0, most=5)
    second = lanes.oldest()

    assert (first, second) == (0, 1)
    assert offsets(oldest.commands) == [0, 9]


def test_oldest_is_found_among_those_that_became_ready_meanwhile() -> None:
    """A retry that is due, a commit that was made, a command that came."""
    lanes = lanes_with(a_command(0), a_command(1, customer=1), a_command(5, customer=5))
    assert lanes.oldest() == 0
    waiting = lanes.take_oldest(0, most=5)
    lanes.retry(waiting, due=10, now=0)
    assert lanes.oldest() == 1
    lanes.wake(10)
    assert lanes.oldest() == 0
    assert lanes.take_oldest(0, most=5) is waiting
    lanes.settle(waiting, 1)
    lanes.committed(waiting.customer_id)
    lanes.add(a_command(7))

    assert lanes.oldest() == 1


def test_oldest_heeds_the_horizon() -> None:
    """Nothing beyond it is sent, be it the oldest."""
    lanes = lanes_with(a_command(3), a_command(4, customer=1))
    lanes.allow(3)
    assert lanes.oldest() is None
    lanes.allow(4)

    assert lanes.oldest() == 3


def test_nobody_waits_so_nobody_is_the_oldest() -> None:
    """Nor is one that others have taken."""
    lanes = lanes_with(a_command(0))
    assert lanes.oldest() == 0
    taken(lanes)

    assert lanes.oldest() is None


def test_fold_goes_on_with_what_a_predecessor_tried() -> None:
    """Told in each commit, before its turn, while it is under way, and while it waits for the next try."""
    earlier = Tried(3, 4.5, 0, (0, 3))
    lanes = Lanes(coalesce=True, tried={7: earlier, 99: Tried(1, 0.5)})
    lanes.add(a_command(7))
    assert lanes.tried() == [(7, earlier), (99, Tried(1, 0.5))]
    fold = taken(lanes)
    assert fold.in_vain == earlier
    assert lanes.tried() == [(7, earlier), (99, Tried(1, 0.5))]
    fold.attempts = 4
    lanes.retry(fold, due=1, now=0)
    assert lanes.tried()[0] == (7, Tried(4, 4.5, 0, (0, 3)))
    lanes.settle(fold, 1)

    assert lanes.tried() == [(99, Tried(1, 0.5))]


def test_wait_that_is_no_attempt_is_not_told() -> None:
    """A 429, an open circuit, a customer that is busy."""
    lanes = lanes_with(a_command(0))
    lanes.retry(taken(lanes), due=1, now=0)

    assert lanes.tried() == []


def test_repr_shows_the_states() -> None:
    """What a person sees in a debugger or a log."""
    lanes = lanes_with(a_command(0, customer=0), a_command(1, customer=1))
    taken(lanes)

    assert repr(lanes) == "<Lanes ready=1 taken=1>"


class Model:
    """One customer as the machine below sees it."""

    def __init__(self) -> None:
        self.waiting: deque[Command] = deque()
        self.state = LaneState.READY
        self.fold: Fold | None = None
        self.due = (0.0, 0)
        self.is_suspect = False
        self.queued_as: Priority | None = None

    @property
    def first(self) -> int:
        """The offset of the next command."""
        return self.waiting[0].record.offset

    @property
    def urgency(self) -> Priority:
        """Live if anything in it is."""
        commands = [*self.waiting, *(self.fold.commands if self.fold else ())]
        return LIVE if any(command.priority is LIVE for command in commands) else BULK


class TurnsOfCustomers(RuleBasedStateMachine):
    """Every command of every customer, in order, once; turns strictly in the order in which lanes became ready."""

    @initialize(coalesce=st.booleans(), fold_below=st.integers(min_value=0, max_value=8))
    def begin(self, coalesce: bool, fold_below: int) -> None:
        self.coalesce = coalesce
        self.fold_below = fold_below
        self.lanes = Lanes(coalesce=coalesce, fold_below=fold_below)
        self.horizon = 3
        self.lanes.allow(3)
        self.parked: list[str] = []
        self.models: dict[str, Model] = {}
        self.queues: dict[Priority, list[str]] = {LIVE: [], BULK: []}
        self.now = 0.0
        self.tickets = 0
        self.next_offset = 0
        self.settled: dict[str, list[int]] = {}

    def make_ready(self, name: str) -> None:
        model = self.models[name]
        model.state = LaneState.READY
        if model.queued_as is not None:
            self.queues[model.queued_as].remove(name)
        model.queued_as = model.urgency
        self.queues[model.queued_as].append(name)

    def in_state(self, state: LaneState) -> list[str]:
        return [name for name, model in self.models.items() if model.state is state]

    @rule(customer=st.integers(min_value=0, max_value=3), priority=st.sampled_from(Priority))
    def add(self, customer: int, priority: Priority) -> None:
        command = a_command(self.next_offset, customer=customer, priority=priority)
        self.next_offset += 1
        self.lanes.add(command)
        name = command.customer_id
        is_new = name not in self.models
        model = self.models.setdefault(name, Model())
        model.waiting.append(command)
        if is_new or (model.queued_as is not None and model.queued_as is not model.urgency):
            self.make_ready(name)

    @rule(offsets=st.integers(min_value=0, max_value=6))
    def move_horizon(self, offsets: int) -> None:
        self.horizon += offsets
        self.lanes.allow(self.horizon)
        allowed = [name for name in self.parked if self.models[name].first < self.horizon]
        for name in sorted(allowed, key=lambda name: self.models[name].first):
            self.parked.remove(name)
            self.make_ready(name)

    @rule(priority=st.sampled_from(Priority))
    def take(self, priority: Priority) -> None:
        fold = self.lanes.take(priority, now_ms=0)

        while self.queues[priority]:
            model = self.models[self.queues[priority][0]]
            if model.fold is not None or model.first < self.horizon:
                break
            model.queued_as = None
            self.parked.append(self.queues[priority].pop(0))
        else:
            assert fold is None
            return
        assert fold is not None
        name = self.queues[priority].pop(0)
        model = self.models[name]
        model.queued_as = None
        model.state = LaneState.TAKEN
        assert fold.customer_id == name
        if model.fold is not None:
            assert fold is model.fold
            return
        expected = self.next_fold(model)
        assert list(fold.commands) == expected
        for _ in expected:
            model.waiting.popleft()
        model.is_suspect = False
        model.fold = fold

    def next_fold(self, model: Model) -> list[Command]:
        if model.is_suspect:
            return [model.waiting[0]]
        below = max(self.horizon, self.fold_below) if self.coalesce else self.fold_below
        return list(model.waiting)[: max(1, sum(command.record.offset < below for command in model.waiting))]

    @precondition(lambda self: self.in_state(LaneState.TAKEN))
    @rule(data=st.data(), wait=st.sampled_from([0.0, 0.5, 2.0, 2.0]))
    def retry(self, data: st.DataObject, wait: float) -> None:
        name = data.draw(st.sampled_from(self.in_state(LaneState.TAKEN)))
        model = self.models[name]
        assert model.fold is not None
        self.lanes.retry(model.fold, due=self.now + wait, now=self.now)
        if wait:
            self.tickets += 1
            model.state = LaneState.BACKING_OFF
            model.due = (self.now + wait, self.tickets)
        else:
            self.make_ready(name)

    @precondition(lambda self: self.in_state(LaneState.TAKEN))
    @rule(data=st.data())
    def refuse(self, data: st.DataObject) -> None:
        """The fold is shortened, which its lane learns when it is settled."""
        model = self.models[data.draw(st.sampled_from(self.in_state(LaneState.TAKEN)))]
        assert model.fold is not None
        if model.fold.tried > 1:
            shorten(model.fold)

    @precondition(lambda self: self.in_state(LaneState.TAKEN))
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.in_state(LaneState.TAKEN)))
        model = self.models[name]
        fold = model.fold
        assert fold is not None
        self.lanes.settle(fold, fold.tried)
        self.settled.setdefault(name, []).extend(offsets(fold.commands[: fold.tried]))
        left = fold.commands[fold.tried :]
        model.waiting.extendleft(reversed(left))
        model.is_suspect = bool(left)
        model.fold = None
        model.state = LaneState.COMMITTING

    @precondition(lambda self: self.in_state(LaneState.COMMITTING))
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.in_state(LaneState.COMMITTING)))
        self.lanes.committed(name)
        if self.models[name].waiting:
            self.make_ready(name)
        else:
            del self.models[name]

    @rule(seconds=st.sampled_from([0.4, 1.0, 5.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.lanes.wake(self.now)
        for name in sorted(self.in_state(LaneState.BACKING_OFF), key=lambda name: self.models[name].due):
            if self.models[name].due[0] <= self.now:
                self.make_ready(name)

    @rule()
    def end_backoff(self) -> None:
        self.lanes.end_backoff()
        for name in sorted(self.in_state(LaneState.BACKING_OFF), key=lambda name: self.models[name].due):
            self.make_ready(name)

    @invariant()
    def states_are_counted(self) -> None:
        for state in LaneState:
            assert self.lanes.count(state) == len(self.in_state(state))
        assert {lane.customer_id: lane.state for lane in self.lanes} == {
            name: model.state for name, model in self.models.items()
        }
        assert len(self.lanes) == len(self.models)

    @invariant()
    def ready_lanes_are_known_by_their_urgency(self) -> None:
        for priority in Priority:
            assert self.lanes.has_ready(priority) == bool(self.queues[priority])

    @invariant()
    def next_retry_is_known(self) -> None:
        dues = [self.models[name].due[0] for name in self.in_state(LaneState.BACKING_OFF)]
        assert self.lanes.next_due() == min(dues, default=None)

    @invariant()
    def nothing_is_lost_or_done_twice_and_order_holds(self) -> None:
        seen: list[int] = []
        for name in {*self.models, *self.settled}:
            model = self.models.get(name, Model())
            under_way = offsets(model.fold.commands) if model.fold else []
            story = [*self.settled.get(name, []), *under_way, *offsets(model.waiting)]
            assert story == sorted(story)
            seen += story
        assert sorted(seen) == list(range(self.next_offset))


TestTurnsOfCustomers = TurnsOfCustomers.TestCase
