"""What `trace` found, in words for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from handlers.fields import shown_customer
from handlers.instants import format_instant
from worker.cli.console import Part, plain, say
from worker.cli.trace_json import took_ms
from worker.tracking.fates import Applied, Dead, OutcomeGone, Repeated, Waiting
from worker.tracking.seen import CommandSeen, EventSeen, Place, changes_in

if TYPE_CHECKING:
    from worker.tracking.search import Findings, Story

_WIDTH: Final = 10
_MOST_NAMED: Final = 10

Line = tuple[str, str, str]
"""A label, its style, and what is said."""


def say_stories(stories: Sequence[Story], *, group: str, reveal: bool) -> None:
    """Each record of a command and what became of it."""
    for position, story in enumerate(stories):
        if position:
            say("")
        for label, style, text in _lines(story, group=group, reveal=reveal):
            parts: tuple[Part, ...] = ((f"{label:<{_WIDTH}}", style), plain(text))
            say(*parts)


def say_customer(findings: Findings, *, reveal: bool) -> None:
    """A line for each of the customer's commands, the latest last."""
    if findings.left_out:
        say((f"{findings.left_out} older commands are left out: see --last", "dim"))
    for story in findings.stories:
        outcome, style = _in_short(story)
        command = story.command
        time_ms = command.record.timestamp_ms if command is not None else -1
        say(
            (f"{_second(time_ms):<20}  ", "dim"),
            (f"{outcome:<24}", style),
            f"  {plain(_id_of(story))}",
            (f"  {plain(_changes(command, reveal=reveal))}" if command is not None else "", "dim"),
        )


def _lines(story: Story, *, group: str, reveal: bool) -> Iterator[Line]:
    command = story.command
    replay = f", replay {command.replay} of a dead letter" if command is not None and command.replay else ""
    yield "command", "bold", _id_of(story) + replay
    if command is not None:
        if command.source is not None:
            yield "source", "dim", command.source
        yield "record", "dim", f"{_where(command.place)}, {_time(command.record.timestamp_ms)}"
        yield "customer", "dim", shown_customer(command.record.key)
        yield "changes", "dim", _changes(command, reveal=reveal) or "none that could be read"
    else:
        yield "record", "dim", "no longer on the command topic, or out of the bounds given"
    match story.fate:
        case Applied():
            yield from _applied(story, story.fate, reveal=reveal)
        case Dead():
            yield from _dead(story, story.fate)
        case Repeated(original=original):
            yield (
                "repeated",
                "yellow",
                f"a copy of {_where(original)}: settled with that one, without an outcome of its own",
            )
        case Waiting():
            yield from _waiting(story.fate, group)
        case OutcomeGone():
            yield (
                "settled",
                "yellow",
                "but its outcome is not there: deleted by its topic's retention, or settled elsewhere",
            )


def _applied(story: Story, fate: Applied, *, reveal: bool) -> Iterator[Line]:
    event = fate.event
    yield "applied", "green", f"{_took(story)}event in {_where(event.place)}, {_time(event.timestamp_ms)}"
    yield "event id", "dim", event.event_id
    if fate.folded_with:
        yield "folded", "", f"with {_ids(fate.folded_with)}: the same requests served all"
    if fate.perhaps_with:
        yield "folded", "", f"perhaps with {_ids(fate.perhaps_with)}: same payload, same moment; more is not on record"
    yield (
        "requests",
        "dim",
        "one GET, and one PATCH unless nothing had to change; retries stand in the worker's log alone (`applied`)",
    )
    for one in fate.repeated:
        yield "repeated", "yellow", f"event once more in {_where(one.place)}, with the same id (at least once)"
    if reveal:
        yield "payload", "", _payload(event)


def _dead(story: Story, fate: Dead) -> Iterator[Line]:
    death, letter = fate.death, fate.death.letter
    yield "dead", "red", f"{_took(story)}{letter.reason} in {_where(death.place)}, {_time(death.timestamp_ms)}"
    yield "error", "", letter.error
    answer = "" if letter.status is None else f", the last answered with {letter.status}"
    yield "attempts", "dim", f"{letter.attempts}{answer}"
    yield "worker", "dim", death.worker or "unknown"
    decision = fate.decision
    if decision is not None:
        what = decision.action.replace("_", " ")
        fields = f", without {', '.join(decision.fields)}" if decision.fields else ""
        note = f": {decision.note}" if decision.note else ""
        yield "desk", "yellow", f"{what}{fields} by {decision.by}, {_time(decision.at_ms)}{note}"


def _waiting(fate: Waiting, group: str) -> Iterator[Line]:
    if fate.committed is None:
        yield "waiting", "yellow", f"the group {group} has committed nothing for this partition: has a worker run?"
        return
    others = f"{_count(fate.before, 'command')} before it in its partition" if fate.before else "it is the next one"
    own = f", {fate.of_customer_before} of them of the same customer" if fate.of_customer_before else ""
    yield "waiting", "yellow", f"{others}{own}; the group {group} has committed offset {fate.committed}"
    if fate.copy_of is not None:
        yield "copy", "yellow", f"of {_where(fate.copy_of)}: it will be settled without an outcome of its own"
    if fate.tried is not None:
        failed = f"{_count(fate.tried.attempts, 'attempt')} for its customer failed"
        yield "retry", "yellow", f"{failed} in {fate.tried.elapsed_seconds:.1f} s, as of the last commit"
    elif fate.overtaken_by:
        later = _count(fate.overtaken_by, "later command")
        yield "overtaken", "yellow", f"{later} of other customers settled already: this one is likely to be retried"
    begun = "a worker may have begun it" if fate.may_be_under_way else "nobody has begun it: nothing was sent for it"
    yield "begun", "dim", begun


def _in_short(story: Story) -> tuple[str, str]:
    match story.fate:
        case Applied():
            return f"applied {_took(story).removesuffix(': ')}".strip(), "green"
        case Dead(death=death, decision=decision):
            done = "" if decision is None else f", {decision.action.replace('_', ' ')}"
            return death.letter.reason + done, "red"
        case Repeated():
            return "repeated", "yellow"
        case Waiting(tried=tried):
            return "waiting" if tried is None else f"waiting, {_count(tried.attempts, 'failure')}", "yellow"
        case OutcomeGone():
            return "settled, outcome gone", "yellow"


def _id_of(story: Story) -> str:
    if story.command is not None:
        return story.command.id
    match story.fate:
        case Applied(event=event):
            return event.command_id
        case Dead(death=death):
            return death.id
        case _:
            return ""


def _changes(command: CommandSeen, *, reveal: bool) -> str:
    if not reveal:
        return ", ".join(command.fields)
    changes = changes_in(command.record.value)
    return ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in changes.items())


def _ids(ids: Sequence[str]) -> str:
    named = ", ".join(ids[:_MOST_NAMED])
    return named if len(ids) <= _MOST_NAMED else f"{named} and {len(ids) - _MOST_NAMED} more"


def _payload(event: EventSeen) -> str:
    return (event.value or b"").decode(errors="replace")


def _where(place: Place) -> str:
    return f"{place.topic}, partition {place.partition}, offset {place.offset}"


def _time(time_ms: int) -> str:
    return format_instant(time_ms) if time_ms >= 0 else "without a time"


def _second(time_ms: int) -> str:
    return f"{format_instant(time_ms)[:19]}Z" if time_ms >= 0 else ""


def _took(story: Story) -> str:
    elapsed = took_ms(story)
    return "" if elapsed is None else f"after {elapsed / 1000:.1f} s: "


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' if number != 1 else ''}"
