"""Whether a turn may begin, by everything the upstream has shown so far.

Four things stand between a ready lane and the upstream: the number of turns under way, the budget of the window, one
circuit for each kind of request, and the hold, a circuit that one answer trips: a refused token, a missing scope or a
redirect concerns every customer, is a fault of the deployment, and makes the worker not ready.

The gate decides and remembers; it never waits. `now` is monotonic seconds.
"""

from collections.abc import Callable
from dataclasses import dataclass

from worker.pacing.circuit_breaker import Admission, CircuitBreaker, CircuitState, FailureWindow
from worker.pacing.concurrency_limit import ConcurrencyLimit
from worker.pacing.rate_budget import REQUESTS_PER_TURN, RateBudget
from worker.upstream.answers import (
    Answer,
    ContractBroken,
    DeploymentFault,
    NotFound,
    Ok,
    Quota,
    RateLimited,
    Request,
    Unavailable,
)

# So many different customers in a row, before the first good answer, are no coincidence: the address or the token is
# another team's.
SUSPICIOUS_STRANGERS = 20


@dataclass(slots=True)
class Pass:
    """A turn's leave to send: one admission of each breaker, and what is left of the granted requests."""

    customer_id: str
    circuits: dict[Request, Admission]
    hold: Admission
    granted: int

    @property
    def is_probe(self) -> bool:
        """Whether this turn finds out if the upstream is back."""
        return self.hold.is_probe or any(admission.is_probe for admission in self.circuits.values())


class _Circuit:
    """A breaker, the window that trips it, and who succeeded lately."""

    __slots__ = ("breaker", "successes", "window")

    def __init__(self, longest_pause_seconds: float) -> None:
        self.breaker = CircuitBreaker(longest_pause_seconds=longest_pause_seconds)
        self.window = FailureWindow()
        self.successes: dict[str, float] = {}

    def succeeded(self, customer_id: str, now: float) -> None:
        """Keeps the two latest different customers: enough to say whether anybody else succeeded."""
        self.successes.pop(customer_id, None)
        self.successes[customer_id] = now
        if len(self.successes) > 2:
            del self.successes[next(iter(self.successes))]


