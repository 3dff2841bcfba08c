"""What a replay may do without overwriting newer data: the desk's rule, for the dead letters of one customer.

A field that a later command has set is left out of the replay; what is left is what the command would have left in
its own time. So the customer ends up as if it had been applied then. Nothing is left: it is superseded. Where nobody
can know yet what a later command will have set, the dead letter is held back, and stays open.

Dead letters that are replayed together keep their order, so those that come later in the same replay hold back none
of the earlier ones.

Pure.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from handlers.replay import Place
from worker.desk.later_writes import Candidate, Effect, Elsewhere, Write


class Obstacle(StrEnum):
    """Why a dead letter is held back."""

    REFUSED = "refused"
    UNTRACEABLE = "untraceable"
    LOG_DELETED = "log_deleted"
    WAITING = "waiting"
    UNCERTAIN = "uncertain"

    @property
    def meaning(self) -> str:
        """In a few words for people."""
        return _WORDS[self][0]

    @property
    def advice(self) -> str:
        """What to do."""
        return _WORDS[self][1]


_WORDS: Mapping[Obstacle, tuple[str, str]] = {
    Obstacle.REFUSED: ("the worker would refuse it again", "Correct it with `dlq edit`, or discard it."),
    Obstacle.UNTRACEABLE: (
        "it died as a replay that the desk has not recorded",
        "Run `dlq replay` again: it records what others have replayed. If that changes nothing, --force it by its id.",
    ),
    Obstacle.LOG_DELETED: (
        "commands that came after it were deleted by retention: nobody can tell what they set",
        "Look at the customer, then replay it by its id with --force.",
    ),
    Obstacle.WAITING: (
        "later commands that set the same fields still wait",
        "Run `dlq replay` again when they are settled.",
    ),
    Obstacle.UNCERTAIN: (
        "a later command that set the same fields is a dead letter, but may have been applied",
        "Replay both together, or look at the customer and --force.",
    ),
}


@dataclass(frozen=True, slots=True)
class Replay:
    """May be replayed. *left_out* has the fields that later commands have set, each with one that did.

    *forced* is why it would have been held back: an obstacle, or that fields would have been left out.
    """

    fields: frozenset[str]
    left_out: Mapping[str, Write]
    is_forced: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether the original record is replayed, byte by byte."""
        return self.is_forced or not self.left_out


@dataclass(frozen=True, slots=True)
class Superseded:
    """Later commands have set all its fields: there is nothing left to replay."""

    by: Mapping[str, Write]


@dataclass(frozen=True, slots=True)
class Held:
    """Stays open. *writes* are the later commands that it is held back for, where there are some."""

    obstacle: Obstacle
    writes: Mapping[str, Write]


Verdict = Replay | Superseded | Elsewhere | Held


def in_order(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Those of one customer, oldest first: by offset where they are of one partition, else by their records' times."""
    listed = list(candidates)
    places = [one.origin or one.letter.died for one in listed]
    if len({place[:2] for place in places}) == 1:
        return sorted(listed, key=lambda one: (one.origin or one.letter.died).offset)
    return sorted(listed, key=lambda one: (one.origin or one.letter.died)[::-1])


def verdicts(
    candidates: Sequence[Candidate], *, is_covered: Callable[[Place], bool], force: bool = False
) -> list[tuple[Candidate, Verdict]]:
    """What may become of each of one customer's candidates, oldest first.

    *is_covered* tells whether all commands after a place were still there to be read.
    """
    going: dict[Place, frozenset[str]] = {}
    found: list[tuple[Candidate, Verdict]] = []
    for one in reversed(in_order(candidates)):
        verdict = _verdict(one, going, is_covered)
        if force:
            verdict = _forced(one, verdict)
        if isinstance(verdict, Replay) and one.origin is not None:
            going[one.origin] = verdict.fields
        found.append((one, verdict))
    return found[::-1]


def _verdict(one: Candidate, going: Mapping[Place, frozenset[str]], is_covered: Callable[[Place], bool]) -> Verdict:
    if one.elsewhere is not None:
        return one.elsewhere
    if one.command is None:
        return Held(Obstacle.REFUSED, {})
    if one.origin is None:
        return Held(Obstacle.UNTRACEABLE, {})
    if not is_covered(one.origin):
        return Held(Obstacle.LOG_DELETED, {})
    set_by: dict[str, Write] = {}
    obstacles: dict[Obstacle, dict[str, Write]] = {Obstacle.WAITING: {}, Obstacle.UNCERTAIN: {}}
    for name in one.command.changes:
        for write in one.newer.get(name, ()):
            if write.effect is Effect.SET:
                set_by[name] = write
            elif write.effect is Effect.WILL_SET:
                obstacles[Obstacle.WAITING][name] = write
            elif name not in going.get(write.origin, ()):
                obstacles[Obstacle.UNCERTAIN][name] = write
    for obstacle, writes in obstacles.items():
        if writes.keys() - set_by.keys():
            return Held(obstacle, {name: write for name, write in writes.items() if name not in set_by})
    left = frozenset(one.command.changes) - set_by.keys()
    return Replay(left, set_by) if left else Superseded(set_by)


def _forced(one: Candidate, verdict: Verdict) -> Verdict:
    """The same with --force: whatever speaks against it, the command as it was."""
    match verdict:
        case Elsewhere():
            return verdict
        case Replay() if verdict.is_whole:
            return verdict
        case _:
            return Replay(frozenset(one.command.changes if one.command is not None else ()), {}, is_forced=True)
