"""How much may be begun, so that what a commit must say never outgrows its text, whatever completes in whatever order.

A commit says which offsets beyond it are completed (`worker.progress`), and Kafka bounds that text. Two things keep it
small: bits that reach no further than there is room for, or runs that are few enough. So as long as nothing is begun
beyond the first, everything may be; beyond it, each command that is under way is reckoned with the most that its
completion can add.

When neither leaves room for more, the oldest commands go first, whatever their priority, since they free it; the one
that holds the committed offset back always goes. While the upstream is only probed, a probe may be anybody's: there is
one at a time, and its outcome waits where it has no room.

Commands that need no turn (bad ones, copies) are settled as they are read: they take room unasked, and what does not
fit waits in the committer. Pure.
"""

from dataclasses import dataclass

from worker import progress
from worker.watermark import Watermark

# Kafka's offsets are below it.
ANY_OFFSET = 2**63
ANY_NUMBER = 2**63
# Below a quarter of the room the oldest go first: two bytes for each command.
SCARCE = 8


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the next turn may begin: commands *below* an offset, at *most* so many; only the oldest, if *is_scarce*."""

    below: int
    most: int
    is_scarce: bool


EVERYTHING = Allowance(ANY_OFFSET, ANY_NUMBER, is_scarce=False)


class Headroom:
    """Keeps count of what is under way in one partition."""

    __slots__ = ("_highest", "_under_way", "_watermark")

    def __init__(self, watermark: Watermark) -> None:
        self._watermark = watermark
        # The last offset that is completed or under way, but for those that were begun without room.
        self._highest = watermark.last_completed
        self._under_way = 0

    def allowance(self, *, read_below: int, is_probing: bool) -> Allowance:
        """What the next turn may begin; nothing at or beyond *read_below* is known yet."""
        bits_end = self._bits_end
        if read_below <= bits_end:
            return EVERYTHING
        left = self._completions_left()
        if left > progress.room_bytes() // SCARCE:
            return Allowance(ANY_OFFSET, left, is_scarce=False)
        if is_probing:
            return Allowance(ANY_OFFSET, max(left, 1), is_scarce=False)
        watermark = self._watermark
        if max(self._highest, watermark.last_completed, watermark.committable) < bits_end:
            return Allowance(bits_end, ANY_NUMBER, is_scarce=False)
        return Allowance(ANY_OFFSET, left, is_scarce=True)

    def begin(self, commands: int, last_offset: int) -> None:
        """So many commands are under way from now on, none of them beyond *last_offset*."""
        if last_offset < self._bits_end or commands <= self._completions_left():
            self._highest = max(self._highest, last_offset)
        self._under_way += commands

    def end(self, commands: int) -> None:
        """So many are no longer under way: they are completed, or wait again."""
        self._under_way -= commands

    @property
    def _bits_end(self) -> int:
        """Below this offset, bits as they are always have room."""
        return self._watermark.committable + progress.room_bytes() * 8

    def _completions_left(self) -> int:
        """How many more completions the runs have room for, wherever they are; negative when there are too many."""
        watermark = self._watermark
        span = max(self._highest, watermark.last_begun) - watermark.committable + 1
        taken = progress.most_bytes(watermark.completed_beyond, span)
        return (progress.room_bytes() - taken) // progress.BYTES_PER_COMPLETION - self._under_way
