"""`dlq edit`: correct a dead letter's changes in an editor, and replay it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from worker.cli.console import complain, plain, say, usable_settings
from worker.cli.dlq import OneId, desk
from worker.cli.dlq_replay import confirm, replay_look, say_result, verdict_text
from worker.cli.failure import ExitCode, Failure
from worker.cli.reading import progress_bar

if TYPE_CHECKING:
    from handlers.command import Command
    from handlers.replay import DeadLetter

EXAMPLES: Final = """\
Examples:
  customer-sync dlq edit crm-4711
  EDITOR=nano customer-sync dlq edit customer.update:3:1042"""


def edit(
    what: OneId,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Replay all that you write, also over what later commands have set.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before the replay.")] = False,
) -> None:
    """Open a dead letter's changes in $VISUAL or $EDITOR, check them as the worker would, and replay them.

    The editor shows personal data. The replay keeps the command's id, source and trace; what later commands have set
    is left out of it, as with `dlq replay`.
    """
    from worker.desk.looking import Look
    from worker.desk.selection import Selection

    settings = usable_settings()
    window = settings.deduplication_window
    with desk(settings) as reader:
        wanted = Selection(ids=frozenset({what}))
        look = Look(reader, wanted, window=window, force=False, bar=progress_bar)
        if not look.letters:
            raise Failure(
                f"no open dead letter has the id or place {plain(what)}",
                fix="`customer-sync dlq list --all` shows what there is",
            )
        letter = max(look.letters, key=lambda one: (one.replay, one.record.timestamp_ms))
        notes = [verdict_text(one.letter.id, verdict) for one, verdict in look.session.decided()]
        command = _edited(letter, tuple(f"a replay now: {note}" for note in notes))
        if command is None:
            say("nothing changed")
            raise typer.Exit(ExitCode.FAILED)
        this_one = Selection(ids=frozenset({letter.record.coordinates}))
        look = Look(reader, this_one, window=window, force=force, bar=progress_bar, corrected=command)
        for one, verdict in look.session.decided():
            say(verdict_text(one.letter.id, verdict))
        confirm("Replay it with your changes?", yes=yes)
        result = replay_look(settings, look, 1)
    say_result(result)
    if not result.closed:
        raise typer.Exit(ExitCode.FAILED)


def _edited(letter: DeadLetter, notes: tuple[str, ...]) -> Command | None:
    """What somebody makes of it, once the worker would take it; None where they give up."""
    import click

    from worker.desk.editing import NotCorrected, corrected, text_of

    text: str | None = text_of(letter, notes)
    while True:
        text = click.edit(text, extension=".json", require_save=False)
        if text is None:
            return None
        try:
            return corrected(letter, text)
        except NotCorrected as refused:
            complain(("the worker would refuse this", "red"))
            for problem in refused.problems:
                complain(f"  {plain(problem)}")
        if not sys.stdin.isatty() or not typer.confirm("Edit it again?", default=True):
            return None
