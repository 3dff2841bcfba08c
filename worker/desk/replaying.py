"""Replays dead letters: decides, writes, and looks once more at what came in between.

Between looking at the command log and writing to it somebody may publish a newer command. It would stand before the
replay, and the replay would overwrite it. So a batch is written in a transaction, everything that stands before it in
the log is looked at, also what nobody has committed yet, and only then is it committed; if that changes what may be
replayed, it is aborted and written anew. What comes after the batch is newer and is applied after it.

All dead letters of one customer go in one transaction, with the decisions that close them: whatever happens to the
desk, they are replayed and closed, or neither.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from handlers.record import CommandRecord
from handlers.replay import Outgoing, Place
from worker.desk.decisions import Action, Decision
from worker.desk.later_writes import Candidate, Elsewhere, LaterWrites
from worker.desk.verdicts import Held, Replay, Superseded, Verdict, verdicts

BATCH: Final = 200
"""Dead letters of one transaction, and more only where one customer has more. While it lasts, readers of committed
commands wait."""

Decided = tuple[Candidate, Verdict]


class GuardedLog(Protocol):
    """Where replays and decisions are written together; `worker.kafka.guarded_log` is the real one."""

    def append(
        self,
        outgoing: Sequence[Outgoing],
        is_overtaken: Callable[[Iterable[CommandRecord]], bool],
        notes: Callable[[Sequence[Place]], Sequence[tuple[bytes, bytes]]],
    ) -> bool:
        """Appends *outgoing* to the command topic, and what *notes* makes of their places to the desk's.

        Before it commits, it hands all records of others before them that were not handed out yet to *is_overtaken*.
        If that is true, nothing is written, and the answer is False.
        """


class Session:
    """One operator's replay: the candidates, and all that is known about what came after them."""

    def __init__(
        self,
        candidates: Sequence[Candidate],
        later: LaterWrites,
        *,
        is_covered: Callable[[Place], bool],
        force: bool = False,
    ) -> None:
        self._candidates: dict[bytes | None, list[Candidate]] = {}
        for one in candidates:
            self._candidates.setdefault(one.key, []).append(one)
        self._later = later
        self._is_covered = is_covered
        self._force = force

    @property
    def keys(self) -> Sequence[bytes | None]:
        """The keys of the customers concerned."""
        return list(self._candidates)

    def take(self, records: Iterable[CommandRecord], *, are_committed: bool = True) -> bool:
        """Takes more of the command log in; whether anything about a candidate has changed."""
        return sum(self._later.take(record, is_committed=are_committed) for record in records) > 0

    def close(self, decisions: Iterable[Decision]) -> int:
        """Drops the candidates that somebody else has decided about meanwhile; how many."""
        died = {decision.died for decision in decisions}
        closed = 0
        for key, listed in list(self._candidates.items()):
            left = [one for one in listed if one.letter.died not in died]
            closed += len(listed) - len(left)
            if left:
                self._candidates[key] = left
            else:
                del self._candidates[key]
        return closed

    def decided(self, keys: Iterable[bytes | None] | None = None) -> list[Decided]:
        """The verdict on every candidate, or on those with these *keys*; each customer's oldest first."""
        found: list[Decided] = []
        for key in self.keys if keys is None else keys:
            found += verdicts(self._candidates.get(key, ()), is_covered=self._is_covered, force=self._force)
        return found

    def batches(self) -> Iterator[list[bytes | None]]:
        """The keys of customers whose dead letters go together, `BATCH` of them at least but for the last."""
        batch: list[bytes | None] = []
        size = 0
        for key, listed in list(self._candidates.items()):
            batch.append(key)
            size += len(listed)
            if size >= BATCH:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch


@dataclass(slots=True)
class Result:
    """What became of a replay so far; *held* are those that stay open."""

    replayed: int = 0
    in_part: int = 0
    superseded: int = 0
    found_elsewhere: int = 0
    overtaken: int = 0
    held: list[tuple[Candidate, Held]] = field(default_factory=list)

    @property
    def closed(self) -> int:
        """How many dead letters are not open any more."""
        return self.replayed + self.superseded + self.found_elsewhere


