"""`trace`: what became of a command, or of a customer's latest ones."""

from __future__ import annotations

import re
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Final

import typer

from worker.cli.console import complain, plain, say_json, usable_settings
from worker.cli.dlq import desk
from worker.cli.failure import ExitCode
from worker.cli.reading import moment_ms, progress_bar, topic_reader

if TYPE_CHECKING:
    from worker.settings import Settings
    from worker.tracking.search import Bounds, Findings, Story

EXAMPLES: Final = """\
Examples:
  customer-sync trace crm-4711 --since 2h
  customer-sync trace customer.update:3:1042
  customer-sync trace b3b7c1e2-4c2a-4e7a-9c1a-2b7c1e24c2a4 --last 50
  customer-sync trace crm-4711 --json | jq -r '.stories[].fate'"""

_MOST_SHOWN: Final = 10_000


def trace(
    what: Annotated[
        str,
        typer.Argument(metavar="COMMAND|PLACE|CUSTOMER", help="A command's id, topic:partition:offset, or a customer."),
    ],
    *,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Published at or after: RFC 3339, or a span before now such as 2h."),
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Published before this time.")] = None,
    from_offset: Annotated[
        list[str] | None,
        typer.Option(metavar="[PARTITION:]OFFSET", help="From this offset of the command topic on. Repeatable."),
    ] = None,
    last: Annotated[
        int, typer.Option(min=1, max=_MOST_SHOWN, help="Of a customer, show so many of the latest commands.")
    ] = 20,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show values too: they are personal data.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object; values only with --reveal.")] = False,
) -> None:
    """Tell what became of a command: waiting, applied, dead, a copy, or never seen.

    Reads the three topics and what the group has committed; changes nothing. Where a command is given by its id alone,
    all of the command topic is read: --since makes that short. The exit code tells the (latest) command's fate:
    0 applied or a copy, 1 dead letter, 4 waiting, 5 not found.
    """
    settings = usable_settings()
    bounds = _bounds(since, until, from_offset or [])
    findings = _find(settings, what, bounds, last=last, quiet=as_json)

    from worker.cli.trace_json import findings_as_json

    if as_json:
        say_json({"asked": what, **findings_as_json(findings, reveal=reveal)})
    elif not findings.stories:
        complain(("not found: ", "yellow"), _nothing(settings, what, bounds))
    else:
        from worker.cli.trace_text import say_customer, say_stories

        if findings.customer is not None:
            say_customer(findings, reveal=reveal)
        else:
            say_stories(findings.stories, group=settings.kafka_group_id, reveal=reveal)
    raise typer.Exit(_exit_code(findings))


def _find(settings: Settings, what: str, bounds: Bounds, *, last: int, quiet: bool) -> Findings:
    from worker.tracking.fates import Dead
    from worker.tracking.search import Search, Topics

    topics = Topics(settings.commands_topic, settings.events_topic, settings.dead_letter_topic)
    with topic_reader(settings) as reader:
        search = Search(
            reader,
            topics,
            bounds,
            window=settings.deduplication_window,
            in_transactions=settings.delivery == "exactly_once",
            bar=(lambda _: nullcontext(_unseen)) if quiet else progress_bar,
        )
        findings = search.find(what, last=last)
    if not any(isinstance(story.fate, Dead) for story in findings.stories):
        return findings
    with desk(settings) as decided:
        return findings.with_decisions(decided.decisions)


def _unseen(_passed: int, _total: int) -> None:
    """Shows no progress."""


def _bounds(since: str | None, until: str | None, from_offsets: list[str]) -> Bounds:
    from worker.tracking.search import Bounds

    offsets: dict[int | None, int] = {}
    for text in from_offsets:
        match = re.fullmatch(r"(?:([0-9]{1,9}):)?([0-9]{1,18})", text)
        if match is None:
            raise typer.BadParameter("must be OFFSET or PARTITION:OFFSET", param_hint="--from-offset")
        offsets[None if match[1] is None else int(match[1])] = int(match[2])
    return Bounds(
        since_ms=None if since is None else moment_ms(since, "--since"),
        until_ms=None if until is None else moment_ms(until, "--until"),
        from_offsets=offsets,
    )


def _nothing(settings: Settings, what: str, bounds: Bounds) -> str:
    topics = f"{settings.commands_topic}, {settings.events_topic} and {settings.dead_letter_topic}"
    limited = " within the bounds given" if bounds != type(bounds)() else ""
    return (
        f"{plain(what)} is no command, place or customer on {topics}{limited}. It was never published there, in a "
        "transaction that is not committed, or so long ago that it has been deleted."
    )


def _exit_code(findings: Findings) -> ExitCode:
    if not findings.stories:
        return ExitCode.NOT_FOUND
    return ExitCode.OK if findings.customer is not None else _code_of(findings.stories[-1])


def _code_of(story: Story) -> ExitCode:
    from worker.tracking.fates import Applied, Dead, OutcomeGone, Repeated, Waiting

    match story.fate:
        case Applied() | Repeated():
            return ExitCode.OK
        case Dead():
            return ExitCode.FAILED
        case Waiting():
            return ExitCode.NO_OUTCOME
        case OutcomeGone():
            return ExitCode.NOT_FOUND