class Gate:
    """Admits turns, and learns from every answer."""

    def __init__(
        self,
        *,
        budget: RateBudget,
        max_concurrency: int,
        longest_pause_seconds: float = 2.0,
        on_change: Callable[[str, CircuitState, str], None] = lambda _name, _state, _reason: None,
    ) -> None:
        """*on_change* is told (breaker, state, reason) whenever a breaker opens or closes."""
        self.budget = budget
        self.concurrency = ConcurrencyLimit(max_concurrency)
        self.under_way = 0
        self._circuits = {request: _Circuit(longest_pause_seconds) for request in Request}
        self._hold = CircuitBreaker(longest_pause_seconds=longest_pause_seconds)
        self._breakers = (self._hold, *(circuit.breaker for circuit in self._circuits.values()))
        self._hold_request: Request = Request.GET
        self._strangers: set[str] | None = set()
        self._on_change = on_change

    @property
    def is_proven(self) -> bool:
        """Whether the upstream has given this process a good answer yet."""
        return self._strangers is None

    @property
    def held_for(self) -> str:
        """The fault of the deployment that holds everything, or an empty string."""
        return self._hold.reason

    @property
    def is_open(self) -> bool:
        """Whether everything goes: no breaker is open."""
        return all(breaker.state is CircuitState.CLOSED for breaker in self._breakers)

    def circuit(self, request: Request) -> CircuitState:
        """The state of the circuit for one kind of request."""
        return self._circuits[request].breaker.state

    def admit(self, now: float) -> bool:
        """Whether a turn may begin now; then `enter` must follow."""
        if self.under_way >= self.concurrency.limit or self.budget.remaining(now) < REQUESTS_PER_TURN:
            return False
        return self.is_open or self._probe_may_go(now)

    def admits_bulk(self, now: float) -> bool:
        """Whether the turn that `admit` allows may be one of bulk commands."""
        return self.budget.remaining_for_bulk(now) >= REQUESTS_PER_TURN

    def enter(self, customer_id: str, now: float, *, is_bulk: bool = False) -> Pass:
        """Begins a turn that `admit` has just allowed."""
        if not self.budget.grant(REQUESTS_PER_TURN, now, is_bulk=is_bulk):
            msg = "enter() without admit()"
            raise RuntimeError(msg)
        self.under_way += 1
        hold = self._hold.admit(now)
        admissions = {request: circuit.breaker.admit(now) for request, circuit in self._circuits.items()}
        if hold is None or any(admission is None for admission in admissions.values()):
            msg = "enter() without admit()"
            raise RuntimeError(msg)
        circuits = {request: admission for request, admission in admissions.items() if admission is not None}
        return Pass(customer_id, circuits, hold, REQUESTS_PER_TURN)

    def may_patch(self, pass_: Pass) -> bool:
        """Whether the turn may go on to its PATCH: nothing opened since it began."""
        return self._hold.is_current(pass_.hold) and self._circuits[Request.PATCH].breaker.is_current(
            pass_.circuits[Request.PATCH]
        )

    def leave(self, pass_: Pass, now: float) -> None:
        """Ends a turn: gives back what it did not use. A probe that found out nothing makes room for another."""
        self.under_way -= 1
        self.budget.give_back(pass_.granted)
        pass_.granted = 0
        self._hold.probe_inconclusive(pass_.hold, now)
        for request, circuit in self._circuits.items():
            circuit.breaker.probe_inconclusive(pass_.circuits[request], now)

    def record(self, pass_: Pass, request: Request, answer: Answer, now: float, spent_seconds: float = 0.0) -> None:
        """Learns from *answer*, which took so many seconds; each request of a turn is recorded once."""
        pass_.granted -= 1
        self._account(answer, now, spent_seconds)
        if answer.quota is not None and answer.quota.limit < REQUESTS_PER_TURN:
            reason = f"the upstream allows {answer.quota.limit} request a window; a safe update takes a GET and a PATCH"
            self._hold_everything(pass_, request, reason, now)
            return
        circuit = self._circuits[request]
        admission = pass_.circuits[request]
        match answer:
            case RateLimited():
                return
            case DeploymentFault(status=status, message=message):
                self._hold_everything(pass_, request, f"{status}: {message}", now)
            case Unavailable():
                if answer.may_be_the_commands_fault:
                    # Refused by nobody at the door. Where only a poisoned customer waits there is no better answer.
                    self._end_hold(pass_, request)
                else:
                    self.concurrency.overloaded(now, spent_seconds)
                self._failed(circuit, request, admission, pass_, now)
            case _:
                self.concurrency.succeeded(self.under_way)
                self._good(circuit, request, admission, pass_, now)
                self._judge_strangers(pass_, request, answer, now)

    def others_succeed(self, request: Request, customer_id: str, since: float) -> bool:
        """Whether the same kind of request succeeded for another customer since then."""
        return any(
            customer != customer_id and at >= since for customer, at in self._circuits[request].successes.items()
        )

    def probe_now(self, now: float) -> None:
        """Something changed that may have mended a fault of the deployment: ask at once."""
        self._hold.probe_now(now)

    def next_change_at(self, now: float) -> float | None:
        """When time alone may let a turn begin (monotonic seconds, after *now*), or None where it changes nothing."""
        if any(breaker.state is CircuitState.HALF_OPEN for breaker in self._breakers):
            return None
        dues = [due for breaker in self._breakers if (due := breaker.next_probe_at()) is not None]
        if self.budget.remaining(now) < REQUESTS_PER_TURN:
            dues.append(self.budget.retry_at(now))
        elif not self.admits_bulk(now):
            dues.append(self.budget.bulk_retry_at(now))
        return max((due for due in dues if due > now), default=None)

    def _probe_may_go(self, now: float) -> bool:
        """A probe asks all breakers at once, and only one is under way."""
        for breaker in self._breakers:
            if breaker.state is CircuitState.HALF_OPEN or (breaker.next_probe_at() or now) > now:
                return False
        return True

    def _account(self, answer: Answer, now: float, spent_seconds: float) -> None:
        if isinstance(answer, RateLimited):
            self.budget.refused(answer.retry_after_seconds, now)
            return
        quota: Quota | None = answer.quota
        if quota is None:
            self.budget.answered(now)
        else:
            self.budget.observed(
                limit=quota.limit,
                remaining=quota.remaining,
                reset_seconds=quota.reset_seconds,
                now=now,
                spent_seconds=spent_seconds,
            )

    def _failed(self, circuit: _Circuit, request: Request, admission: Admission, pass_: Pass, now: float) -> None:
        # Whatever this turn was to find out, it will not: an upstream that fails is spared by all that probes.
        self._hold.probe_failed(pass_.hold, now)
        for kind, probed in self._circuits.items():
            probed.breaker.probe_failed(pass_.circuits[kind], now)
        if admission.is_probe or not circuit.breaker.is_current(admission):
            return
        circuit.window.record(pass_.customer_id, failed=True, now=now)
        if circuit.window.most_fail and circuit.breaker.trip(f"most {request} requests fail", now):
            circuit.window.clear()
            self._on_change(request.value, CircuitState.OPEN, circuit.breaker.reason)

    def _good(self, circuit: _Circuit, request: Request, admission: Admission, pass_: Pass, now: float) -> None:
        circuit.succeeded(pass_.customer_id, now)
        if circuit.breaker.probe_succeeded(admission):
            circuit.window.clear()
            self._on_change(request.value, CircuitState.CLOSED, "")
        elif circuit.breaker.is_current(admission):
            circuit.window.record(pass_.customer_id, failed=False, now=now)

    def _judge_strangers(self, pass_: Pass, request: Request, answer: Answer, now: float) -> None:
        if isinstance(answer, NotFound | ContractBroken) and self._strangers is not None:
            self._strangers.add(pass_.customer_id)
            if len(self._strangers) >= SUSPICIOUS_STRANGERS:
                what = "404" if isinstance(answer, NotFound) else "an answer that is no customer"
                reason = f"{what} for {len(self._strangers)} customers and no good answer yet"
                self._hold_everything(pass_, request, reason, now)
                return
        elif isinstance(answer, Ok):
            self._strangers = None
        self._end_hold(pass_, request)

    def _end_hold(self, pass_: Pass, request: Request) -> None:
        if request is self._hold_request and self._hold.probe_succeeded(pass_.hold):
            self._on_change("hold", CircuitState.CLOSED, "")

    def _hold_everything(self, pass_: Pass, request: Request, reason: str, now: float) -> None:
        if pass_.hold.is_probe:
            self._hold.probe_failed(pass_.hold, now)
        elif self._hold.is_current(pass_.hold) and self._hold.trip(reason, now):
            self._hold_request = request
            self._on_change("hold", CircuitState.OPEN, reason)
