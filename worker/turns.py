"""Who is next: fair between partitions, live before bulk, bulk never starved.

Partitions take turns, so that a hot one does not starve the others. While live commands wait anywhere, bulk commands
get their share of the turns and no more. Pure.
"""

from collections import deque
from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

from handlers.command import Priority
from worker.fold import Fold


class Source(Protocol):
    """What takes turns: a partition."""

    is_closing: bool

    def has_ready(self, priority: Priority) -> bool:
        """Whether a turn of this priority waits."""

    def take(self, priority: Priority, now_ms: int) -> Fold | None:
        """The next turn of this priority, where one may begin."""


S = TypeVar("S", bound=Source)


class Turns(Generic[S]):
    """The order in which the partitions' lanes take their turns."""

    def __init__(self, *, bulk_share: float) -> None:
        """*bulk_share*, 0 to 1: of the turns taken while live commands wait, so many go to bulk ones."""
        self._bulk_share = bulk_share
        self._bulk_credit = 0.0
        self._order: deque[S] = deque()

    def set_partitions(self, partitions: Iterable[S]) -> None:
        """The partitions that may take turns from now on; those that stay keep their place."""
        wanted = list(partitions)
        kept = [partition for partition in self._order if partition in wanted]
        self._order = deque(kept + [partition for partition in wanted if partition not in kept])

    def next(self, now_ms: int, *, admits_bulk: bool = True) -> tuple[S, Fold] | None:
        """The next turn, or None when no lane is ready; no bulk one unless *admits_bulk*."""
        first, second = (Priority.BULK, Priority.LIVE) if self._bulk_credit >= 1 else (Priority.LIVE, Priority.BULK)
        for priority in (first, second):
            if priority is Priority.BULK and not admits_bulk:
                continue
            turn = self._take(priority, now_ms)
            if turn is not None:
                self._account(priority)
                return turn
        return None

    def _take(self, priority: Priority, now_ms: int) -> tuple[S, Fold] | None:
        for _ in range(len(self._order)):
            partition = self._order[0]
            self._order.rotate(-1)
            if not partition.is_closing and partition.has_ready(priority):
                fold = partition.take(priority, now_ms)
                if fold is not None:
                    return partition, fold
        return None

    def _account(self, taken: Priority) -> None:
        if taken is Priority.BULK:
            self._bulk_credit = max(self._bulk_credit - 1, 0)
        elif any(not partition.is_closing and partition.has_ready(Priority.BULK) for partition in self._order):
            # No more than one live turn earns is saved up while the budget's pace keeps bulk waiting.
            earned = self._bulk_share / (1 - self._bulk_share)
            self._bulk_credit = min(self._bulk_credit, 1) + earned
        else:
            self._bulk_credit = 0
