"""`dlq discard`: give dead letters up, and say why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from handlers.faults import Reason
from worker.cli.console import plain, say, usable_settings
from worker.cli.dlq import Age, Containing, Customer, Ids, Since, Until, desk, now_ms, selection
from worker.cli.dlq_replay import confirm, guarded_log, operator
from worker.cli.failure import Failure

if TYPE_CHECKING:
    from worker.desk.decisions import Decision
    from worker.desk.reading import DeskReader
    from worker.desk.selection import Selection

EXAMPLES: Final = """\
Examples:
  customer-sync dlq discard crm-4711 --reason "customer has left"
  customer-sync dlq discard --died-of expired --until 7d --reason "too old to matter" --yes"""


def discard(
    ids: Ids = None,
    *,
    note: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the record. No personal data.")],
    died_of: Annotated[
        list[Reason] | None, typer.Option("--died-of", help="Only those that died of it. Repeatable.")
    ] = None,
    age: Age = None,
    since: Since = None,
    until: Until = None,
    customer: Customer = None,
    text: Containing = None,
    everything: Annotated[bool, typer.Option("--all", help="All open ones.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Close open dead letters without a replay.

    Nothing is deleted: they stay on their topic until it forgets them, and `dlq list --all` shows them as discarded.
    """
    wanted = selection(ids, reasons=died_of, age=age, since=since, until=until, customer=customer, text=text)
    if wanted.is_everything and not everything:
        raise typer.BadParameter("say which: ids, filters, or --all", param_hint="COMMAND")
    settings = usable_settings()
    with desk(settings) as reader:
        found = _decisions(reader, wanted, note)
        if not found:
            if wanted.ids:
                raise Failure(
                    f"no open dead letter has the id or place {', '.join(map(plain, sorted(wanted.ids)))}",
                    fix="`customer-sync dlq list --all` shows what there is",
                )
            say("nothing to discard: no open dead letters match")
            return
        say((f"{len(found):,} dead letter{'' if len(found) == 1 else 's'}", "bold"))
        confirm("Discard them?", yes=yes)
        with guarded_log(settings, partitions=1) as log:
            reader.read_decisions()
            left = [one for one in found if reader.decisions.about(one.died) is None]
            log.append([], lambda _: False, lambda _: [(one.key(), one.value()) for one in left])
    say((f"discarded {len(left):,}", "green"))


def _decisions(reader: DeskReader, wanted: Selection, note: str) -> list[Decision]:
    from worker.desk.decisions import Action, Decision

    at_ms, by = now_ms(), operator()
    found = {}
    for letter in reader.letters(wanted):
        if reader.decisions.about(letter.died) is None:
            origin = reader.decisions.origin(letter) or letter.died
            found[letter.died] = Decision(
                letter.died, origin, Action.DISCARDED, letter.command_id, at_ms, by, note=note
            )
    return list(found.values())
