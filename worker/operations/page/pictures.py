"""The last hour as pictures: inline SVG without text, stretched to whatever room there is; the words stand beside it.

One unit of width is one step of ten seconds. What is not known leaves a gap.
"""

from collections.abc import Callable, Iterator, Sequence

from worker.operations.history import STEPS, Figure
from worker.operations.page.markup import Html, html, together

HEIGHT = 40
STEPS_A_BAR = 6
_QUARTERS = (STEPS // 4, STEPS // 2, 3 * STEPS // 4)
_GAP = 1


def line(figures: Sequence[Figure], most: float) -> Html:
    """A line over a filled ground, from 0 at the bottom to *most* at the top."""
    paths = []
    for start, run in _runs(figures):
        outline = _outline(
            start, [round(HEIGHT - HEIGHT * min(figure / most, 1), 1) if most else HEIGHT for figure in run]
        )
        paths.append(
            html('<path class="ground" d="{outline}V{height}H{start}Z"/>', outline=outline, height=HEIGHT, start=start)
        )
        paths.append(html('<path class="line" d="{outline}"/>', outline=outline))
    return _picture(together(paths))


def bars(upper: Sequence[Figure], lower: Sequence[Figure]) -> Html:
    """A bar for each minute: *upper* grows up from a line that leaves a quarter for *lower*, which grows down."""
    sums = [(_sum(upper, index), _sum(lower, index)) for index in range(0, STEPS, STEPS_A_BAR)]
    most = max((figure for pair in sums for figure in pair), default=0) or 1
    ground = HEIGHT * 3 // 4
    parts = []
    for index, (up, down) in enumerate(sums):
        left, width = index * STEPS_A_BAR + _GAP, STEPS_A_BAR - _GAP
        if up:
            height = max(round(up / most * ground, 1), 0.7)
            parts.append(_block("up", left, width, ground - height, height))
        if down:
            height = min(max(round(down / most * ground, 1), 1.5), HEIGHT - ground)
            parts.append(_block("down", left, width, ground, height))
    parts.append(html('<path class="axis" d="M0 {ground}H{steps}"/>', ground=ground, steps=STEPS))
    return _picture(together(parts))


def strip(figures: Sequence[Figure], is_on: Callable[[int], bool]) -> Html:
    """A thin line where all is well, a block where it is not, nothing where nobody knows."""
    parts = []
    for start, run in _runs([None if figure is None else int(is_on(figure)) for figure in figures]):
        parts.append(html('<path class="axis" d="M{start} 20H{end}"/>', start=start, end=start + len(run)))
        begun: int | None = None
        for index, on in enumerate([*run, 0]):
            if on and begun is None:
                begun = index
            elif not on and begun is not None:
                parts.append(_block("down", start + begun, index - begun, 0, HEIGHT))
                begun = None
    return _picture(together(parts), css_class="strip")


def share(part: float) -> Html:
    """A small bar under a figure in a table, growing away from it: *part* of the room, 0 to 1."""
    width = round(min(max(part, 0), 1) * 100, 1)
    return html(
        '<svg class="share" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">'
        '<rect x="{left}" width="{width}" height="4"/></svg>',
        left=round(100 - width, 1),
        width=width,
    )


def _outline(start: int, tops: Sequence[float]) -> str:
    """A step is as wide as it is long: what was seen in it holds for all of it."""
    path = f"M{start} {tops[0]}"
    for index in range(1, len(tops)):
        if tops[index] != tops[index - 1]:
            path += f"H{start + index}V{tops[index]}"
    return f"{path}H{start + len(tops)}"


def _runs(figures: Sequence[Figure]) -> Iterator[tuple[int, list[int]]]:
    """Where figures are known without a gap: the index of the first, and all of them."""
    run: list[int] = []
    for index, figure in enumerate([*figures, None]):
        if figure is not None:
            run.append(figure)
        elif run:
            yield index - len(run), run
            run = []


def _sum(figures: Sequence[Figure], start: int) -> int:
    return sum(figure or 0 for figure in figures[start : start + STEPS_A_BAR])


def _block(css_class: str, left: float, width: float, top: float, height: float) -> Html:
    return html(
        '<rect class="{css_class}" x="{left}" y="{top}" width="{width}" height="{height}"/>',
        css_class=css_class,
        left=left,
        top=round(top, 1),
        width=width,
        height=height,
    )


def _picture(content: Html, css_class: str = "picture") -> Html:
    quarters = "".join(f"M{x} 0V{HEIGHT}" for x in _QUARTERS)
    return html(
        '<svg class="{css_class}" viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true">'
        '<path class="quarters" d="{quarters}"/>{content}</svg>',
        css_class=css_class,
        width=STEPS,
        height=HEIGHT,
        quarters=quarters,
        content=content,
    )
