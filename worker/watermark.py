"""How far one partition is settled, in whatever order its commands are settled.

Offsets begin in rising order and complete in any. What may be committed is the first offset that is still
unfinished: everything below it is settled. What is completed beyond it is kept as bits, one for each offset from
there on, so that it costs an eighth of a byte, is encoded as it is, and a restart that is told of it does not settle
it again.

Gaps between offsets are normal (compaction, transaction markers, aborted records); what no record has is settled.
Nobody asks for those offsets again, so they are told as the record before them is, and cost nothing.
"""

from collections.abc import Iterable
from copy import copy


class Watermark:
    """The next offset to commit for one partition. Every method costs a few bytes copied for each eight offsets."""

    __slots__ = ("_bits", "_committable", "_gaps", "_last_begun", "_last_completed", "_unfinished")

    def __init__(self, committable: int, completed_beyond: int = 0) -> None:
        """Starts at *committable*, the next offset to read.

        Bit i of *completed_beyond* says that a predecessor settled offset *committable* + i.
        """
        self._committable = committable
        self._bits = completed_beyond
        # Of the bits, those that no record has.
        self._gaps = 0
        self._last_begun = committable - 1
        self._last_completed = committable + completed_beyond.bit_length() - 1
        self._unfinished = 0
        self._advance()

    @property
    def committable(self) -> int:
        """The next offset to commit: all below it is settled."""
        return self._committable

    @property
    def completed_beyond(self) -> int:
        """What is settled above `committable`: bit i stands for offset `committable` + i."""
        span = self._last_completed - self._committable + 1
        if span <= 0:
            return 0
        bits = self._bits & ((1 << span) - 1)
        gaps = self._gaps & bits
        if not gaps:
            return bits
        completed = bits ^ gaps
        # Added at the foot of a gap, a one ripples through it: so the gaps behind a completed record are found at once.
        return completed | gaps & ~(gaps + (completed << 1 & gaps))

    @property
    def last_begun(self) -> int:
        """The highest offset that was taken up."""
        return self._last_begun

    @property
    def last_completed(self) -> int:
        """The highest offset that is complete; below `committable` - 1 where nothing has been completed since."""
        return self._last_completed

    @property
    def unfinished(self) -> int:
        """How many offsets were begun and are not complete."""
        return self._unfinished

    def begin(self, offset: int) -> bool:
        """Takes *offset* up; False when it needs no work, being settled already or seen before."""
        if offset <= self._last_begun:
            return False
        gap_start = max(self._last_begun + 1, self._committable)
        if offset > gap_start:
            gap = ((1 << (offset - gap_start)) - 1) << (gap_start - self._committable)
            self._bits |= gap
            self._gaps |= gap
        self._last_begun = offset
        self._advance()
        if offset < self._committable or self._bits >> (offset - self._committable) & 1:
            return False
        self._unfinished += 1
        return True

    def after(self, offsets: Iterable[int]) -> tuple[int, int]:
        """`committable` and `completed_beyond` as they will be once *offsets* are complete too."""
        future = copy(self)
        for offset in offsets:
            future.complete(offset)
        return future.committable, future.completed_beyond

    def complete(self, offset: int) -> int:
        """Settles *offset*, which was begun, and returns the next offset to commit."""
        self._unfinished -= 1
        self._last_completed = max(self._last_completed, offset)
        self._bits |= 1 << (offset - self._committable)
        self._advance()
        return self._committable

    def _advance(self) -> None:
        if self._bits & 1:
            settled = (~self._bits & (self._bits + 1)).bit_length() - 1
            self._bits >>= settled
            self._gaps >>= settled
            self._committable += settled

    def __repr__(self) -> str:
        return f"<Watermark committable={self._committable} unfinished={self._unfinished} beyond={self._bits:b}>"
