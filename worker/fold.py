"""Commands of one customer that are applied together, and what becomes of them after each answer.

A fold is one change set: last write wins, field by field. It costs one GET and at most one PATCH, however many
commands it holds. What the upstream refuses is taken apart, so that one bad command costs only itself:

- where a 400 names fields, the last command that writes such a field is the culprit, and the others go on without it;
- otherwise the longest shorter prefix is tried, then the next shorter one; the command behind an accepted prefix is
  then tried alone. The customer therefore only ever moves forward.

A 500 may be a command's own fault or an outage, and the answer alone does not tell (recorded: an unknown tag id, a
repeated tag). After five of them, while the same kind of request succeeds for other customers, the commands are
suspected; before that, and for every other failure, the retry policy decides. A GET carries no command, so a GET
that keeps failing is no command's fault alone: nothing is taken apart for it.

Pure: nothing here waits, sends or reads a clock.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from handlers.command import Command, Priority
from handlers.customer import Customer
from handlers.errors import Problem, Reason
from handlers.merge import culprits, fold
from worker.pacing.backoff import RetryPolicy
from worker.progress import Tried
from worker.telemetry.trail import Trail
from worker.upstream.answers import ContractBroken, Rejected, Request, Unavailable

SUSPICIOUS_SERVER_ERRORS = 5
UNTRIED = Tried(0, 0.0)


@dataclass(frozen=True, slots=True)
class Applied:
    """The upstream holds the command's change."""

    customer: Customer


@dataclass(frozen=True, slots=True)
class Dead:
    """The command cannot be applied. *status* is the upstream's, where it answered."""

    reason: Reason
    error: str
    status: int | None
    attempts: int


Fate = Applied | Dead


@dataclass(frozen=True, slots=True)
class Settled:
    """The first commands of the fold are decided, in their order; the others are tried again."""

    fates: Sequence[Fate]


@dataclass(frozen=True, slots=True)
class Retry:
    """The fold, as it now stands, is tried again after so many seconds."""

    after_seconds: float


