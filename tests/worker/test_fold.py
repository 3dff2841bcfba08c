"""What becomes of commands that are applied together: each its own fate, and the customer only moves forward."""

from collections.abc import Callable, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from handlers.command import Priority
from handlers.errors import FAULTS, Reason
from handlers.merge import fold as folded
from harness.builders import a_command, a_customer
from worker.fold import SUSPICIOUS_SERVER_ERRORS, Applied, Dead, Fate, Fold, Retry, Settled
from worker.lanes import Lanes
from worker.pacing.backoff import RetryPolicy
from worker.progress import Tried
from worker.upstream.answers import Answer, ContractBroken, Ok, Rejected, Request, Unavailable

GET, PATCH = Request.GET, Request.PATCH
POLICY = RetryPolicy(initial_seconds=0.5, multiplier=1.5, max_seconds=60, max_elapsed_seconds=300)
SERVER_ERROR = Unavailable(500, "status")
BUSY = Unavailable(503, "status")
TIMEOUT = Unavailable(None, "timeout")


def fold_of(*changes: Mapping[str, JsonValue]) -> Fold:
    """A fold of one command for each change set."""
    return Fold([a_command(offset, change) for offset, change in enumerate(changes)])


def refuse(fold: Fold, *fields: str, status: int = 400) -> Settled | Retry:
    """The PATCH is refused, *fields* are named."""
    return fold.rejected(Rejected(status, "no", frozenset(fields)), PATCH)


def fail(
    fold: Fold, answer: Unavailable, request: Request = PATCH, *, others_succeed: bool = False, spent: float = 0.0
) -> Settled | Retry:
    """The request fails in a way that may pass."""
    return fold.unavailable(
        answer, request, spent_seconds=spent, others_succeed=others_succeed, policy=POLICY, random=lambda: 0.0
    )


def fail_until_settled(fold: Fold, answer: Unavailable, request: Request = PATCH) -> tuple[Settled, float]:
    """The verdict at the policy's end, and the seconds it took."""
    for _ in range(1_000):
        verdict = fail(fold, answer, request)
        if isinstance(verdict, Settled):
            return verdict, fold.elapsed_seconds
    raise AssertionError("the policy has no end")


def reasons(verdict: Settled | Retry) -> list[Reason | None]:
    """For each settled command why it is dead, None where it is applied."""
    assert isinstance(verdict, Settled)
    return [fate.reason if isinstance(fate, Dead) else None for fate in verdict.fates]


def codes(verdict: Settled | Retry) -> list[str]:
    """For each settled command, all of them dead, the registry's code at the end of its error."""
    assert isinstance(verdict, Settled)
    errors = [fate.error for fate in verdict.fates if isinstance(fate, Dead)]
    found = [FAULTS[error.rpartition("[")[2].removesuffix("]")] for error in errors]
    assert [fault.reason for fault in found] == reasons(verdict)
    return [fault.code for fault in found]


def test_fold_is_one_change_set_in_which_the_last_write_wins() -> None:
    """Field by field, whichever command it comes from."""
    fold = fold_of({"city": "Ghent", "zip": "9000"}, {"city": "Bruges"}, {"note": None})

    assert fold.changes() == {"city": "Bruges", "zip": "9000", "note": None}


def test_each_command_of_an_accepted_fold_is_applied() -> None:
    """One event for each, with the same customer."""
    customer = a_customer()

    assert fold_of({"city": "Ghent"}, {"city": "Bruges"}).applied(customer) == Settled([Applied(customer)] * 2)


def test_unknown_customer_ends_all_its_commands() -> None:
    """Nothing is created: a PATCH of an id that GET does not find would be a new customer."""
    verdict = fold_of({"city": "Ghent"}, {"city": "Bruges"}).not_found()

    assert reasons(verdict) == [Reason.UNKNOWN_CUSTOMER] * 2
    assert all(isinstance(fate, Dead) and (fate.status, fate.attempts) == (404, 1) for fate in verdict.fates)


def test_dead_letter_says_what_to_do_and_where_to_look_it_up() -> None:
    """The registry's words and its code: docs/errors.md has the row."""
    (unknown,) = fold_of({"city": "Ghent"}).not_found().fates
    late = Fold([a_command(0, expires_at_ms=1)])
    late.expire(2)
    (expired,) = late.decided().fates

    for fate, code in ((unknown, "customer_not_found"), (expired, "command_expired")):
        assert isinstance(fate, Dead)
        assert fate.error.endswith(f"{FAULTS[code].advice} [{code}]")


