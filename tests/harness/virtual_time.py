"""asyncio on a clock that jumps: nothing waits, and a test that would wait for ever fails at once."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class NothingLeftToHappenError(AssertionError):
    """Every task waits for something that no timer and no other task will bring about."""


class _JumpingSelector(selectors.SelectSelector):
    """Where a real selector would sleep until the next timer is due, time jumps to it."""

    loop: "VirtualClockLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise NothingLeftToHappenError
        if not ready and timeout:
            self.loop.now += timeout
        return ready


class VirtualClockLoop(asyncio.SelectorEventLoop):
    """An event loop with a clock of its own; `now` is seconds since the loop was made."""

    def __init__(self) -> None:
        selector = _JumpingSelector()
        selector.loop = self
        self.now = 0.0
        super().__init__(selector)

    def time(self) -> float:
        """The loop's clock, in seconds."""
        return self.now


def run_virtually(main: Coroutine[Any, Any, Result]) -> Result:
    """Runs *main* to its end on a clock of its own. Raises NothingLeftToHappenError where it would wait for ever."""
    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        return runner.run(main)


def now() -> float:
    """Seconds on the clock of the running loop."""
    return asyncio.get_running_loop().time()


async def settled() -> None:
    """Returns when every task has run as far as it can without time passing."""
    # A timer due in a moment is behind everything that is ready now, and behind what that makes ready in turn.
    await asyncio.sleep(1e-6)
