"""The live picture on a terminal: its second screen, drawn in place, and gone when the demo is over."""

from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleDimensions
from rich.live import Live
from rich.text import Text

from worker.demo.day import Day
from worker.demo.picture import picture


class Screen:
    """Takes the terminal's second screen while inside."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, screen=True, auto_refresh=False)
        self._shown: tuple[ConsoleDimensions, Text] | None = None

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()

    def draw(self, day: Day) -> None:
        """Shows the day as it stands, in the size that the terminal has now; writes nothing where nothing changed."""
        size = self._console.size
        shown = picture(day, *size, ascii_only=self._console.options.ascii_only)
        if (size, shown) != self._shown:
            self._shown = size, shown
            self._live.update(shown, refresh=True)
