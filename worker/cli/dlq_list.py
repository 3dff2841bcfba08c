"""`dlq list`: how many dead letters there are, of which reasons, and which."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from handlers.faults import Reason
from worker.cli.console import complain, plain, say, say_json, usable_settings
from worker.cli.dlq import Age, Containing, Customer, Reasons, Since, Until, desk, now_ms, selection
from worker.cli.reading import progress_bar
from worker.cli.spans import rough_span
from worker.cli.tables import say_table

if TYPE_CHECKING:
    from handlers.replay import DeadLetter, Place
    from worker.desk.reading import DeskReader
    from worker.desk.selection import Selection
    from worker.desk.state import State
    from worker.settings import Settings

EXAMPLES: Final = """\
Examples:
  customer-sync dlq list
  customer-sync dlq list --reason unknown_customer --age 2h
  customer-sync dlq list --all --customer b3b7c1e2-4c2a-4e7a-9c1a-2b7c1e24c2a4
  customer-sync dlq list --json | jq -r .command_id"""


def list_(
    *,
    reasons: Reasons = None,
    age: Age = None,
    since: Since = None,
    until: Until = None,
    customer: Customer = None,
    text: Containing = None,
    closed_too: Annotated[
        bool,
        typer.Option("--all", help="Also those that were replayed, superseded or discarded, and what became of it."),
    ] = False,
    limit: Annotated[int, typer.Option(min=0, metavar="COUNT", help="Show so many of the latest.")] = 20,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object for each instead, oldest first; no values.")
    ] = False,
) -> None:
    """Count the open dead letters by reason, and show the latest of them.

    A dead letter is open until it is replayed, discarded, or found to be superseded by later commands. Shows ids,
    reasons and names of fields, and no personal data.
    """
    wanted = selection(reasons=reasons, age=age, since=since, until=until, customer=customer, text=text)
    settings = usable_settings()
    with desk(settings) as reader:
        found = _Found(reader, wanted, closed_too=closed_too, quiet=as_json)
        if as_json:
            for letter, state in found:
                say_json(as_row(letter, state))
            return
        latest = found.latest(limit)
    if not found.counts:
        say(f"no {'' if closed_too else 'open '}dead letters{'' if wanted.is_everything else ' that match'}")
    else:
        _say_counts(found, closed_too=closed_too)
        if latest:
            say()
            _say_rows(latest, closed_too=closed_too)
            _say_rest(found, len(latest))
    _complain_about(reader, settings)


class _Found:
    """The dead letters that are meant, with their states; counted while they are gone through."""

    def __init__(self, reader: DeskReader, wanted: Selection, *, closed_too: bool, quiet: bool) -> None:
        self.counts: Counter[tuple[str, State]] = Counter()
        self._reader = reader
        self._wanted = wanted
        self._closed_too = closed_too
        self._bar = nullcontext(_unseen) if quiet else progress_bar("dead letters")

    def __iter__(self) -> Iterator[tuple[DeadLetter, State]]:
        from worker.desk.state import state

        decisions = self._reader.decisions
        is_settled = self._reader.settled() if self._closed_too and decisions else lambda _partition, _offset: False
        died_again = self._died_again() if self._closed_too and decisions else frozenset()
        with self._bar as progress:
            for letter in self._reader.letters(self._wanted, progress=progress):
                decision = decisions.about(letter.died)
                if decision is not None and not self._closed_too:
                    continue
                stands = state(decision, died_again=died_again, is_settled=is_settled)
                self.counts[letter.reason, stands] += 1
                yield letter, stands

    def latest(self, limit: int) -> list[tuple[DeadLetter, State]]:
        """Goes through all and keeps the latest, the latest first."""
        kept: list[tuple[int, int, DeadLetter, State]] = []
        for number, (letter, stands) in enumerate(self):
            row = (letter.record.timestamp_ms, number, letter, stands)
            if len(kept) < limit:
                heapq.heappush(kept, row)
            elif kept:
                heapq.heappushpop(kept, row)
        return [row[2:] for row in sorted(kept, key=lambda row: row[:2], reverse=True)]

    def _died_again(self) -> frozenset[Place]:
        decisions = self._reader.decisions
        placed = (decisions.that_placed(one.died[:3], one.replay) for one in self._reader.letters() if one.replay)
        return frozenset(decision.died for decision in placed if decision is not None)


def as_row(letter: DeadLetter, state: str) -> dict[str, Any]:
    """A dead letter for scripts, without values."""
    from handlers.instants import format_instant
    from worker.desk.content import customer_of, named_fields

    return {
        "command_id": letter.command_id,
        "replay": letter.replay,
        "state": state,
        "reason": letter.reason,
        "error": letter.error,
        "status": letter.status,
        "attempts": letter.attempts,
        "customer_id": customer_of(letter),
        "fields": named_fields(letter),
        "published": format_instant(letter.died.timestamp_ms) if letter.died.timestamp_ms >= 0 else None,
        "died": format_instant(letter.record.timestamp_ms),
        "command": letter.died.coordinates,
        "dead_letter": letter.record.coordinates,
    }


def _say_counts(found: _Found, *, closed_too: bool) -> None:
    from worker.desk.state import State

    states = [one for one in State if any(stands is one for _, stands in found.counts)] if closed_too else [State.OPEN]
    order = [reason.value for reason in Reason]
    reasons = sorted({reason for reason, _ in found.counts}, key=lambda one: order.index(one) if one in order else 99)
    rows = [[plain(reason), *(_number(found.counts[reason, one]) for one in states)] for reason in reasons]
    if len(rows) > 1:
        rows.append(["together", *(_number(sum(found.counts[reason, one] for reason in reasons)) for one in states)])
    say_table(["", *states], rows, right=frozenset(states))


def _say_rows(latest: list[tuple[DeadLetter, State]], *, closed_too: bool) -> None:
    from worker.desk.content import customer_of, named_fields

    now = now_ms()
    columns = ["died", "reason", *(["state"] if closed_too else []), "customer", "command", "fields"]
    rows = [
        [
            f"{rough_span(now - letter.record.timestamp_ms)} ago",
            plain(letter.reason),
            *([state] if closed_too else []),
            customer_of(letter),
            plain(letter.id),
            ", ".join(named_fields(letter)),
        ]
        for letter, state in latest
    ]
    say_table(columns, rows)


def _say_rest(found: _Found, shown: int) -> None:
    more = sum(found.counts.values()) - shown
    if more:
        say((f"and {more} earlier ones: --limit shows more, --json all", "dim"))
    say(("look at one with `customer-sync dlq show COMMAND`", "dim"))


def _complain_about(reader: DeskReader, settings: Settings) -> None:
    if reader.strangers:
        complain(
            ("note: ", "yellow"),
            f"{reader.strangers} records of {settings.dead_letter_topic} were no dead letters of this worker: left out",
        )


def _number(count: int) -> str:
    return f"{count:,}" if count else "–"


def _unseen(_passed: int, _total: int) -> None:
    """Shows no progress."""
