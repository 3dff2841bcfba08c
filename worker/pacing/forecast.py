"""When what waits will be settled: commands become requests, and requests become time.

What a command costs, how fast requests go while nothing but the upstream bounds them, and how many commands come, is
what this process has seen lately; what it has not seen yet is guessed. The budget comes in whole windows: what is left
of this one now, the full limit with each that follows. The forecast spends each window's budget as soon as it is
there, as live commands do; bulk ones are spread over the window, so they may take until its end.

Pure: `now` is monotonic seconds.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from worker.pacing.rate_budget import REQUESTS_PER_TURN

# How long what was seen counts: its weight falls to a third in that time. Longer for what comes in bursts.
COST_SECONDS = 600.0
ARRIVAL_SECONDS = 600.0
SPEED_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Supply:
    """Requests that may be sent: *remaining* until the window ends in *resets_in_seconds*, then *limit* in each."""

    remaining: float
    limit: float
    window_seconds: float
    resets_in_seconds: float

    def shared(self, share: float) -> "Supply":
        """The part, 0 to 1, that one of several has of it."""
        return replace(self, remaining=self.remaining * share, limit=self.limit * share)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What waits, in upstream requests, and the seconds until it is settled: infinite where it will never be so."""

    requests: float
    seconds: float


class Experience:
    """What a worker has seen of its own work lately."""

    __slots__ = ("_arrivals", "_busy", "_commands", "_ends", "_noted_at", "_requests", "_seconds", "_sent", "_settled")

    def __init__(self) -> None:
        self._noted_at: float | None = None
        self._settled = 0
        self._sent = 0
        self._ends: dict[int, int] = {}
        # What a command costs before any was seen: a GET and a PATCH. That guess weighs as much as one command.
        self._commands = 1.0
        self._requests = float(REQUESTS_PER_TURN)
        self._arrivals = 0.0
        self._seconds = 0.0
        # Requests sent, and the seconds that took, while work waited and nothing but the upstream held it back.
        self._busy = (0.0, 0.0)

    def note(self, *, settled: int, sent: int, ends: Mapping[int, int], is_busy: bool, now: float) -> None:
        """Told every second or so: commands *settled* and requests *sent* since the start of the process.

        *ends* maps each partition held to the end of its log; *is_busy* where commands waited ever since the last
        call and the budget allowed their requests.
        """
        passed = 0.0 if self._noted_at is None else now - self._noted_at
        requests = sent - self._sent
        # However long ago, what was known weighs as much as one command: there is nothing better.
        kept = max(math.exp(-passed / COST_SECONDS), 1 / self._commands)
        self._commands = self._commands * kept + (settled - self._settled)
        self._requests = self._requests * kept + requests
        kept = math.exp(-passed / ARRIVAL_SECONDS)
        # A partition that has only just come brings its whole log, which has not arrived now.
        arrived = sum(max(end - self._ends.get(partition, end), 0) for partition, end in ends.items())
        self._arrivals = self._arrivals * kept + arrived
        self._seconds = self._seconds * kept + passed
        if is_busy and passed:
            kept = math.exp(-passed / SPEED_SECONDS)
            self._busy = (self._busy[0] * kept + requests, self._busy[1] * kept + passed)
        self._noted_at, self._settled, self._sent, self._ends = now, settled, sent, dict(ends)

    @property
    def requests_per_command(self) -> float:
        """What a command costs: less than two where commands share requests or change nothing."""
        return self._requests / self._commands

    @property
    def commands_per_second(self) -> float:
        """How many commands are published."""
        return self._arrivals / self._seconds if self._seconds else 0.0

    @property
    def requests_per_second(self) -> float:
        """How fast requests go while nothing but the upstream bounds them; infinite where that was not seen yet."""
        requests, seconds = self._busy
        return requests / seconds if seconds else math.inf

    def forecast(self, lag: float, supply: Supply, *, is_open: bool) -> Forecast:
        """When *lag* commands and those that come meanwhile will be settled, should nothing change.

        Where a circuit or the hold is open (not *is_open*), that is never.
        """
        requests = lag * self.requests_per_command
        if not requests:
            return Forecast(0.0, 0.0)
        if not is_open:
            return Forecast(requests, math.inf)
        arriving = self.commands_per_second * self.requests_per_command
        return Forecast(requests, seconds_to_drain(requests, supply, arriving=arriving, speed=self.requests_per_second))


def seconds_to_drain(requests: float, supply: Supply, *, arriving: float = 0.0, speed: float = math.inf) -> float:
    """How long *requests* that wait take, while *arriving* more come each second and at most *speed* are sent in one.

    Infinite where more comes than can be sent.
    """
    if requests <= 0:
        return 0.0
    gain = speed - arriving
    if gain <= 0:
        return math.inf
    left = supply.resets_in_seconds
    seconds = requests / gain
    if supply.remaining == math.inf or (seconds <= left and requests + arriving * seconds <= supply.remaining):
        return seconds
    sent = min(supply.remaining, speed * left) if left else 0.0
    waiting = requests + arriving * left - sent
    window = supply.window_seconds
    # What waits at the beginning of a window and ends within it, and by how much a window that is not enough helps.
    ends_within = min(supply.limit * (1 - arriving / speed), gain * window)
    gain_of_window = min(supply.limit, speed * window) - arriving * window
    if waiting <= ends_within:
        return left + waiting / gain
    if gain_of_window <= 0:
        return math.inf
    windows = math.ceil((waiting - ends_within) / gain_of_window)
    return left + windows * window + (waiting - windows * gain_of_window) / gain
