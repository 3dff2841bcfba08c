"""`dlq show`: one dead letter: what it asked for, why it died, what came after it, and what a replay would do."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from worker.cli.console import plain, say, say_json, usable_settings
from worker.cli.dlq import AsJson, OneId, Reveal, desk
from worker.cli.dlq_list import as_row
from worker.cli.dlq_replay import verdict_text
from worker.cli.failure import Failure
from worker.cli.reading import progress_bar
from worker.cli.tables import say_table

if TYPE_CHECKING:
    from handlers.faults import Fault
    from handlers.replay import DeadLetter
    from worker.desk.decisions import Decision
    from worker.desk.looking import Later
    from worker.desk.verdicts import Verdict

EXAMPLES: Final = """\
Examples:
  customer-sync dlq show crm-4711
  customer-sync dlq show customer.update:3:1042 --reveal"""

_SHOWN: Final = 20


def show(what: OneId, *, reveal: Reveal = False, as_json: AsJson = False) -> None:
    """Show a dead letter, what happened to its customer since, and what a replay would do now.

    Values are personal data, and shown with --reveal only. Of a command that died more than once, the latest death is
    shown.
    """
    from worker.desk.looking import Look
    from worker.desk.selection import Selection
    from worker.desk.state import state

    settings = usable_settings()
    with desk(settings) as reader:
        wanted = Selection(ids=frozenset({what}))
        look = Look(reader, wanted, window=settings.deduplication_window, force=False, bar=progress_bar)
        found = [*look.letters, *look.closed]
        if not found:
            raise Failure(
                f"no dead letter has the id or place {plain(what)}",
                fix="`customer-sync dlq list --all` shows what there is, `customer-sync trace` tells of any command",
            )
        letter = max(found, key=lambda one: (one.replay, one.record.timestamp_ms))
        decision = reader.decisions.about(letter.died)
        died_again = {
            known.died
            for one in found
            if one.replay and (known := reader.decisions.that_placed(one.died[:3], one.replay)) is not None
        }
        stands = state(decision, died_again=died_again, is_settled=reader.settled())
        later = look.later(letter)
    verdict = next((verdict for one, verdict in look.session.decided() if one.letter is letter), None)
    if as_json:
        say_json(_document(letter, stands, decision, later, verdict, reveal=reveal))
        return
    _say_letter(letter, reveal=reveal)
    _say_decision(stands, decision)
    _say_later(later)
    if verdict is not None:
        say()
        say(("a replay now: ", "bold"), verdict_text(letter.id, verdict))


def _say_letter(letter: DeadLetter, *, reveal: bool) -> None:
    from worker.desk.content import customer_of, named_fields

    row = as_row(letter, "")
    say((plain(letter.id), "bold"))
    say(f"  customer   {customer_of(letter)}")
    say(f"  published  {row['published'] or 'at an unknown time'} at {letter.died.coordinates}")
    say(f"  died       {row['died']} at {letter.record.coordinates}, after {_requests(letter)}")
    status = f", the upstream answered {letter.status}" if letter.status is not None else ""
    say(f"  reason     {plain(letter.reason)}{status}")
    say(f"  error      {plain(letter.error)}")
    for fault in _faults(letter):
        say(f"  advice     {fault.advice} ({fault.whose} has to act)")
    say(f"  fields     {', '.join(named_fields(letter)) or 'none that can be read'}")
    if reveal:
        say("  command    " + plain((letter.record.value or b"").decode(errors="replace")))


def _say_decision(stands: str, decision: Decision | None) -> None:
    from handlers.instants import format_instant

    say(f"  state      {stands}")
    if decision is None:
        return
    where = f", replay {decision.replay} at {decision.placed.coordinates}" if decision.placed is not None else ""
    without = f", without {', '.join(decision.fields)}" if decision.placed is not None and decision.fields else ""
    why = f": {plain(decision.note)}" if decision.note else ""
    forced = " by force" if decision.forced else ""
    action = decision.action.replace("_", " ")
    say(f"  decided    {action}{forced} by {plain(decision.by)}, {format_instant(decision.at_ms)}{where}{without}{why}")


def _say_later(later: list[Later]) -> None:
    say()
    if not later:
        say("nothing was published for this customer since")
        return
    say((f"{len(later):,} command{'' if len(later) == 1 else 's'} for this customer since", "bold"))
    rows = [
        [f"{one.place.partition}:{one.place.offset}", plain(one.command_id), ", ".join(one.fields), one.fate]
        for one in later[-_SHOWN:]
    ]
    say_table(["place", "command", "fields", "fate"], rows)
    say(("`customer-sync trace CUSTOMER` shows the events", "dim"))


def _faults(letter: DeadLetter) -> list[Fault]:
    """What the registry says: about the codes in the error, else about the reason."""
    from handlers.faults import FAULTS

    codes = dict.fromkeys(re.findall(r"\[([a-z0-9_]+)\]", letter.error))
    named = [FAULTS[code] for code in codes if code in FAULTS]
    return named or [fault for fault in FAULTS.values() if fault.reason == letter.reason][:1]


def _document(
    letter: DeadLetter,
    stands: str,
    decision: Decision | None,
    later: list[Later],
    verdict: Verdict | None,
    *,
    reveal: bool,
) -> dict[str, Any]:
    document = as_row(letter, stands) | {
        "advice": [fault.advice for fault in _faults(letter)],
        "decision": None if decision is None else json.loads(decision.value()),
        "later": [
            {"command_id": one.command_id, "place": one.place.coordinates, "fields": one.fields, "fate": one.fate}
            for one in later
        ],
        "replay_now": None if verdict is None else verdict_text(letter.id, verdict),
    }
    if reveal:
        document["value"] = (letter.record.value or b"").decode(errors="replace")
    return document


def _requests(letter: DeadLetter) -> str:
    return f"{letter.attempts} attempt{'' if letter.attempts == 1 else 's'}"
