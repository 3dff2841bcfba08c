"""Finds a worker that lives and does nothing: the fault that no probe of its parts shows.

Consumption that silently stops after a rebalance is the most discussed fault of engines of this kind. So progress
itself is watched: work waits that is not all backing off, Kafka answers, nothing holds the upstream back, and yet
nothing is settled for a long while. Pure, apart from `task_stacks`.
"""

import asyncio
import io


class ProgressWatchdog:
    """Says whether work stands still without a reason. `now` is monotonic seconds."""

    __slots__ = ("_patience_seconds", "_settled", "_since")

    def __init__(self, *, patience_seconds: float) -> None:
        self._patience_seconds = patience_seconds
        self._settled = -1
        self._since: float | None = None

    def is_stalled(self, *, settled: int, work_waits: bool, may_work: bool, now: float) -> bool:
        """Told at short intervals: how much is settled so far, whether work waits, and whether anything excuses it."""
        if settled != self._settled or not work_waits or not may_work:
            self._settled = settled
            self._since = now
            return False
        return self._since is not None and now - self._since > self._patience_seconds


def task_stacks() -> list[str]:
    """Where each task of the running loop stands: names and lines of code, no values."""
    stacks = []
    for task in asyncio.all_tasks():
        text = io.StringIO()
        task.print_stack(limit=6, file=text)
        stacks.append(text.getvalue())
    return stacks
