"""A ledger in memory: what Kafka promises of a transaction, with the faults that a test names."""

from collections.abc import Callable, Iterable, Sequence
from enum import Enum, auto

from worker.kafka.errors import CommitFailed, CommitUncertain, OutcomeTooLarge, PartitionLost
from worker.kafka.ledger import Publication


class Fault(Enum):
    """What becomes of one attempt to commit."""

    NONE = auto()
    FAILED = auto()
    UNCERTAIN_AND_WRITTEN = auto()
    UNCERTAIN_AND_NOT_WRITTEN = auto()
    LOST = auto()


class MemoryLedger:
    """Satisfies `worker.kafka.ledger.Ledger`; *published* and *committed* are what a read_committed reader sees."""

    def __init__(
        self,
        faults: Iterable[Fault] = (),
        *,
        start_faults: int = 0,
        read_faults: int = 0,
        largest_value_bytes: int = 1_000,
        on_attempt: Callable[[], None] = lambda: None,
    ) -> None:
        """*faults* befall the first attempts, in order; *start_faults* and *read_faults* the first such calls."""
        self.published: list[Publication] = []
        self.committed = (-1, "")
        self.commits: list[tuple[Sequence[Publication], int, str]] = []
        self.attempts: list[tuple[Sequence[Publication], int, str]] = []
        self.starts = 0
        self._faults = list(faults)
        self._start_faults = start_faults
        self._read_faults = read_faults
        self._largest_value_bytes = largest_value_bytes
        self._on_attempt = on_attempt
        self._needs_start = False

    async def start(self) -> None:
        """Ends what was left open, one way or the other; which way was decided when it was left."""
        self.starts += 1
        if self._start_faults:
            self._start_faults -= 1
            raise CommitFailed("no coordinator")
        self._needs_start = False

    async def commit(self, publications: Sequence[Publication], offset: int, metadata: str) -> None:
        """See `worker.kafka.ledger.Ledger.commit`."""
        assert not self._needs_start, "a transaction of unknown fate is still open"
        self.attempts.append((publications, offset, metadata))
        self._on_attempt()
        fault = self._faults.pop(0) if self._faults else Fault.NONE
        if fault is Fault.LOST:
            raise PartitionLost("fenced")
        if fault is Fault.FAILED:
            raise CommitFailed("not the leader")
        if any(len(record.value or b"") > self._largest_value_bytes for _, record in publications):
            raise OutcomeTooLarge("MessageSizeTooLargeError")
        if fault is not Fault.UNCERTAIN_AND_NOT_WRITTEN:
            self.published += publications
            self.committed = (offset, metadata)
            self.commits.append((publications, offset, metadata))
        if fault is not Fault.NONE:
            self._needs_start = True
            raise CommitUncertain("the answer was lost")

    async def close(self) -> None:
        """Nothing to let go of."""

    async def read_progress(self) -> tuple[int, str]:
        """The committed offset and its metadata."""
        assert not self._needs_start, "asked while the transaction may still end either way"
        if self._read_faults:
            self._read_faults -= 1
            raise CommitFailed("no coordinator")
        return self.committed
