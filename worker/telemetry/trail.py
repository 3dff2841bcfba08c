"""What a command met on its way, noted as it happens: when it came, when its turn began, what was asked upstream.

Pure: times are monotonic seconds, and parameters. Nothing here holds a value of a command or of a customer.
"""

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import NamedTuple


class Exchange(NamedTuple):
    """One request and its answer: the answer's kind, and its status where a status line arrived."""

    request: str
    answer: str
    status: int | None
    attempt: int
    began: float
    ended: float


@dataclass(slots=True)
class Trail:
    """What the commands of one fold, *folded* in number, have met since their turn began, retries included."""

    taken_at: float
    folded: int
    exchanges: list[Exchange] = field(default_factory=list)


class Arrivals:
    """When each record of a partition was received: one entry for a batch, not one for each record."""

    def __init__(self) -> None:
        self._first_offsets: list[int] = []
        self._times: list[float] = []

    def note(self, first_offset: int, now: float) -> None:
        """A batch came; its records have this offset or a later one."""
        if self._first_offsets and self._first_offsets[-1] == first_offset:
            self._times[-1] = now
            return
        self._first_offsets.append(first_offset)
        self._times.append(now)

    def of(self, offset: int) -> float | None:
        """When the record at *offset* was received, where that is known."""
        batch = bisect_right(self._first_offsets, offset) - 1
        return self._times[batch] if batch >= 0 else None

    def forget(self, below: int) -> None:
        """Drops the batches all of whose records have offsets below *below*."""
        gone = bisect_right(self._first_offsets, below) - 1
        if gone > 0:
            del self._first_offsets[:gone]
            del self._times[:gone]

    def __len__(self) -> int:
        return len(self._first_offsets)
