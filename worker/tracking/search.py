"""Finds a command, or a customer's commands, on the three topics: which of them to read, from where, and in what order.

The group's offsets are asked for first and the ends of the outcomes' topics last. So a command that is taken for
settled has its outcome among what is read, however busy the workers are meanwhile.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Final

from handlers.fields import is_uuid
from handlers.record import CommandRecord
from worker.desk.decisions import Decisions
from worker.kafka.partitioner import partition_of
from worker.kafka.reading import Progress, Range, Record, TopicReader
from worker.tracking.fates import Applied, Dead, Fate, OutcomeGone, Repeated, Settled, applied, original_of
from worker.tracking.seen import (
    CommandSeen,
    DeathSeen,
    EventSeen,
    Family,
    Place,
    read_command,
    read_death,
    read_event,
)

# A publisher's clock sets the command's time and a worker's that of its outcome. What lies further apart is found
# all the same, by reading the rest of the topic.
_CLOCKS_DIFFER_MS: Final = 600_000
# One commit holds no more.
_NEIGHBOURS: Final = 2_000

_coordinates = re.compile(r"(.+):([0-9]{1,9}):([0-9]{1,18})(?:#[1-9][0-9]{0,5})?", re.DOTALL).fullmatch

Bar = Callable[[str], AbstractContextManager[Progress]]
"""Shows how far the reading of a topic is."""


@dataclass(frozen=True, slots=True)
class Topics:
    """The names of the three topics."""

    commands: str
    events: str
    dead_letters: str


@dataclass(frozen=True, slots=True)
class Bounds:
    """Which records of the command topic are looked at; what became of them is looked for without *until_ms*.

    *from_offsets* by partition, None standing for all others.
    """

    since_ms: int | None = None
    until_ms: int | None = None
    from_offsets: Mapping[int | None, int] = field(default_factory=dict)

    def of(self, ranges: Iterable[Range]) -> list[Range]:
        """*ranges* from the given offsets on; where only single partitions are named, those alone."""
        if not self.from_offsets:
            return list(ranges)
        starts = self.from_offsets
        return [
            one._replace(start=max(one.start, starts.get(one.partition, starts.get(None, 0))))
            for one in ranges
            if one.partition in starts or None in starts
        ]


@dataclass(frozen=True, slots=True)
class Story:
    """One record of the command topic and its fate; *command* is None where only its outcome is still there."""

    command: CommandSeen | None
    fate: Fate


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found, in the order of the command topic, what is no longer there first.

    *customer*: whose commands these are, where the question was a customer's id; *left_out* counts older ones.
    """

    stories: Sequence[Story] = ()
    customer: str | None = None
    left_out: int = 0

    def with_decisions(self, decisions: Decisions) -> Findings:
        """The same, with what the desk has decided about dead letters."""
        stories = [
            replace(story, fate=replace(story.fate, decision=decisions.about(story.fate.death.letter.died)))
            if isinstance(story.fate, Dead)
            else story
            for story in self.stories
        ]
        return replace(self, stories=stories)


@dataclass(slots=True)
class _Outcomes:
    """Events and dead letters that are wanted, until a command claims them."""

    events: list[EventSeen] = field(default_factory=list)
    deaths: list[DeathSeen] = field(default_factory=list)

    def of(self, command: CommandSeen) -> tuple[list[EventSeen], DeathSeen | None]:
        """What belongs to the command."""
        events = [event for event in self.events if event.is_of(command)]
        return events, next((death for death in self.deaths if death.is_of(command)), None)


Wanted = Callable[[EventSeen | DeathSeen], bool]