def test_customer_that_vanishes_ends_what_was_left_out_as_well() -> None:
    """A fold that is being taken apart has nobody left to be applied to."""
    fold = fold_of({"city": "Ghent"}, {"city": "Bruges"}, {"zip": "1"})
    refuse(fold)

    assert reasons(fold.not_found()) == [Reason.UNKNOWN_CUSTOMER] * 3


def test_answer_that_is_no_customer_ends_what_was_tried() -> None:
    """It was probably applied, but there is nothing to publish; commands left out are not concerned."""
    fold = fold_of({"city": "Ghent"}, {"city": "Bruges"}, {"zip": "1"})
    refuse(fold)
    verdict = fold.contract_broken(ContractBroken(200, "$.id: missing"))

    assert reasons(verdict) == [Reason.CONTRACT] * 2
    (first, _) = verdict.fates
    assert isinstance(first, Dead)
    assert (first.status, first.attempts) == (200, 1)
    assert codes(verdict) == ["contract_broken"] * 2
    assert "($.id: missing)" in first.error


def test_single_command_that_is_refused_is_dead_at_once() -> None:
    """With the upstream's status and words."""
    verdict = refuse(fold_of({"email": "x"}), "email", status=422)

    assert isinstance(verdict, Settled)
    (dead,) = verdict.fates
    assert isinstance(dead, Dead)
    assert (dead.status, dead.attempts, codes(verdict)) == (422, 1, ["upstream_rejected"])
    assert dead.error.startswith("PATCH: the upstream refused the change (no). ")


def test_refused_read_ends_all() -> None:
    """A GET carries no command: there is nothing to take apart."""
    verdict = fold_of({"city": "Ghent"}, {"city": "Bruges"}).rejected(Rejected(418, "no"), GET)

    assert reasons(verdict) == [Reason.REJECTED] * 2


@pytest.mark.parametrize(
    ("changes", "named", "left"),
    [
        pytest.param([{"email": "x"}, {"city": "Ghent"}], "email", {"city": "Ghent"}, id="its writer"),
        pytest.param([{"zip": "1", "email": "x"}, {"zip": "2"}], "email", {"zip": "2"}, id="with its other fields"),
        pytest.param([{"email": "good"}, {"email": "x"}], "email", {"email": "good"}, id="the last of two writers"),
        pytest.param([{"vat_number": "x"}, {"zip": "2"}], "vatNumber", {"zip": "2"}, id="named as the API names it"),
    ],
)
def test_refusal_that_names_fields_costs_their_last_writer(
    changes: Sequence[Mapping[str, JsonValue]], named: str, left: Mapping[str, JsonValue]
) -> None:
    """The others go on without it, at once."""
    fold = fold_of(*changes)

    assert refuse(fold, named) == Retry(0)
    assert fold.changes() == left
    assert not fold.is_shortened


def test_command_whose_every_field_is_replaced_counts_as_applied() -> None:
    """What it asked for would be gone by now, even if it had been applied in time."""
    fold = fold_of({"email": "bad"}, {"email": "good"})

    assert reasons(fold.applied(a_customer())) == [None, None]


def test_fates_stand_in_the_order_of_the_commands() -> None:
    """Whoever is found guilty in whichever order."""
    fold = fold_of({"email": "x"}, {"city": "Ghent"}, {"website": "y"}, {"zip": "1"})
    refuse(fold, "website")
    refuse(fold, "email")

    assert reasons(fold.applied(a_customer())) == [Reason.REJECTED, None, Reason.REJECTED, None]


def test_refusal_that_names_every_command_settles_all() -> None:
    """No command is left to try."""
    verdict = refuse(fold_of({"email": "x"}, {"website": "y"}), "email", "website")

    assert reasons(verdict) == [Reason.REJECTED] * 2


@pytest.mark.parametrize(
    "fields", [pytest.param([], id="no field is named"), pytest.param(["name"], id="a field that no command writes")]
)
def test_refusal_of_unknown_cause_leaves_out_the_newest_command(fields: list[str]) -> None:
    """The longest shorter prefix: the customer must not move back, should it be accepted."""
    fold = fold_of({"city": "Ghent"}, {"zip": "1"}, {"note": "x"})

    assert refuse(fold, *fields) == Retry(0)
    assert fold.changes() == {"city": "Ghent", "zip": "1"}
    assert fold.is_shortened
    refuse(fold, *fields)
    assert fold.changes() == {"city": "Ghent"}
    assert reasons(fold.applied(a_customer())) == [None]


def test_prefix_leaves_out_the_newest_command_that_is_still_undecided() -> None:
    """One that was found guilty by name is out already."""
    fold = fold_of({"city": "Ghent"}, {"zip": "1"}, {"email": "x"})
    refuse(fold, "email")
    refuse(fold)

    assert fold.changes() == {"city": "Ghent"}
    assert reasons(fold.applied(a_customer())) == [None]


