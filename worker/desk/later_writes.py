"""What later commands did to the fields of dead commands: found by one pass over the command log.

Every command of the customers concerned is given an age, which says what is newer than what, and an effect, which
says whether it did, will or may have set its fields.

*Age.* A command is as old as its place on the topic. A replay is as old as its command, for as long as it was held to
what newer ones had set; one that was forced, edited, or published by other means is as old as its own place.

*Effect.* What has an event has set its fields. What is not settled yet will, before any replay that is written now.
What is dead has set nothing, except where a dead letter leaves that open: the upstream may have done what it did not
acknowledge. A copy of a command has no effect of its own.

Pure: records are handed in.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, NamedTuple

from handlers.command import Command, decode
from handlers.errors import CommandRefused, Reason
from handlers.record import CommandRecord
from handlers.replay import DeadLetter, Place
from worker.deduplication import DeduplicationWindow, Verdict, tracked
from worker.desk.decisions import Decisions

_WITHOUT_EFFECT: Final = frozenset({Reason.UNDECODABLE, Reason.INVALID, Reason.UNKNOWN_CUSTOMER, Reason.REJECTED})


class Effect(Enum):
    """What a later command did to the fields it names."""

    SET = auto()
    WILL_SET = auto()
    MAY_HAVE_SET = auto()


class Write(NamedTuple):
    """A later command: its record's place, its id, its first record's place (*origin*), and its effect."""

    place: Place
    command_id: str
    origin: Place
    effect: Effect


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Somebody has published the next replay by other means: its number and its place."""

    replay: int
    place: Place


@dataclass(slots=True)
class Candidate:
    """A dead letter that may be replayed, and what is known of what came after it.

    *origin* is the first record of its command; None where nobody knows. *command* is the replay as the worker would
    read it, corrected by somebody if *is_edited*; None where it would refuse it for *refusal*. *newer* has the later
    writes of each of its fields, at most one of each kind that is certain. *elsewhere* is where somebody else has put
    the next replay already.
    """

    letter: DeadLetter
    origin: Place | None
    command: Command | None
    refusal: CommandRefused | None
    newer: dict[str, list[Write]] = field(default_factory=dict)
    elsewhere: Elsewhere | None = None
    is_edited: bool = False

    @property
    def key(self) -> bytes | None:
        """The key of its replay."""
        return self.letter.record.key if self.command is None else self.command.record.key


def candidate(letter: DeadLetter, decisions: Decisions) -> Candidate:
    """*letter*, with nothing known yet of what came after it."""
    origin = decisions.origin(letter)
    try:
        return Candidate(letter, origin, decode(letter.next_command), None)
    except CommandRefused as refusal:
        return Candidate(letter, origin, None, refusal)


