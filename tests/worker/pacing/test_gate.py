"""Whether a turn may begin, by everything the upstream has shown so far."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from harness.builders import a_customer, customer_id
from worker.pacing.circuit_breaker import CircuitState
from worker.pacing.gate import SUSPICIOUS_STRANGERS, Gate, Pass
from worker.pacing.rate_budget import RateBudget
from worker.upstream.answers import (
    Answer,
    ContractBroken,
    DeploymentFault,
    NotFound,
    Ok,
    Quota,
    RateLimited,
    Rejected,
    Request,
    Unavailable,
)

GET, PATCH = Request.GET, Request.PATCH
CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN
OK = Ok(a_customer())
DOWN = Unavailable(503, "status")
REFUSED_TOKEN = DeploymentFault(401, "the token is not accepted")
NO_SCOPE = DeploymentFault(403, "scope missing")


@dataclass
class Changes:
    """What the gate has announced."""

    seen: list[tuple[str, CircuitState]]

    def note(self, breaker: str, state: CircuitState, _reason: str) -> None:
        """Takes one announcement."""
        self.seen.append((breaker, state))


def a_gate(
    *, limit: int = 0, concurrency: int = 64, on_change: Callable[[str, CircuitState, str], None] | None = None
) -> Gate:
    """A gate that nobody limits, by default."""
    budget = RateBudget(limit=limit, window_seconds=600)
    return Gate(budget=budget, max_concurrency=concurrency, on_change=on_change or (lambda _name, _state, _why: None))


def enter(gate: Gate, customer: int = 0, now: float = 0.0) -> Pass:
    """A turn that may begin, begins."""
    assert gate.admit(now)
    return gate.enter(customer_id(customer), now)


def turn(gate: Gate, answers: Sequence[Answer], customer: int = 0, now: float = 0.0) -> Pass:
    """A whole turn: its GET, and its PATCH where a second answer is named."""
    pass_ = enter(gate, customer, now)
    for request, answer in zip((GET, PATCH), answers, strict=False):
        gate.record(pass_, request, answer, now, 0.1)
    gate.leave(pass_, now)
    return pass_


def gate_after_outage(request: Request, now: float = 0.0) -> Gate:
    """A gate whose circuit for *request* has just opened: three customers failed."""
    gate = a_gate()
    for customer in range(3):
        turn(gate, [DOWN] if request is GET else [OK, DOWN], customer, now)
    assert gate.circuit(request) is OPEN
    return gate


def test_turns_are_bounded_in_number() -> None:
    """UPSTREAM_MAX_CONCURRENCY; a turn that leaves makes room."""
    gate = a_gate(concurrency=2)
    first, _ = enter(gate, 0), enter(gate, 1)

    assert not gate.admit(0.0)
    assert gate.next_change_at(0.0) is None, "time alone changes nothing"
    gate.leave(first, 0.0)
    assert gate.admit(0.0)


def test_turn_begins_only_with_both_its_requests() -> None:
    """A GET must not wait a window for its PATCH."""
    gate = a_gate(limit=6)
    turn(gate, [OK])
    enter(gate)
    enter(gate)

    assert not gate.admit(0.0), "one request is left"


def test_requests_that_were_not_sent_are_given_back() -> None:
    """A change that changes nothing costs no PATCH."""
    gate = a_gate(limit=5)
    turn(gate, [OK])
    turn(gate, [NotFound()])
    turn(gate, [OK])

    assert gate.budget.remaining(0.0) == 2


def test_turn_that_is_cut_short_gives_back_what_it_did_not_use() -> None:
    """Cancelled before its first answer, or between its two."""
    gate = a_gate(limit=6)
    cut = enter(gate)
    gate.leave(cut, 0.0)
    cut = enter(gate)
    gate.record(cut, GET, OK, 0.0)
    gate.leave(cut, 0.0)

    assert gate.under_way == 0
    assert gate.budget.remaining(0.0) == 5


def test_entering_without_leave_is_a_mistake_of_the_program() -> None:
    """Not admitted by the budget, or by a circuit."""
    with pytest.raises(RuntimeError, match="without admit"):
        a_gate(limit=1).enter(customer_id(0), 0.0)
    with pytest.raises(RuntimeError, match="without admit"):
        gate_after_outage(GET).enter(customer_id(0), 0.0)


def test_upstream_s_own_figures_bound_the_turns() -> None:
    """An operator of the upstream has lowered the limit, or others spend from it."""
    gate = a_gate(limit=1_000)
    turn(gate, [Ok(a_customer(), Quota(limit=1_000, remaining=3, window_seconds=600, reset_seconds=60))], now=5.0)

    assert gate.admit(5.0)
    enter(gate, now=5.0)
    assert not gate.admit(5.0)
    assert gate.next_change_at(5.0) == pytest.approx(65.0, abs=2.0)


def test_limit_that_is_too_small_for_any_update_holds_everything() -> None:
    """It is said, and the worker is not ready, rather than that it stands still; a higher limit ends it."""
    gate = a_gate(limit=1_000)
    turn(gate, [Ok(a_customer(), Quota(limit=1, remaining=0, window_seconds=60, reset_seconds=60))], now=5.0)

    assert gate.held_for == "the upstream allows 1 request a window; a safe update takes a GET and a PATCH"
    assert not gate.admit(60.0)
    assert gate.admit(70.0)
    turn(gate, [Ok(a_customer(), Quota(limit=1, remaining=0, window_seconds=60, reset_seconds=60))], now=70.0)
    assert gate.held_for
    turn(gate, [Ok(a_customer(), Quota(limit=2, remaining=1, window_seconds=60, reset_seconds=60))], now=140.0)
    assert not gate.held_for


def test_refusal_for_the_rate_stops_everybody_until_the_time_it_names() -> None:
    """429 is no failure: no circuit opens for it."""
    gate = a_gate(limit=1_000)
    turn(gate, [OK])
    for pass_ in [enter(gate, customer) for customer in range(5)]:
        gate.record(pass_, GET, RateLimited(30.0), 0.0)
        gate.leave(pass_, 0.0)

    assert gate.is_open
    assert not gate.admit(29.9)
    assert gate.next_change_at(0.0) == 30.0
    assert gate.admit(30.0)


def test_probe_waits_for_the_budget_as_everybody_does() -> None:
    """Both must allow it: the later of the two moments counts."""
    gate = a_gate()
    late = enter(gate, 7)
    for customer in range(3):
        turn(gate, [DOWN], customer)
    gate.record(late, GET, RateLimited(30.0), 0.1)
    gate.leave(late, 0.1)

    assert gate.next_change_at(0.1) == 30.1
    assert not gate.admit(30.0)
    assert gate.admit(30.1)


@pytest.mark.parametrize("request_", [GET, PATCH])
def test_circuit_opens_when_most_customers_fail(request_: Request) -> None:
    """One for each kind of request: after a failover GETs can work while PATCHes fail."""
    changes = Changes([])
    gate = a_gate(on_change=changes.note)
    failing: list[Answer] = [DOWN] if request_ is GET else [OK, DOWN]
    turn(gate, failing, 0)
    turn(gate, failing, 1)

    assert gate.is_open
    turn(gate, failing, 2)
    assert gate.circuit(request_) is OPEN
    assert gate.circuit(PATCH if request_ is GET else GET) is CLOSED
    assert changes.seen == [(request_.value, OPEN)]
    assert not gate.held_for
    assert not gate.admit(0.4)
    assert gate.next_change_at(0.0) == 0.5


@pytest.mark.parametrize(
    "answer",
    [
        Rejected(400, "no"),
        NotFound(),
        ContractBroken(200, "no customer"),
        pytest.param(RateLimited(0.0), id="RateLimited"),
    ],
    ids=lambda answer: type(answer).__name__,
)
def test_answers_that_say_nothing_of_an_outage_open_no_circuit(answer: Answer) -> None:
    """The upstream works: it refuses."""
    gate = a_gate()
    for customer in range(10):
        turn(gate, [answer], customer)

    assert gate.is_open


def test_one_failing_customer_opens_no_circuit() -> None:
    """However often it is tried: it may be the command."""
    gate = a_gate()
    for _ in range(50):
        turn(gate, [OK, DOWN], customer=1)

    assert gate.is_open


def test_one_probe_at_a_time_asks_about_all_that_is_open() -> None:
    """Nobody else begins before it has been answered, however long that takes."""
    gate = gate_after_outage(GET)
    probe = enter(gate, now=0.5)

    assert probe.is_probe
    assert gate.circuit(GET) is HALF_OPEN
    assert not gate.admit(99.0)
    assert gate.next_change_at(99.0) is None, "its answer changes something, time does not"


@pytest.mark.parametrize("request_", [GET, PATCH])
def test_good_probe_lets_everybody_go_again(request_: Request) -> None:
    """The answer must be of the kind that failed."""
    changes = Changes([])
    gate = a_gate(on_change=changes.note)
    for customer in range(3):
        turn(gate, [DOWN] if request_ is GET else [OK, DOWN], customer)
    probe = enter(gate, now=0.5)
    gate.record(probe, GET, OK, 0.6)

    assert gate.is_open == (request_ is GET)
    gate.record(probe, PATCH, OK, 0.7)
    assert gate.is_open
    assert changes.seen == [(request_.value, OPEN), (request_.value, CLOSED)]
    gate.leave(probe, 0.7)
    assert not enter(gate, now=0.7).is_probe


def test_failing_probe_makes_the_next_pause_longer() -> None:
    """1 s, then 2 s and no longer."""
    gate = gate_after_outage(GET)
    dues = []
    now = 0.5
    for _ in range(3):
        turn(gate, [DOWN], 7, now)
        due = gate.next_change_at(now)
        assert due is not None
        dues.append(due - now)
        now = due

    assert dues == [1.0, 2.0, 2.0]


def test_probe_with_nothing_to_write_makes_room_for_another() -> None:
    """It found out nothing about PATCHes, but a command was settled by it: no pause is needed."""
    gate = gate_after_outage(PATCH)
    turn(gate, [OK], 7, now=0.5)

    assert gate.circuit(PATCH) is OPEN
    assert gate.admit(0.5)


def test_probe_that_is_cut_short_leaves_nothing_half_open() -> None:
    """A turn that is cancelled must not keep the circuit for ever."""
    gate = gate_after_outage(GET)
    gate.leave(enter(gate, now=0.5), 0.6)

    assert gate.circuit(GET) is OPEN
    assert gate.admit(0.6)


def test_probe_that_fails_before_it_reaches_what_it_asks_about_waits_longer_all_the_same() -> None:
    """PATCHes failed, and now GETs fail too: else one customer's probes would go out in a hot loop."""
    gate = gate_after_outage(PATCH)
    turn(gate, [DOWN], 7, now=0.5)

    assert not gate.admit(1.49)
    assert gate.next_change_at(0.5) == 1.5


