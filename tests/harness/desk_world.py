"""A world in lists for the desk's rules: a command log, a worker, a customer database, dead letters, operators.

What decides is the real thing: decoding, copies, folds, dead letters, decisions, ages and verdicts. What is made up is
Kafka, of which it has offsets, transactions, and readers of committed records, and the upstream, of which it has the
age of the command that last wrote each field.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from handlers.command import Command, decode
from handlers.dead_letter import dead_letter_record
from handlers.errors import CommandRefused, Reason
from handlers.record import CommandRecord, Headers
from handlers.replay import DeadLetter, Outgoing, Place, read_dead_letter
from harness.builders import TOPIC, a_customer, customer_id
from worker.deduplication import DeduplicationWindow, Verdict, tracked
from worker.desk.decisions import Decision, Decisions, read_decision
from worker.desk.later_writes import Candidate, Deaths, LaterWrites, Settled, candidate
from worker.desk.replaying import Session
from worker.fold import Applied, Dead, Fold, Retry
from worker.fold import Settled as Decided

Answer = Callable[[Fold], Decided | Retry]
"""What a turn's request comes to."""


class Killed(Exception):
    """The desk's process ends at this moment."""


@dataclass(slots=True)
class Entry:
    """A record of the log and its transaction's state.

    *origin* is the offset of its command's first record, *age* the one that it counts as old as.
    """

    record: CommandRecord
    origin: int
    age: int
    state: str = "committed"


@dataclass(slots=True)
class World:
    """Everything there is; *window* is the deduplication window."""

    window: int = 10_000
    log: list[Entry] = field(default_factory=list)
    first_kept: int = 0
    letters: list[DeadLetter] = field(default_factory=list)
    desk_topic: list[CommandRecord] = field(default_factory=list)
    lanes: dict[str, list[Command]] = field(default_factory=dict)
    received: int = 0
    settled: set[int] = field(default_factory=set)
    newest: dict[tuple[str, str], Entry] = field(default_factory=dict)
    """By customer and field: the newest command that is known to have set it."""
    unknown: dict[tuple[str, str], list[Entry]] = field(default_factory=dict)
    """By customer and field: dead commands that have set it all the same."""
    stored: dict[tuple[str, str], object] = field(default_factory=dict)
    seen: DeduplicationWindow = field(init=False)

    def __post_init__(self) -> None:
        self.seen = DeduplicationWindow(window=self.window)

    # Publishers

    def publish(self, outgoing: Outgoing, *, again: DeadLetter | None = None, state: str = "committed") -> Entry:
        """Appends a record; *again* is the dead letter that it replays."""
        offset = len(self.log)
        record = CommandRecord(TOPIC, 0, offset, 1_000 + offset, *outgoing)
        origin = offset if again is None else self.log[again.died.offset].origin
        entry = Entry(record, origin, offset, state)
        self.log.append(entry)
        return entry

    def committed(self, since: int) -> tuple[list[CommandRecord], int]:
        """What readers of committed records find from offset *since* on, and where they have to stop."""
        end = next((index for index, entry in enumerate(self.log) if entry.state == "open"), len(self.log))
        found = [entry.record for entry in self.log[since:end] if entry.state == "committed"]
        return found, max(end, since)

    # The worker

    def receive(self) -> None:
        """Takes up what is committed, as `worker.partition` does."""
        records, end = self.committed(self.received)
        self.received = end
        for record in records:
            try:
                command = decode(record)
            except CommandRefused as refused:
                if self.seen.judge(tracked(refused.identity, refused.replay), record) is Verdict.REPEATED:
                    self.settled.add(record.offset)
                else:
                    self._die(record, refused.command_id, refused.reason, attempts=0)
                continue
            match self.seen.judge(tracked(command.identity, command.replay), record):
                case Verdict.NEW:
                    self.lanes.setdefault(command.customer_id, []).append(command)
                case Verdict.REPEATED:
                    self.settled.add(record.offset)
                case Verdict.REUSED_ID:
                    self._die(record, command.id, Reason.INVALID, attempts=0)

    def turn(self, customer: str, size: int, answers: Iterator[Answer], *, has_effect: bool = False) -> None:
        """One customer's first *size* commands are applied together; each of *answers* is what a request comes to.

        *has_effect*: the upstream does what it is asked for, although its answers do not say so.
        """
        lane = self.lanes.get(customer, [])
        commands, self.lanes[customer] = lane[:size], lane[size:]
        if not commands:
            return
        fold = Fold(commands)
        decided: Decided | None = None
        while decided is None:
            if has_effect:
                self.write([command for _, command in fold._undecided()], is_known=False)
            answer = next(answers)(fold)
            decided = answer if isinstance(answer, Decided) else None
        self.lanes[customer] = list(commands[len(decided.fates) :]) + self.lanes[customer]
        settled = list(zip(commands, decided.fates, strict=False))
        self.write([command for command, fate in settled if isinstance(fate, Applied)], is_known=True)
        for command, fate in settled:
            if isinstance(fate, Dead):
                self._die(command.record, command.id, fate.reason, attempts=fate.attempts)
            else:
                self.settled.add(command.record.offset)

    def write(self, commands: Sequence[Command], *, is_known: bool) -> None:
        """The upstream takes these commands, oldest first, as one change; it must move no field back in time."""
        for command in commands:
            entry = self.log[command.record.offset]
            for name, value in command.changes.items():
                place = (command.customer_id, name)
                self.stored[place] = value
                if not is_known:
                    self.unknown.setdefault(place, []).append(entry)
                    continue
                newest = self.newest.get(place, entry)
                assert _may_replace(entry, newest), f"{place} went back from {newest} to {entry}"
                self.newest[place] = entry
                for other in self.unknown.get(place, ()):
                    assert _may_replace(entry, other) or self._is_replayed_after(other, entry), f"{place}: {other} lost"

    def _is_replayed_after(self, dead: Entry, entry: Entry) -> bool:
        later = self.log[entry.record.offset + 1 :]
        return any(one.origin == dead.origin and one.state == "committed" for one in later)

    def _die(self, record: CommandRecord, command_id: str, reason: Reason, *, attempts: int) -> None:
        self.settled.add(record.offset)
        dead = dead_letter_record(
            record, command_id=command_id, reason=reason, error="", status=None, attempts=attempts, worker="w"
        )
        topic = CommandRecord(f"{TOPIC}.dlq", 0, len(self.letters), 0, dead.key, dead.value, dead.headers)
        self.letters.append(read_dead_letter(topic))

    # The desk

    def decisions(self) -> Decisions:
        """All that was decided."""
        return Decisions(map(read_decision, self.desk_topic))

    def open_letters(self) -> list[DeadLetter]:
        """Those that nothing was decided about."""
        decisions = self.decisions()
        return [letter for letter in self.letters if decisions.about(letter.died) is None]


