"""Looks at the command log for what came after the dead letters that somebody wants to replay."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

from handlers.command import Command, decode
from handlers.errors import CommandRefused
from handlers.record import CommandRecord
from handlers.replay import DeadLetter, Place
from worker.desk.later_writes import Deaths, LaterWrites, candidate
from worker.desk.reading import DeskReader
from worker.desk.replaying import Session
from worker.desk.selection import Selection
from worker.kafka.reading import Progress, Range

Bar = Callable[[str], AbstractContextManager[Progress]]


class Later(NamedTuple):
    """A later command of the same customer, and what became of it."""

    place: Place
    command_id: str
    fields: tuple[str, ...]
    fate: str


class Look:
    """One look at everything that a replay of the dead letters in *wanted* depends on."""

    def __init__(
        self,
        desk: DeskReader,
        wanted: Selection,
        *,
        window: int,
        force: bool,
        bar: Bar,
        corrected: Command | None = None,
    ) -> None:
        """*window* is DEDUPLICATION_WINDOW; *bar* opens a progress bar with a title.

        *corrected* stands for the command of the only dead letter that is meant.
        """
        self._desk = desk
        self._bar = bar
        # First, so that the dead letters of all that it calls settled are read after it.
        is_settled = desk.settled()
        deaths = self._deaths = Deaths()
        self._is_settled = is_settled
        chosen: dict[Place, DeadLetter] = {}
        self.closed: list[DeadLetter] = []
        """Dead letters that were asked for by id, and are not open."""
        with bar("dead letters") as progress:
            for letter in desk.letters(progress=progress):
                deaths.add(letter)
                if not wanted.matches(letter):
                    continue
                if desk.decisions.about(letter.died) is None:
                    # At least once, one death may have been written twice.
                    chosen[letter.died] = letter
                elif wanted.ids:
                    self.closed.append(letter)
        self.letters = list(chosen.values())
        self.missing = wanted.missing([*self.letters, *self.closed])
        candidates = [candidate(letter, desk.decisions) for letter in self.letters]
        if corrected is not None:
            for one in candidates:
                one.command, one.refusal, one.is_edited = corrected, None, True
        self._kept = {one.partition: one for one in desk.topics.ranges(desk.commands_topic)}
        later = LaterWrites(candidates, deaths=deaths, decisions=desk.decisions, is_settled=is_settled, window=window)
        places = [one.origin for one in candidates if one.origin is not None]
        self._begins = self._first_after(places)
        self.session = Session(candidates, later, is_covered=self._is_covered, force=force)
        self.positions = {partition: one.end for partition, one in self._kept.items()}
        self._take(self._ranges(places, window))

    @property
    def partitions(self) -> int:
        """Of the command topic."""
        return len(self._kept)

    def catch_up(self) -> int:
        """Takes in what was decided and published since; how many dead letters somebody else has decided about."""
        closed = self.session.close(self._desk.read_decisions())
        now = self._desk.topics.ranges(self._desk.commands_topic)
        self._take([one._replace(start=max(one.start, self.positions.get(one.partition, 0))) for one in now])
        self.positions = {one.partition: one.end for one in now}
        return closed

    def later(self, letter: DeadLetter) -> list[Later]:
        """The commands that were published for the letter's customer since its command was, by time."""
        origin = self._desk.decisions.origin(letter) or letter.died
        begins = self._first_after([origin])
        ranges = []
        for partition, one in self._kept.items():
            start = origin.offset + 1 if partition == origin.partition else begins[partition]
            ranges.append(one._replace(start=min(max(start, one.start), one.end)))
        found = []
        for batch in self._desk.topics.read(ranges, key=letter.record.key):
            for record in (CommandRecord(*one) for one in batch):
                try:
                    command = decode(record)
                except CommandRefused:
                    continue
                place = Place(record.topic, record.partition, record.offset, record.timestamp_ms)
                found.append(Later(place, command.id, tuple(command.changes), self._fate(record)))
        return sorted(found, key=lambda one: (one.place.timestamp_ms, one.place))

    def _fate(self, record: CommandRecord) -> str:
        try:
            return "dead" if self._deaths.effect(record) is None else "dead, but may have been applied"
        except KeyError:
            return "applied" if self._is_settled(record.partition, record.offset) else "waiting"

    def _take(self, ranges: Sequence[Range]) -> None:
        if not self.letters:
            return
        with self._bar("commands") as progress:
            for records in self._desk.commands(ranges, progress=progress):
                self.session.take(records)

    def _first_after(self, places: Sequence[Place]) -> dict[int, int]:
        """Where each partition's first record lies that is as young as the oldest of *places*."""
        times = [place.timestamp_ms for place in places]
        if not times or min(times) < 0:
            return {partition: one.start for partition, one in self._kept.items()}
        young = self._desk.topics.ranges(self._desk.commands_topic, since_ms=min(times))
        return {one.partition: one.start for one in young}

    def _ranges(self, places: Sequence[Place], window: int) -> list[Range]:
        """What has to be read: all after the oldest of *places*, and what copies in it can be copies of."""
        starts = dict(self._begins)
        for place in places:
            if place.topic == self._desk.commands_topic and place.partition in starts:
                starts[place.partition] = min(starts[place.partition], place.offset)
        return [
            one._replace(start=min(max(one.start, starts[partition] - window), one.end))
            for partition, one in self._kept.items()
        ]

    def _is_covered(self, place: Place) -> bool:
        """Whether all that came after *place* was still there to be read."""
        kept = self._kept.get(place.partition)
        if place.topic != self._desk.commands_topic or kept is None:
            return False
        return kept.start <= place.offset + 1 and place.offset < kept.end
