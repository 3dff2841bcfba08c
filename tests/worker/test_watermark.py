"""How far a partition is settled: never past an unfinished offset, never back, and all that is finished."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from worker.progress import Progress, decode, encode
from worker.watermark import Watermark


def test_nothing_begun_commits_where_it_started() -> None:
    """The first commit of an idle partition repeats the position it was assigned."""
    watermark = Watermark(7)

    assert (watermark.committable, watermark.completed_beyond, watermark.unfinished) == (7, 0, 0)


def test_first_offset_holds_the_watermark_back() -> None:
    """What is completed beyond an unfinished offset is remembered and not committed."""
    watermark = Watermark(10)
    for offset in (10, 11, 12):
        assert watermark.begin(offset)

    assert watermark.complete(12) == 10
    assert (watermark.completed_beyond, watermark.unfinished) == (0b100, 2)


def test_completing_the_first_offset_frees_all_behind_it() -> None:
    """The watermark goes to the next unfinished offset in one step."""
    watermark = Watermark(10)
    for offset in (10, 11, 12, 13):
        watermark.begin(offset)
    watermark.complete(12)
    watermark.complete(11)

    assert watermark.complete(10) == 13
    assert (watermark.completed_beyond, watermark.unfinished) == (0, 1)


def test_gap_is_settled_as_soon_as_it_is_seen() -> None:
    """Offsets without a record (compaction, transaction markers) hold nothing back."""
    watermark = Watermark(10)

    assert watermark.begin(15)
    assert watermark.committable == 15


def test_gap_beyond_the_last_completion_is_not_remembered() -> None:
    """A restart sees the gap again: it takes no room in the commit."""
    watermark = Watermark(0)
    for offset in (0, 1, 1_000):
        watermark.begin(offset)
    watermark.complete(1)

    assert watermark.completed_beyond == 0b10


def test_gap_between_completions_counts_as_completed() -> None:
    """Only the offsets that a record has are ever asked for again."""
    watermark = Watermark(0)
    for offset in (0, 1, 4):
        watermark.begin(offset)
    watermark.complete(1)
    watermark.complete(4)

    assert watermark.completed_beyond == 0b11110


def test_record_read_again_needs_no_work() -> None:
    """Kafka may return a record twice, as after a seek: the second copy is no second command."""
    watermark = Watermark(3)

    assert watermark.begin(3)
    assert not watermark.begin(3)
    assert not watermark.begin(2)
    assert watermark.unfinished == 1


def test_what_the_predecessor_completed_needs_no_work() -> None:
    """The bits of the commit's metadata are offsets from the committed one on."""
    watermark = Watermark(100, 0b1010)

    assert [watermark.begin(offset) for offset in range(100, 105)] == [True, False, True, False, True]


def test_watermark_passes_what_the_predecessor_completed() -> None:
    """A commit that starts with completions starts behind them."""
    watermark = Watermark(100, 0b1011)

    assert (watermark.committable, watermark.completed_beyond) == (102, 0b10)
    assert not watermark.begin(100)
    assert watermark.begin(102)


def test_after_says_what_a_commit_would_hold_and_changes_nothing() -> None:
    """A commit that fails must leave the watermark where it was."""
    watermark = Watermark(0)
    for offset in range(4):
        watermark.begin(offset)

    assert watermark.after([0, 3]) == (1, 0b100)
    assert (watermark.committable, watermark.completed_beyond, watermark.unfinished) == (0, 0, 4)


def test_repr_shows_the_state() -> None:
    """What a person sees in a debugger or a log."""
    watermark = Watermark(5, 0b10)
    watermark.begin(5)

    assert repr(watermark) == "<Watermark committable=5 unfinished=1 beyond=10>"


@given(beyond=st.integers(min_value=0, max_value=2**64), start=st.integers(min_value=0, max_value=2**62))
def test_what_a_commit_says_is_understood_as_it_was_meant(beyond: int, start: int) -> None:
    """Committed offset and bits, read back by a successor, settle the same offsets."""
    before = Watermark(start, beyond)
    after = Watermark(before.committable, before.completed_beyond)

    assert (after.committable, after.completed_beyond) == (before.committable, before.completed_beyond)


class OutOfOrderCompletion(RuleBasedStateMachine):
    """Begun in rising order, completed in any, restarted at any moment from what the last commit said."""

    begun = Bundle("begun")

    @initialize(start=st.integers(min_value=0, max_value=1_000))
    def assign(self, start: int) -> None:
        self.watermark = Watermark(start)
        self.log: list[int] = []
        self.next_offset = start
        self.completed: set[int] = set()
        self.unfinished: set[int] = set()
        self.committed = start

    @rule(target=begun, gap=st.integers(min_value=0, max_value=12))
    def begin(self, gap: int) -> int:
        offset = self.next_offset + gap
        self.next_offset = offset + 1
        self.log.append(offset)

        assert self.watermark.begin(offset)
        self.unfinished.add(offset)
        return offset

    @rule(offset=consumes(begun))
    def complete(self, offset: int) -> None:
        foreseen = self.watermark.after([offset])
        committable = self.watermark.complete(offset)
        self.unfinished.remove(offset)
        self.completed.add(offset)

        assert committable >= self.committed
        assert foreseen == (committable, self.watermark.completed_beyond)
        self.committed = committable

    @rule()
    def restart(self) -> None:
        """A successor reads the commit, and then the log from there on."""
        metadata = encode(Progress(self.watermark.completed_beyond, horizon=0))
        successor = Watermark(self.committed, decode(metadata).completed_beyond)
        again = {offset for offset in self.log if offset >= self.committed and successor.begin(offset)}

        assert again == self.unfinished
        assert successor.committable == self.watermark.committable
        assert successor.completed_beyond == self.watermark.completed_beyond
        self.watermark = successor

    @precondition(lambda self: self.log)
    @rule(data=st.data())
    def read_again(self, data: st.DataObject) -> None:
        assert not self.watermark.begin(data.draw(st.sampled_from(self.log)))

    @invariant()
    def nothing_unfinished_is_committed(self) -> None:
        assert all(offset >= self.watermark.committable for offset in self.unfinished)

    @invariant()
    def everything_finished_is_committed(self) -> None:
        assert self.watermark.committable == min(self.unfinished, default=self.next_offset)

    @invariant()
    def what_is_finished_beyond_is_told(self) -> None:
        bits, start = self.watermark.completed_beyond, self.watermark.committable
        told = {start + position for position in range(bits.bit_length()) if bits >> position & 1}

        assert told.isdisjoint(self.unfinished)
        assert {offset for offset in self.completed if offset >= start} <= told

    @invariant()
    def unfinished_are_counted(self) -> None:
        assert self.watermark.unfinished == len(self.unfinished)


TestOutOfOrderCompletion = OutOfOrderCompletion.TestCase
