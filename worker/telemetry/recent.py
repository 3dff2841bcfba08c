"""What happened lately, for people who look: dead letters by what is wrong with them, and the latest rebalances.

No personal data: a dead letter is named by where its command is, and its error text names no values.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass

FAULTS_OF_A_REASON = 6
REBALANCES = 20


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Commands that could not be applied for the same reason and with the same error, and the latest of them.

    *command* is "topic:partition:offset", *at_ms* milliseconds since 1970.
    """

    reason: str
    error: str
    commands: int
    at_ms: int
    command: str
    status: int | None
    attempts: int


@dataclass(frozen=True, slots=True)
class Rebalance:
    """Partitions came ("assigned"), were given back ("revoked") or were lost ("expelled")."""

    at_ms: int
    what: str
    partitions: tuple[int, ...]


class Recent:
    """Keeps the latest faults of each reason, so that a flood of one hides no other, and the latest rebalances."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        """*now_ms* is milliseconds since 1970."""
        self._now_ms = now_ms
        self._by_reason: dict[str, OrderedDict[str, DeadLetters]] = {}
        self.rebalances: deque[Rebalance] = deque(maxlen=REBALANCES)

    @property
    def dead_letters(self) -> list[DeadLetters]:
        """The latest first."""
        return sorted(
            (one for faults in self._by_reason.values() for one in faults.values()), key=lambda one: -one.at_ms
        )

    def dead_letter(self, *, reason: str, command: str, status: int | None, attempts: int, error: str) -> None:
        """A command has become a dead letter."""
        faults = self._by_reason.setdefault(reason, OrderedDict())
        before = faults.pop(error, None)
        commands = 1 if before is None else before.commands + 1
        faults[error] = DeadLetters(reason, error, commands, self._now_ms(), command, status, attempts)
        if len(faults) > FAULTS_OF_A_REASON:
            faults.popitem(last=False)

    def rebalance(self, what: str, partitions: Collection[int]) -> None:
        """The group has given or taken partitions."""
        self.rebalances.append(Rebalance(self._now_ms(), what, tuple(sorted(partitions))))