class Search:
    """One look at the topics. Reads them, and raises what `TopicReader` raises."""

    def __init__(
        self, reader: TopicReader, topics: Topics, bounds: Bounds, *, window: int, in_transactions: bool, bar: Bar
    ) -> None:
        """*window* is DEDUPLICATION_WINDOW; *in_transactions* says how the workers write; *bar* shows progress."""
        self._reader = reader
        self._topics = topics
        self._bounds = bounds
        self._window = window
        self._in_transactions = in_transactions
        self._bar = bar
        self._settled = Settled(reader.committed(topics.commands))

    def find(self, asked: str, *, last: int) -> Findings:
        """What *asked* stands for: a record's coordinates, a command's id, or a customer's (then its *last* ones)."""
        place = self._place(asked)
        record = None if place is None else self._record(place)
        if record is None:
            return self._by_id(asked, place, last=last)
        if record.topic == self._topics.events:
            return self._of_outcome(read_event(record).command_id)
        if record.topic == self._topics.dead_letters:
            death = read_death(record)
            return self._of_outcome("" if death is None else death.id)
        return self._by_record(read_command(record))

    def _of_outcome(self, command_id: str) -> Findings:
        """The command that an outcome names; one of another program names none."""
        place = self._place(command_id)
        if not command_id or (place is not None and place.topic != self._topics.commands):
            return Findings()
        return self.find(command_id, last=0)

    def _by_record(self, command: CommandSeen) -> Findings:
        family = Family(command.id)
        commands = [command]
        outcomes = self._outcomes(commands, family, lambda one: one.is_of(command) or _is_replay(one, family))
        if outcomes.deaths:
            since_ms = _earlier(command.record.timestamp_ms)
            ranges = self._reader.ranges(self._topics.commands, since_ms=since_ms)
            later = self._commands(ranges, family, key=command.record.key)
            commands += [one for one in later if one.replay and one.place != command.place]
        return Findings(self._stories(commands, outcomes))

    def _by_id(self, asked: str, place: Place | None, *, last: int) -> Findings:
        bounds, topic = self._bounds, self._topics.commands
        ranges = bounds.of(self._reader.ranges(topic, since_ms=bounds.since_ms, until_ms=bounds.until_ms))
        family = Family(asked)
        crowd = _Crowd(asked.encode() if last and is_uuid(asked) else None, last)
        commands = self._commands(ranges, family, crowd=crowd)
        if not commands and crowd.count:
            return self._of_customer(asked, crowd)
        outcomes = self._outcomes(commands, family, lambda one: _is_of(one, family, place))
        stories = self._stories(commands, outcomes)
        return Findings(stories) if stories or crowd.key is None else self._of_customer(asked, crowd)

    def _of_customer(self, customer: str, crowd: _Crowd) -> Findings:
        """The customer's commands; where there are none any more, what outcomes of it there are."""
        commands = [read_command(CommandRecord(*record)) for record in crowd.latest]
        ids = {command.event_id for command in commands}
        places = {command.place for command in commands}

        def wanted(one: EventSeen | DeathSeen) -> bool:
            if not commands:
                return True
            return one.event_id in ids if isinstance(one, EventSeen) else one.died in places

        outcomes = self._outcomes(commands, None, wanted, key=crowd.key)
        stories = self._stories(commands, outcomes, with_neighbours=False)[-crowd.last :]
        return Findings(stories, customer=customer if stories else None, left_out=crowd.count - len(commands))

    def _commands(
        self, ranges: Sequence[Range], family: Family, *, key: bytes | None = None, crowd: _Crowd | None = None
    ) -> list[CommandSeen]:
        """The commands of the family; the records of *crowd* go there."""
        found = []
        customer = crowd.key if crowd is not None else None
        for record in self._read("commands", ranges, key=key):
            if customer is not None and crowd is not None and record.key == customer:
                crowd.add(record)
            elif family.may_be_in(record.headers, record.value):
                command = read_command(CommandRecord(*record))
                if command.id in family:
                    found.append(command)
        return found

    def _outcomes(
        self, commands: Sequence[CommandSeen], family: Family | None, wanted: Wanted, *, key: bytes | None = None
    ) -> _Outcomes:
        """The outcomes that are *wanted*, with *family* only those that may be about it.

        They are sought where they belong: from the first of *commands* on, on the partition of their customer. Where
        that is not enough they are sought everywhere and once more: partitions may have been added, and a transaction's
        end reaches the group's offsets and the topics one after the other.
        """
        keys = {command.record.key for command in commands}
        key = keys.pop() if len(keys) == 1 else key
        earliest = min((command.record.timestamp_ms for command in commands), default=None)
        since_ms = self._bounds.since_ms if earliest is None else _earlier(earliest)
        outcomes = self._read_outcomes(since_ms, key, family, wanted, on_all_partitions=not commands)
        if any(self._lacks(command, outcomes) for command in commands):
            outcomes = self._read_outcomes(None, key, family, wanted, on_all_partitions=True)
        return outcomes

    def _read_outcomes(
        self,
        since_ms: int | None,
        key: bytes | None,
        family: Family | None,
        wanted: Wanted,
        *,
        on_all_partitions: bool,
    ) -> _Outcomes:
        outcomes = _Outcomes()
        for topic, title in ((self._topics.dead_letters, "dead letters"), (self._topics.events, "events")):
            ranges = self._reader.ranges(topic, since_ms=since_ms)
            if key is not None and not on_all_partitions:
                its_own = partition_of(key, len(ranges))
                ranges = [one for one in ranges if one.partition == its_own]
            for record in self._read(title, ranges, key=key):
                if family is not None and key is None and not family.may_be_in(record.headers, None):
                    continue
                if topic == self._topics.events:
                    event = read_event(CommandRecord(*record))
                    if wanted(event):
                        outcomes.events.append(event)
                else:
                    death = read_death(CommandRecord(*record))
                    if death is not None and wanted(death):
                        outcomes.deaths.append(death)
        return outcomes

    def _lacks(self, command: CommandSeen, outcomes: _Outcomes) -> bool:
        """Whether it is settled, and nothing says how."""
        events, death = outcomes.of(command)
        return command.place in self._settled and not events and death is None and self._original(command) is None

    def _stories(
        self, commands: Sequence[CommandSeen], outcomes: _Outcomes, *, with_neighbours: bool = True
    ) -> list[Story]:
        stories = []
        claimed: set[Place] = set()
        for command in sorted(commands, key=lambda one: (one.record.timestamp_ms, one.place)):
            events, death = outcomes.of(command)
            events = [event for event in events if event.place not in claimed]
            fate = self._fate(command, events, death, with_neighbours=with_neighbours)
            if isinstance(fate, Applied | Repeated):
                claimed |= {event.place for event in events}
            elif isinstance(fate, Dead):
                claimed.add(fate.death.place)
            stories.append(Story(command, fate))
        left: list[EventSeen | DeathSeen] = [*outcomes.events, *outcomes.deaths]
        orphans = [
            Story(None, Dead(one) if isinstance(one, DeathSeen) else self._applied([one], with_neighbours=False))
            for one in sorted(left, key=lambda one: one.timestamp_ms)
            if one.place not in claimed
        ]
        return orphans + stories

    def _fate(
        self, command: CommandSeen, events: Sequence[EventSeen], death: DeathSeen | None, *, with_neighbours: bool
    ) -> Fate:
        if death is not None:
            return Dead(death)
        original = self._original(command) if with_neighbours or not events else None
        if events and not (original and original.record.timestamp_ms == command.record.timestamp_ms):
            return self._applied(events, with_neighbours=with_neighbours)
        if events or command.place in self._settled:
            # A copy of the same millisecond cannot be told from its original by what an event says of its command.
            return OutcomeGone() if original is None else Repeated(original.place)
        before = self._of_customer_before(command)
        copy_of = None if original is None else original.place
        return self._settled.waiting(command.place, of_customer_before=before, copy_of=copy_of)

    def _applied(self, events: Sequence[EventSeen], *, with_neighbours: bool) -> Applied:
        neighbours: list[EventSeen] = []
        if with_neighbours:
            topic, partition, offset = events[0].place
            around = Range(topic, partition, max(offset - _NEIGHBOURS, 0), offset + _NEIGHBOURS)
            neighbours = [read_event(CommandRecord(*record)) for record in self._read("", [around])]
        return applied(events, neighbours, in_transactions=self._in_transactions)

    def _original(self, command: CommandSeen) -> CommandSeen | None:
        """The command that this one repeats, if it is a copy."""
        if command.identity is None:
            return None
        topic, partition, offset = command.place
        before = Range(topic, partition, max(offset - self._window, 0), offset)
        earlier = (read_command(CommandRecord(*one)) for one in self._read("", [before], key=command.record.key))
        return original_of(command, list(earlier), window=self._window)

    def _of_customer_before(self, command: CommandSeen) -> list[int]:
        """Offsets of what waits of the same customer before it."""
        topic, partition, offset = command.place
        before = Range(topic, partition, self._settled.committed(partition) or 0, offset)
        return [
            record.offset
            for record in self._read("", [before], key=command.record.key)
            if Place(*record[:3]) not in self._settled
        ]

    def _record(self, place: Place) -> CommandRecord | None:
        found = list(self._read("", [Range(*place, place.offset + 1)]))
        return CommandRecord(*found[0]) if found else None

    def _place(self, asked: str) -> Place | None:
        """The place that *asked* names, on one of the topics; that of a replay names what was replayed."""
        match = _coordinates(asked)
        topics = {self._topics.commands, self._topics.events, self._topics.dead_letters}
        return Place(match[1], int(match[2]), int(match[3])) if match and match[1] in topics else None

    def _read(self, title: str, ranges: Sequence[Range], *, key: bytes | None = None) -> Iterator[Record]:
        """The records of *ranges*; the progress is shown where the reading has a *title*."""
        with self._bar(title) if title else nullcontext() as progress:
            for batch in self._reader.read(ranges, key=key, progress=progress):
                yield from batch


class _Crowd:
    """The latest records of one customer, and how many there are in all."""

    def __init__(self, key: bytes | None, last: int) -> None:
        self.key = key
        self.last = last
        self.count = 0
        self.latest: deque[Record] = deque(maxlen=last)

    def add(self, record: Record) -> None:
        """Takes one more."""
        self.count += 1
        self.latest.append(record)


def _is_replay(one: EventSeen | DeathSeen, family: Family) -> bool:
    id_ = one.command_id if isinstance(one, EventSeen) else one.id
    return "#" in id_ and id_ in family


def _is_of(one: EventSeen | DeathSeen, family: Family, place: Place | None) -> bool:
    if isinstance(one, EventSeen):
        return one.command_id in family
    return one.id in family or (place is not None and one.died == place)


def _earlier(time_ms: int) -> int | None:
    """From when on to look for what came of a command of this time; None: from the beginning."""
    return time_ms - _CLOCKS_DIFFER_MS if time_ms > _CLOCKS_DIFFER_MS else None
