"""Outcomes become public: one partition's settlements, gathered and committed together with the offset they settle.

A commit holds everything that is ready. Settlements of one customer keep their order; between customers there is
none. A commit that fails for a passing reason is repeated whole, with the same bytes: nothing is ever published
without its offset, or an offset without its outcomes.

A commit also says how far the worker may act before its next one, the *horizon*: nothing at or beyond it has been
sent upstream. A successor reads up to there before it sends anything, so that what it sends contains at least what
was sent before, and no customer moves back in time.

Kafka bounds the text of a commit. What is begun is chosen so that it has room (`worker.headroom`); what was settled
without asking may still find none. It waits until what is before it is settled: it is done, and only not public yet.

A commit also tells what has been tried in vain, so that a command that cannot be applied does not begin anew with each
new owner of its partition. That goes with the commits that take place anyway; where there is none, with one of its own.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_never, wait_exponential_jitter

from handlers.errors import FAULTS
from worker import progress
from worker.kafka.errors import CommitFailed, CommitUncertain, OutcomeTooLarge, PartitionLost
from worker.kafka.ledger import Ledger, Publication
from worker.progress import Progress, Tried
from worker.watermark import Watermark

log = structlog.get_logger(__name__)

# Bounds one transaction: what is beyond it goes with the next.
LARGEST_COMMIT = 2000
# An attempt that failed is told at most so much later.
TELL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Settlement:
    """One command is settled: its *offset*, what is published for it, and what *instead* if that is too large.

    A repeated copy of a command is settled without a publication.
    """

    offset: int
    publication: Publication | None
    instead: Callable[[str], Publication] | None = None


@dataclass(slots=True)
class Decision:
    """Settlements that belong together, in order; *committed* is called when all are in Kafka."""

    settlements: Sequence[Settlement]
    committed: Callable[[], None]
    open: int = field(init=False)

    def __post_init__(self) -> None:
        self.open = len(self.settlements)


Pending = tuple[Settlement, Decision]


class Committer:
    """Publishes the decisions of one partition and commits how far it is settled."""

    def __init__(
        self,
        ledger: Ledger,
        watermark: Watermark,
        *,
        partition: int,
        horizon: int,
        interval_seconds: float,
        expects_company: Callable[[], bool],
        wanted_horizon: Callable[[], int],
        read_progress: Callable[[], Awaitable[tuple[int, str]]],
        on_commit: Callable[[], None],
        tried: Callable[[], list[tuple[int, Tried]]] = list,
        committed: tuple[int, str] = (-1, ""),
    ) -> None:
        """Begins a commit at most every *interval_seconds* while *expects_company* says that more outcomes are near.

        *horizon* is the committed one, the predecessor's; *wanted_horizon* is the offset below which the partition
        would like to act; *read_progress* asks Kafka for the committed offset and its metadata, after a commit of
        unknown fate; *on_commit* is called after each commit; *tried* says what has been tried in vain, by offset;
        *committed* is what Kafka said when the partition was built.
        """
        self._ledger = ledger
        self._watermark = watermark
        self._partition = partition
        self._interval_seconds = interval_seconds
        self._expects_company = expects_company
        self._wanted_horizon = wanted_horizon
        self._read_progress = read_progress
        self._on_commit = on_commit
        self._tried = tried
        self._told: list[tuple[int, Tried]] = []
        self._is_telling = False
        self._pending: list[Pending] = []
        self._largest = LARGEST_COMMIT
        # Never smaller than the predecessor's: should this worker end before it has read so far, its successor must.
        self._horizon = horizon
        self._is_due = False
        self._ready = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._has_failed = False
        self._committed = committed
        self._repeat = AsyncRetrying(
            retry=retry_if_exception_type((CommitFailed, CommitUncertain)),
            wait=wait_exponential_jitter(multiplier=0.1, max=5, jitter=0.1),
            stop=stop_never,
            before_sleep=self._say_why,
        )
        self.commits = 0
        self.settled = 0

    @property
    def horizon(self) -> int:
        """The committed horizon: commands at or beyond this offset must not be sent upstream yet."""
        return self._horizon

    def submit(self, decision: Decision) -> None:
        """Takes a decision; it is committed by `run`."""
        self._pending.extend((settlement, decision) for settlement in decision.settlements)
        self._idle.clear()
        self._ready.set()

    def move_horizon(self) -> None:
        """Commits the wanted horizon soon, also when there is nothing else to commit."""
        self._is_due = True
        self._idle.clear()
        self._ready.set()

    def tell_soon(self) -> None:
        """An attempt has failed: the next commit says so, or one that takes place for this alone, a moment later."""
        if not self._is_telling:
            self._is_telling = True
            asyncio.get_running_loop().call_later(TELL_SECONDS, self.tell)

    def tell(self) -> None:
        """Commits what has been tried in vain, if the last commit did not say it."""
        self._is_telling = False
        if self._tried() != self._told:
            self.move_horizon()

    async def idle(self) -> None:
        """Returns when everything submitted so far is committed, but for what has no room in a commit yet."""
        await self._idle.wait()

    async def run(self) -> None:
        """Commits what is submitted until it is cancelled.

        Raises:
            PartitionLost: somebody else has the partition; nothing more can be committed for it.
            KafkaRefused: the deployment does not allow it.
            OutcomeTooLarge: even the dead letter that stands for an outcome is refused.

        """
        loop = asyncio.get_running_loop()
        began_at = -self._interval_seconds
        while True:
            await self._ready.wait()
            if self._expects_company():
                await asyncio.sleep(began_at + self._interval_seconds - loop.time())
            began_at = loop.time()
            self._ready.clear()
            pending = self._next_pending()
            if pending or self._is_due:
                self._is_due = False
                await self._commit(pending)
                self._on_commit()
            if not self._ready.is_set():
                self._idle.set()

    def _next_pending(self) -> list[Pending]:
        """What goes into the next commit: what came first, as much as the commit's text has room for."""
        chosen = self._pending[: self._largest]
        if not self._has_room(chosen):
            self._pending.sort(key=_offset)
            chosen = self._pending[: self._largest]
            while chosen and not self._has_room(chosen):
                chosen = chosen[: len(chosen) // 2]
        del self._pending[: len(chosen)]
        if chosen and self._pending:
            self._ready.set()
        return chosen

    def _has_room(self, pending: Sequence[Pending]) -> bool:
        return progress.fits(self._watermark.after(_offset(one) for one in pending)[1])

    async def _commit(self, pending: list[Pending]) -> None:
        """Commits all. Where Kafka finds one of them too large, fewer are tried, until the large one stands alone."""
        settlements = [settlement for settlement, _ in pending]
        try:
            await self._write(settlements)
        except OutcomeTooLarge as error:
            if len(settlements) > 1:
                self._largest = len(settlements) // 2
                self._pending[:0] = pending
                self._ready.set()
                return
            await self._write_instead(settlements[0], error)
        self._largest = min(self._largest * 2, LARGEST_COMMIT)
        for _, decision in pending:
            decision.open -= 1
            if decision.open == 0:
                decision.committed()

    async def _write_instead(self, settlement: Settlement, error: OutcomeTooLarge) -> None:
        """Publishes what stands for an outcome that is too large, unless that is refused as well."""
        try:
            await self._write([_smaller(settlement, error)])
        except OutcomeTooLarge as refused:
            fault = FAULTS["dead_letter_refused"]
            place = f"partition {self._partition}, offset {settlement.offset}"
            raise OutcomeTooLarge(f"{place}: {fault.meaning} ({refused}). {fault.advice}") from refused

    async def _write(self, settlements: Sequence[Settlement]) -> None:
        offsets = [settlement.offset for settlement in settlements]
        committable, completed_beyond = self._watermark.after(offsets)
        horizon = max(self._horizon, self._wanted_horizon())
        told = self._tried()
        tried = tuple((offset - committable, fold) for offset, fold in told if offset >= committable)
        metadata = progress.encode(Progress(completed_beyond, max(horizon - committable, 0), tried))
        publications = [settlement.publication for settlement in settlements if settlement.publication is not None]
        await self._repeat(self._write_once, publications, committable, metadata)
        self._committed = (committable, metadata)
        for offset in offsets:
            self._watermark.complete(offset)
        self._horizon = horizon
        self._told = told
        self.commits += 1
        self.settled += len(settlements)

    async def _write_once(self, publications: Sequence[Publication], offset: int, metadata: str) -> None:
        if self._has_failed:
            # A new start of the ledger ends the open transaction either way; then Kafka says which way it went.
            await self._ledger.start()
            found = await self._read_progress()
            self._has_failed = False
            if found == (offset, metadata):
                return
            if found != self._committed:
                # That start has fenced the rightful owner: committing on top of its work would undo it.
                msg = f"partition {self._partition}: somebody else has committed offset {found[0]} meanwhile"
                raise PartitionLost(msg)
        try:
            await self._ledger.commit(publications, offset, metadata)
        except (CommitFailed, CommitUncertain, OutcomeTooLarge):
            self._has_failed = True
            raise

    def _say_why(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning("commit_repeated", partition=self._partition, attempt=state.attempt_number, error=str(error))


def _offset(pending: Pending) -> int:
    return pending[0].offset


def _smaller(settlement: Settlement, error: OutcomeTooLarge) -> Settlement:
    if settlement.instead is None:
        raise error
    return replace(settlement, publication=settlement.instead(str(error)), instead=None)
