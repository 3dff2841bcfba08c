"""One simulated process: a worker in a loop of its own, which can be killed, frozen, stopped, and started again."""

import asyncio
import signal
from collections import defaultdict
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, cast

from simulation.broker import Broker
from simulation.group import Group
from simulation.link import Link
from simulation.loop import ProcessLoop
from simulation.world import World

if TYPE_CHECKING:
    from simulation.upstream import Upstream


class Process:
    """From its start to its end; a restart is another process of the same name."""

    def __init__(
        self,
        name: str,
        world: World,
        broker: Broker,
        group: Group,
        upstream: "Upstream",
        *,
        main: Callable[[], Coroutine[Any, Any, None]],
        on_note: Callable[["Process", str], None],
        on_exit: Callable[["Process", BaseException | None], None],
    ) -> None:
        self.name = name
        self.world = world
        self.broker = broker
        self.group = group
        self.upstream = upstream
        self.link = Link(world, broker)
        self.loop = ProcessLoop(lambda: world.now, self)
        self.is_over = False
        self.last_stage = "start"
        self.planned: defaultdict[str, list[str]] = defaultdict(list)
        self._on_note = on_note
        self._on_exit = on_exit
        world.loops.append(self.loop)
        self.main = self.loop.create_task(main())
        self.main.add_done_callback(self._ended)

    @property
    def is_frozen(self) -> bool:
        """Whether it stands still."""
        return self.loop in self.world.frozen

    def note(self, what: str, details: str) -> None:
        """Says what the process does now: for the trace, and for faults that wait for it."""
        if what != "beat":
            self.world.note(self.name, f"{what} {details}")
        self._on_note(self, what)

    def fault(self, point: str) -> str | None:
        """What is planned to befall the next step of this kind."""
        planned = self.planned[point]
        return planned.pop(0) if planned else None

    def kill(self) -> None:
        """SIGKILL: nothing runs any more, and its connections break."""
        self._leave("killed")

    def freeze(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT so many seconds later."""
        self.world.note(self.name, f"frozen for {seconds:.1f} s")
        self.world.frozen.add(self.loop)
        self.upstream.excuse(self)
        self.world.after(seconds, self._thaw)

    def terminate(self) -> None:
        """SIGTERM."""
        self.world.note(self.name, "SIGTERM")
        handler = self.loop.signals.get(signal.SIGTERM)
        if handler is None:
            self.kill()
        else:
            self.loop.call_soon(handler)

    def _thaw(self) -> None:
        if not self.is_over:
            self.world.note(self.name, "thawed")
        self.world.frozen.discard(self.loop)

    def _ended(self, main: asyncio.Task[None]) -> None:
        if not self.is_over:
            error = None if main.cancelled() else main.exception()
            self._leave(f"exits {_leaf(error)!r}" if error else "exits")
            self._on_exit(self, error)

    def _leave(self, why: str) -> None:
        self.world.note(self.name, why)
        self.is_over = True
        self.world.frozen.discard(self.loop)
        if self.loop in self.world.loops:
            self.world.loops.remove(self.loop)
        self.upstream.disconnect(self)


def current() -> Process:
    """The process whose code runs now."""
    return cast("Process", cast("ProcessLoop", asyncio.get_running_loop()).owner)


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
