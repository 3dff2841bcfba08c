"""The desk moves no customer back in time, whatever happens around it and in whatever order."""

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from itertools import repeat

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from handlers.record import Headers
from handlers.replay import DeadLetter
from harness.builders import customer_id
from harness.desk_world import Answer, Killed, ListedLog, Operator, World, applied, plain
from worker.desk.replaying import replay
from worker.fold import Fold, Retry, Settled
from worker.pacing.backoff import RetryPolicy
from worker.upstream.answers import ContractBroken, Rejected, Request, Unavailable

FIELDS = ("phone", "city")
NEVER_TWICE = RetryPolicy(initial_seconds=1, multiplier=1, max_seconds=1, max_elapsed_seconds=1)

customers = st.sampled_from([0, 0, 0, 1])
fields = st.sets(st.sampled_from(FIELDS), min_size=1)
letters = st.integers(min_value=1, max_value=2**12 - 1)
"""A choice of dead letters: a bit for each of their offsets, modulo 12."""
moments = st.sampled_from(["", "", "", "", "before", "after"])


def cloud_event(number: int) -> Headers:
    """The headers of a command with an id of its own."""
    return (
        ("ce_specversion", b"1.0"),
        ("ce_id", b"%d" % number),
        ("ce_source", b"/tests"),
        ("ce_type", b"customer.update"),
    )


def is_chosen(bits: int, letter: DeadLetter) -> bool:
    """Whether the bit of the dead letter is set."""
    return bool(bits >> letter.died.offset % 12 & 1)


def refused(fold: Fold) -> Settled | Retry:
    """400 that names nothing."""
    return fold.rejected(Rejected(400, "refused", frozenset()), Request.PATCH)


def refused_by_name(fold: Fold) -> Settled | Retry:
    """400 that names a field."""
    return fold.rejected(Rejected(400, "refused", frozenset({"phone"})), Request.PATCH)


def unknown(fold: Fold) -> Settled:
    """404."""
    return fold.not_found()


def broken(fold: Fold) -> Settled:
    """200 with something else than a customer."""
    return fold.contract_broken(ContractBroken(200, "broken"))


def unavailable(fold: Fold) -> Settled | Retry:
    """A timeout."""
    return fold.unavailable(
        Unavailable(None, "timeout"),
        Request.PATCH,
        spent_seconds=1,
        others_succeed=False,
        policy=NEVER_TWICE,
        random=lambda: 0,
    )


ANSWERS: Mapping[str, Answer] = {
    "applied": applied,
    "refused": refused,
    "refused by name": refused_by_name,
    "unknown": unknown,
    "broken, in vain": broken,
    "broken, applied all the same": broken,
    "failed, in vain": unavailable,
    "failed, applied all the same": unavailable,
}