def test_held_worker_spares_an_upstream_that_is_down_as_well() -> None:
    """Held for its token, and then no connection comes about: the probes' pauses grow."""
    gate = a_gate()
    turn(gate, [REFUSED_TOKEN])
    turn(gate, [Unavailable(None, "connect")], now=0.5)

    assert not gate.admit(1.49)
    assert gate.next_change_at(0.5) == 1.5


def test_time_until_the_probe_is_not_told_while_another_breaker_is_probed() -> None:
    """Told a moment in the past, whoever waits for it would not wait at all."""
    gate = a_gate()
    old = enter(gate, 3)
    for customer in range(3):
        turn(gate, [OK, DOWN], customer)
    enter(gate, 4, now=0.5)
    gate.record(old, GET, REFUSED_TOKEN, 0.6)

    assert gate.next_change_at(5.0) is None


def test_probe_that_is_due_is_not_waited_for() -> None:
    """Nobody is ready to go: time alone changes nothing any more."""
    gate = gate_after_outage(GET)

    assert gate.admit(5.0)
    assert gate.next_change_at(5.0) is None


def test_late_answers_of_an_earlier_state_count_for_nothing() -> None:
    """Requests that were under way when the circuit opened neither close it nor disturb its probes."""
    gate = a_gate()
    late = [enter(gate, 10 + number) for number in range(6)]
    for customer in range(3):
        turn(gate, [DOWN], customer)
    gate.record(late[0], GET, OK, 0.1)
    gate.leave(late[0], 0.1)

    assert gate.circuit(GET) is OPEN
    probe = enter(gate, 5, now=0.5)
    gate.record(late[1], GET, OK, 0.6)
    gate.record(late[2], GET, DOWN, 0.6)
    gate.leave(late[1], 0.6)
    gate.leave(late[2], 0.6)
    assert gate.circuit(GET) is HALF_OPEN
    gate.record(probe, GET, OK, 0.7)
    for pass_ in late[3:]:
        gate.record(pass_, GET, DOWN, 0.7)
    assert gate.is_open


