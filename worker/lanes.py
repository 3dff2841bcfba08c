"""Whose turn it is: one lane for each customer of a partition, one request chain in each.

A lane is *ready* while commands wait and nothing is under way for its customer, *taken* while a fold of its commands
is with the upstream, *backing off* while a retry waits, and *committing* from the decision until the outcome is in
Kafka: the next change of a customer is sent only after the outcome of the one before is committed, so that a crash
never moves a customer back in time.

Ready lanes take turns in the order in which they became ready, so a customer with many commands waits like one with
a single one. A lane has the priority of its most urgent command.

Lanes whose next command lies beyond what the worker may act on (`allow`) are set aside until it may.

Pure: `now` is monotonic seconds.
"""

import heapq
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from enum import Enum, auto
from itertools import count

from handlers.command import Command, Priority
from worker.fold import UNTRIED, Fold
from worker.progress import Tried

# Bounds one transaction and the memory of one turn; what is beyond it folds in the next turn.
LARGEST_FOLD = 500
# Kafka's offsets are below it.
ANY_OFFSET = 2**63


class LaneState(Enum):
    """Where a lane stands."""

    READY = auto()
    TAKEN = auto()
    BACKING_OFF = auto()
    COMMITTING = auto()


class Lane:
    """The commands of one customer that wait, in order, and the fold that is under way."""

    __slots__ = ("begun", "customer_id", "due", "fold", "is_suspect", "live_waiting", "queued_as", "state", "waiting")

    def __init__(self, customer_id: str) -> None:
        self.customer_id = customer_id
        self.waiting: deque[Command] = deque()
        self.fold: Fold | None = None
        self.state = LaneState.READY
        self.live_waiting = 0
        # Offsets of those that were sent with a fold, and were put back when it was taken apart.
        self.begun: frozenset[int] = frozenset()
        self.is_suspect = False
        self.queued_as: Priority | None = None
        # When it is tried again; to be read while it backs off.
        self.due = 0.0

    @property
    def first_offset(self) -> int:
        """That of its next command, or of the fold that is tried again."""
        return (self.fold.commands if self.fold is not None else self.waiting)[0].record.offset

    @property
    def priority(self) -> Priority:
        """That of its most urgent command."""
        return Priority.LIVE if self.live_waiting else Priority.BULK


