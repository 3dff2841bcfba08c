"""The picture for the docs stands by itself, and shows something also where nothing moves."""

import itertools
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from worker.demo.day import Day
from worker.demo.film import Film
from worker.demo.traffic import DAY


@pytest.fixture
def drawing(tmp_path: Path) -> str:
    """A film of two scenes, a second apart."""
    day = Day(DAY)
    with Film(tmp_path / "demo.svg", itertools.count().__next__) as film:
        film.draw(day)
        for scene in DAY[:2]:
            day.begin(scene)
            day.add(scene.lines[0])
            film.draw(day)
            film.draw(day)
    return (tmp_path / "demo.svg").read_text(encoding="utf-8")


def test_film_is_well_formed_and_loads_nothing(drawing: str) -> None:
    """No font, style sheet or script of somebody else's."""
    ET.fromstring(drawing)

    assert drawing.count("http") == 1
    assert 'xmlns="http://www.w3.org/2000/svg"' in drawing


def test_film_keeps_each_moment_once(drawing: str) -> None:
    """Before the first scene there is nothing to see, and what stands still needs no second drawing."""
    assert drawing.count("translateY") == 2
    assert [drawing.count(f"{number}\u00a0of\u00a06") for number in (1, 2, 3)] == [1, 1, 0]


def test_film_moves_only_where_that_is_wanted(drawing: str) -> None:
    """Without the animation a moment is in the window all the same."""
    assert "@media (prefers-reduced-motion: no-preference) { .text { animation" in drawing
    assert 'transform="translate(0 -' in drawing


def test_film_that_was_interrupted_is_not_written(tmp_path: Path) -> None:
    """The old picture stays."""
    with pytest.raises(KeyboardInterrupt), Film(tmp_path / "demo.svg", float):
        raise KeyboardInterrupt

    assert not (tmp_path / "demo.svg").exists()
