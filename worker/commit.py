"""Outcomes become public: one partition's decisions, gathered and committed together with the offset they settle.

Decisions arrive in any order and are published in the order of their arrival, so each customer's outcomes keep their
order. A commit holds everything that is ready. One that fails for a passing reason is repeated whole, with the same
bytes; nothing is ever published without its offset or an offset without its outcomes.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_never, wait_exponential_jitter

from handlers.record import OutcomeRecord
from worker import progress
from worker.kafka.errors import CommitFailed, CommitUncertain, OutcomeTooLarge
from worker.kafka.ledger import Ledger, Publication
from worker.watermark import Watermark

log = structlog.get_logger(__name__)

# Bounds one transaction: what is beyond it goes with the next.
LARGEST_COMMIT = 2000


@dataclass(frozen=True, slots=True)
class Settlement:
    """One command's outcome, ready to be published: its *offset*, where to publish, and what if that is too large."""

    offset: int
    topic: str
    record: OutcomeRecord
    instead: Callable[[str], Publication] | None


@dataclass(frozen=True, slots=True)
class Decision:
    """Settlements that belong together, in order; *committed* is called when all are in Kafka."""

    settlements: Sequence[Settlement]
    committed: Callable[[], None]


class Committer:
    """Publishes the decisions of one partition and commits how far it is settled."""

    def __init__(
        self,
        ledger: Ledger,
        watermark: Watermark,
        *,
        partition: int,
        interval_seconds: float,
        expects_company: Callable[[], bool],
        read_progress: Callable[[], Awaitable[tuple[int, str]]],
    ) -> None:
        """Waits at most *interval_seconds* for company, and only while *expects_company* says that some is near.

        *read_progress* asks Kafka for the committed offset and its metadata, after a commit of unknown fate.
        """
        self._ledger = ledger
        self._watermark = watermark
        self._partition = partition
        self._interval_seconds = interval_seconds
        self._expects_company = expects_company
        self._read_progress = read_progress
        self._decisions: deque[Decision] = deque()
        self._ready = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._is_uncertain = False
        self._repeat = AsyncRetrying(
            retry=retry_if_exception_type((CommitFailed, CommitUncertain)),
            wait=wait_exponential_jitter(initial=0.1, max=5, jitter=0.1),
            stop=stop_never,
            before_sleep=self._say_why,
        )
        self.commits = 0

    def submit(self, decision: Decision) -> None:
        """Takes a decision; it is committed by `run`."""
        self._decisions.append(decision)
        self._idle.clear()
        self._ready.set()

    async def idle(self) -> None:
        """Returns when everything submitted so far is committed."""
        await self._idle.wait()

    async def run(self) -> None:
        """Commits what is submitted until it is cancelled.

        Raises:
            PartitionLost: somebody else has the partition; nothing more can be committed for it.
            KafkaRefused: the deployment does not allow it.
            OutcomeTooLarge: even the dead letter that stands for an outcome is refused.

        """
        while True:
            await self._ready.wait()
            if self._interval_seconds and self._expects_company():
                await asyncio.sleep(self._interval_seconds)
            decisions = self._next_decisions()
            settlements = [settlement for decision in decisions for settlement in decision.settlements]
            await self._commit(settlements)
            for decision in decisions:
                decision.committed()
            if not self._decisions:
                self._ready.clear()
                self._idle.set()

    def _next_decisions(self) -> list[Decision]:
        taken: list[Decision] = []
        size = 0
        while self._decisions and (not taken or size + len(self._decisions[0].settlements) <= LARGEST_COMMIT):
            taken.append(self._decisions.popleft())
            size += len(taken[-1].settlements)
        return taken

    async def _commit(self, settlements: Sequence[Settlement]) -> None:
        """Commits all, in halves where Kafka finds one of them too large, until the large one stands alone."""
        try:
            await self._write(settlements)
        except OutcomeTooLarge as error:
            if len(settlements) == 1:
                await self._write([_smaller(settlements[0], error)])
                return
            middle = len(settlements) // 2
            await self._commit(settlements[:middle])
            await self._commit(settlements[middle:])

    async def _write(self, settlements: Sequence[Settlement]) -> None:
        offsets = [settlement.offset for settlement in settlements]
        committable, completed_beyond = self._watermark.after(offsets)
        publications = [(settlement.topic, settlement.record) for settlement in settlements]
        await self._repeat(self._write_once, publications, committable, progress.encode(completed_beyond))
        for offset in offsets:
            self._watermark.complete(offset)
        self.commits += 1

    async def _write_once(self, publications: Sequence[Publication], offset: int, metadata: str) -> None:
        if self._is_uncertain:
            # A new start of the ledger ends the open transaction either way; then Kafka says which way it went.
            await self._ledger.start()
            took_place = await self._read_progress() == (offset, metadata)
            self._is_uncertain = False
            if took_place:
                return
        try:
            await self._ledger.commit(publications, offset, metadata)
        except CommitUncertain:
            self._is_uncertain = True
            raise

    def _say_why(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning("commit_repeated", partition=self._partition, attempt=state.attempt_number, error=str(error))


def _smaller(settlement: Settlement, error: OutcomeTooLarge) -> Settlement:
    if settlement.instead is None:
        raise error
    topic, record = settlement.instead(str(error))
    return replace(settlement, topic=topic, record=record, instead=None)