def test_failures_before_an_outage_do_not_open_the_circuit_after_it() -> None:
    """What was seen belongs to a state that has ended."""
    gate = gate_after_outage(GET)
    turn(gate, [OK], 9, now=0.5)
    turn(gate, [DOWN], 0, now=0.6)
    turn(gate, [DOWN], 1, now=0.6)

    assert gate.is_open


def test_turn_goes_on_to_its_patch_only_while_nothing_has_opened() -> None:
    """The PATCH would be sent into an outage, or with a token that is refused."""
    gate = a_gate()
    before = enter(gate, 9)
    assert gate.may_patch(before)
    for customer in range(3):
        turn(gate, [OK, DOWN], customer)

    assert not gate.may_patch(before)
    assert gate.may_patch(enter(gate, now=0.5)), "the probe is to find out"


def test_turn_does_not_write_with_a_token_that_was_refused_meanwhile() -> None:
    """The hold concerns every customer."""
    gate = a_gate()
    before = enter(gate, 9)
    turn(gate, [REFUSED_TOKEN])

    assert not gate.may_patch(before)


@pytest.mark.parametrize("fault", [REFUSED_TOKEN, NO_SCOPE, DeploymentFault(302, "moved")], ids=lambda f: str(f.status))
def test_fault_of_the_deployment_holds_everything_at_once(fault: DeploymentFault) -> None:
    """One answer is enough: it concerns every customer."""
    changes = Changes([])
    gate = a_gate(on_change=changes.note)
    turn(gate, [fault])

    assert gate.held_for == f"{fault.status}: {fault.message}"
    assert not gate.is_open
    assert not gate.admit(0.4)
    assert changes.seen == [("hold", OPEN)]


