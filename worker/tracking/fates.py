"""What became of a command: decided from what the topics say and from what the group has committed. Pure.

An outcome and the offset that it settles are committed as one, so what is settled has its outcome, unless it was a
copy; and what has an outcome is settled, however old the look at the offset is. What neither says is not guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from worker.desk.decisions import Decision
from worker.progress import Progress, ProgressUnreadable, Tried, decode
from worker.tracking.seen import CommandSeen, DeathSeen, EventSeen, Place

# One transaction takes less, and two turns of one customer with the same payload are seldom so close.
_SAME_MOMENT_MS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Applied:
    """It has its event.

    *folded_with*: ids of the commands that were certainly applied with it, by the same requests; *perhaps_with*: of
    those that may have been. *repeated*: further events of it, as DELIVERY=at_least_once may publish them.
    """

    event: EventSeen
    folded_with: tuple[str, ...] = ()
    perhaps_with: tuple[str, ...] = ()
    repeated: tuple[EventSeen, ...] = ()


@dataclass(frozen=True, slots=True)
class Dead:
    """It has its dead letter; *decision* is the desk's latest about it, None while it is open."""

    death: DeathSeen
    decision: Decision | None = None


@dataclass(frozen=True, slots=True)
class Repeated:
    """It is a copy of the command at *original*, and was settled with it."""

    original: Place


@dataclass(frozen=True, slots=True)
class Waiting:
    """It is not settled.

    *committed* is the next offset that the group reads, None where it has never committed; *before* counts the offsets
    before it that are not settled, *of_customer_before* those of them that hold commands of the same customer.
    *may_be_under_way*: whether a worker was allowed to begin it. *overtaken_by* counts later offsets that are settled
    already. *tried* is what has been tried in vain for its customer, as of the last commit. *copy_of*: it will be
    settled as a copy of that one.
    """

    committed: int | None
    before: int
    of_customer_before: int
    may_be_under_way: bool
    overtaken_by: int
    tried: Tried | None
    copy_of: Place | None


@dataclass(frozen=True, slots=True)
class OutcomeGone:
    """It is settled, and its outcome is not among those that were read: deleted by retention, or not yet looked for."""


Fate = Applied | Dead | Repeated | Waiting | OutcomeGone


class Settled:
    """What of the command topic is settled, as of the group's last commits."""

    def __init__(self, committed: Mapping[int, tuple[int, str]]) -> None:
        """*committed* by partition: the next offset to read, and the commit's metadata."""
        self._progress: dict[int, tuple[int, Progress]] = {}
        for partition, (offset, metadata) in committed.items():
            try:
                progress = decode(metadata)
            except ProgressUnreadable:
                progress = Progress(0, 0)
            self._progress[partition] = (offset, progress)

    def __contains__(self, place: Place) -> bool:
        """Whether the record there is settled."""
        offset, progress = self._of(place.partition)
        return place.offset < offset or bool(progress.completed_beyond >> (place.offset - offset) & 1)

    def committed(self, partition: int) -> int | None:
        """The next offset that the group reads of the partition; None where it never committed."""
        return self._progress[partition][0] if partition in self._progress else None

    def waiting(self, place: Place, *, of_customer_before: Sequence[int], copy_of: Place | None) -> Waiting:
        """How the command at *place* waits; *of_customer_before*: unsettled offsets of its customer before it."""
        offset, progress = self._of(place.partition)
        ahead = place.offset - offset
        bits = progress.completed_beyond
        first = min(of_customer_before, default=place.offset)
        return Waiting(
            committed=self.committed(place.partition),
            before=ahead - (bits & ((1 << ahead) - 1)).bit_count(),
            of_customer_before=len(of_customer_before),
            may_be_under_way=ahead < progress.horizon,
            overtaken_by=(bits >> ahead).bit_count(),
            tried=dict(progress.tried).get(first - offset),
            copy_of=copy_of,
        )

    def _of(self, partition: int) -> tuple[int, Progress]:
        return self._progress.get(partition, (0, Progress(0, 0)))


def applied(events: Sequence[EventSeen], neighbours: Sequence[EventSeen], *, in_transactions: bool) -> Applied:
    """The fate of a command with these events, mostly one; *neighbours* are the records around the first, in order.

    Commands that were applied together have events of one payload, written in one transaction. Every transaction
    leaves a marker that takes an offset, so records without a gap between them are of one transaction, at least those
    of one customer. Where a gap lies between, it may be the marker of another partition's: nobody can tell. Nor can
    anybody where the worker does not write *in_transactions*.
    """
    event = events[0]
    present = {one.place.offset for one in neighbours}
    first = last = event.place.offset
    while in_transactions and first - 1 in present:
        first -= 1
    while in_transactions and last + 1 in present:
        last += 1
    certain, perhaps = [], []
    for one in neighbours:
        if (one.key, one.value) != (event.key, event.value) or one.command_id in {"", event.command_id}:
            continue
        if first <= one.place.offset <= last:
            certain.append(one.command_id)
        elif abs(one.timestamp_ms - event.timestamp_ms) <= _SAME_MOMENT_MS:
            perhaps.append(one.command_id)
    return Applied(event, tuple(certain), tuple(perhaps), tuple(events[1:]))


def original_of(copy: CommandSeen, earlier: Iterable[CommandSeen], *, window: int) -> CommandSeen | None:
    """The command that *copy* repeats, if it is among *earlier* and near enough."""
    for one in earlier:
        near = copy.record.offset - window <= one.record.offset < copy.record.offset
        if one.record.partition == copy.record.partition and near and one.is_copied_by(copy):
            return one
    return None
