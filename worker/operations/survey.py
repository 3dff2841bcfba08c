"""Who waits, and why: a look through all lanes, in pieces, so that nothing else waits for it."""

import asyncio
import heapq
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from handlers.command import Priority
from worker.lanes import Lane, LaneState
from worker.operations.replica import Customers, WaitingCustomer
from worker.operations.words import shortened
from worker.pacing.gate import Gate
from worker.pacing.rate_budget import REQUESTS_PER_TURN
from worker.partition import Partition

LONGEST = 10
LANES_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class Obstacles:
    """What keeps a lane that is ready from its turn, by priority; an empty word where nothing does."""

    live: str
    bulk: str

    def of(self, lane: Lane) -> str:
        """The word for this lane."""
        return self.live if lane.priority is Priority.LIVE else self.bulk


def obstacles(gate: Gate, *, may_work: bool, now: float) -> Obstacles:
    """What keeps every lane from its turn; *may_work*: this replica is a member of the group. Monotonic seconds."""
    word = ""
    if not may_work:
        word = "group"
    elif gate.held_for:
        word = "held"
    elif not gate.is_open:
        word = "outage"
    elif gate.budget.remaining(now) < REQUESTS_PER_TURN:
        word = "limit"
    return Obstacles(word, word or ("" if gate.admits_bulk(now) else "bulk"))


async def survey(
    partitions: Callable[[], Collection[Partition]], found: Obstacles, now: Callable[[], float]
) -> Customers:
    """The customers that wait in all of them."""
    why: Counter[str] = Counter()
    oldest_ms: list[int] = []
    longest: list[_Ranked] = []
    for partition in partitions():
        for lanes in _in_pieces(list(partition.lanes)):
            why.update(_why(partition, lane, found) for lane in lanes)
            # A lane without commands waits for the commit of its last ones.
            ranked = [_Ranked(_commands(lane), _oldest_ms(lane), partition, lane) for lane in lanes if _commands(lane)]
            longest = heapq.nlargest(LONGEST, [*longest, *ranked], key=_Ranked.rank)
            oldest_ms += [min(one.oldest_ms for one in ranked)] if ranked else []
            await asyncio.sleep(0)
    shown = tuple(_shown(ranked, found, now()) for ranked in longest)
    return Customers(why.total(), min(oldest_ms, default=None), dict(why), shown)


class _Ranked(NamedTuple):
    commands: int
    oldest_ms: int
    partition: Partition
    lane: Lane

    def rank(self) -> tuple[int, int]:
        return self.commands, -self.oldest_ms


def _in_pieces(lanes: list[Lane]) -> Iterator[list[Lane]]:
    return (lanes[start : start + LANES_AT_ONCE] for start in range(0, len(lanes), LANES_AT_ONCE))


def _shown(ranked: _Ranked, found: Obstacles, now: float) -> WaitingCustomer:
    partition, lane = ranked.partition, ranked.lane
    backs_off = lane.state is LaneState.BACKING_OFF and not found.of(lane)
    return WaitingCustomer(
        customer=shortened(lane.customer_id),
        partition=partition.topic_partition.partition,
        commands=ranked.commands,
        why=_why(partition, lane, found),
        attempts=lane.fold.attempts if lane.fold is not None else 0,
        due_in_seconds=max(lane.due - now, 0.0) if backs_off else None,
        oldest_ms=ranked.oldest_ms,
    )


def _why(partition: Partition, lane: Lane, found: Obstacles) -> str:
    match lane.state:
        case LaneState.TAKEN:
            return "under_way"
        case LaneState.COMMITTING:
            return "committing"
        case LaneState.BACKING_OFF:
            return found.of(lane) or "retrying"
        case LaneState.READY:
            return "taking_over" if partition.is_reading_back else found.of(lane) or "turn"


def _commands(lane: Lane) -> int:
    return len(lane.waiting) + (len(lane.fold.commands) if lane.fold is not None else 0)


def _oldest_ms(lane: Lane) -> int:
    first = lane.fold.commands[0] if lane.fold is not None else lane.waiting[0]
    return first.record.timestamp_ms
