"""The demo as an SVG for the docs: its richest moment, and where the reader's browser lets it move, the whole day.

All moments stand below each other in one drawing, of which a window shows one; the animation only moves the drawing.
"""

import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from worker.demo.day import Day
from worker.demo.picture import picture, rows_shown
from worker.demo.wording import told

_COLUMNS: Final = 96
_ROWS: Final = 30
_LEAST_SECONDS: Final = 0.9
_LAST_SECONDS: Final = 3.0

# rich's measures of a character of 20 pixels in the fonts below, whose characters are 0.602 times as wide as high.
_FONT_ASPECT: Final = 0.602
_CELL_WIDTH: Final = 20 * _FONT_ASPECT
_CELL_HEIGHT: Final = 24.4
_PADDING: Final = 14
_WIDTH: Final = round(_COLUMNS * _CELL_WIDTH) + 2 * _PADDING
_HEIGHT: Final = round(_ROWS * _CELL_HEIGHT) + 2 * _PADDING

_THEME: Final = TerminalTheme(
    (22, 27, 34),
    (201, 209, 217),
    [
        (72, 79, 88),
        (255, 123, 114),
        (86, 191, 120),
        (217, 170, 76),
        (108, 164, 248),
        (214, 134, 190),
        (102, 194, 205),
        (201, 209, 217),
    ],
)
_FRAME: Final = f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">
<title>A run of customer-sync demo</title>
<style>
.text {{{{ font: {{char_height}}px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  white-space: pre }}}}
{{styles}}
MOTION
</style>
<rect width="{_WIDTH}" height="{_HEIGHT}" rx="10" fill="{_THEME.background_color.hex}"/>
<svg x="{_PADDING}" y="{_PADDING}" width="{_WIDTH - 2 * _PADDING}" height="{_HEIGHT - 2 * _PADDING}">
<g class="text" xml:space="preserve" transform="translate(0 STILL)">
{{matrix}}
</g></svg></svg>
"""


class Film:
    """Keeps what is drawn, and writes it to *file* at the end."""

    def __init__(self, file: Path, now: Callable[[], float]) -> None:
        """*now* gives monotonic seconds."""
        self._file = file
        self._now = now
        self._moments: list[tuple[float, Text]] = []
        self._still = 0
        self._variety = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self._file.write_text(self._svg(), encoding="utf-8")

    def draw(self, day: Day) -> None:
        """Keeps the day as it stands, unless it stood so before or a moment ago."""
        if day.scene is None:
            return
        now = self._now()
        shown = picture(day, _COLUMNS, _ROWS)
        if self._moments and (now - self._moments[-1][0] < _LEAST_SECONDS or shown == self._moments[-1][1]):
            return
        self._moments.append((now, shown))
        variety = len({told(day, row).word for row in day.rows[-rows_shown(_ROWS) :]})
        if variety >= self._variety:
            self._still, self._variety = len(self._moments) - 1, variety

    def _svg(self) -> str:
        console = Console(
            file=StringIO(), record=True, width=_COLUMNS, force_terminal=True, color_system="truecolor", no_color=False
        )
        for _, shown in self._moments:
            console.print(shown)
        drawing = console.export_svg(theme=_THEME, code_format=_FRAME, font_aspect_ratio=_FONT_ASPECT, unique_id="t")
        # rich cuts every line with a path of its own, though none is too long, and takes six bytes for a blank.
        drawing = re.sub(r' clip-path="url\(#t-line-\d+\)"', "", drawing).replace("&#160;", "\u00a0")
        return drawing.replace("MOTION", self._motion()).replace("STILL", f"{_offset(self._still):g}")

    def _motion(self) -> str:
        began = self._moments[0][0]
        seconds = self._moments[-1][0] - began + _LAST_SECONDS
        steps = " ".join(
            f"{100 * (at - began) / seconds:.2f}% {{ transform: translateY({_offset(number):g}px) }}"
            for number, (at, _) in enumerate(self._moments)
        )
        moving = f".text {{ animation: day {seconds:.1f}s step-end infinite }}"
        return f"@keyframes day {{ {steps} }}\n@media (prefers-reduced-motion: no-preference) {{ {moving} }}"


def _offset(moment: int) -> float:
    return -moment * _ROWS * _CELL_HEIGHT