@pytest.mark.parametrize("answer", [SERVER_ERROR, BUSY, TIMEOUT, Unavailable(None, "connect")], ids=repr)
def test_failure_that_may_pass_is_tried_again_by_the_policy(answer: Unavailable) -> None:
    """500 ms first, then half as long again each time."""
    fold = fold_of({"city": "Ghent"})
    waits = [fail(fold, answer) for _ in range(3)]

    assert waits == [Retry(0.5), Retry(0.75), Retry(1.125)]
    assert fold.attempts == 3


@pytest.mark.parametrize("request_", [GET, PATCH])
@pytest.mark.parametrize("answer", [BUSY, TIMEOUT])
def test_policy_ends_in_a_dead_letter_for_what_was_tried(answer: Unavailable, request_: Request) -> None:
    """A failure that is nobody's fault among the commands: all share it, and none is tried apart."""
    verdict, elapsed = fail_until_settled(fold_of({"city": "Ghent"}, {"zip": "1"}), answer, request_)

    assert reasons(verdict) == [Reason.RETRIES_EXHAUSTED] * 2
    assert 300 <= elapsed <= 360
    dead = verdict.fates[0]
    assert isinstance(dead, Dead)
    assert dead.status == answer.status
    assert dead.error.startswith(f"{request_}: ")
    assert f" attempts, the last one ended with {answer.status or answer.cause})" in dead.error
    assert codes(verdict) == ["retries_exhausted"] * 2


def test_time_spent_on_requests_counts() -> None:
    """300 s in all: 30 attempts of 10 s each and their waits are over it."""
    fold = fold_of({"city": "Ghent"})
    verdicts = [fail(fold, TIMEOUT, spent=10.0) for _ in range(30)]

    assert isinstance(verdicts[-1], Settled)


def test_five_server_errors_while_others_succeed_are_the_commands_fault() -> None:
    """Poison is told from an outage by what happens to other customers."""
    fold = fold_of({"tags": []})
    verdicts = [fail(fold, SERVER_ERROR, others_succeed=True) for _ in range(5)]

    assert all(isinstance(verdict, Retry) for verdict in verdicts[:4])
    assert reasons(verdicts[4]) == [Reason.RETRIES_EXHAUSTED]
    assert codes(verdicts[4]) == ["poison_suspected"]


def test_server_errors_without_a_success_elsewhere_go_by_the_policy() -> None:
    """It may be an outage: nothing is dead-lettered early."""
    fold = fold_of({"tags": []})

    assert all(isinstance(fail(fold, SERVER_ERROR), Retry) for _ in range(9))


@pytest.mark.parametrize("answer", [BUSY, TIMEOUT, Unavailable(500, "connection_lost")], ids=repr)
def test_other_failures_are_never_the_commands_fault(answer: Unavailable) -> None:
    """Every poison that was met was answered with a whole 500."""
    fold = fold_of({"tags": []})

    assert all(isinstance(fail(fold, answer, others_succeed=True), Retry) for _ in range(9))


def test_other_failure_in_between_starts_the_count_anew() -> None:
    """An upstream that fails in many ways is an upstream in trouble."""
    fold = fold_of({"tags": []})
    answers = [SERVER_ERROR] * 4 + [BUSY] + [SERVER_ERROR] * 4

    assert all(isinstance(fail(fold, answer, others_succeed=True), Retry) for answer in answers)


def test_server_errors_of_reading_and_writing_are_counted_apart() -> None:
    """Four failed writes and one failed read are not five of the same kind."""
    fold = fold_of({"tags": []}, {"zip": "1"})
    for _ in range(4):
        fail(fold, SERVER_ERROR, PATCH, others_succeed=True)

    assert isinstance(fail(fold, SERVER_ERROR, GET, others_succeed=True), Retry)
    assert fail(fold, SERVER_ERROR, PATCH, others_succeed=True) == Retry(0)
    assert fold.is_shortened


def test_write_that_is_reached_starts_the_count_of_reads_anew() -> None:
    """The read before it succeeded."""
    fold = fold_of({"tags": []})
    requests = [GET] * 4 + [PATCH] + [GET] * 4

    assert all(isinstance(fail(fold, SERVER_ERROR, request, others_succeed=True), Retry) for request in requests)


def test_read_that_keeps_failing_with_500_ends_all() -> None:
    """A customer whose stored e-mail is malformed answers so for ever; no command is to blame more than another."""
    fold = fold_of({"tags": []}, {"zip": "1"})
    verdicts = [fail(fold, SERVER_ERROR, GET, others_succeed=True) for _ in range(5)]

    assert codes(verdicts[-1]) == ["customer_unreadable"] * 2


