"""When the upstream as a whole is failing, and when it is asked again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from worker.pacing.circuit_breaker import Admission, CircuitBreaker, CircuitState, FailureWindow

CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN


def tripped(now: float = 0.0, *, first: float = 0.5, longest: float = 2.0) -> CircuitBreaker:
    """A breaker that has just opened."""
    breaker = CircuitBreaker(first_pause_seconds=first, longest_pause_seconds=longest)
    assert breaker.trip("most GET requests fail", now)
    return breaker


def probe(breaker: CircuitBreaker, now: float) -> Admission:
    """The leave for the probe that is due."""
    admission = breaker.admit(now)
    assert admission is not None
    assert admission.is_probe
    return admission


def test_closed_breaker_admits_everybody() -> None:
    """Nobody is a probe."""
    breaker = CircuitBreaker()

    assert breaker.state is CLOSED
    assert breaker.admit(0.0) == breaker.admit(0.0) == Admission(0, is_probe=False)
    assert breaker.next_probe_at() is None
    assert breaker.reason == ""


def test_open_breaker_admits_nobody_during_its_pause() -> None:
    """And says why, and when it will."""
    breaker = tripped(10.0)

    assert breaker.state is OPEN
    assert breaker.reason == "most GET requests fail"
    assert breaker.admit(10.49) is None
    assert breaker.next_probe_at() == 10.5


def test_one_probe_is_under_way_at_a_time() -> None:
    """The upstream that struggles is not met by everybody who waited."""
    breaker = tripped()
    probe(breaker, 0.5)

    assert breaker.state is HALF_OPEN
    assert breaker.admit(99.0) is None
    assert breaker.next_probe_at() is None


def test_good_probe_closes_the_circuit() -> None:
    """One good answer: everybody goes again."""
    breaker = tripped()

    assert breaker.probe_succeeded(probe(breaker, 0.5))
    assert (breaker.state, breaker.reason) == (CLOSED, "")
    assert breaker.admit(0.5) == Admission(2, is_probe=False)


def test_pauses_between_failing_probes_grow_to_the_longest() -> None:
    """Doubled each time: soon back after a blip, sparing in an outage."""
    breaker = tripped()
    pauses = []
    now = 0.5
    for _ in range(4):
        breaker.probe_failed(probe(breaker, now), now)
        due = breaker.next_probe_at()
        assert due is not None
        pauses.append(due - now)
        now = due

    assert pauses == [1.0, 2.0, 2.0, 2.0]


def test_pauses_start_anew_at_the_next_outage() -> None:
    """What an earlier outage took says nothing about this one."""
    breaker = tripped()
    breaker.probe_failed(probe(breaker, 0.5), 0.5)
    breaker.probe_succeeded(probe(breaker, 1.5))
    breaker.trip("again", 5.0)

    assert breaker.next_probe_at() == 5.5


def test_probe_without_an_answer_makes_room_for_another_at_once() -> None:
    """It had nothing to write, or was cut short: nothing was found out, and nothing stays half open."""
    breaker = tripped()
    breaker.probe_inconclusive(probe(breaker, 0.5), 0.7)

    assert breaker.state is OPEN
    assert breaker.next_probe_at() == 0.7


def test_mended_fault_is_looked_at_at_once() -> None:
    """A corrected token need not wait for the pause, and starts the pauses anew."""
    breaker = tripped(longest=60.0)
    for now in (0.5, 1.5, 3.5):
        breaker.probe_failed(probe(breaker, now), now)
    breaker.probe_now(4.0)

    assert breaker.next_probe_at() == 4.0
    breaker.probe_failed(probe(breaker, 4.0), 4.0)
    assert breaker.next_probe_at() == 5.0


def test_looking_at_once_never_delays_a_probe() -> None:
    """One that is overdue stays so."""
    breaker = tripped()
    breaker.probe_now(77.0)

    assert breaker.next_probe_at() == 0.5


@pytest.mark.parametrize("state", [CLOSED, HALF_OPEN])
def test_looking_at_once_changes_nothing_where_nothing_waits(state: CircuitState) -> None:
    """Closed, or with a probe under way."""
    breaker = tripped()
    admission = probe(breaker, 0.5)
    if state is CLOSED:
        breaker.probe_succeeded(admission)
    breaker.probe_now(0.6)

    assert breaker.state is state


@pytest.mark.parametrize("state", [OPEN, HALF_OPEN])
def test_breaker_that_is_not_closed_does_not_trip(state: CircuitState) -> None:
    """Answers to requests that were under way when it opened change neither its reason nor its pause."""
    breaker = tripped()
    if state is HALF_OPEN:
        probe(breaker, 0.5)

    assert not breaker.trip("another", 0.6)
    assert breaker.state is state
    assert breaker.reason == "most GET requests fail"
    assert breaker.next_probe_at() == (0.5 if state is OPEN else None)


def answered(breaker: CircuitBreaker, admission: Admission, answer: str, now: float) -> None:
    """The request that *admission* was given for comes to its end."""
    match answer:
        case "failed":
            breaker.probe_failed(admission, now)
        case "inconclusive":
            breaker.probe_inconclusive(admission, now)
        case _:
            breaker.probe_succeeded(admission)


@pytest.mark.parametrize("answer", ["failed", "inconclusive", "succeeded"])
def test_late_answer_of_an_earlier_state_counts_for_nothing(answer: str) -> None:
    """A probe of the first outage is answered during the second."""
    breaker = tripped()
    late = probe(breaker, 0.5)
    breaker.probe_succeeded(late)
    breaker.trip("again", 1.0)
    probe(breaker, 1.5)
    answered(breaker, late, answer, 1.6)

    assert breaker.state is HALF_OPEN
    assert not breaker.is_current(late)


@pytest.mark.parametrize("answer", ["failed", "inconclusive", "succeeded"])
def test_only_a_probe_decides_while_it_is_half_open(answer: str) -> None:
    """Requests that were admitted while it was closed are of an earlier generation."""
    breaker = CircuitBreaker()
    before = breaker.admit(0.0)
    assert before is not None
    breaker.trip("down", 0.0)
    probe(breaker, 0.5)
    answered(breaker, before, answer, 0.6)

    assert breaker.state is HALF_OPEN


def test_probe_is_judged_once() -> None:
    """A probe that failed and then leaves does not end the pause that it has just begun."""
    breaker = tripped()
    admission = probe(breaker, 0.5)
    breaker.probe_failed(admission, 0.5)
    breaker.probe_inconclusive(admission, 0.5)

    assert breaker.next_probe_at() == 1.5
    assert not breaker.probe_succeeded(admission)


def test_generation_grows_with_each_change_between_closed_and_not_closed() -> None:
    """And with nothing else: probes belong to the outage that they ask about."""
    breaker = tripped()
    generations = [breaker.generation]
    breaker.probe_failed(probe(breaker, 0.5), 0.5)
    generations.append(breaker.generation)
    breaker.probe_succeeded(probe(breaker, 1.5))
    generations.append(breaker.generation)

    assert generations == [1, 1, 2]


def test_repr_shows_the_state() -> None:
    """What a person sees in a debugger or a log."""
    assert repr(tripped()) == "<CircuitBreaker open generation=1 'most GET requests fail'>"


class BreakerUnderRandomAnswers(RuleBasedStateMachine):
    """Whatever is answered whenever: one probe at a time, never stuck, old answers without a say."""

    @initialize()
    def begin(self) -> None:
        self.breaker = CircuitBreaker()
        self.now = 0.0
        self.under_way: list[Admission] = []
        self.probes = 0

    @rule(seconds=st.sampled_from([0.0, 0.3, 1.0, 5.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def begin_request(self) -> None:
        due = self.breaker.next_probe_at()
        state = self.breaker.state
        admission = self.breaker.admit(self.now)

        assert (admission is not None) == (state is CLOSED or (due is not None and due <= self.now))
        if admission is not None:
            assert admission.is_probe == (state is not CLOSED)
            self.under_way.append(admission)

    @rule()
    def trip(self) -> None:
        was_closed = self.breaker.state is CLOSED
        assert self.breaker.trip("down", self.now) == was_closed
        assert self.breaker.state is not CLOSED

    @rule()
    def probe_now(self) -> None:
        self.breaker.probe_now(self.now)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), answer=st.sampled_from(["good", "bad", "none"]))
    def answer(self, data: st.DataObject, answer: str) -> None:
        """Every request ends, in whatever order and however late; then its turn ends too."""
        admission = self.under_way.pop(data.draw(st.integers(min_value=0, max_value=len(self.under_way) - 1)))
        before = (self.breaker.state, self.breaker.generation, self.breaker.next_probe_at())
        has_a_say = admission.is_probe and before[:2] == (HALF_OPEN, admission.generation)
        if answer == "good":
            assert self.breaker.probe_succeeded(admission) == has_a_say
        elif answer == "bad":
            self.breaker.probe_failed(admission, self.now)
        self.breaker.probe_inconclusive(admission, self.now)
        if not has_a_say:
            assert before == (self.breaker.state, self.breaker.generation, self.breaker.next_probe_at())
        else:
            assert self.breaker.state is (CLOSED if answer == "good" else OPEN)

    @invariant()
    def half_open_means_that_its_probe_is_under_way(self) -> None:
        if hasattr(self, "breaker"):
            probes = [a for a in self.under_way if a.is_probe and a.generation == self.breaker.generation]
            assert len(probes) == (self.breaker.state is HALF_OPEN)

    @invariant()
    def open_breaker_asks_again_within_the_longest_pause(self) -> None:
        if hasattr(self, "breaker") and self.breaker.state is OPEN:
            due = self.breaker.next_probe_at()
            assert due is not None
            assert due <= self.now + 2.0


TestBreakerUnderRandomAnswers = BreakerUnderRandomAnswers.TestCase


def window_of(*answers: tuple[str, bool], seconds: float = 30.0, customers: int = 50) -> FailureWindow:
    """A window that has seen these customers, each failing or not, a second apart."""
    window = FailureWindow(seconds=seconds, customers=customers)
    for now, (customer, failed) in enumerate(answers):
        window.record(customer, failed=failed, now=float(now))
    return window


@pytest.mark.parametrize(
    ("answers", "most_fail"),
    [
        pytest.param([], False, id="nobody seen"),
        pytest.param([("a", True), ("b", True)], False, id="two customers"),
        pytest.param([("a", True)] * 9, False, id="one customer again and again"),
        pytest.param([("a", True), ("b", True), ("c", True)], True, id="three different customers"),
        pytest.param(
            [("a", True), ("b", True), ("c", True), ("d", False), ("e", False), ("f", False)], False, id="half of them"
        ),
        pytest.param(
            [("a", True), ("b", True), ("c", True), ("d", False), ("e", False)], True, id="more than half of them"
        ),
        pytest.param([("a", True), ("b", True), ("c", True), ("c", False)], False, id="one that succeeds in the end"),
        pytest.param(
            [("a", False), ("b", False), ("c", False), ("a", True), ("b", True), ("c", True)],
            True,
            id="those that succeeded before",
        ),
    ],
)
def test_upstream_fails_when_most_customers_fail(answers: list[tuple[str, bool]], most_fail: bool) -> None:
    """Each by its latest answer, and at least three of them."""
    assert window_of(*answers).most_fail is most_fail


def test_window_forgets_what_was_long_ago() -> None:
    """On a quiet worker yesterday's successes do not hide today's outage."""
    window = window_of(*[(f"good {number}", False) for number in range(9)])
    for number in range(3):
        window.record(f"bad {number}", failed=True, now=100.0)

    assert window.most_fail


def test_window_keeps_what_lies_just_within_it() -> None:
    """An answer counts for as long as the window says, to the second."""
    window = window_of(("a", True), ("b", True))
    window.record("c", failed=True, now=30.0)

    assert window.most_fail
    window.record("c", failed=True, now=30.1)
    assert not window.most_fail


def test_window_is_bounded_in_customers() -> None:
    """On a busy worker an outage shows within as many requests, however many went well before."""
    window = window_of(*[(f"good {number}", False) for number in range(1_000)], seconds=1e9)
    for number in range(26):
        assert not window.most_fail
        window.record(f"bad {number}", failed=True, now=1_000.0)

    assert window.most_fail


def test_cleared_window_has_seen_nobody() -> None:
    """What was seen belongs to a state that has ended: neither failures nor successes count any more."""
    window = window_of(("a", True), ("b", True), ("c", True), *[(f"good {number}", False) for number in range(20)])
    window.clear()

    for customer in "de":
        window.record(customer, failed=True, now=3.0)
        assert not window.most_fail
    window.record("f", failed=True, now=3.0)
    assert window.most_fail


@given(
    answers=st.lists(
        st.tuples(st.sampled_from("abcdefgh"), st.booleans(), st.sampled_from([0.0, 1.0, 7.0])), max_size=60
    )
)
def test_window_counts_as_a_list_of_all_answers_would(answers: list[tuple[str, bool, float]]) -> None:
    """Against the plain definition: latest answer of each, within the time, the newest so many customers."""
    window = FailureWindow(seconds=10.0, customers=5)
    latest: dict[str, tuple[float, bool]] = {}
    now = 0.0
    for customer, failed, pause in answers:
        now += pause
        window.record(customer, failed=failed, now=now)
        latest.pop(customer, None)
        latest[customer] = (now, failed)
        recent = [had_failed for at, had_failed in list(latest.values())[-5:] if at >= now - 10.0]

        assert window.most_fail == (sum(recent) >= 3 and sum(recent) * 2 > len(recent))
