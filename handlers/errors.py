"""Everything that can go wrong, in one registry: code, meaning, whose fault, what to do.

Error texts, dead-letter reasons, metrics labels, help texts and docs/errors.md are made from it.
No text here or made here repeats a value of a command or of a customer: they may be personal.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a command became a dead letter: the header ``dlq-reason``."""

    UNDECODABLE = "undecodable"
    INVALID = "invalid"
    UNKNOWN_CUSTOMER = "unknown_customer"
    REJECTED = "rejected"
    RETRIES_EXHAUSTED = "retries_exhausted"
    CONTRACT = "contract"
    EXPIRED = "expired"
    TOO_LARGE = "too_large"


class Whose(StrEnum):
    """Who has to act."""

    PUBLISHER = "publisher"
    UPSTREAM = "upstream"
    DEPLOYMENT = "deployment"


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of thing that goes wrong. *reason* is None where no command is dead-lettered for it."""

    code: str
    reason: Reason | None
    whose: Whose
    meaning: str
    advice: str


FAULTS: Mapping[str, Fault] = {}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and where: *path* is ``$.changes.email``, ``key`` or ``header ce_id``."""

    code: str
    path: str
    detail: str = ""

    @property
    def fault(self) -> Fault:
        """The registry's entry of this problem."""
        return FAULTS[self.code]


class CommandRefused(Exception):  # noqa: N818 -- a refusal is a decision about the command, not an error of the worker
    """A record that is no command this worker can apply; *problems* holds all that is wrong with it."""

    def __init__(
        self,
        problems: tuple[Problem, ...],
        *,
        command_id: str,
        source: str | None = None,
        customer_id: str | None = None,
        replay: int = 0,
    ) -> None:
        self.problems = problems
        self.command_id = command_id
        self.source = source
        self.customer_id = customer_id
        self.replay = replay
        super().__init__("; ".join(map(str, problems)))

    @property
    def reason(self) -> Reason:
        """``undecodable`` where the value could not be read, else ``invalid``."""
        undecodable = any(problem.fault.reason is Reason.UNDECODABLE for problem in self.problems)
        return Reason.UNDECODABLE if undecodable else Reason.INVALID

    @property
    def identity(self) -> tuple[str | None, str]:
        """CloudEvents ``source`` and the command's id: what deduplication goes by (see `Command.identity`)."""
        return (self.source, self.command_id)


class ContractViolation(Exception):  # noqa: N818 -- names what the upstream did
    """A 2xx answer of the upstream that is no ``UpdateCustomerResponse``; *problems* names paths, never values."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("; ".join(map(str, problems)))
