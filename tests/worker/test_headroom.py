"""What a commit must say has room in it, whatever completes in whatever order."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from worker import progress
from worker.headroom import ANY_NUMBER, ANY_OFFSET, EVERYTHING, Allowance, Headroom
from worker.progress import Progress, encode
from worker.watermark import Watermark

ROOM_BITS = progress.room_bytes() * 8


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Room for six bytes: 48 offsets, or three completions anywhere."""
    with monkeypatch.context() as patched:
        patched.setattr(progress, "METADATA_LIMIT", 32)
        assert progress.room_bytes() == 6
        yield


def scattered(watermark: Watermark, until: int) -> None:
    """Every second offset is complete: the runs are as many as there can be."""
    for offset in range(until):
        watermark.begin(offset)
    for offset in range(1, until, 2):
        watermark.complete(offset)


def test_what_bits_have_room_for_may_always_begin() -> None:
    """Some twenty thousand offsets: nearly always, that is all there is to know."""
    headroom = Headroom(Watermark(0))

    assert headroom.allowance(read_below=ROOM_BITS, is_probing=False) is EVERYTHING
    assert headroom.allowance(read_below=ROOM_BITS + 1, is_probing=False) != EVERYTHING


def test_few_runs_let_turns_begin_anywhere() -> None:
    """One customer that retries for minutes holds nobody up: all others go on, far beyond it."""
    watermark = Watermark(0)
    for offset in range(100_000):
        watermark.begin(offset)
    for offset in range(1, 100_000):
        watermark.complete(offset)
    allowance = Headroom(watermark).allowance(read_below=100_000, is_probing=False)

    assert allowance.below == ANY_OFFSET
    assert allowance.most > 1_000
    assert not allowance.is_scarce


def test_each_command_under_way_is_reckoned_with() -> None:
    """Two bytes: it can tear a run apart."""
    watermark = Watermark(0)
    for offset in (0, 100_000):
        watermark.begin(offset)
    headroom = Headroom(watermark)
    before = headroom.allowance(read_below=100_001, is_probing=False)
    headroom.begin(10, 90_000)
    during = headroom.allowance(read_below=100_001, is_probing=False)
    headroom.end(10)

    assert during.most == before.most - 10
    assert headroom.allowance(read_below=100_001, is_probing=False) == before


def test_many_runs_leave_what_the_bits_reach() -> None:
    """Half of them settled at random: as bits they take an eighth of a byte each, as runs more than there is."""
    watermark = Watermark(0)
    scattered(watermark, 10_000)

    assert Headroom(watermark).allowance(read_below=50_000, is_probing=False) == Allowance(
        ROOM_BITS, ANY_NUMBER, is_scarce=False
    )


def test_where_neither_has_room_the_oldest_go_first() -> None:
    """They free it."""
    watermark = Watermark(0)
    scattered(watermark, 10_000)
    headroom = Headroom(watermark)
    headroom.begin(1, ROOM_BITS - 1)
    assert not headroom.allowance(read_below=50_000, is_probing=False).is_scarce
    watermark.begin(ROOM_BITS)
    watermark.complete(ROOM_BITS)
    allowance = headroom.allowance(read_below=50_000, is_probing=False)

    assert allowance.is_scarce
    assert allowance.most <= 0


def test_what_is_begun_without_room_costs_the_others_none() -> None:
    """A probe, or a fold that must be repeated whole: its outcome waits in the committer instead."""
    watermark = Watermark(0)
    scattered(watermark, 10_000)
    headroom = Headroom(watermark)
    headroom.begin(1, ROOM_BITS + 5)

    assert headroom.allowance(read_below=50_000, is_probing=False).below == ROOM_BITS


@pytest.mark.parametrize("until", [10_000, ROOM_BITS + 3_000])
def test_probe_may_be_anybody_s(until: int) -> None:
    """Else an upstream that is well again is not noticed where only poison has room."""
    watermark = Watermark(0)
    scattered(watermark, until)

    assert Headroom(watermark).allowance(read_below=50_000, is_probing=True) == Allowance(
        ANY_OFFSET, 1, is_scarce=False
    )


