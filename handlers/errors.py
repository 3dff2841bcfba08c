"""What is wrong with one command or one answer, and the errors that say so.

No text here or made here repeats a value of a command or of a customer: they may be personal.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from handlers.faults import FAULTS, Fault, Reason, Whose

__all__ = [
    "FAULTS",
    "CommandRefused",
    "ContractViolation",
    "Fault",
    "Problem",
    "Problems",
    "Reason",
    "Whose",
    "describe",
]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and where: *path* is ``$.changes.email``, ``key`` or ``header ce_id``.

    *detail* adds what is special about this case, and never a value that may be personal.
    """

    code: str
    path: str
    detail: str = ""

    @property
    def fault(self) -> Fault:
        """The registry's entry of this problem."""
        return FAULTS[self.code]

    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.path}: {self.fault.meaning}{detail}. {self.fault.advice} [{self.code}]"


class Problems:
    """Collects all that is wrong with one command, up to a number that a person may want to read.

    The bound keeps a value of a million wrong fields from costing a million texts.
    """

    __slots__ = ("_found", "_left_out")
    _MOST = 100

    def __init__(self) -> None:
        self._found: list[Problem] = []
        self._left_out = 0

    def __bool__(self) -> bool:
        return bool(self._found)

    @property
    def is_full(self) -> bool:
        """Whether further problems are only counted."""
        return len(self._found) == self._MOST

    def add(self, code: str, path: str, detail: str = "") -> None:
        """Adds a problem; the order of adding is the order of the report."""
        if self.is_full:
            self._left_out += 1
        else:
            self._found.append(Problem(code, path, detail))

    def found(self) -> tuple[Problem, ...]:
        """All that was added."""
        if not self._left_out:
            return tuple(self._found)
        return (*self._found, Problem("more_problems", "$", f"{self._left_out} more"))


class CommandRefused(Exception):
    """A record that is no command this worker can apply; *problems* holds all that is wrong with it.

    *customer_id* is the key where that is a customer's id, else what the value names, else None.
    """

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
        super().__init__(describe(problems))

    @property
    def reason(self) -> Reason:
        """``undecodable`` where bytes could not be read, else ``invalid``."""
        undecodable = any(problem.fault.reason is Reason.UNDECODABLE for problem in self.problems)
        return Reason.UNDECODABLE if undecodable else Reason.INVALID

    @property
    def identity(self) -> tuple[str | None, str]:
        """CloudEvents ``source`` and the command's id: what deduplication goes by (see `Command.identity`)."""
        return (self.source, self.command_id)


class ContractViolation(Exception):
    """A 2xx answer of the upstream that is no ``UpdateCustomerResponse``; *problems* names paths, never values."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__(describe(problems))


def describe(problems: Iterable[Problem]) -> str:
    """All *problems* in one line for people; what a code means and what to do is said once."""
    texts: list[str] = []
    explained: set[str] = set()
    for problem in problems:
        if problem.code not in explained:
            texts.append(str(problem))
            explained.add(problem.code)
        else:
            detail = f" ({problem.detail})" if problem.detail else ""
            texts.append(f"{problem.path}: likewise{detail} [{problem.code}]")
    return "; ".join(texts)