class Fold:
    """What one customer's turn applies, from the first attempt to the last decision."""

    __slots__ = (
        "_dead",
        "_server_errors",
        "attempts",
        "commands",
        "elapsed_seconds",
        "failed_at",
        "is_asked_again",
        "trail",
        "tried",
    )

    def __init__(self, commands: Sequence[Command], *, earlier: Tried = UNTRIED) -> None:
        """*earlier* is what a predecessor has tried with the fold that began with the same command."""
        self.commands = tuple(commands)
        self.attempts = earlier.attempts
        self.elapsed_seconds = earlier.elapsed_seconds
        self.failed_at: float | None = None
        self.is_asked_again = False
        self.trail: Trail | None = None
        self.tried = min(earlier.length or len(self.commands), len(self.commands))
        self._dead: dict[int, Dead] = {}
        # In a row, for each kind of request: only a GET that succeeded leads to a PATCH.
        self._server_errors = dict(zip(Request, earlier.server_errors, strict=True))

    @property
    def is_shortened(self) -> bool:
        """Whether commands at its end are left out for now; the first of them is the suspect."""
        return self.tried < len(self.commands)

    @property
    def in_vain(self) -> Tried:
        """What a successor need not begin anew; `UNTRIED` before the first failure."""
        get, patch = self._server_errors.values()
        return Tried(self.attempts, self.elapsed_seconds, self.tried if self.is_shortened else 0, (get, patch))

    @property
    def customer_id(self) -> str:
        """Whose commands these are."""
        return self.commands[0].customer_id

    @property
    def is_live(self) -> bool:
        """Whether a command in it is not bulk."""
        return any(command.priority is Priority.LIVE for command in self.commands)

    def expire(self, now_ms: int, *, begun: frozenset[int] = frozenset()) -> None:
        """Marks commands whose time ran out before they were begun (wall clock, milliseconds since 1970).

        Those at the offsets *begun* were sent with an earlier fold that was taken apart: what became of them only the
        upstream can tell.
        """
        for index, command in enumerate(self.commands):
            if command.record.offset in begun:
                continue
            if command.expires_at_ms is not None and command.expires_at_ms <= now_ms:
                self._dead[index] = Dead(
                    Reason.EXPIRED, str(Problem("command_expired", "expirytime")), status=None, attempts=0
                )

    def begun(self, *, since: int) -> frozenset[int]:
        """Offsets of the commands from index *since* on that were sent with this fold: all that had not expired."""
        return frozenset(
            self.commands[index].record.offset
            for index in range(since, len(self.commands))
            if index not in self._dead or self._dead[index].reason is not Reason.EXPIRED
        )

    def changes(self) -> dict[str, JsonValue]:
        """The change set that is tried now; empty when every command in it is decided."""
        return fold([command.changes for _, command in self._undecided()])

    def decided(self) -> Settled:
        """What is decided when no command is left to try."""
        return Settled([self._dead[index] for index in range(self.tried)])

    def applied(self, customer: Customer) -> Settled:
        """The upstream holds what was tried."""
        return Settled([self._dead.get(index) or Applied(customer) for index in range(self.tried)])

    def not_found(self) -> Settled:
        """The upstream does not know the customer: no command for it can be applied, and nothing is created."""
        self.tried = len(self.commands)
        dead = Dead(Reason.UNKNOWN_CUSTOMER, str(Problem("customer_not_found", "key")), 404, self.attempts + 1)
        return self._decide([index for index, _ in self._undecided()], dead)

    def contract_broken(self, answer: ContractBroken) -> Settled:
        """The upstream's 2xx answer is no customer: none of the commands can be reported as applied."""
        problem = Problem("contract_broken", "answer", answer.message)
        dead = Dead(Reason.CONTRACT, str(problem), answer.status, self.attempts + 1)
        return self._decide([index for index, _ in self._undecided()], dead)

    def rejected(self, answer: Rejected, request: Request) -> Settled | Retry:
        """The upstream refuses what was tried for good."""
        undecided = self._undecided()
        problem = Problem("upstream_rejected", request, answer.message)
        dead = Dead(Reason.REJECTED, str(problem), answer.status, self.attempts + 1)
        if request is Request.GET or len(undecided) == 1:
            return self._decide([index for index, _ in undecided], dead)
        named = culprits([command.changes for _, command in undecided], answer.fields)
        if named:
            for position in named:
                self._dead[undecided[position][0]] = dead
            return Retry(0) if len(named) < len(undecided) else self.decided()
        return self._shorten()

    def unavailable(
        self,
        answer: Unavailable,
        request: Request,
        *,
        spent_seconds: float,
        others_succeed: bool,
        policy: RetryPolicy,
        random: Callable[[], float],
    ) -> Settled | Retry:
        """The request failed in a way that may pass, after *spent_seconds*. Counts as an attempt."""
        self.attempts += 1
        self.elapsed_seconds += spent_seconds
        self._count(answer, request)
        undecided = self._undecided()
        wait = policy.wait_seconds(self.attempts, self.elapsed_seconds, random)
        suspicious = self._server_errors[request] >= SUSPICIOUS_SERVER_ERRORS and others_succeed
        divisible = request is Request.PATCH and answer.may_be_the_commands_fault and len(undecided) > 1
        if wait is not None and not suspicious and not (divisible and self.is_shortened):
            self.elapsed_seconds += wait
            return Retry(wait)
        if divisible:
            # While nobody else succeeds it may still be an outage: then the prefixes are not tried in a burst.
            return self._shorten(after_seconds=0 if others_succeed else wait or 0)
        suspected = "customer_unreadable" if request is Request.GET else "poison_suspected"
        problem = Problem(
            suspected if suspicious else "retries_exhausted",
            request,
            f"{self.attempts} attempts, the last one ended with {answer.status or answer.cause}",
        )
        dead = Dead(Reason.RETRIES_EXHAUSTED, str(problem), answer.status, self.attempts)
        return self._decide([index for index, _ in undecided], dead)

    def _undecided(self) -> list[tuple[int, Command]]:
        return [(index, self.commands[index]) for index in range(self.tried) if index not in self._dead]

    def _count(self, answer: Unavailable, request: Request) -> None:
        counted = self._server_errors
        counted[request] = counted[request] + 1 if answer.may_be_the_commands_fault else 0
        if request is Request.PATCH:
            counted[Request.GET] = 0

    def _shorten(self, *, after_seconds: float = 0) -> Retry:
        self.tried = self._undecided()[-1][0]
        self.attempts = 0
        self.elapsed_seconds = 0.0
        self._server_errors = dict.fromkeys(Request, 0)
        return Retry(after_seconds)

    def _decide(self, indexes: Sequence[int], dead: Dead) -> Settled:
        for index in indexes:
            self._dead[index] = dead
        return self.decided()

    def __repr__(self) -> str:
        return (
            f"<Fold commands={len(self.commands)} tried={self.tried} attempts={self.attempts} dead={len(self._dead)}>"
        )