def test_suspected_fold_is_taken_apart_without_further_waits() -> None:
    """Each shorter prefix is tried once; the attempts start anew for what is left."""
    fold = fold_of({"city": "Ghent"}, {"tags": []}, {"zip": "1"})
    verdicts = [fail(fold, SERVER_ERROR, others_succeed=True) for _ in range(5)]

    assert verdicts[-1] == Retry(0)
    assert fold.changes() == {"city": "Ghent", "tags": []}
    assert fail(fold, SERVER_ERROR, others_succeed=True) == Retry(0)
    assert fold.changes() == {"city": "Ghent"}
    assert reasons(fold.applied(a_customer())) == [None]


def test_failed_read_does_not_end_a_fold_that_is_taken_apart() -> None:
    """One 500 of a GET says nothing about the commands, nor about the customer."""
    fold = fold_of({"city": "Ghent"}, {"tags": []}, {"zip": "1"})
    refuse(fold)

    assert fail(fold, SERVER_ERROR, GET, others_succeed=True) == Retry(0.5)
    assert fold.changes() == {"city": "Ghent", "tags": []}


def test_command_at_the_end_of_the_policy_costs_only_itself() -> None:
    """Where nobody else shows whether it is poison, the policy's end decides; then each prefix is tried once."""
    fold = fold_of({"city": "Ghent"}, {"tags": []}, {"zip": "1"})
    verdict: Settled | Retry = Retry(0)
    while not fold.is_shortened:
        verdict = fail(fold, SERVER_ERROR)

    assert verdict == Retry(0)
    assert fold.changes() == {"city": "Ghent", "tags": []}
    assert fail(fold, SERVER_ERROR) == Retry(0.5)
    assert fold.changes() == {"city": "Ghent"}


def test_last_command_left_is_tried_by_the_policy_of_its_own() -> None:
    """It has not been tried alone before: one more 500 is no proof."""
    fold = fold_of({"city": "Ghent"}, {"tags": []})
    refuse(fold)

    assert fail(fold, SERVER_ERROR, others_succeed=True) == Retry(0.5)
    assert fold.changes() == {"city": "Ghent"}


def test_decided_fold_has_nothing_left_to_try() -> None:
    """All commands expired: no request is sent."""
    fold = Fold([a_command(0, expires_at_ms=1), a_command(1, expires_at_ms=2)])
    fold.expire(2)

    assert fold.changes() == {}
    assert reasons(fold.decided()) == [Reason.EXPIRED] * 2


def test_repr_shows_how_far_it_is() -> None:
    """What a person sees in a debugger or a log; nothing of the commands themselves."""
    fold = fold_of({"city": "Ghent"}, {"zip": "1"}, {"email": "x"})
    refuse(fold, "email")
    refuse(fold)
    fail(fold, BUSY)

    assert repr(fold) == "<Fold commands=3 tried=1 attempts=1 dead=1>"


class PickyUpstream:
    """One customer, whose PATCH refuses some values, by name, without a word, or with a 500 and half a write."""

    def __init__(self) -> None:
        self.stored: dict[str, JsonValue] = {}
        self.patches = 0

    def patch(self, changes: Mapping[str, JsonValue]) -> Answer:
        """400 with names for "named", 400 without for "silent", 500 for "poison"; stores what is good."""
        self.patches += 1
        named = frozenset(field for field, value in changes.items() if value == "named")
        if named:
            return Rejected(400, "no", named)
        if "silent" in changes.values():
            return Rejected(400, "no")
        self.stored.update({field: value for field, value in changes.items() if value != "poison"})
        return SERVER_ERROR if "poison" in changes.values() else Ok(a_customer())


def apply_all(
    changes: Sequence[Mapping[str, JsonValue]],
    upstream: PickyUpstream,
    on_answer: Callable[[Fold, Answer], None],
    *,
    others_succeed: bool,
) -> list[Fate]:
    """Takes the turns of one lane until every command has its fate."""
    lanes = Lanes(coalesce=True)
    for offset, change in enumerate(changes):
        lanes.add(a_command(offset, change))
    fates: list[Fate] = []
    now = 0.0
    while len(lanes):
        now = max(now, lanes.next_due() or now)
        lanes.wake(now)
        fold = lanes.take(Priority.LIVE, now_ms=0)
        assert fold is not None
        answer = upstream.patch(fold.changes())
        on_answer(fold, answer)
        verdict: Settled | Retry
        if isinstance(answer, Ok):
            verdict = fold.applied(answer.customer)
        elif isinstance(answer, Rejected):
            verdict = fold.rejected(answer, PATCH)
        else:
            assert isinstance(answer, Unavailable)
            verdict = fail(fold, answer, others_succeed=others_succeed)
        if isinstance(verdict, Retry):
            lanes.retry(fold, due=now + verdict.after_seconds, now=now)
        else:
            fates += verdict.fates
            lanes.settle(fold, len(verdict.fates))
            lanes.committed(fold.customer_id)
    return fates


