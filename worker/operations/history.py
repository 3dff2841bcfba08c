"""The last hour of one replica in steps of ten seconds, and how those of several make the last hour of the group.

Steps are numbered by the wall clock, so that replicas agree which is which. Pure: `at_ms` is milliseconds since 1970.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntFlag

STEP_SECONDS = 10
STEPS = 360

Figure = int | None
"""None: nobody looked in this step, or there is no such figure."""


class Broken(IntFlag):
    """What kept commands from the upstream."""

    GET = 1
    PATCH = 2
    HOLD = 4


@dataclass(slots=True)
class _Step:
    number: int
    lag: Figure
    budget_left: Figure
    broken: int = 0
    events: int = 0
    dead_letters: int = 0


@dataclass(frozen=True, slots=True)
class Hour:
    """A row of figures for each measure, one for each step from number *first* on.

    *lag*: commands that waited at the step's end. *budget_left*: the fewest requests left for all replicas. *broken*:
    `Broken` at any time in it. *events* and *dead_letters*: commands decided in it.
    """

    first: int
    lag: tuple[Figure, ...] = ()
    budget_left: tuple[Figure, ...] = ()
    broken: tuple[Figure, ...] = ()
    events: tuple[Figure, ...] = ()
    dead_letters: tuple[Figure, ...] = ()


@dataclass(slots=True)
class History:
    """Remembers an hour, and no more."""

    _steps: deque[_Step] = field(default_factory=lambda: deque(maxlen=STEPS))
    _events: int = 0
    _dead_letters: int = 0

    def observe(
        self, at_ms: int, *, lag: Figure, budget_left: Figure, broken: Broken, events: int, dead_letters: int
    ) -> None:
        """The replica at this moment; *events* and *dead_letters* since its start. Called at least once a step."""
        number = step_of(at_ms)
        if not self._steps or self._steps[-1].number < number:
            self._steps.append(_Step(number, lag, budget_left))
        step = self._steps[-1]
        step.lag = lag
        if budget_left is not None:
            step.budget_left = budget_left if step.budget_left is None else min(step.budget_left, budget_left)
        step.broken |= broken
        step.events += events - self._events
        step.dead_letters += dead_letters - self._dead_letters
        self._events, self._dead_letters = events, dead_letters

    def hour(self) -> Hour:
        """What is remembered."""
        if not self._steps:
            return Hour(0)
        first, last = self._steps[0].number, self._steps[-1].number
        by_number = {step.number: step for step in self._steps}
        steps = [by_number.get(number) for number in range(max(first, last - STEPS + 1), last + 1)]
        return Hour(
            last - len(steps) + 1,
            lag=tuple(step.lag if step else None for step in steps),
            budget_left=tuple(step.budget_left if step else None for step in steps),
            broken=tuple(step.broken if step else None for step in steps),
            events=tuple(step.events if step else None for step in steps),
            dead_letters=tuple(step.dead_letters if step else None for step in steps),
        )


def step_of(at_ms: int) -> int:
    """The number of the step in which this moment lies."""
    return at_ms // (STEP_SECONDS * 1000)


def together(hours: Iterable[Hour], at_ms: int) -> Hour:
    """The hour of all replicas, which ends with the last step that is over.

    Waiting commands and decisions add up. The budget is one for all: whoever knows of the least left knows best.
    """
    first = step_of(at_ms) - STEPS
    known = [hour for hour in hours if hour.lag]

    def row(of: Callable[[Hour], Sequence[Figure]], combine: Callable[[list[int]], int]) -> tuple[Figure, ...]:
        merged: list[list[int]] = [[] for _ in range(STEPS)]
        for hour in known:
            for index, figure in enumerate(of(hour), start=hour.first - first):
                if figure is not None and 0 <= index < STEPS:
                    merged[index].append(figure)
        return tuple(combine(figures) if figures else None for figures in merged)

    return Hour(
        first,
        lag=row(lambda hour: hour.lag, sum),
        budget_left=row(lambda hour: hour.budget_left, min),
        broken=row(lambda hour: hour.broken, _any_of),
        events=row(lambda hour: hour.events, sum),
        dead_letters=row(lambda hour: hour.dead_letters, sum),
    )


def _any_of(figures: list[int]) -> int:
    found = 0
    for figure in figures:
        found |= figure
    return found
