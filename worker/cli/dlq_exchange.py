"""`dlq export` and `dlq import`: keep dead letters in a file, and bring them back."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from worker.cli.console import complain, say, usable_settings
from worker.cli.dlq import Age, Containing, Customer, Ids, Reasons, Since, Until, desk, selection
from worker.cli.dlq_replay import guarded_log
from worker.cli.failure import ExitCode, Failure
from worker.cli.reading import progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable

    from handlers.replay import DeadLetter
    from worker.desk.reading import DeskReader
    from worker.kafka.guarded_log import GuardedLog

EXPORT_EXAMPLES: Final = """\
Examples:
  customer-sync dlq export --all --reveal > dead-letters.jsonl
  customer-sync dlq export --reason unknown_customer --since 7d --reveal --into unknown.jsonl"""
IMPORT_EXAMPLES: Final = """\
Examples:
  customer-sync dlq import dead-letters.jsonl
  zcat dead-letters.jsonl.gz | customer-sync dlq import -"""

# One transaction of these at a time.
_BATCH: Final = 500


def export(
    ids: Ids = None,
    *,
    reasons: Reasons = None,
    age: Age = None,
    since: Since = None,
    until: Until = None,
    customer: Customer = None,
    text: Containing = None,
    closed_too: Annotated[bool, typer.Option("--all", help="Also those that are closed.")] = False,
    into: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A new file, that only you may read. [default: standard output]")
    ] = None,
    reveal: Annotated[bool, typer.Option("--reveal", help="Needed: the file holds personal data.")] = False,
) -> None:
    """Write dead letters as lines of JSON, each the whole record.

    Before retention deletes them, or to look into them with other tools. `dlq import` brings them back.
    """
    if not reveal:
        raise Failure(
            "an export holds commands whole, with personal data",
            fix="say --reveal if that is what you want, and keep the file where such data may be",
            exit_code=ExitCode.USAGE,
        )
    wanted = selection(ids, reasons=reasons, age=age, since=since, until=until, customer=customer, text=text)
    settings = usable_settings()
    from worker.desk.exchange import to_line

    with desk(settings) as reader, _written(into) as write, progress_bar("dead letters") as progress:
        count = 0
        for letter in reader.letters(wanted, progress=progress):
            if closed_too or reader.decisions.about(letter.died) is None:
                write(to_line(letter.record))
                count += 1
    complain((f"exported {count:,}", "green"))


def import_(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="An export, or standard input.")],
) -> None:
    """Bring exported dead letters back to the dead-letter topic.

    One that is there already is left out, so that an import which was interrupted can be repeated. They are those of
    this command topic: a dead letter is known by where its command was.
    """
    settings = usable_settings()
    letters = _read(file)
    with desk(settings) as reader:
        there = {(one.died, one.replay) for one in reader.letters()}
        missing = {(one.died, one.replay): one for one in letters if (one.died, one.replay) not in there}
        partitions = _partitions(reader, settings.dead_letter_topic)
    if missing:
        with guarded_log(settings, topic=settings.dead_letter_topic, partitions=partitions) as log:
            _append(log, list(missing.values()))
    say((f"imported {len(missing):,}", "green"), f", {len(letters) - len(missing):,} were there already")


def _append(log: GuardedLog, letters: list[DeadLetter]) -> None:
    from handlers.replay import Outgoing

    for first in range(0, len(letters), _BATCH):
        batch = [one.record for one in letters[first : first + _BATCH]]
        log.append([Outgoing(one.key, one.value, one.headers) for one in batch], lambda _: False, lambda _: [])


def _partitions(reader: DeskReader, topic: str) -> int:
    return max(one.partition for one in reader.topics.ranges(topic)) + 1


def _read(file: str) -> list[DeadLetter]:
    from handlers.replay import NoDeadLetter, read_dead_letter
    from worker.desk.exchange import LineUnreadable, from_lines

    try:
        with _lines(file) as lines:
            return [read_dead_letter(record) for record in from_lines(iter(lines))]
    except (LineUnreadable, NoDeadLetter) as unusable:
        raise Failure(
            f"{file}: {unusable}", fix="nothing was imported; import what `dlq export` wrote", exit_code=ExitCode.USAGE
        ) from unusable
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{file} cannot be read: {error}", fix="name an export", exit_code=ExitCode.USAGE) from error


@contextmanager
def _lines(file: str) -> Iterator[Iterable[str]]:
    if file == "-":
        yield sys.stdin
        return
    with Path(file).open(encoding="utf-8") as lines:
        yield lines


@contextmanager
def _written(into: Path | None) -> Iterator[Callable[[str], None]]:
    if into is None:
        yield _print
        return
    try:
        into.touch(mode=0o600, exist_ok=False)
    except OSError as error:
        raise Failure(
            f"{into} cannot be made: {error.strerror}", fix="name a new file", exit_code=ExitCode.USAGE
        ) from error
    with into.open("a", encoding="utf-8") as file:
        yield lambda line: print(line, file=file)


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
