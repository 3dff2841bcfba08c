"""Dead letters, and what the desk knows about them, as tests of its rules need them."""

import time
from collections.abc import Iterable, Sequence

from handlers.dead_letter import dead_letter_record
from handlers.errors import Reason
from handlers.record import CommandRecord
from handlers.replay import DeadLetter, Outgoing, Place, read_dead_letter
from harness.topics import Message, Topics
from worker.desk.decisions import Action, Decision, Decisions
from worker.desk.later_writes import Candidate, Deaths, LaterWrites, candidate

EVERYTHING = 10**9


def wall_clock_ms() -> int:
    """Milliseconds since 1970: brokers delete records that say they are old."""
    return time.time_ns() // 1_000_000


def a_letter(
    record: CommandRecord,
    *,
    command_id: str | None = None,
    reason: Reason = Reason.UNKNOWN_CUSTOMER,
    attempts: int = 1,
    error: str = "",
    died_at_ms: int = 0,
) -> DeadLetter:
    """The dead letter of *record*."""
    outcome = dead_letter_record(
        record,
        command_id=command_id or record.coordinates,
        reason=reason,
        error=error,
        status=None,
        attempts=attempts,
        worker="worker-1",
    )
    return read_dead_letter(
        CommandRecord("customer.update.dlq", 0, 0, died_at_ms, outcome.key, outcome.value, outcome.headers)
    )


def a_replay(letter: DeadLetter, offset: int, *, outgoing: Outgoing | None = None) -> CommandRecord:
    """The record of the letter's next replay, at *offset* of the partition it died on."""
    return CommandRecord(letter.died.topic, letter.died.partition, offset, offset, *(outgoing or letter.replayed()))


def replayed(
    letter: DeadLetter, record: CommandRecord, *, action: Action = Action.REPLAYED, forced: bool = False
) -> Decision:
    """The decision that put *record* there."""
    place = Place(record.topic, record.partition, record.offset, record.timestamp_ms)
    return Decision(
        letter.died, letter.died, action, letter.command_id, 0, "ana", letter.next_replay, place, forced=forced
    )


def looked_at(
    letters: Sequence[DeadLetter],
    log: Iterable[CommandRecord],
    *,
    others: Iterable[DeadLetter] = (),
    decided: Iterable[Decision] = (),
    settled_below: int = EVERYTHING,
    window: int = 10_000,
    uncommitted: Iterable[CommandRecord] = (),
) -> list[Candidate]:
    """*letters* as candidates, after *log* was read; *others* are dead letters that nobody wants to replay."""
    decisions = Decisions(decided)
    deaths = Deaths()
    for letter in (*letters, *others):
        deaths.add(letter)
    candidates = [candidate(letter, decisions) for letter in letters]
    later = LaterWrites(
        candidates,
        deaths=deaths,
        decisions=decisions,
        is_settled=lambda _, offset: offset < settled_below,
        window=window,
    )
    for record in log:
        later.take(record)
    for record in uncommitted:
        later.take(record, is_committed=False)
    return candidates


async def publish_letters(topics: Topics, letters: Iterable[DeadLetter]) -> None:
    """Puts them on the dead-letter topic, as the worker would."""
    records = [letter.record for letter in letters]
    messages = [Message(one.key, one.value, one.headers, timestamp_ms=one.timestamp_ms) for one in records]
    await topics.publish(messages, topic=topics.dead_letter)


async def publish_decisions(topics: Topics, decisions: Iterable[Decision]) -> None:
    """Puts them on the desk's topic, which is created thereby."""
    await topics.publish([Message(one.key(), one.value()) for one in decisions], topic=topics.desk)
