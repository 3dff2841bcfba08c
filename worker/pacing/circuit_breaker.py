"""When the upstream as a whole is failing, and when to ask it again.

One failing customer says nothing about the upstream: it may be the command. So the circuit counts customers, each
by its latest answer, not requests: a customer that is retried often weighs as much as one that is not. It opens
when most of the customers seen lately fail, and at least three of them.

Open means that nothing goes out but one probe at a time, after pauses that grow. Every admission carries the
generation it was given in; an answer that belongs to an earlier generation counts for nothing (sony/gobreaker).
"""

from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum


class CircuitState(StrEnum):
    """Where a breaker stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class Admission:
    """The leave to send, and the generation in which it was given."""

    generation: int
    is_probe: bool


class CircuitBreaker:
    """Closed, open, or half-open with one probe under way. Pure: `now` is monotonic seconds."""

    __slots__ = (
        "_first_pause_seconds",
        "_generation",
        "_longest_pause_seconds",
        "_pause_seconds",
        "_probe_at",
        "_reason",
        "_state",
    )

    def __init__(self, *, first_pause_seconds: float = 0.5, longest_pause_seconds: float = 2.0) -> None:
        self._first_pause_seconds = first_pause_seconds
        self._longest_pause_seconds = longest_pause_seconds
        self._state = CircuitState.CLOSED
        self._generation = 0
        self._pause_seconds = first_pause_seconds
        self._probe_at = 0.0
        self._reason = ""

    @property
    def state(self) -> CircuitState:
        """Closed, open or half-open."""
        return self._state

    @property
    def reason(self) -> str:
        """Why it opened last; empty while closed."""
        return self._reason

    @property
    def generation(self) -> int:
        """Grows with each change between closed and not closed."""
        return self._generation

    def admit(self, now: float) -> Admission | None:
        """The leave to send one request chain, or None while it must wait."""
        if self._state is CircuitState.CLOSED:
            return Admission(self._generation, is_probe=False)
        if self._state is CircuitState.OPEN and now >= self._probe_at:
            self._state = CircuitState.HALF_OPEN
            return Admission(self._generation, is_probe=True)
        return None

    def next_probe_at(self) -> float | None:
        """When the next probe may go (monotonic seconds); None while closed or while a probe is under way."""
        return self._probe_at if self._state is CircuitState.OPEN else None

    def probe_now(self, now: float) -> None:
        """Ends the pause early: something changed that may have mended the fault."""
        if self._state is CircuitState.OPEN:
            self._probe_at = min(self._probe_at, now)
            self._pause_seconds = self._first_pause_seconds

    def trip(self, reason: str, now: float) -> bool:
        """Opens a closed circuit; False when it was not closed."""
        if self._state is not CircuitState.CLOSED:
            return False
        self._state = CircuitState.OPEN
        self._generation += 1
        self._reason = reason
        self._pause_seconds = self._first_pause_seconds
        self._probe_at = now + self._pause_seconds
        return True

    def probe_failed(self, admission: Admission, now: float) -> None:
        """The probe met the fault again: the next pause is longer."""
        if self._is_current_probe(admission):
            self._pause_seconds = min(self._pause_seconds * 2, self._longest_pause_seconds)
            self._state = CircuitState.OPEN
            self._probe_at = now + self._pause_seconds

    def probe_inconclusive(self, admission: Admission, now: float) -> None:
        """The probe ended without an answer of the kind that was asked about: another may go at once."""
        if self._is_current_probe(admission):
            self._state = CircuitState.OPEN
            self._probe_at = now

    def probe_succeeded(self, admission: Admission) -> bool:
        """Closes the circuit; True when this answer closed it."""
        if not self._is_current_probe(admission):
            return False
        self._state = CircuitState.CLOSED
        self._generation += 1
        self._reason = ""
        return True

    def is_current(self, admission: Admission) -> bool:
        """Whether an answer to this admission still says something about the present state."""
        return admission.generation == self._generation

    def _is_current_probe(self, admission: Admission) -> bool:
        return admission.is_probe and self.is_current(admission) and self._state is CircuitState.HALF_OPEN

    def __repr__(self) -> str:
        return f"<CircuitBreaker {self._state} generation={self._generation} {self._reason!r}>"


class FailureWindow:
    """The latest answer of each customer seen lately, and whether most of them fail.

    Bounded in time and in customers, so that an outage shows within a few requests on a busy worker and within
    the window on a quiet one.
    """

    __slots__ = ("_at_least", "_customers", "_failing", "_latest", "_seconds")

    def __init__(self, *, seconds: float = 30.0, customers: int = 50, at_least: int = 3) -> None:
        self._seconds = seconds
        self._customers = customers
        self._at_least = at_least
        self._latest: OrderedDict[str, tuple[float, bool]] = OrderedDict()
        self._failing = 0

    def record(self, customer_id: str, *, failed: bool, now: float) -> None:
        """Notes the newest answer for *customer_id*."""
        earlier = self._latest.pop(customer_id, None)
        if earlier is not None and earlier[1]:
            self._failing -= 1
        self._latest[customer_id] = (now, failed)
        self._failing += failed
        while len(self._latest) > self._customers or next(iter(self._latest.values()))[0] < now - self._seconds:
            _, (_, had_failed) = self._latest.popitem(last=False)
            self._failing -= had_failed

    @property
    def most_fail(self) -> bool:
        """Whether more than half of the customers seen lately fail, and at least three."""
        return self._failing >= self._at_least and self._failing * 2 > len(self._latest)

    def clear(self) -> None:
        """Forgets everything: what was seen belongs to a state that has ended."""
        self._latest.clear()
        self._failing = 0