class DeskInTheMiddleOfEverything(RuleBasedStateMachine):
    """Publishers, a worker and two operators, in any order: no field goes back to what an older command set."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.operators: list[Operator | None] = [None, None]
        self.number = 0

    @initialize(window=st.sampled_from([3, 10_000]))
    def begin(self, window: int) -> None:
        self.world = World(window=window)

    def _command(self, customer: int, names: set[str], *, is_named: bool = False, state: str = "committed") -> None:
        self.number += 1
        changes = {name: str(self.number) for name in sorted(names)}
        headers = cloud_event(self.number) if is_named else ()
        self.world.publish(plain(customer, changes, headers), state=state)

    @rule(customer=customers, names=fields, is_named=st.booleans())
    def publish(self, customer: int, names: set[str], is_named: bool) -> None:
        self._command(customer, names, is_named=is_named)

    @rule(customer=customers, names=fields)
    def publish_in_a_transaction(self, customer: int, names: set[str]) -> None:
        self._command(customer, names, state="open")

    @rule(outcome=st.sampled_from(["committed", "aborted"]))
    def end_the_transactions(self, outcome: str) -> None:
        for entry in self.world.log:
            if entry.state == "open":
                entry.state = outcome

    @rule(customer=customers)
    def publish_what_is_no_command(self, customer: int) -> None:
        self.world.publish(plain(customer, {"colour": "red"}))

    @precondition(lambda self: self.world.log)
    @rule(data=st.data())
    def publish_a_copy(self, data: st.DataObject) -> None:
        record = data.draw(st.sampled_from(self.world.log)).record
        names = {name for name, _ in record.headers}
        if "ce_id" in names and "dlq-replay" not in names:
            self.world.publish(plain(0, {})._replace(key=record.key, value=record.value, headers=record.headers))

    @precondition(lambda self: self.world.letters)
    @rule(data=st.data())
    def replay_by_hand(self, data: st.DataObject) -> None:
        letter = data.draw(st.sampled_from(self.world.letters))
        self.world.publish(letter.replayed(), again=letter)

    @rule(customer=customers, size=st.sampled_from([1, 1, 2, 3]), answer=st.sampled_from(list(ANSWERS)))
    def take_a_turn(self, customer: int, size: int, answer: str) -> None:
        self.world.receive()
        has_effect = answer.endswith("all the same")
        self.world.turn(customer_id(customer), size, repeat(ANSWERS[answer]), has_effect=has_effect)

    @rule(customer=customers)
    def apply_everything(self, customer: int) -> None:
        self.world.receive()
        self.world.turn(customer_id(customer), 500, repeat(applied))

    @rule(bits=letters, who=st.integers(min_value=0, max_value=1), force=st.sampled_from([False] * 7 + [True]))
    def look(self, bits: int, who: int, force: bool) -> None:
        self.operators[who] = Operator(self.world, partial(is_chosen, bits), force=force)

    @rule(
        who=st.integers(min_value=0, max_value=1),
        killed=moments,
        meanwhile=st.lists(st.tuples(customers, fields), max_size=1),
    )
    def write(self, who: int, killed: str, meanwhile: list[tuple[int, set[str]]]) -> None:
        operator, self.operators[who] = self.operators[who], None
        if operator is None:
            operator = Operator(self.world, lambda _: True)
        operator.catch_up()
        publications = [partial(self._command, customer, names, is_named=True) for customer, names in meanwhile]
        log = ListedLog(self.world, operator, publications, killed)
        with suppress(Killed):
            replay(operator.session, log, by="tests", now_ms=lambda: 0)

    @rule(records=st.integers(min_value=1, max_value=3))
    def delete_the_oldest(self, records: int) -> None:
        unsettled = [
            entry.record.offset
            for entry in self.world.log
            if entry.record.offset not in self.world.settled and entry.state != "aborted"
        ]
        end = min(unsettled, default=len(self.world.log))
        self.world.first_kept = min(self.world.first_kept + records, end)

    @invariant()
    def replays_are_recorded(self) -> None:
        """A replay stands on the topic exactly where its decision says."""
        for decision in self.world.decisions():
            if decision.placed is not None:
                entry = self.world.log[decision.placed.offset]
                assert entry.state == "committed"
                assert ("dlq-replay", b"%d" % decision.replay) in entry.record.headers


TestDeskInTheMiddleOfEverything = DeskInTheMiddleOfEverything.TestCase
TestDeskInTheMiddleOfEverything.settings = settings(stateful_step_count=60)


@given(
    commands=st.lists(st.tuples(fields, st.booleans()), min_size=1, max_size=12),
    selections=st.lists(st.integers(min_value=0, max_value=2**12 - 1), max_size=4),
)
def test_customer_ends_up_as_if_every_command_had_been_applied_in_its_time(
    commands: list[tuple[set[str], bool]], selections: list[int]
) -> None:
    """Some commands die, and are replayed later, in any portions: the newest value of each field stays."""
    world = World()
    expected: dict[tuple[str, str], object] = {}
    for number, (names, dies) in enumerate(commands):
        changes = {name: str(number) for name in names}
        world.publish(plain(0, changes))
        expected |= {(customer_id(0), name): value for name, value in changes.items()}
        world.receive()
        world.turn(customer_id(0), 1, repeat(unknown if dies else applied))
    for bits in [*selections, 2**12 - 1]:
        operator = Operator(world, partial(is_chosen, bits))
        replay(operator.session, ListedLog(world, operator), by="tests", now_ms=lambda: 0)
        world.receive()
        world.turn(customer_id(0), 500, repeat(applied))

    assert world.stored == expected
    assert world.open_letters() == []
