"""`dlq replay`: put dead letters back on the command topic, without moving a customer back in time."""

from __future__ import annotations

import getpass
import sys
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Final

import typer

from worker.cli.console import KAFKA_SECONDS, complain, plain, say, usable_settings
from worker.cli.dlq import (
    Age,
    Containing,
    Customer,
    Ids,
    Reasons,
    Since,
    Until,
    desk,
    now_ms,
    selection,
)
from worker.cli.failure import ExitCode, Failure
from worker.cli.reading import client_options, progress_bar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from worker.desk.later_writes import Write
    from worker.desk.looking import Look
    from worker.desk.replaying import Decided, Result
    from worker.desk.verdicts import Verdict
    from worker.kafka.guarded_log import GuardedLog
    from worker.settings import Settings

EXAMPLES: Final = """\
Examples:
  customer-sync dlq replay --reason unknown_customer --dry-run
  customer-sync dlq replay --reason retries_exhausted --age 2h
  customer-sync dlq replay crm-4711
  customer-sync dlq replay --all --yes"""

_SHOWN: Final = 20


def replay(
    ids: Ids = None,
    *,
    reasons: Reasons = None,
    age: Age = None,
    since: Since = None,
    until: Until = None,
    customer: Customer = None,
    text: Containing = None,
    everything: Annotated[bool, typer.Option("--all", help="All open ones.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replay whole commands, also over what later ones have set.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be replayed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Put open dead letters back on the command topic, where the worker takes them up as bulk.

    A field that a later command of the customer has set is left out; a command of which nothing is left counts as
    superseded, and is closed without a replay. Where nobody can tell yet what a later command sets, the dead letter is
    held back and stays open. --force replays whole commands all the same.

    Each replay is recorded together with it: run it again after an interruption, and it goes on with what is left.
    Exit code 1 if something was held back and nothing was closed.
    """
    wanted = selection(ids, reasons=reasons, age=age, since=since, until=until, customer=customer, text=text)
    if wanted.is_everything and not everything:
        raise typer.BadParameter("say which: ids, filters, or --all", param_hint="COMMAND")
    settings = usable_settings()
    with desk(settings) as reader:
        from worker.desk.looking import Look

        look = Look(reader, wanted, window=settings.deduplication_window, force=force, bar=progress_bar)
        if look.missing:
            raise Failure(
                f"no dead letter has the id or place {', '.join(map(plain, look.missing))}",
                fix="`customer-sync dlq list --all` shows what there is",
            )
        decided = look.session.decided()
        _say_closed(look)
        if not decided:
            say("nothing to replay: no open dead letters match")
            return
        _say_plan(settings, decided)
        if dry_run:
            return
        confirm("Replay them?", yes=yes)
        result = replay_look(settings, look, len(decided))
    say_result(result)
    if result.held and not result.closed:
        raise typer.Exit(ExitCode.FAILED)


def confirm(question: str, *, yes: bool) -> None:
    """Asks, unless *yes* was said beforehand. Raises `Failure` where nobody can answer."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Failure("nobody can be asked here", fix="say --yes, or --dry-run to only look", exit_code=ExitCode.USAGE)
    if not typer.confirm(question):
        raise typer.Exit(ExitCode.FAILED)


def operator() -> str:
    """Who decides, for the record."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


@contextmanager
def guarded_log(settings: Settings, *, partitions: int, topic: str = "") -> Iterator[GuardedLog]:
    """The command topic (or another *topic*) and the desk's, to be written together.

    Raises `Failure` where somebody else takes over.
    """
    from worker.kafka.errors import WriterFenced
    from worker.kafka.guarded_log import GuardedLog

    try:
        with GuardedLog(
            client_options(settings),
            transactional_id=f"{settings.kafka_group_id}.desk",
            topic=topic or settings.commands_topic,
            partitions=partitions,
            notes_topic=settings.desk_topic,
            within_seconds=KAFKA_SECONDS,
        ) as log:
            yield log
    except WriterFenced as fenced:
        raise Failure(
            "somebody else has begun to work at the desk, and goes on alone",
            fix="what you have done until now is recorded; look with `customer-sync dlq list`, and run this again",
        ) from fenced


def replay_look(settings: Settings, look: Look, letters: int) -> Result:
    """Replays what the look allows; shows how many of *letters* are done. Raises `Failure`."""
    from worker.desk.replaying import replay as replay_all

    with guarded_log(settings, partitions=look.partitions) as log:
        closed = look.catch_up()
        if closed:
            complain(("note: ", "yellow"), f"{closed} of them were decided about by somebody else meanwhile")
        log.watch(look.positions)
        with progress_bar("replaying") as progress:
            done = 0

            def advanced(count: int) -> None:
                nonlocal done
                done += count
                progress(done, letters)

            return replay_all(look.session, log, by=operator(), now_ms=now_ms, advanced=advanced)


def _say_closed(look: Look) -> None:
    for letter in look.closed:
        complain(("note: ", "yellow"), f"{plain(letter.id)} is not open any more: see `customer-sync dlq show`")


def _say_plan(settings: Settings, decided: Sequence[Decided]) -> None:
    from worker.desk.estimate import estimate

    cost = estimate(
        decided,
        coalesce=settings.coalesce,
        rate_limit=settings.upstream_rate_limit,
        window_seconds=settings.upstream_rate_window_seconds,
    )
    minutes = cost.budget_seconds / 60
    budget = f", {minutes:.0f} minutes of budget" if minutes >= 1 else ""
    most = f" (at most {cost.at_most:,})" if cost.at_most > cost.requests else ""
    say(
        (f"{_count(cost.commands, 'command')} of {_count(cost.customers, 'customer')}", "bold"),
        f", about {_count(cost.requests, 'request')}{most}{budget}",
    )
    counted: Counter[str] = Counter(_word(verdict) for _, verdict in decided)
    for word, count in counted.items():
        say(f"  {count:>6,}  {word}")
    said = [(one, verdict) for one, verdict in decided if _word(verdict) != "as they were"]
    for one, verdict in said[:_SHOWN]:
        say(f"  {verdict_text(one.letter.id, verdict)}")
    if len(said) > _SHOWN:
        say((f"  and {len(said) - _SHOWN:,} more of these", "dim"))


def verdict_text(command: str, verdict: Verdict) -> str:
    """What a replay would do with the command, and why."""
    from worker.desk.later_writes import Elsewhere
    from worker.desk.verdicts import Held, Replay, Superseded

    name = plain(command)
    match verdict:
        case Replay() if verdict.is_whole:
            return f"{name} as it was{', by force' if verdict.is_forced else ''}"
        case Replay(left_out=writes):
            return f"{name} without {_writes(writes)}"
        case Superseded(by=writes):
            return f"{name} is superseded: {_writes(writes)}"
        case Elsewhere(replay=number, place=place):
            return f"{name} was published as replay {number} at {place.coordinates}"
        case Held(obstacle=obstacle, writes=writes):
            because = f" ({_writes(writes)})" if writes else ""
            return f"{name} is held back: {obstacle.meaning}{because}. {obstacle.advice}"


def _writes(writes: Mapping[str, Write]) -> str:
    from worker.desk.later_writes import Effect

    words = {Effect.SET: "set by", Effect.WILL_SET: "waiting in", Effect.MAY_HAVE_SET: "perhaps set by"}
    told: dict[Write, list[str]] = {}
    for name, write in sorted(writes.items()):
        told.setdefault(write, []).append(name)
    return "; ".join(f"{', '.join(names)} {words[one.effect]} {plain(one.command_id)}" for one, names in told.items())


def _word(verdict: Verdict) -> str:
    from worker.desk.later_writes import Elsewhere
    from worker.desk.verdicts import Held, Replay

    match verdict:
        case Replay(is_forced=True):
            return "as they were, by force"
        case Replay() if verdict.is_whole:
            return "as they were"
        case Replay():
            return "without fields that later commands have set"
        case Elsewhere():
            return "replayed by other means already: only recorded"
        case Held(obstacle=obstacle):
            return f"held back: {obstacle.meaning}"
        case _:
            return "superseded: later commands have set all their fields"


def say_result(result: Result) -> None:
    """What a replay came to."""
    parts = [f"replayed {_count(result.replayed, 'command')}"]
    if result.in_part:
        parts.append(f"{result.in_part:,} of them in part")
    if result.superseded:
        parts.append(f"{result.superseded:,} superseded")
    if result.found_elsewhere:
        parts.append(f"{result.found_elsewhere:,} recorded")
    if result.held:
        parts.append(f"{len(result.held):,} held back")
    say((", ".join(parts), "green" if result.closed else "yellow"))
    if result.overtaken:
        say((f"newer commands came in between {result.overtaken} times: what they set was left to them", "dim"))
    if result.replayed:
        say(("`customer-sync dlq list --all` shows what became of them", "dim"))


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
