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
from collections.abc import Iterator
from enum import Enum, auto
from itertools import count

from handlers.command import Command, Priority
from worker.fold import Fold

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

    __slots__ = ("begun", "customer_id", "fold", "is_suspect", "live_waiting", "queued_as", "state", "waiting")

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

    @property
    def priority(self) -> Priority:
        """That of its most urgent command."""
        return Priority.LIVE if self.live_waiting else Priority.BULK


class Lanes:
    """All lanes of one partition. Each customer is in at most one state, and has at most one fold."""

    def __init__(self, *, coalesce: bool, fold_below: int = 0) -> None:
        """Commands at offsets below *fold_below* are always folded: a predecessor may have sent them together."""
        self._coalesce = coalesce
        self._fold_below = fold_below
        self._lanes: dict[str, Lane] = {}
        self._ready: dict[Priority, OrderedDict[str, Lane]] = {priority: OrderedDict() for priority in Priority}
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

    def take(self, priority: Priority, now_ms: int) -> Fold | None:
        """The next lane's fold, or None; *now_ms* (milliseconds since 1970) is for commands that have expired."""
        queue = self._ready[priority]
        while queue:
            lane = next(iter(queue.values()))
            first = lane.waiting[0].record.offset if lane.fold is None else 0
            if first < self._allowed_below:
                return self._take(lane, now_ms)
            self._dequeue(lane)
            heapq.heappush(self._beyond, (first, next(self._tickets), lane))
        return None

    def retry(self, fold: Fold, *, due: float, now: float) -> None:
        """Gives the turn back: the same fold is tried again when *due*."""
        lane = self._lanes[fold.customer_id]
        if due <= now:
            self._move(lane, LaneState.READY)
            self._enqueue(lane)
        else:
            self._move(lane, LaneState.BACKING_OFF)
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

    def _take(self, lane: Lane, now_ms: int) -> Fold:
        self._dequeue(lane)
        if lane.fold is None:
            commands = self._next_commands(lane)
            lane.is_suspect = False
            for _ in commands:
                lane.waiting.popleft()
            lane.live_waiting -= sum(command.priority is Priority.LIVE for command in commands)
            lane.fold = Fold(commands)
            lane.fold.expire(now_ms, begun=lane.begun)
            if lane.begun:
                lane.begun -= {command.record.offset for command in commands}
        self._move(lane, LaneState.TAKEN)
        return lane.fold

    def _next_commands(self, lane: Lane) -> list[Command]:
        if lane.is_suspect:
            return [lane.waiting[0]]
        commands: list[Command] = []
        for command in lane.waiting:
            offset = command.record.offset
            of_own_accord = not commands or (self._coalesce and len(commands) < LARGEST_FOLD)
            if offset >= self._allowed_below or not (of_own_accord or offset < self._fold_below):
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
