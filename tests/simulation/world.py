"""Virtual time, chance and the order of everything that happens in one life: all of it follows from the seed."""

import asyncio
import hashlib
import heapq
import math
import random
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any

from simulation.loop import ProcessLoop

# So many callbacks at one moment of virtual time are no work but a busy loop.
LARGEST_BURST = 200_000


class BusyLoopError(AssertionError):
    """Callbacks follow each other without end, and time stands still."""


class World:
    """The clock, the events that are due, the loops of the processes, and the trace of the life."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.now = 1000.0
        self.random = random.Random(seed)
        self.loops: list[ProcessLoop] = []
        self.frozen: set[ProcessLoop] = set()
        self.trace: list[tuple[float, str, str]] = []
        self.steps = 0
        self.counts: Counter[str] = Counter()
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = count()
        # Called after each callback of a process, while a fault waits for its moment.
        self.after_step: Callable[[ProcessLoop], None] | None = None

    def at(self, moment: float, event: Callable[[], object]) -> None:
        """*event* happens at *moment*, or now if that has passed; events of one moment keep their order."""
        heapq.heappush(self._events, (max(moment, self.now), next(self._numbers), event))

    def after(self, seconds: float, event: Callable[[], object]) -> None:
        """*event* happens in so many seconds."""
        self.at(self.now + seconds, event)

    def note(self, who: str, what: str) -> None:
        """Adds a line to the trace."""
        self.trace.append((self.now, who, what))

    def digest(self) -> str:
        """The same for two runs in which the same things happened at the same moments."""
        text = "\n".join(f"{moment:.6f} {who} {what}" for moment, who, what in self.trace)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def between(self, shortest: float, longest: float) -> float:
        """A number between the two; small ones are more likely, so that most things are quick and some are not."""
        return shortest + (longest - shortest) * self.random.random() ** 3

    def likely(self, probability: float) -> bool:
        """True with this probability."""
        return self.random.random() < probability

    def answer(self, future: asyncio.Future[Any], seconds: float, result: object) -> None:
        """Completes a future of a process in so many seconds, with *result* or by raising it."""

        def arrive() -> None:
            loop = future.get_loop()
            if not loop.is_closed():
                loop.call_soon(_complete, future, result)

        self.after(seconds, arrive)

    def run(self, finished: Callable[[], bool], deadline: float) -> bool:
        """Lets things happen until *finished*, which is asked whenever time passes; False if *deadline* comes first."""
        burst = 0
        while True:
            runnable, moment = self._look()
            if not runnable:
                if finished():
                    return True
                if moment > deadline:
                    return False
                self.now = max(moment, self.now)
                burst = 0
                continue
            burst += 1
            if burst > LARGEST_BURST:
                raise BusyLoopError(str(runnable))
            self._happen(runnable)

    def _look(self) -> tuple[list[ProcessLoop | None], float]:
        """The loops that can run now, None for the world's own event, and when the next thing is due otherwise."""
        now, moment = self.now, math.inf
        runnable: list[ProcessLoop | None] = []
        for loop in self.loops:
            due = None if loop in self.frozen else loop.next_due()
            if due is None:
                continue
            if due <= now:
                runnable.append(loop)
            elif due < moment:
                moment = due
        if self._events:
            due = self._events[0][0]
            if due <= now:
                runnable.append(None)
            elif due < moment:
                moment = due
        return runnable, moment

    def _happen(self, runnable: list[ProcessLoop | None]) -> None:
        loop = runnable[0] if len(runnable) == 1 else runnable[int(self.random.random() * len(runnable))]
        if loop is None:
            heapq.heappop(self._events)[2]()
            return
        # A few at a time: as fine as a context switch, without the price of choosing each time.
        for _ in range(1 + int(self.random.random() * 7)):
            if not loop.step():
                return
            self.steps += 1
            if self.after_step is not None:
                self.after_step(loop)
            if loop in self.frozen or loop not in self.loops:
                return


def _complete(future: asyncio.Future[Any], result: object) -> None:
    if future.done():
        return
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)
