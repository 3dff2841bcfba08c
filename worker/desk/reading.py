"""What the desk reads: dead letters, the decisions about them, and how far the worker's group is.

Dead letters are handed on one by one and not kept, so that their number is no matter; decisions are kept.
"""

from collections.abc import Iterator, Sequence

from handlers.record import CommandRecord
from handlers.replay import DeadLetter, NoDeadLetter, read_dead_letter
from worker.desk.decisions import Decision, Decisions, read_decision
from worker.desk.later_writes import Settled
from worker.desk.selection import EVERYTHING, Selection
from worker.kafka.errors import TopicMissing
from worker.kafka.reading import Progress, Range, TopicReader
from worker.progress import ProgressUnreadable, decode


class DeskReader:
    """Reads the desk's topics with one connection; every method may raise what `TopicReader` raises."""

    def __init__(self, reader: TopicReader, *, commands_topic: str, dead_letter_topic: str, desk_topic: str) -> None:
        self.topics = reader
        self.commands_topic = commands_topic
        self._dead_letter_topic = dead_letter_topic
        self._desk_topic = desk_topic
        self._decisions = Decisions()
        self._read_to: dict[int, int] = {}
        self.strangers = 0
        """Records of the dead-letter topic that were no dead letters, in the last pass over it."""

    @property
    def decisions(self) -> Decisions:
        """All that was decided when `read_decisions` was last called."""
        return self._decisions

    def read_decisions(self) -> list[Decision]:
        """Reads what was decided since the last time. Raises `DecisionUnreadable`."""
        try:
            whole = self.topics.ranges(self._desk_topic)
        except TopicMissing:
            # Nobody has decided anything yet, or this deployment is older than the desk.
            return []
        ahead = [one._replace(start=max(one.start, self._read_to.get(one.partition, 0))) for one in whole]
        found = [read_decision(CommandRecord(*record)) for batch in self.topics.read(ahead) for record in batch]
        for decision in found:
            self._decisions.add(decision)
        self._read_to |= {one.partition: one.end for one in whole}
        return found

    def letters(self, selection: Selection = EVERYTHING, *, progress: Progress | None = None) -> Iterator[DeadLetter]:
        """The dead letters that are meant, those of a partition in their order; repeated ones once more."""
        self.strangers = 0
        ranges = self.topics.ranges(self._dead_letter_topic, since_ms=selection.since_ms, until_ms=selection.until_ms)
        for batch in self.topics.read(ranges, progress=progress):
            for record in batch:
                try:
                    letter = read_dead_letter(CommandRecord(*record))
                except NoDeadLetter:
                    self.strangers += 1
                    continue
                if selection.matches(letter):
                    yield letter

    def settled(self) -> Settled:
        """Which commands have their outcome. What is read of the outcomes after that holds all of these."""
        committed: dict[int, tuple[int, int]] = {}
        for partition, (offset, metadata) in self.topics.committed(self.commands_topic).items():
            try:
                beyond = decode(metadata).completed_beyond
            except ProgressUnreadable:
                beyond = 0
            committed[partition] = (offset, beyond)
        return Settled(committed)

    def commands(self, ranges: Sequence[Range], *, progress: Progress | None = None) -> Iterator[list[CommandRecord]]:
        """The committed records of *ranges* of the command topic, batch by batch."""
        for batch in self.topics.read(ranges, progress=progress):
            yield [CommandRecord(*record) for record in batch]