class Deaths:
    """Where commands have died, and which of them may have had an effect all the same."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, int, int], tuple[int, bool]] = {}

    def add(self, letter: DeadLetter) -> None:
        """Takes one of the dead-letter topic."""
        # More than one attempt: an earlier one may have been applied although its answer did not say so.
        is_certain = letter.reason in _WITHOUT_EFFECT and letter.attempts <= 1
        self._found[letter.died[:3]] = (letter.died.timestamp_ms, is_certain)

    def effect(self, record: CommandRecord) -> Effect | None:
        """What the dead command in *record* did: nothing (None), or who knows. Raises `KeyError` if it is not dead."""
        timestamp_ms, is_certain = self._found[record.topic, record.partition, record.offset]
        if timestamp_ms != record.timestamp_ms:
            raise KeyError(record.coordinates)
        return None if is_certain else Effect.MAY_HAVE_SET


class Settled:
    """Which offsets of the command topic have their outcome."""

    def __init__(self, committed: Mapping[int, tuple[int, int]]) -> None:
        """*committed* by partition: the committed offset, and what is settled beyond it (`Progress`)."""
        self._committed = committed

    def __call__(self, partition: int, offset: int) -> bool:
        """Whether this one has."""
        committable, beyond = self._committed.get(partition, (0, 0))
        return offset < committable or bool(beyond >> (offset - committable) & 1)


class LaterWrites:
    """Takes the command log in, record by record, and tells each candidate what was written after it."""

    def __init__(
        self,
        candidates: Iterable[Candidate],
        *,
        deaths: Deaths,
        decisions: Decisions,
        is_settled: Callable[[int, int], bool],
        window: int,
    ) -> None:
        """*window* is DEDUPLICATION_WINDOW; the log has to be handed in from so many offsets before the candidates."""
        self._of_customer: dict[bytes | None, list[Candidate]] = {}
        for one in candidates:
            if one.command is not None:
                self._of_customer.setdefault(one.key, []).append(one)
        self._deaths = deaths
        self._decisions = decisions
        self._is_settled = is_settled
        self._window = window
        self._windows: dict[int, DeduplicationWindow] = {}

    @property
    def keys(self) -> frozenset[bytes | None]:
        """The keys of the records that matter."""
        return frozenset(self._of_customer)

    def of_customer(self, key: bytes | None) -> Sequence[Candidate]:
        """The candidates with this key."""
        return self._of_customer.get(key, ())

    def take(self, record: CommandRecord, *, is_committed: bool = True) -> bool:
        """Takes the next record of its partition; whether a candidate learned something from it.

        Of a record that is not committed nobody knows yet whether it counts: it is taken for one that will.
        """
        candidates = self._of_customer.get(record.key)
        if candidates is None:
            return False
        try:
            command = decode(record)
        except CommandRefused:
            return False
        window = self._windows.setdefault(record.partition, DeduplicationWindow(window=self._window))
        verdict = window.judge(tracked(command.identity, command.replay), record)
        try:
            effect = self._deaths.effect(record)
        except KeyError:
            if verdict is not Verdict.NEW:
                return False
            is_settled = is_committed and self._is_settled(record.partition, record.offset)
            effect = Effect.SET if is_settled else Effect.WILL_SET
        return effect is not None and self._tell(candidates, command, effect, is_committed=is_committed)

    def _tell(self, candidates: Sequence[Candidate], command: Command, effect: Effect, *, is_committed: bool) -> bool:
        record = command.record
        place = Place(record.topic, record.partition, record.offset, record.timestamp_ms)
        age = origin = place
        decision = self._decisions.that_placed(place[:3], command.replay) if command.replay else None
        if decision is not None:
            origin = decision.origin
            age = origin if decision.keeps_its_age else place
        has_told = False
        for one in candidates:
            if one.origin is None or one.command is None or origin == one.origin:
                continue
            if decision is None and _is_replay_of(command, one):
                has_told |= _tell_replay(
                    one, command, Write(place, command.id, origin, effect), is_committed=is_committed
                )
                continue
            shared = one.command.changes.keys() & command.changes.keys()
            if shared and _is_newer(age, one.origin):
                _note_all(one, shared, Write(place, command.id, origin, effect))
                has_told = True
        return has_told


def _is_replay_of(command: Command, one: Candidate) -> bool:
    """Whether somebody published this replay of the candidate without recording it."""
    if not command.replay or one.command is None or command.source != one.command.source:
        return False
    return command.id.removesuffix(f"#{command.replay}") == one.letter.command_id


def _tell_replay(one: Candidate, command: Command, write: Write, *, is_committed: bool) -> bool:
    """Tells a candidate of a replay of its own that nobody recorded; the first one after its death counts."""
    if command.replay <= one.letter.replay or one.command is None:
        return False
    if not is_committed:
        _note_all(one, one.command.changes, write)
    elif one.elsewhere is None or command.replay < one.elsewhere.replay:
        one.elsewhere = Elsewhere(command.replay, write.place)
    return True


def _is_newer(age: Place, origin: Place) -> bool:
    """Offsets tell within one partition; between partitions only the records' own times do."""
    if age[:2] == origin[:2]:
        return age.offset > origin.offset
    return age.timestamp_ms >= origin.timestamp_ms


def _note_all(one: Candidate, names: Iterable[str], write: Write) -> None:
    """Keeps of each field the latest write of each certain kind, and every one that nobody is certain of."""
    for name in names:
        writes = one.newer.setdefault(name, [])
        if write.effect is not Effect.MAY_HAVE_SET:
            writes[:] = [known for known in writes if known.effect is not write.effect]
        writes.append(write)
