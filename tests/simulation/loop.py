"""One event loop for each simulated process, run by hand: one callback at a time, on the world's clock.

That is what makes a life repeatable and its faults exact: a killed process is a loop that is never run again, a frozen
one is not run for a while, and both can happen between any two callbacks.
"""

import asyncio
import heapq
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from itertools import count
from typing import Any, Self, TypeVarTuple, Unpack, cast

Arguments = TypeVarTuple("Arguments")


class NumberedTask(asyncio.Task[Any]):
    """A task that sets keep in an order which does not depend on where it lies in memory."""

    numbers = count()

    def __new__(cls, *_args: object, **_keywords: object) -> Self:
        task = super().__new__(cls)
        task.number = next(cls.numbers)
        return task

    number: int
    _log_destroy_pending: bool

    def __hash__(self) -> int:
        return self.number

    __eq__ = object.__eq__


class ProcessLoop(asyncio.BaseEventLoop):
    """asyncio without a selector: `step` runs one callback."""

    def __init__(self, now: Callable[[], float], owner: object) -> None:
        super().__init__()
        self._now = now
        self.owner = owner
        self.signals: dict[int, Callable[[], object]] = {}
        self.unhandled: list[dict[str, Any]] = []
        self.tasks: set[NumberedTask] = set()
        self._ready: Any
        self._scheduled: list[Any]
        self.set_task_factory(_make_task)  # type: ignore[arg-type]  # a factory of one class of tasks
        self.set_exception_handler(lambda _, context: self.unhandled.append(context))

    def time(self) -> float:
        """The world's time, in seconds."""
        return self._now()

    def next_due(self) -> float | None:
        """When the next callback can run: at once (0), at a time, or never by itself."""
        if self._ready:
            return 0.0
        scheduled = self._scheduled
        while scheduled and scheduled[0]._cancelled:
            heapq.heappop(scheduled)
        return scheduled[0]._when if scheduled else None

    def step(self) -> bool:
        """Runs the next callback; False if none is due."""
        now, scheduled, ready = self._now(), self._scheduled, self._ready
        while scheduled and (scheduled[0]._cancelled or scheduled[0]._when <= now):
            timer = heapq.heappop(scheduled)
            if not timer._cancelled:
                ready.append(timer)
        if not ready:
            return False
        handle = ready.popleft()
        if not handle._cancelled:
            asyncio._set_running_loop(self)
            try:
                handle._run()
            finally:
                asyncio._set_running_loop(None)
        return True

    def add_signal_handler(self, sig: int, callback: Callable[[Unpack[Arguments]], object], *args: *Arguments) -> None:
        """Keeps what a signal calls."""
        self.signals[sig] = lambda: callback(*args)

    def end(self) -> None:
        """Forgets all tasks, whatever they wait for."""
        for task in self.tasks:
            if not task.done():
                task._log_destroy_pending = False
                with suppress(BaseException):
                    task.get_coro().close()
        self.tasks.clear()
        self.close()

    def _timer_handle_cancelled(self, _handle: asyncio.TimerHandle) -> None:
        """Nothing: cancelled timers are dropped when they come up."""


def _make_task(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], context: Context | None = None
) -> NumberedTask:
    task = NumberedTask(coroutine, loop=loop, context=context)
    tasks = cast("ProcessLoop", loop).tasks
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return task
