"""How old what waits in one partition is: the times of its records, remembered to the second. Pure.

One mark for each second of publishing, not one for each record.
"""

from bisect import bisect_right

ACCURACY_MS = 1_000


class Timeline:
    """Which offsets were published when. Times are milliseconds since 1970, as records have them; -1 for none."""

    __slots__ = ("_last_ms", "_offsets", "_times_ms")

    def __init__(self) -> None:
        self._offsets: list[int] = []
        self._times_ms: list[int] = []
        self._last_ms = -ACCURACY_MS - 1

    def note(self, offset: int, time_ms: int) -> None:
        """The record at *offset*, which is above all before, was published then; clocks of publishers differ."""
        if not 0 <= time_ms - self._last_ms < ACCURACY_MS:
            self._offsets.append(offset)
            self._times_ms.append(time_ms)
            self._last_ms = time_ms

    def time_ms(self, offset: int) -> int | None:
        """When the record at *offset* was published, to the second; None where its record had no time."""
        mark = bisect_right(self._offsets, offset) - 1
        time_ms = self._times_ms[mark] if mark >= 0 else -1
        return time_ms if time_ms >= 0 else None

    def forget(self, below: int) -> None:
        """Drops the marks that only offsets below *below* need."""
        gone = bisect_right(self._offsets, below) - 1
        if gone > 0:
            del self._offsets[:gone]
            del self._times_ms[:gone]

    def __len__(self) -> int:
        return len(self._offsets)