def test_hold_ends_with_the_first_good_answer_to_what_was_refused() -> None:
    """A corrected token."""
    changes = Changes([])
    gate = a_gate(on_change=changes.note)
    turn(gate, [REFUSED_TOKEN])
    turn(gate, [REFUSED_TOKEN], now=0.5)
    turn(gate, [OK], now=1.5)

    assert gate.held_for == ""
    assert gate.is_open
    assert changes.seen == [("hold", OPEN), ("hold", CLOSED)]


def test_hold_for_a_missing_scope_to_write_does_not_end_with_a_read() -> None:
    """The scope to read was never in doubt."""
    gate = a_gate()
    turn(gate, [OK, NO_SCOPE])
    turn(gate, [OK], now=0.5)

    assert gate.held_for
    turn(gate, [OK, OK], now=0.6)
    assert not gate.held_for


def test_server_error_ends_a_hold_too() -> None:
    """It comes from behind the door that was closed: where only a poisoned customer waits there is no better answer."""
    gate = a_gate()
    turn(gate, [REFUSED_TOKEN])
    turn(gate, [Unavailable(502, "status")], now=0.5)
    assert gate.held_for, "a gateway's answer may come from before the door"
    turn(gate, [Unavailable(500, "status")], now=1.5)

    assert not gate.held_for
    assert gate.is_open


def test_corrected_token_is_tried_at_once() -> None:
    """Whoever mended the deployment need not wait for the next probe."""
    gate = a_gate()
    turn(gate, [REFUSED_TOKEN])
    turn(gate, [REFUSED_TOKEN], now=0.5)
    gate.probe_now(0.6)

    assert gate.admit(0.6)