values = st.sampled_from(["a", "b", "named", "silent", "poison"])
change_sets = st.dictionaries(st.sampled_from(["city", "zip", "note"]), values, min_size=1)


@given(changes=st.lists(change_sets, min_size=1, max_size=8), others_succeed=st.booleans())
def test_every_command_gets_one_fate_and_bad_ones_cost_only_themselves(
    changes: list[dict[str, JsonValue]], others_succeed: bool
) -> None:
    """Whatever the mix: good commands are applied, the reason of a dead one is its own, requests are bounded."""
    upstream = PickyUpstream()
    fates = apply_all(changes, upstream, lambda _fold, _answer: None, others_succeed=others_succeed)

    assert len(fates) == len(changes)
    bad = 0
    for change, fate in zip(changes, fates, strict=True):
        faults = {"named", "silent", "poison"} & {str(value) for value in change.values()}
        bad += bool(faults)
        if isinstance(fate, Dead):
            assert fate.reason is not Reason.REJECTED or faults & {"named", "silent"}
            assert fate.reason is not Reason.RETRIES_EXHAUSTED or "poison" in faults
        else:
            assert isinstance(fate, Applied)
    tries_of_a_poison = 5 if others_succeed else 40
    assert upstream.patches <= (bad + 1) * (len(changes) + 1 + 2 * tries_of_a_poison)


@given(changes=st.lists(change_sets, min_size=1, max_size=8))
def test_customer_holds_what_the_applied_commands_say(changes: list[dict[str, JsonValue]]) -> None:
    """Nothing of a refused command, nothing lost of an applied one, newest last."""
    without_poison = [
        {field: "silent" if value == "poison" else value for field, value in change.items()} for change in changes
    ]
    upstream = PickyUpstream()
    fates = apply_all(without_poison, upstream, lambda _fold, _answer: None, others_succeed=True)
    applied = [change for change, fate in zip(without_poison, fates, strict=True) if isinstance(fate, Applied)]

    assert upstream.stored == folded(applied)


@given(changes=st.lists(change_sets, min_size=1, max_size=8), others_succeed=st.booleans())
def test_customer_only_moves_forward(changes: list[dict[str, JsonValue]], others_succeed: bool) -> None:
    """Each state the upstream accepts reaches further along the commands than the one before."""
    accepted: list[int] = []

    def note(fold: Fold, answer: Answer) -> None:
        if isinstance(answer, Ok):
            accepted.append(fold.commands[fold.tried - 1].record.offset)

    apply_all(changes, PickyUpstream(), note, others_succeed=others_succeed)

    assert accepted == sorted(set(accepted))


def test_fold_goes_on_where_a_predecessor_s_attempts_ended() -> None:
    """A poison command ends, however often its partition moves: the policy's time and the 500s in a row are kept."""
    before = fold_of({"note": "x"})
    for _ in range(SUSPICIOUS_SERVER_ERRORS - 1):
        fail(before, SERVER_ERROR)
    after = Fold(before.commands, earlier=before.in_vain)

    assert before.in_vain == after.in_vain
    assert after.attempts == 4
    assert reasons(fail(after, SERVER_ERROR, others_succeed=True)) == [Reason.RETRIES_EXHAUSTED]


def test_fold_that_was_being_taken_apart_is_taken_apart_further() -> None:
    """Also where its successor has more commands of the customer in sight."""
    before = fold_of({"note": "1"}, {"note": "2"}, {"note": "3"})
    refuse(before)
    after = Fold([*before.commands, a_command(3, {"note": "4"})], earlier=before.in_vain)

    assert before.in_vain == Tried(0, 0.0, 2)
    assert after.tried == 2
    assert after.is_shortened
    assert after.in_vain == before.in_vain


def test_fold_of_fewer_commands_than_a_predecessor_tried_is_tried_whole() -> None:
    """COALESCE was switched off meanwhile, say."""
    after = Fold([a_command(0)], earlier=Tried(2, 1.5, 7))

    assert (after.tried, after.is_shortened, after.attempts, after.elapsed_seconds) == (1, False, 2, 1.5)
