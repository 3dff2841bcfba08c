"""The picture keeps its size and its places, whatever there is to show."""

from typing import Any

import pytest
from rich.cells import cell_len

from worker.demo.account import Outcome, Sent
from worker.demo.day import Day, WorkerStatus
from worker.demo.picture import LEAST_COLUMNS, LEAST_ROWS, MOST_COLUMNS, listing, picture, rows_shown
from worker.demo.traffic import DAY, JUNIPER

SIZES = [(LEAST_COLUMNS, LEAST_ROWS), (80, 24), (100, 40), (MOST_COLUMNS, 60)]


def empty() -> Day:
    """Before anything has happened."""
    return Day(DAY)


def full() -> Day:
    """Every line of the day sent, in an outage, with figures of four digits."""
    day = Day(DAY)
    for scene in DAY:
        day.begin(scene)
        for line in scene.lines:
            day.add(line).sent += [Sent(command, "commands", 0, 9000) for command in line.commands]
    day.worker = WorkerStatus(12, {0: 1}, {"get": "open", "patch": "half_open"})
    day.asked([_failed(8000, JUNIPER.id), _failed(8001, JUNIPER.id), _failed(9999, "another")])
    return day


def _failed(sequence: int, customer_id: str) -> dict[str, Any]:
    return {"sequence": sequence, "method": "GET", "customer_id": customer_id, "status": 503, "ended": 1.0}


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("day", [empty(), full()], ids=["empty", "full"])
def test_picture_fills_its_rows_and_never_wraps(day: Day, size: tuple[int, int]) -> None:
    """A line that is too long would push the last ones off the screen."""
    columns, rows = size
    lines = picture(day, columns, rows).plain.split("\n")

    assert len(lines) == rows
    assert max(cell_len(line) for line in lines) <= columns


def test_picture_can_do_without_unicode() -> None:
    """For terminals that say that they have none: a retry and a text that is cut included."""
    day = full()
    day.worker = None
    letter = (("dlq-reason", b"invalid"), ("dlq-error", b"nobody knows this field " * 5))
    day.rows[-2].outcomes = [Outcome(False, 0, 0, None, None, letter)]
    shown = picture(day, 80, 24, ascii_only=True).plain

    assert shown.isascii()
    assert "tried again  503 (2 times)" in shown
    assert "x invalid  nobody knows" in shown


def test_picture_shows_the_newest_commands() -> None:
    """Older ones make room."""
    shown = picture(full(), 80, 24).plain
    lines = [line for scene in DAY for line in scene.lines]

    assert all(f"{line.who}" in shown for line in lines[-rows_shown(24) :])
    assert lines[0].what not in shown


def test_figures_say_what_is_under_way() -> None:
    """Lag, retries and the circuit, as the worker tells them."""
    above, below = (" ".join(line.split()) for line in picture(full(), 80, 24).plain.split("\n")[-2:])

    assert above == "commands 45 events 0 requests sent 9999 lag 9000"
    assert below == "on their way 45 dead letters 0 retrying 12 circuit both open"


def test_listing_holds_every_row() -> None:
    """What the picture had no room for stands in it as well."""
    shown = listing(full(), 80).plain

    assert all(line.what in shown for scene in DAY for line in scene.lines)