def test_requests_under_way_when_the_hold_began_do_not_end_it() -> None:
    """They were sent before; nor do their refusals begin another."""
    gate = a_gate()
    late, later = enter(gate, 1), enter(gate, 2)
    turn(gate, [REFUSED_TOKEN])
    gate.record(late, GET, OK, 0.1)
    gate.leave(late, 0.1)

    assert gate.held_for
    turn(gate, [OK], now=0.5)
    gate.record(later, GET, REFUSED_TOKEN, 0.6)
    gate.leave(later, 0.6)
    assert not gate.held_for, "that refusal is older than the good answer's request"


@pytest.mark.parametrize("answer", [NotFound(), ContractBroken(200, "no customer")], ids=["404", "contract"])
def test_twenty_strangers_before_the_first_good_answer_are_no_coincidence(answer: Answer) -> None:
    """A wrong address, or another team's token: held as for 401."""
    gate = a_gate()
    for customer in range(SUSPICIOUS_STRANGERS - 1):
        turn(gate, [answer], customer)
    turn(gate, [answer], 0)

    assert not gate.held_for, "one of them was asked twice"
    turn(gate, [answer], 99)
    what = "404" if isinstance(answer, NotFound) else "an answer that is no customer"
    assert gate.held_for == f"{what} for {SUSPICIOUS_STRANGERS} customers and no good answer yet"
    assert not gate.is_proven
    turn(gate, [answer], 100, now=0.5)
    assert not gate.admit(1.4), "another stranger is no news"
    turn(gate, [OK], 101, now=1.5)
    assert not gate.held_for
    assert gate.is_proven


def test_strangers_after_a_good_answer_are_strangers() -> None:
    """Customers are deleted, in numbers too."""
    gate = a_gate()
    turn(gate, [OK], 1_000)
    for customer in range(3 * SUSPICIOUS_STRANGERS):
        turn(gate, [NotFound()], customer)

    assert gate.is_open
    assert gate.is_proven


def test_others_succeed_means_another_customer_since_then() -> None:
    """With the same kind of request: it tells a poisonous command from an outage."""
    gate = a_gate()
    turn(gate, [OK, OK], 1, now=5.0)
    turn(gate, [OK], 2, now=6.0)

    assert gate.others_succeed(PATCH, customer_id(2), since=5.0)
    assert not gate.others_succeed(PATCH, customer_id(2), since=5.1)
    assert not gate.others_succeed(PATCH, customer_id(1), since=0.0)
    assert gate.others_succeed(GET, customer_id(1), since=6.0)
    turn(gate, [OK, OK], 3, now=7.0)
    turn(gate, [OK, OK], 1, now=8.0)
    assert gate.others_succeed(PATCH, customer_id(1), since=7.0)
    assert not gate.others_succeed(PATCH, customer_id(1), since=7.1)


def test_overload_lowers_the_number_of_turns_and_poison_does_not() -> None:
    """A 500 may be the command's own fault; a timeout is the upstream's."""
    gate = a_gate(concurrency=100)
    turn(gate, [OK, Unavailable(500, "status")])
    assert gate.concurrency.limit == 100
    turn(gate, [OK, Unavailable(None, "timeout")])

    assert gate.concurrency.limit == 90


def test_bulk_waits_where_live_need_not() -> None:
    """Its pace and the reserve for live commands are the budget's; the gate says when it may go on."""
    gate = a_gate(limit=100)
    pass_ = gate.enter(customer_id(0), 0.0, is_bulk=True)
    gate.record(pass_, GET, Ok(a_customer(), Quota(100, 99, 600, 600)), 0.0)
    gate.leave(pass_, 0.0)

    assert gate.admit(0.0)
    assert not gate.admits_bulk(0.0)
    due = gate.next_change_at(0.0)
    assert due is not None
    assert due > 0.0
    assert gate.admits_bulk(due)