class Lanes:
    """All lanes of one partition. Each customer is in at most one state, and has at most one fold."""

    def __init__(self, *, coalesce: bool, fold_below: int = 0, tried: Mapping[int, Tried] | None = None) -> None:
        """Commands at offsets below *fold_below* are always folded: a predecessor may have sent them together.

        *tried* is what it tried in vain, by the offset of the first command of each fold.
        """
        self._coalesce = coalesce
        self._fold_below = fold_below
        self._tried_before = dict(tried or {})
        self._failing: dict[str, Lane] = {}
        self._lanes: dict[str, Lane] = {}
        self._ready: dict[Priority, OrderedDict[str, Lane]] = {priority: OrderedDict() for priority in Priority}
        # The ready lanes by their first offset, while somebody asks for the oldest; entries can be out of date.
        self._by_age: list[tuple[int, int, Lane]] | None = None
        self._backing_off: list[tuple[float, int, Lane]] = []
        self._beyond: list[tuple[int, int, Lane]] = []
        self._allowed_below = ANY_OFFSET
        self._tickets = count(1)
        self._states = dict.fromkeys(LaneState, 0)

    def add(self, command: Command) -> None:
        """Puts *command* at the end of its customer's lane."""
        known = self._lanes.get(command.customer_id)
        lane = known or Lane(command.customer_id)
        lane.waiting.append(command)
        if command.priority is Priority.LIVE:
            lane.live_waiting += 1
        if known is None:
            self._lanes[command.customer_id] = lane
            self._states[LaneState.READY] += 1
            self._enqueue(lane)
        elif lane.queued_as is Priority.BULK and command.priority is Priority.LIVE:
            self._enqueue(lane)

    def has_ready(self, priority: Priority) -> bool:
        """Whether a lane of this priority waits for its turn."""
        return bool(self._ready[priority])

    def allow(self, below: int) -> None:
        """Lanes whose next command lies at an offset below *below*, and no others, may take their turns from now on."""
        self._allowed_below = below
        while self._beyond and self._beyond[0][0] < below:
            self._enqueue(heapq.heappop(self._beyond)[2])

    def take(self, priority: Priority, now_ms: int, *, most: int = LARGEST_FOLD) -> Fold | None:
        """The next lane's fold, of *most* commands, or None; *now_ms* (since 1970) is for those that have expired."""
        self._by_age = None
        queue = self._ready[priority]
        while queue:
            lane = next(iter(queue.values()))
            if self._may_act(lane):
                return self._take(lane, now_ms, most)
        return None

    def oldest(self) -> int | None:
        """The lowest offset with which a ready lane begins, whatever its priority."""
        if self._by_age is None:
            self._by_age = [
                (lane.first_offset, next(self._tickets), lane)
                for queue in self._ready.values()
                for lane in queue.values()
            ]
            heapq.heapify(self._by_age)
        while self._by_age:
            first, _, lane = self._by_age[0]
            if lane.queued_as is not None and lane.first_offset == first and self._may_act(lane):
                return first
            heapq.heappop(self._by_age)
        return None

    def take_oldest(self, now_ms: int, *, most: int) -> Fold:
        """The fold of the lane that begins with `oldest`, which has just been found."""
        assert self._by_age  # noqa: S101  # `oldest` has looked
        return self._take(self._by_age[0][2], now_ms, most)

    def retry(self, fold: Fold, *, due: float, now: float) -> None:
        """Gives the turn back: the same fold is tried again when *due*."""
        lane = self._lanes[fold.customer_id]
        if fold.in_vain != UNTRIED:
            self._failing[fold.customer_id] = lane
        if due <= now:
            self._move(lane, LaneState.READY)
            self._enqueue(lane)
        else:
            self._move(lane, LaneState.BACKING_OFF)
            lane.due = due
            heapq.heappush(self._backing_off, (due, next(self._tickets), lane))

    def settle(self, fold: Fold, settled: int) -> None:
        """The first *settled* commands of the fold are decided; the lane waits until that is committed."""
        lane = self._lanes[fold.customer_id]
        left = fold.commands[settled:]
        lane.waiting.extendleft(reversed(left))
        lane.live_waiting += sum(command.priority is Priority.LIVE for command in left)
        lane.begun |= fold.begun(since=settled)
        lane.is_suspect = bool(left) and fold.is_shortened
        lane.fold = None
        self._failing.pop(fold.customer_id, None)
        self._move(lane, LaneState.COMMITTING)

    def committed(self, customer_id: str) -> None:
        """The outcome of the lane's last decision is in Kafka: its next turn may come."""
        lane = self._lanes[customer_id]
        if not lane.waiting:
            del self._lanes[customer_id]
            self._states[lane.state] -= 1
            return
        self._move(lane, LaneState.READY)
        self._enqueue(lane)

    def wake(self, now: float) -> None:
        """Makes the lanes ready whose backoff has ended."""
        while self._backing_off and self._backing_off[0][0] <= now:
            self._requeue(heapq.heappop(self._backing_off)[2])

    def end_backoff(self) -> None:
        """Makes every lane that backs off ready: what decides when it may send is now somebody else."""
        for _, _, lane in sorted(self._backing_off, key=lambda entry: entry[:2]):
            self._requeue(lane)
        self._backing_off.clear()

    def tried(self) -> list[tuple[int, Tried]]:
        """What has been tried in vain so far, here or by a predecessor, by the first offset of each fold."""
        here = {lane.fold.commands[0].record.offset: lane.fold.in_vain for lane in self._failing.values() if lane.fold}
        return sorted((self._tried_before | here).items())

    def next_due(self) -> float | None:
        """When the first backoff ends (monotonic seconds), or None."""
        return self._backing_off[0][0] if self._backing_off else None

    def count(self, state: LaneState) -> int:
        """How many lanes are in *state*."""
        return self._states[state]

    def __len__(self) -> int:
        return len(self._lanes)

    def __iter__(self) -> Iterator[Lane]:
        return iter(self._lanes.values())

    def _may_act(self, lane: Lane) -> bool:
        """Whether the lane may take its turn; otherwise it is set aside until it may."""
        if lane.fold is not None or lane.first_offset < self._allowed_below:
            return True
        self._dequeue(lane)
        heapq.heappush(self._beyond, (lane.first_offset, next(self._tickets), lane))
        return False

    def _take(self, lane: Lane, now_ms: int, most: int) -> Fold:
        self._dequeue(lane)
        if lane.fold is None:
            commands = self._next_commands(lane, min(most, LARGEST_FOLD))
            lane.is_suspect = False
            for _ in commands:
                lane.waiting.popleft()
            lane.live_waiting -= sum(command.priority is Priority.LIVE for command in commands)
            earlier = self._tried_before.pop(commands[0].record.offset, UNTRIED)
            lane.fold = Fold(commands, earlier=earlier)
            if earlier != UNTRIED:
                self._failing[lane.customer_id] = lane
            lane.fold.expire(now_ms, begun=lane.begun)
            if lane.begun:
                lane.begun -= {command.record.offset for command in commands}
        self._move(lane, LaneState.TAKEN)
        return lane.fold

    def _next_commands(self, lane: Lane, most: int) -> list[Command]:
        if lane.is_suspect:
            return [lane.waiting[0]]
        commands: list[Command] = []
        for command in lane.waiting:
            offset = command.record.offset
            of_own_accord = not commands or (self._coalesce and len(commands) < most and offset < self._allowed_below)
            if not (of_own_accord or offset < self._fold_below):
                break
            commands.append(command)
        return commands

    def _requeue(self, lane: Lane) -> None:
        self._move(lane, LaneState.READY)
        self._enqueue(lane)

    def _enqueue(self, lane: Lane) -> None:
        self._dequeue(lane)
        lane.queued_as = self._urgency(lane)
        self._ready[lane.queued_as][lane.customer_id] = lane
        if self._by_age is not None:
            heapq.heappush(self._by_age, (lane.first_offset, next(self._tickets), lane))

    def _dequeue(self, lane: Lane) -> None:
        if lane.queued_as is not None:
            del self._ready[lane.queued_as][lane.customer_id]
            lane.queued_as = None

    @staticmethod
    def _urgency(lane: Lane) -> Priority:
        if lane.fold is not None and lane.fold.is_live:
            return Priority.LIVE
        return lane.priority

    def _move(self, lane: Lane, state: LaneState) -> None:
        self._states[lane.state] -= 1
        self._states[state] += 1
        lane.state = state

    def __repr__(self) -> str:
        states = " ".join(f"{state.name.lower()}={number}" for state, number in self._states.items() if number)
        return f"<Lanes {states}>"
