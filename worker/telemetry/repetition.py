"""A failure that goes on is told once, then summed up now and then, and told a last time when it is over.

The pauses between the summaries grow, so that an outage of hours takes no more lines than one can read. Pure: *now* is
monotonic seconds.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Final

# The first summary comes after so long, each further one after twice as long as the one before, up to a bound.
FIRST_PAUSE_SECONDS: Final = 30.0
LONGEST_PAUSE_SECONDS: Final = 600.0
# What was not seen for so long is over. Longer than the longest wait of the retry policy's default.
OVER_AFTER_SECONDS: Final = 90.0
# So many failures are told apart at once; of those beyond, each is told.
MOST_AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True)
class Summary:
    """What a line stands for: *repeated* that were not told since the last one, the last of which was *last*.

    *lasted_seconds* is the time from the first to the last.
    """

    last: Any
    repeated: int
    lasted_seconds: float
    is_over: bool


@dataclass(slots=True)
class _Failure:
    began: float
    seen: float
    due: float
    pause: float
    last: Any
    untold: int = 0
    is_repeated: bool = False


class Repetitions:
    """Which lines are told."""

    def __init__(self) -> None:
        self._failures: dict[Hashable, _Failure] = {}

    def is_news(self, key: Hashable, line: object, now: float) -> bool:
        """Whether *line* is told now; if not, a summary will count it. Lines of one failure have one *key*."""
        failure = self._failures.get(key)
        if failure is None:
            if len(self._failures) < MOST_AT_ONCE:
                self._failures[key] = _Failure(now, now, now + FIRST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS, line)
            return True
        failure.seen, failure.last = now, line
        failure.untold += 1
        failure.is_repeated = True
        return False

    def due(self, now: float) -> list[Summary]:
        """The summaries that are to be told now."""
        summaries = []
        for key, failure in list(self._failures.items()):
            is_over = now - failure.seen >= OVER_AFTER_SECONDS
            if is_over:
                del self._failures[key]
            if failure.is_repeated and (is_over or (failure.untold and now >= failure.due)):
                lasted = round(failure.seen - failure.began, 1)
                summaries.append(Summary(failure.last, failure.untold, lasted, is_over))
                failure.untold = 0
                failure.pause = min(failure.pause * 2, LONGEST_PAUSE_SECONDS)
                failure.due = now + failure.pause
        return summaries
