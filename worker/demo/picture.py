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

LEAST_COLUMNS: Final = 78
LEAST_ROWS: Final = 18
MOST_COLUMNS: Final = 112

_LEFT_COLUMNS: Final = 43
_LABELS: Final = (12, 12, 13, 7)
NARRATION_ROWS: Final = 2
_FIXED_ROWS: Final = NARRATION_ROWS + 7

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
    wrapped = textwrap.wrap(day.narration, columns - 2, max_lines=NARRATION_ROWS, placeholder="")
    padded = wrapped + [""] * (NARRATION_ROWS - len(wrapped))
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
        outcome.truncate(right, overflow="crop" if ascii_only else "ellipsis")
        lines.append(line + outcome)
    lines += [Text.assemble(" " * left, (bar, "dim"))] * (room - len(rows))
    return [*lines, Text(dash * left + upside + dash * (right + 1), "dim")]


def _figures(day: Day, columns: int) -> Sequence[Text]:
    tally = day.tally()
    dead_letters = sum(tally.dead_letters.values())
    retrying = day.worker.retrying if day.worker else 0
    circuit = _circuit(day)
    above = (
        ("commands", tally.commands, ""),
        ("events", tally.events, STYLES[Fate.EVENT]),
        ("requests sent", tally.requests, ""),
        ("lag", day.lag, "yellow" if day.lag else ""),
    )
    below = (
        ("on their way", tally.commands - tally.events - dead_letters, ""),
        ("dead letters", dead_letters, STYLES[Fate.DEAD_LETTER]),
        ("retrying", retrying, "yellow" if retrying else ""),
        ("circuit", circuit, "bold yellow" if circuit.endswith("open") else ""),
    )
    gap = " " * (1 + (columns - LEAST_COLUMNS) // len(_LABELS))
    lines = []
    for figures in (above, below):
        line = Text()
        for label_columns, (label, value, style) in zip(_LABELS, figures, strict=True):
            line.append(f" {label:<{label_columns}} ", "dim")
            line.append(f"{value:>4}{gap}" if isinstance(value, int) else str(value), style)
        line.truncate(columns)
        lines.append(line)
    return lines


def _circuit(day: Day) -> str:
    if day.worker is None:
        return "   -"
    match day.worker.open_circuits:
        case []:
            return "closed"
        case [request]:
            return f"{request} open"
        case _:
            return "both open"
