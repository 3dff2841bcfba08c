"""The live picture: what happens now, commands on the left, what became of them on the right, figures below. Pure.

Every part keeps its place and its size, so that the eye finds it again and nothing flickers. Colours are the
terminal's own sixteen, so that they suit its theme.
"""

import textwrap
from collections.abc import Sequence
from typing import Final

from rich.cells import set_cell_size
from rich.text import Text

from worker.demo.day import Day, Fate, Row
from worker.demo.wording import told

LEAST_COLUMNS: Final = 72
LEAST_ROWS: Final = 18
MOST_COLUMNS: Final = 112

_LEFT_COLUMNS: Final = 42
_NARRATION_ROWS: Final = 2
_FIXED_ROWS: Final = _NARRATION_ROWS + 7

_MARKS: Final = {
    Fate.WAITING: ("·", "."),
    Fate.UNDER_WAY: ("…", "~"),
    Fate.RETRYING: ("↻", "r"),
    Fate.HELD: ("‖", "="),
    Fate.EVENT: ("●", "*"),
    Fate.DEAD_LETTER: ("×", "x"),
}
STYLES: Final = {
    Fate.WAITING: "dim",
    Fate.UNDER_WAY: "cyan",
    Fate.RETRYING: "yellow",
    Fate.HELD: "yellow",
    Fate.EVENT: "green",
    Fate.DEAD_LETTER: "magenta",
}


def picture(day: Day, columns: int, rows: int, *, ascii_only: bool = False) -> Text:
    """The day as it stands, *columns* wide at most and *rows* high exactly."""
    columns = min(columns, MOST_COLUMNS)
    room = rows_shown(rows)
    lines = [
        _title(day, columns),
        Text(("-" if ascii_only else "─") * columns, "dim"),
        *_narration(day, columns),
        *_listing(day, columns, day.rows[-room:], room, ascii_only=ascii_only),
        *_figures(day, columns),
    ]
    return Text("\n").join(lines)


def rows_shown(rows: int) -> int:
    """How many of the day's rows a picture of *rows* lines has room for."""
    return rows - _FIXED_ROWS


def listing(day: Day, columns: int, *, ascii_only: bool = False) -> Text:
    """Every row of the day, as they stand in the picture."""
    columns = min(columns, MOST_COLUMNS)
    return Text("\n").join(_listing(day, columns, day.rows, len(day.rows), ascii_only=ascii_only))


def _title(day: Day, columns: int) -> Text:
    scene = day.scene
    place = f"{scene.clock}  {day.scenes.index(scene) + 1} of {len(day.scenes)} " if scene else ""
    name, about = " customer-sync demo", "  a small firm's day"
    gap = columns - len(name) - len(about) - len(place)
    return Text.assemble((name, "bold"), (about, "dim"), " " * gap, (place, "bold"))


def _narration(day: Day, columns: int) -> Sequence[Text]:
    wrapped = textwrap.wrap(day.narration, columns - 2, max_lines=_NARRATION_ROWS, placeholder=" …")
    padded = wrapped + [""] * (_NARRATION_ROWS - len(wrapped))
    return [Text(f" {text}", "bold cyan") for text in padded]


def _listing(day: Day, columns: int, rows: Sequence[Row], room: int, *, ascii_only: bool) -> Sequence[Text]:
    """Commands and outcomes side by side in *room* lines, between a head and a foot of three lines in all."""
    dash, tee, bar, upside = ("-", "+", "|", "+") if ascii_only else ("─", "┬", "│", "┴")
    left = _LEFT_COLUMNS + (columns - LEAST_COLUMNS) // 6
    right = columns - left - 2
    lines = [
        Text(dash * left + tee + dash * (right + 1), "dim"),
        Text.assemble((set_cell_size(" commands", left), "bold"), (bar, "dim"), (" what became of them", "bold")),
    ]
    for row in rows:
        line = Text()
        line.append(f" {row.scene.clock} ", "" if row.scene is day.scene else "dim")
        line.append(set_cell_size(f" {row.line.who}", 15))
        line.append(set_cell_size(f" {row.line.what}", left - 22), "dim")
        line.append(bar, "dim")
        now = told(day, row)
        outcome = Text.assemble((f" {_MARKS[now.fate][ascii_only]} {now.word}", STYLES[now.fate]))
        outcome.append(f"  {now.detail}" if now.detail else "", "dim")
        outcome.truncate(right, overflow="ellipsis")
        lines.append(line + outcome)
    lines += [Text.assemble(" " * left, (bar, "dim"))] * (room - len(rows))
    return [*lines, Text(dash * left + upside + dash * (right + 1), "dim")]


def _figures(day: Day, columns: int) -> Sequence[Text]:
    tally = day.tally()
    dead_letters = sum(tally.dead_letters.values())
    open_circuits = day.worker.open_circuits if day.worker else ()
    circuit = f"open: {', '.join(open_circuits)}" if open_circuits else "closed" if day.worker else "-"
    retrying = day.worker.retrying if day.worker else 0
    cells: list[list[tuple[str, int | str, str]]] = [
        [
            ("commands", tally.commands, ""),
            ("events", tally.events, "green"),
            ("requests sent", tally.requests, ""),
            ("lag", day.lag, "yellow" if day.lag else ""),
        ],
        [
            ("on their way", tally.commands - tally.events - dead_letters, ""),
            ("dead letters", dead_letters, "magenta"),
            ("retrying", retrying, "yellow" if retrying else ""),
            ("circuit", circuit, "bold yellow" if open_circuits else ""),
        ],
    ]
    width = columns // 4
    lines = []
    for row in cells:
        line = Text()
        for label, value, style in row:
            line.append(f" {label:<13}", "dim")
            shown = f"{value:>4}" if isinstance(value, int) else value
            line.append(set_cell_size(shown, width - 14), style)
        line.truncate(columns)
        lines.append(line)
    return lines