def test_without_any_room_only_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that takes hardly any metadata makes it slow, and not wrong."""
    monkeypatch.setattr(progress, "METADATA_LIMIT", 10)
    allowance = Headroom(Watermark(5)).allowance(read_below=7, is_probing=False)

    assert progress.room_bytes() == 0
    assert (allowance.is_scarce, allowance.most) == (True, 0)


@given(
    bits=st.integers(min_value=0, max_value=2**300).map(lambda bits: bits & ~1),
    places=st.lists(st.integers(min_value=1, max_value=400), unique=True, max_size=40),
)
def test_completions_never_add_more_than_is_reckoned(bits: int, places: list[int]) -> None:
    """Wherever they are, in whatever order."""
    span = 401
    for count, place in enumerate(places, start=1):
        before = progress.most_bytes(bits, span)
        bits |= 1 << place
        assert progress.most_bytes(bits, span) <= before + progress.BYTES_PER_COMPLETION
        assert count


@given(bits=st.integers(min_value=0, max_value=2**2_000), settled=st.integers(min_value=0, max_value=2_000))
def test_no_form_grows_when_the_committed_offset_advances(bits: int, settled: int) -> None:
    """What is cut off at the front was told, and the rest is told as before."""
    span = bits.bit_length()

    assert progress.most_bytes(bits >> settled, max(span - settled, 0)) <= progress.most_bytes(bits, span)
    assert (bits >> settled).bit_length() <= span


class WhateverCompletes(RuleBasedStateMachine):
    """Turns begin as they are allowed to, and end in any order: what a commit must say always has room."""

    @initialize(start=st.integers(min_value=0, max_value=50))
    def assign(self, start: int) -> None:
        self.watermark = Watermark(start)
        self.headroom = Headroom(self.watermark)
        self.next_offset = start
        self.waiting: list[int] = []
        self.under_way: list[list[int]] = []

    @rule(records=st.integers(min_value=1, max_value=40), gap=st.integers(min_value=0, max_value=5))
    def read(self, records: int, gap: int) -> None:
        """Gaps are told as the record before them, so they cost no room."""
        for number in range(records):
            self.next_offset += gap * (number % 3 == 0)
            self.watermark.begin(self.next_offset)
            self.waiting.append(self.next_offset)
            self.next_offset += 1

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), size=st.integers(min_value=1, max_value=6))
    def begin(self, data: st.DataObject, size: int) -> None:
        allowance = self.headroom.allowance(read_below=self.next_offset, is_probing=False)
        if allowance.is_scarce:
            fold = [min(self.waiting)][: max(allowance.most, int(min(self.waiting) == self.watermark.committable))]
        else:
            allowed = [offset for offset in self.waiting if offset < allowance.below]
            picked = data.draw(st.permutations(allowed)) if allowed else []
            fold = sorted(picked[: min(size, allowance.most)])
        if fold:
            self.headroom.begin(len(fold), fold[-1])
            self.waiting = [offset for offset in self.waiting if offset not in fold]
            self.under_way.append(fold)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def complete(self, data: st.DataObject) -> None:
        fold = self.under_way.pop(data.draw(st.integers(min_value=0, max_value=len(self.under_way) - 1)))
        for offset in fold:
            self.watermark.complete(offset)
            self.what_is_told_has_room()
        self.headroom.end(len(fold))

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        fold = self.under_way.pop(data.draw(st.integers(min_value=0, max_value=len(self.under_way) - 1)))
        self.headroom.end(len(fold))
        self.waiting += fold

    @invariant()
    def what_is_told_has_room(self) -> None:
        bits = self.watermark.completed_beyond

        assert progress.fits(bits)
        assert len(encode(Progress(bits, 2**63))) <= progress.METADATA_LIMIT

    @invariant()
    def something_may_always_begin(self) -> None:
        if self.waiting and not self.under_way:
            allowance = self.headroom.allowance(read_below=self.next_offset, is_probing=False)
            oldest = min(self.waiting)
            assert oldest < allowance.below
            assert allowance.most > 0 or (allowance.is_scarce and oldest == self.watermark.committable)


@pytest.mark.usefixtures("_small")
class TestWhateverCompletes(WhateverCompletes.TestCase):  # type: ignore[valid-type,misc]  # Hypothesis makes it
    """With hardly any room, so that a few dozen commands meet its end."""