class Operator:
    """One who replays: looks first, writes later."""

    def __init__(self, world: World, wanted: Callable[[DeadLetter], bool], *, force: bool = False) -> None:
        """Looks at everything there is now."""
        self.world = world
        self.known = len(world.desk_topic)
        settled = sum(1 << offset for offset in world.settled)
        decisions = self.decisions = world.decisions()
        deaths = Deaths()
        for letter in world.letters:
            deaths.add(letter)
        chosen: list[Candidate] = [candidate(letter, decisions) for letter in world.open_letters() if wanted(letter)]
        later = LaterWrites(
            chosen, deaths=deaths, decisions=decisions, is_settled=Settled({0: (0, settled)}), window=world.window
        )
        first_kept = world.first_kept
        self.session = Session(chosen, later, is_covered=lambda place: place.offset + 1 >= first_kept, force=force)
        records, self.position = world.committed(first_kept)
        self.session.take(records)

    def catch_up(self) -> None:
        """What comes first once nobody else can write: what others have decided and published meanwhile."""
        news = [read_decision(record) for record in self.world.desk_topic[self.known :]]
        for decision in news:
            self.decisions.add(decision)
        self.session.close(news)
        records, self.position = self.world.committed(self.position)
        self.session.take(records)


@dataclass(slots=True)
class ListedLog:
    """A guarded log over a world; *meanwhile* is published by others right before the first records are appended."""

    world: World
    operator: Operator
    meanwhile: Sequence[Callable[[], object]] = ()
    killed: str = ""
    own: set[int] = field(default_factory=set)

    def append(
        self,
        outgoing: Sequence[Outgoing],
        is_overtaken: Callable[[Iterable[CommandRecord]], bool],
        notes: Callable[[Sequence[Place]], Sequence[tuple[bytes, bytes]]],
    ) -> bool:
        """See `worker.desk.replaying.GuardedLog`."""
        world, operator = self.world, self.operator
        for publication in self.meanwhile:
            publication()
        self.meanwhile = ()
        entries = [world.publish(one, again=self._letter(one), state="open") for one in outgoing]
        self.own.update(entry.record.offset for entry in entries)
        before = [entry.record for entry in world.log[operator.position :] if entry.record.offset not in self.own]
        operator.position = len(world.log)
        is_good = not is_overtaken(before) and self.killed != "before"
        for entry in entries:
            entry.state = "committed" if is_good else "aborted"
        if self.killed == "before":
            raise Killed
        if not is_good:
            return False
        places = [Place(*_place(entry.record)) for entry in entries]
        for key, value in notes(places):
            record = CommandRecord(f"{TOPIC}.dlq.desk", 0, len(world.desk_topic), 0, key, value)
            world.desk_topic.append(record)
            self._note_age(read_decision(record))
        if self.killed == "after":
            raise Killed
        return True

    def _letter(self, outgoing: Outgoing) -> DeadLetter:
        replay = dict(outgoing.headers)
        number, command_id = int(replay["dlq-replay"] or b"0"), (replay["dlq-command-id"] or b"").decode()
        return next(
            letter
            for letter in self.world.open_letters()
            if (letter.command_id, letter.next_replay, letter.record.key) == (command_id, number, outgoing.key)
        )

    def _note_age(self, decision: Decision) -> None:
        if decision.placed is not None and decision.keeps_its_age:
            self.world.log[decision.placed.offset].age = decision.origin.offset


def _may_replace(entry: Entry, other: Entry) -> bool:
    return entry.age >= other.age or entry.origin == other.origin


def _place(record: CommandRecord) -> tuple[str, int, int, int]:
    return record.topic, record.partition, record.offset, record.timestamp_ms


def plain(customer: int, changes: Mapping[str, object], headers: Headers = ()) -> Outgoing:
    """A command as a publisher sends it."""
    value = json.dumps({"customer_id": customer_id(customer), "changes": dict(changes)}).encode()
    return Outgoing(customer_id(customer).encode(), value, headers)


def applied(fold: Fold) -> Decided:
    """The upstream takes it."""
    return fold.applied(a_customer())
