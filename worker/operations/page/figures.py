"""The head of the page: how the group is, its figures, and its last hour."""

import math
from collections.abc import Sequence

from worker.operations.group import GroupView
from worker.operations.health import Health, Level
from worker.operations.history import STEP_SECONDS, STEPS, Broken, Figure
from worker.operations.page import pictures
from worker.operations.page.markup import Html, html, together
from worker.operations.words import clock, count, moment, number, span

_LATELY_STEPS = 30
_AXIS_MINUTES = (60, 45, 30, 15, 0)
_BREAKERS = ((Broken.GET, "GET", "get"), (Broken.PATCH, "PATCH", "patch"), (Broken.HOLD, "Hold", ""))
# Drawn, so that a state is not told by its colour alone: a dot, two bars, a triangle with its mark.
_SIGNS = {
    Level.WELL: Html('<circle cx="8" cy="8" r="5"/>'),
    Level.WAITS: Html('<path d="M4 3h3v10H4zM9 3h3v10H9z"/>'),
    Level.TROUBLE: Html('<path d="M8 1l7.5 13.5h-15zM7.2 5.5v4.6h1.6V5.5zm0 5.8v1.7h1.6v-1.7z" fill-rule="evenodd"/>'),
}


def seen(view: GroupView) -> Html:
    """Whose page this is and of which moment."""
    total = len(view.replicas) + len(view.silent)
    return html(
        "<p>Group <b>{group}</b>, {replicas}, seen by {here}</p>"
        '<p>as of <time datetime="{moment}">{clock} UTC</time></p>',
        group=view.group_id,
        replicas=count(total, "replica"),
        here=view.here,
        moment=moment(view.at_ms),
        clock=clock(view.at_ms),
    )


def sentence(found: Health) -> Html:
    """The health of the group in one sentence, and what to do about it."""
    return html(
        '<h1>{sentence}</h1><p class="advice">{advice}</p>',
        sentence=found.sentence,
        advice=found.advice,
    )


def state(found: Health) -> Html:
    """Its name, which is read aloud when it changes: it holds no figures."""
    return html(
        '<svg class="sign" viewBox="0 0 16 16" aria-hidden="true">{sign}</svg>{name}',
        sign=_SIGNS[found.level],
        name=found.name,
    )


def key_figures(view: GroupView) -> Html:
    """What is asked first."""
    seen = [figure for figure in view.hour.events[-_LATELY_STEPS:] if figure is not None]
    settled = _sum(seen) + _sum(view.hour.dead_letters[-_LATELY_STEPS:])
    per_minute = settled / (len(seen) * STEP_SECONDS / 60) if seen else 0.0
    oldest = view.customers.oldest_ms
    rows = (
        ("Commands waiting", number(view.lag), "in the log and in memory"),
        ("Settled in", drained(view.drained_in_seconds), _until(view)),
        ("Oldest waits", "–" if oldest is None else span((view.at_ms - oldest) / 1000), "since it was published"),
        ("Settled a minute", number(per_minute) if per_minute >= 10 else f"{per_minute:.2g}", "in the last five"),
        ("Dead letters", number(_sum(view.hour.dead_letters)), "in the last hour"),
    )
    return together(
        html(
            '<div class="figure"><dt>{name}</dt><dd><b>{value}</b> <span>{meaning}</span></dd></div>',
            name=name,
            value=value,
            meaning=meaning,
        )
        for name, value, meaning in rows
    )


def _until(view: GroupView) -> str:
    if view.drained_in_seconds != math.inf:
        return "at the present budget and pace"
    if view.held_for:
        return "before the hold ends"
    if any(state != "closed" for state in view.circuits.values()):
        return "before the upstream is back"
    return "while more comes than is settled"


def drained(seconds: float | None) -> str:
    """When it will be empty: a dash where that is not known."""
    if seconds is None:
        return "–"
    if math.isinf(seconds):
        return "not in sight"
    return "now" if seconds == 0 else span(seconds)


def hour(view: GroupView) -> Html:
    """The last hour, one picture under another on one axis of time."""
    row = view.hour
    most = max([view.lag, *(figure for figure in row.lag if figure is not None)])
    limit = view.budget.limit if view.budget is not None else 0
    tracks = [
        _track("Waiting", count(view.lag, "command"), f"most {number(most)}", pictures.line(row.lag, most)),
        _track(
            "Settled a minute",
            f"{count(_sum(row.events), 'event')} in this hour",
            count(_sum(row.dead_letters), "dead letter") + ", below the line",
            pictures.bars(row.events, row.dead_letters),
        ),
        _budget(view, pictures.line(row.budget_left, limit) if limit else None),
        *(_breaker(view, broken, name, kind) for broken, name, kind in _BREAKERS),
    ]
    end_ms = (row.first + STEPS) * STEP_SECONDS * 1000
    axis = together(
        html("<span>{time}</span>", time=clock(end_ms - minutes * 60_000, seconds=False)) for minutes in _AXIS_MINUTES
    )
    return html('{tracks}<p class="axis" aria-hidden="true">{axis}</p>', tracks=together(tracks), axis=axis)


def _budget(view: GroupView, picture: Html | None) -> Html:
    budget = view.budget
    if budget is None or picture is None:
        return _track("Requests left", "no limit", "none is set, and the upstream tells of none", None)
    return _track(
        "Requests left",
        f"{number(max(budget.left, 0))} of {number(budget.limit)}",
        f"a new window in {span(budget.resets_in_seconds)}",
        picture,
    )


def _breaker(view: GroupView, broken: Broken, name: str, kind: str) -> Html:
    steps = [figure is not None and bool(figure & broken) for figure in view.hour.broken]
    is_open = bool(view.held_for) if not kind else view.circuits.get(kind, "closed") != "closed"
    words = ("in force", "none") if not kind else ("open", "closed")
    seconds = sum(steps) * STEP_SECONDS
    past = f"{words[0]} {span(seconds)} of this hour" if seconds else ""
    return _track(
        f"{name} circuit" if kind else name,
        words[0] if is_open else words[1],
        past,
        pictures.strip(view.hour.broken, lambda figure: bool(figure & broken)),
        css_class="thin",
    )


def _track(name: str, now: str, note: str, picture: Html | None, css_class: str = "") -> Html:
    return html(
        '<figure class="track {css_class}"><figcaption><b>{name}</b> <span class="now">{now}</span> '
        '<span class="note">{note}</span></figcaption>{picture}</figure>',
        css_class=css_class,
        name=name,
        now=now,
        note=note,
        picture=picture,
    )


def _sum(figures: Sequence[Figure]) -> int:
    return sum(figure or 0 for figure in figures)