def replay(
    session: Session,
    log: GuardedLog,
    *,
    by: str,
    now_ms: Callable[[], int],
    advanced: Callable[[int], None] = lambda _: None,
) -> Result:
    """Replays what may be replayed, batch by batch; *advanced* is told how many dead letters are done with.

    Raises what the log raises. What was committed until then stays, and is closed.
    """
    result = Result()
    for keys in session.batches():
        decided = session.decided(keys)
        while not _write(session, log, keys, decided, by=by, at_ms=now_ms()):
            result.overtaken += 1
            decided = session.decided(keys)
        _count(result, decided)
        advanced(len(decided))
    return result


def decisions(decided: Iterable[Decided], places: Sequence[Place], *, by: str, at_ms: int) -> list[Decision]:
    """What closes the dead letters in *decided*; *places* are those of the replays among them, in their order."""
    placed = iter(places)
    found: list[Decision] = []
    for one, verdict in decided:
        letter = one.letter
        common = _Common(letter.died, one.origin or letter.died, letter.command_id, at_ms, by)
        match verdict:
            case Replay():
                action = Action.REPLAYED if verdict.is_whole else Action.IN_PART
                if one.is_edited:
                    action = Action.EDITED
                found.append(
                    common.decision(
                        action,
                        replay=letter.next_replay,
                        placed=next(placed),
                        fields=tuple(sorted(verdict.left_out)),
                        forced=verdict.is_forced,
                    )
                )
            case Superseded():
                found.append(common.decision(Action.SUPERSEDED, fields=tuple(sorted(verdict.by))))
            case Elsewhere(replay=number, place=place):
                found.append(common.decision(Action.FOUND, replay=number, placed=place))
            case Held():
                pass
    return found


def outgoing(one: Candidate, verdict: Replay) -> Outgoing:
    """The record to publish."""
    if one.command is None or (verdict.is_whole and not one.is_edited):
        return one.letter.replayed()
    changes = {name: value for name, value in one.command.changes.items() if name in verdict.fields}
    return one.letter.replayed_with(one.command.customer_id, changes)


@dataclass(frozen=True, slots=True)
class _Common:
    died: Place
    origin: Place
    command_id: str
    at_ms: int
    by: str

    def decision(
        self,
        action: Action,
        *,
        replay: int = 0,
        placed: Place | None = None,
        fields: tuple[str, ...] = (),
        forced: bool = False,
    ) -> Decision:
        return Decision(
            self.died, self.origin, action, self.command_id, self.at_ms, self.by, replay, placed, fields, forced
        )


def _write(
    session: Session, log: GuardedLog, keys: Sequence[bytes | None], decided: Sequence[Decided], *, by: str, at_ms: int
) -> bool:
    """Writes one batch; False where it was overtaken, and the verdicts are others now."""
    if all(isinstance(verdict, Held) for _, verdict in decided):
        return True
    before = _gist(decided)

    def is_overtaken(records: Iterable[CommandRecord]) -> bool:
        return session.take(records, are_committed=False) and _gist(session.decided(keys)) != before

    def notes(places: Sequence[Place]) -> Sequence[tuple[bytes, bytes]]:
        return [(one.key(), one.value()) for one in decisions(decided, places, by=by, at_ms=at_ms)]

    records = [outgoing(one, verdict) for one, verdict in decided if isinstance(verdict, Replay)]
    return log.append(records, is_overtaken, notes)


def _gist(decided: Iterable[Decided]) -> list[tuple[type, frozenset[str]]]:
    return [(type(one), one.fields if isinstance(one, Replay) else frozenset()) for _, one in decided]


def _count(result: Result, decided: Iterable[Decided]) -> None:
    for one, verdict in decided:
        match verdict:
            case Replay():
                result.replayed += 1
                result.in_part += not verdict.is_whole
            case Superseded():
                result.superseded += 1
            case Elsewhere():
                result.found_elsewhere += 1
            case Held():
                result.held.append((one, verdict))


def summary(decided: Iterable[Decided]) -> Mapping[str, int]:
    """How many of each verdict there are, by its name."""
    counted: dict[str, int] = {}
    for _, verdict in decided:
        name = verdict.obstacle if isinstance(verdict, Held) else type(verdict).__name__.lower()
        counted[name] = counted.get(name, 0) + 1
    return counted