class GateUnderRandomAnswers(RuleBasedStateMachine):
    """Turns begin, are answered, fail, are cut short, in any order: nothing leaks, and nothing gets stuck."""

    LIMIT = 60

    @initialize()
    def begin(self) -> None:
        self.gate = a_gate(limit=self.LIMIT, concurrency=8)
        self.now = 0.0
        self.under_way: list[tuple[Pass, int]] = []
        self.sent = 0
        self.blocked_until = 0.0

    @rule(customer=st.integers(min_value=0, max_value=5))
    def begin_turn(self, customer: int) -> None:
        if self.gate.admit(self.now):
            self.under_way.append((self.gate.enter(customer_id(customer), self.now), 0))

    @precondition(lambda self: self.under_way)
    @rule(
        data=st.data(),
        answer=st.sampled_from(
            [OK, OK, DOWN, DOWN, Unavailable(500, "status"), NotFound(), Rejected(400, "no"), REFUSED_TOKEN, "429"]
        ),
    )
    def answer(self, data: st.DataObject, answer: Answer | str) -> None:
        position = data.draw(st.integers(min_value=0, max_value=len(self.under_way) - 1))
        pass_, sent = self.under_way.pop(position)
        self.sent += 1
        if isinstance(answer, str):
            answer = RateLimited(2.0)
            self.blocked_until = max(self.blocked_until, self.now + 2.0)
        self.gate.record(pass_, (GET, PATCH)[sent], answer, self.now, 0.1)
        if sent == 0 and isinstance(answer, Ok) and self.gate.may_patch(pass_):
            self.under_way.append((pass_, 1))
        else:
            self.gate.leave(pass_, self.now)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def cut_short(self, data: st.DataObject) -> None:
        """Cancelled, or with nothing to write."""
        pass_, _ = self.under_way.pop(data.draw(st.integers(min_value=0, max_value=len(self.under_way) - 1)))
        self.gate.leave(pass_, self.now)

    @rule(seconds=st.sampled_from([0.1, 0.5, 2.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def mend(self) -> None:
        self.gate.probe_now(self.now)

    @invariant()
    def turns_are_counted_and_bounded(self) -> None:
        assert self.gate.under_way == len(self.under_way) <= 8

    @invariant()
    def one_probe_is_under_way(self) -> None:
        half_open = any(self.gate.circuit(request) is HALF_OPEN for request in Request)
        assert not half_open or any(pass_.is_probe for pass_, _ in self.under_way)

    @invariant()
    def whoever_waits_for_time_waits_for_the_future(self) -> None:
        due = self.gate.next_change_at(self.now)
        assert due is None or due > self.now

    @invariant()
    def nothing_is_stuck(self) -> None:
        """With nobody under way, time alone lets the next turn begin."""
        if self.under_way:
            return
        now = self.now
        for _ in range(10):
            if self.gate.admit(now):
                return
            due = self.gate.next_change_at(now)
            assert due is not None
            assert due <= now + 700
            now = due
        raise AssertionError("no turn may begin, whatever time passes")

    def teardown(self) -> None:
        """Every granted request was answered or given back."""
        if not hasattr(self, "gate"):
            return
        for pass_, _ in self.under_way:
            self.gate.leave(pass_, self.now)
        # The window that follows is whole, but for the request that asks: whatever were still taken would be missing.
        budget, later = self.gate.budget, self.now + 1_300
        assert budget.grant(1, later)
        budget.answered(later)
        assert budget.remaining(later) == self.LIMIT - 1


def test_an_answer_that_comes_after_its_window_costs_the_next_window_alone() -> None:
    """It may have been counted in either; the window after that one is whole again."""
    gate = a_gate(limit=60, concurrency=8)
    turn(gate, [OK, OK], 0, now=0.0)
    late, refused = gate.enter(customer_id(1), 0.0), gate.enter(customer_id(2), 0.0)
    gate.record(refused, GET, RateLimited(2.0), 0.0, 0.1)
    gate.leave(refused, 0.0)
    gate.record(late, GET, OK, 2.0, 2.0)
    gate.leave(late, 2.0)

    assert gate.budget.left_in_window(2.0) == 59
    assert gate.budget.left_in_window(700.0) == 60


TestGateUnderRandomAnswers = GateUnderRandomAnswers.TestCase
