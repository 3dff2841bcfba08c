"""What became of a command, decided from what the topics say: what is certain, and what nobody can know."""

import pytest

from handlers.record import CommandRecord
from worker.progress import Progress, Tried, encode
from worker.tracking.fates import Settled, applied, original_of
from worker.tracking.seen import CommandSeen, EventSeen, Place, read_command

EVENTS = "customer.updated"


def event(offset: int, command_id: str, *, value: bytes = b"{}", key: bytes = b"c", at_ms: int = 0) -> EventSeen:
    """An event of partition 0."""
    return EventSeen(Place(EVENTS, 0, offset), at_ms, command_id, "", "", key, value)


def place(offset: int) -> Place:
    """A place on the command topic's partition 0."""
    return Place("customer.update", 0, offset)


class TestFolds:
    """Which commands were applied by the same requests."""

    def test_neighbours_of_one_payload_without_a_gap_were_applied_together(self) -> None:
        """Another customer's event in between changes nothing: it was in the same transaction."""
        mine = event(11, "b")
        around = [event(10, "a"), mine, event(12, "x", key=b"other"), event(13, "c")]

        fate = applied([mine], around, in_transactions=True)

        assert (fate.folded_with, fate.perhaps_with) == (("a", "c"), ())

    def test_beyond_a_gap_it_is_only_likely(self) -> None:
        """The missing offset may be the marker between two transactions, or that of another partition's."""
        mine = event(11, "b", at_ms=500)
        around = [event(9, "a", at_ms=400), mine, event(13, "c", at_ms=9_000)]

        fate = applied([mine], around, in_transactions=True)

        assert (fate.folded_with, fate.perhaps_with) == ((), ("a",))

    def test_without_transactions_nothing_is_certain(self) -> None:
        """No marker tells where a commit ends."""
        mine = event(11, "b")

        fate = applied([mine], [event(10, "a"), mine], in_transactions=False)

        assert (fate.folded_with, fate.perhaps_with) == ((), ("a",))

    @pytest.mark.parametrize(
        "other",
        [
            pytest.param(event(10, "a", value=b'{"city": "Ghent"}'), id="another payload"),
            pytest.param(event(10, "a", key=b"other"), id="another customer"),
            pytest.param(event(10, "b"), id="the same command once more"),
            pytest.param(event(10, ""), id="no command at all"),
        ],
    )
    def test_what_differs_was_not_applied_together(self, other: EventSeen) -> None:
        """However near it is."""
        mine = event(11, "b")

        fate = applied([mine], [other, mine], in_transactions=True)

        assert (fate.folded_with, fate.perhaps_with) == ((), ())


class TestSettled:
    """What a commit says of an offset."""

    def test_below_the_committed_offset_and_where_a_bit_says_so(self) -> None:
        """Nothing else is."""
        settled = Settled({0: (10, encode(Progress(0b1010, 0)))})

        assert [offset for offset in range(8, 16) if place(offset) in settled] == [8, 9, 11, 13]

    def test_what_another_program_committed_is_an_offset_alone(self) -> None:
        """Its metadata is not ours to read."""
        settled = Settled({0: (10, "not ours")})

        assert place(9) in settled
        assert place(10) not in settled

    def test_partition_without_a_commit_has_nothing_settled(self) -> None:
        """And that is told apart from a commit of offset 0."""
        settled = Settled({1: (5, "")})

        assert place(0) not in settled
        assert settled.committed(0) is None

    def test_what_waits_before_it_is_counted(self) -> None:
        """Less what is settled out of order; what comes behind it and is settled has overtaken it."""
        settled = Settled({0: (10, encode(Progress(0b100011010, 6)))})

        waiting = settled.waiting(place(15), of_customer_before=[], copy_of=None)

        assert (waiting.before, waiting.overtaken_by, waiting.may_be_under_way) == (2, 1, True)

    def test_beyond_the_horizon_nobody_can_have_begun_it(self) -> None:
        """A worker says how far it may act before it acts."""
        settled = Settled({0: (10, encode(Progress(0, 6)))})

        assert settled.waiting(place(15), of_customer_before=[], copy_of=None).may_be_under_way
        assert not settled.waiting(place(16), of_customer_before=[], copy_of=None).may_be_under_way

    def test_what_was_tried_is_that_of_the_customers_first_command(self) -> None:
        """They are tried together, from the first that waits."""
        tried = Tried(attempts=3, elapsed_seconds=1.5)
        settled = Settled({0: (10, encode(Progress(0, 100, ((2, tried),))))})

        assert settled.waiting(place(15), of_customer_before=[12, 13], copy_of=None).tried == tried
        assert settled.waiting(place(12), of_customer_before=[], copy_of=None).tried == tried
        assert settled.waiting(place(15), of_customer_before=[13], copy_of=None).tried is None


def seen(offset: int, *, value: bytes = b"1", headers: tuple[tuple[str, bytes], ...] | None = None) -> CommandSeen:
    """A record of partition 0 with a CloudEvents id."""
    named = (("ce_specversion", b"1.0"), ("ce_id", b"x"), ("ce_source", b"/s"), ("ce_type", b"customer.update"))
    return read_command(
        CommandRecord("customer.update", 0, offset, 0, b"k", value, named if headers is None else headers)
    )


class TestCopies:
    """What a copy is a copy of."""

    def test_the_earliest_of_the_same_bytes_within_the_window(self) -> None:
        """As the worker has it."""
        assert original_of(seen(20), [seen(12), seen(15)], window=10) == seen(12)

    def test_beyond_the_window_it_is_a_command_of_its_own(self) -> None:
        """The worker has forgotten by then."""
        assert original_of(seen(20), [seen(9)], window=10) is None

    def test_other_bytes_are_no_copy(self) -> None:
        """They may be a lost change, and are a dead letter."""
        assert original_of(seen(20), [seen(15, value=b"2")], window=10) is None

    def test_plain_command_is_never_a_copy(self) -> None:
        """Its place is its id."""
        assert original_of(seen(20, headers=()), [seen(15, headers=())], window=10) is None
