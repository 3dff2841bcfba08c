"""The last hour as pictures."""

import re

import pytest

from worker.operations.history import STEPS, Figure
from worker.operations.page.pictures import HEIGHT, bars, line, share, strip


def hour(*figures: Figure) -> tuple[Figure, ...]:
    """An hour that begins so, and of whose rest nobody knows."""
    return (*figures, *(None,) * (STEPS - len(figures)))


def paths(picture: str, css_class: str) -> list[str]:
    """The outlines of this class."""
    return re.findall(rf'<path class="{css_class}" d="([^"]*)"', picture)


def blocks(picture: str, css_class: str) -> list[tuple[float, ...]]:
    """Left, top, width and height of the blocks of this class."""
    found = re.findall(rf'<rect class="{css_class}" x="([^"]*)" y="([^"]*)" width="([^"]*)" height="([^"]*)"', picture)
    return [tuple(float(number) for number in block) for block in found]


def test_line_has_a_step_for_each_figure() -> None:
    """Nothing at the bottom, the most at the top; what stays the same is one stroke."""
    assert paths(line(hour(0, 5, 5, 10), 10), "line") == ["M0 40.0H1V20.0H3V0.0H4"]
    assert paths(line(hour(0, 5, 5, 10), 10), "ground") == ["M0 40.0H1V20.0H3V0.0H4V40H0Z"]


def test_line_has_gaps_where_nobody_looked() -> None:
    """A line through them would be made up."""
    assert paths(line(hour(10, None, None, 10, 10), 10), "line") == ["M0 0.0H1", "M3 0.0H5"]


def test_line_stays_within_its_picture() -> None:
    """Also where there is nothing, and where a limit was lowered."""
    assert paths(line(hour(0, 0), 0), "line") == ["M0 40H2"]
    assert paths(line(hour(20, 5), 10), "line") == ["M0 0H1V20.0H2"]


def test_bars_stand_on_a_line_and_hang_from_it() -> None:
    """One for each minute; the second measure is told by its place, not by its colour alone."""
    picture = bars(hour(*[2] * 6, *[1] * 6), hour(0, 0, 0, 0, 0, 6))

    assert [(left, height) for left, _, _, height in blocks(picture, "up")] == [(1, 30), (7, 15)]
    assert [(left, top) for left, top, _, _ in blocks(picture, "down")] == [(1, 30)]


def test_smallest_bar_can_be_seen() -> None:
    """One dead letter beside thousands of events."""
    picture = bars(hour(90_000), hour(1))

    assert blocks(picture, "down")[0][3] >= 1
    assert all(top + height <= HEIGHT for _, top, _, height in blocks(picture, "down") + blocks(picture, "up"))


def test_strip_is_a_line_and_a_block_where_something_is_open() -> None:
    """And nothing where nobody knows."""
    picture = strip(hour(0, 1, 3, 0, None, 1), lambda figure: bool(figure & 1))

    assert blocks(picture, "down") == [(1, 0, 2, 40), (5, 0, 1, 40)]
    assert paths(picture, "axis") == ["M0 20H4", "M5 20H6"]


@pytest.mark.parametrize(("part", "bar"), [(0.25, (75, 25)), (0, (100, 0)), (7, (0, 100)), (-1, (100, 0))])
def test_share_stays_within_its_room(part: float, bar: tuple[float, float]) -> None:
    """Whatever it is told."""
    left, width = re.findall(r'x="([^"]*)" width="([^"]*)"', share(part))[0]

    assert (float(left), float(width)) == bar


def test_pictures_are_not_read_aloud() -> None:
    """The words stand beside them."""
    for picture in (line(hour(1), 1), bars(hour(1), hour(1)), strip(hour(1), bool), share(1)):
        assert 'aria-hidden="true"' in picture
