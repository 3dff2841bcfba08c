"""`dlq`: what its commands have in common: which dead letters are meant, and the connection to read them by."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Final

import typer

from handlers.faults import Reason
from worker.cli.failure import ExitCode, Failure
from worker.cli.reading import moment_ms, topic_reader
from worker.cli.spans import span_ms

if TYPE_CHECKING:
    from worker.desk.reading import DeskReader
    from worker.desk.selection import Selection
    from worker.settings import Settings

Reasons = Annotated[list[Reason] | None, typer.Option("--reason", help="Only those that died of it. Repeatable.")]
Age = Annotated[str | None, typer.Option("--age", metavar="SPAN", help="Only those that died within it, such as 2h.")]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="Died at or after: RFC 3339, or a span before now such as 2h."),
]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Died before this time.")]
Customer = Annotated[str | None, typer.Option("--customer", metavar="ID", help="Only this customer's.")]
Containing = Annotated[
    str | None, typer.Option("--text", metavar="TEXT", help="Only those with it in their error, id or content.")
]
Ids = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[COMMAND|PLACE]...", help="Command ids, or topic:partition:offset of the command or the dead letter."
    ),
]
OneId = Annotated[
    str,
    typer.Argument(
        metavar="COMMAND|PLACE", help="A command's id, or topic:partition:offset of the command or the dead letter."
    ),
]
Reveal = Annotated[bool, typer.Option("--reveal", help="Show values too: they are personal data.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, a line each; values only with --reveal.")]

SELECTION_HELP: Final = "Dead letters are chosen by id or by filters, which all have to hold."


def selection(
    ids: list[str] | None = None,
    *,
    reasons: list[Reason] | None,
    age: str | None,
    since: str | None,
    until: str | None,
    customer: str | None,
    text: str | None,
) -> Selection:
    """What the options mean. Raises `typer.BadParameter`."""
    from worker.desk.selection import Selection

    if age is not None and since is not None:
        raise typer.BadParameter("says the same as --since: give one of them", param_hint="--age")
    since_ms = None if since is None else moment_ms(since, "--since")
    if age is not None:
        since_ms = now_ms() - span_ms(age, "--age")
    return Selection(
        ids=frozenset(ids or ()),
        reasons=frozenset(reasons or ()),
        since_ms=since_ms,
        until_ms=None if until is None else moment_ms(until, "--until"),
        customer=customer or "",
        text=text or "",
    )


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000  # noqa: TID251  # ages and decisions are told by the calendar


@contextmanager
def desk(settings: Settings) -> Iterator[DeskReader]:
    """The desk's topics, with all decisions read. Raises `Failure`."""
    from worker.desk.decisions import DecisionUnreadable
    from worker.desk.reading import DeskReader

    with topic_reader(settings) as topics:
        reader = DeskReader(
            topics,
            commands_topic=settings.commands_topic,
            dead_letter_topic=settings.dead_letter_topic,
            desk_topic=settings.desk_topic,
        )
        try:
            reader.read_decisions()
            yield reader
        except DecisionUnreadable as unreadable:
            raise Failure(
                str(unreadable),
                fix="use the version that wrote it, or see what else writes to that topic",
                exit_code=ExitCode.FAILED,
            ) from unreadable
