"""What is told about a row of the day, in a word and a few more. Pure."""

import re
from dataclasses import dataclass
from typing import Final

from worker.demo.day import Day, Fate, Row

# dlq-error is "$.changes.name: what is wrong. What to do. [code]"; a line of the picture has room for the first part.
_PLACE: Final = re.compile(r"^(?:\$\S*|key|expirytime|header \S+|GET|PATCH|answer|event): ")
_ADVICE: Final = re.compile(r"\. [A-Z].*$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Told:
    """*word* says what became of it, *detail* how or why."""

    fate: Fate
    word: str
    detail: str


def told(day: Day, row: Row) -> Told:
    """Where the commands of *row* stand, for people."""
    fate = day.fate(row)
    match fate:
        case Fate.WAITING:
            return Told(fate, "waits in Kafka", "")
        case Fate.UNDER_WAY:
            return Told(fate, "with the upstream", _progress(row))
        case Fate.RETRYING:
            return Told(fate, "tried again", _failures(row))
        case Fate.HELD:
            return Told(fate, "waits for the upstream", "")
        case Fate.EVENT:
            return _told_of_events(row)
        case Fate.DEAD_LETTER:
            reason = row.outcomes[-1].reason
            return Told(fate, str(reason), brief(row.outcomes[-1].error))


def brief(error: str) -> str:
    """What is wrong, from the header ``dlq-error``, without the place and the advice."""
    return _ADVICE.sub("", _PLACE.sub("", error)).removesuffix(".")


def _progress(row: Row) -> str:
    return f"{len(row.outcomes)} of {len(row.line.commands)}" if row.outcomes else ""


def _failures(row: Row) -> str:
    number = len(row.failures)
    return f"{row.failures[-1].status} ({'once' if number == 1 else f'{number} times'})"


def _told_of_events(row: Row) -> Told:
    number = len(row.line.commands)
    if number > 1:
        detail = f"folded: {len(row.requests)} requests" if row.is_folded else ""
        return Told(Fate.EVENT, f"{number} events", detail)
    if row.failures:
        return Told(Fate.EVENT, "event", f"after {_failures(row)}")
    if row.is_settled and not any(request.method == "PATCH" for request in row.requests):
        return Told(Fate.EVENT, "event", "GET alone, no change")
    return Told(Fate.EVENT, "event", "GET, PATCH" if row.is_settled else "")
