"""Bugs that the simulation must find: each breaks one rule of the engine, here and never in the product."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import worker.assignment
from handlers.command import Command, held_bytes
from simulation.broker import Broker, Producer
from worker import progress
from worker.commit import Committer
from worker.deduplication import DeduplicationWindow, Verdict
from worker.fold import Fate, Fold
from worker.kafka.errors import CommitFailed, CommitUncertain, OutcomeTooLarge
from worker.kafka.ledger import ExactlyOnceLedger, Publication
from worker.lanes import Lanes
from worker.lease import Lease
from worker.pacing.rate_budget import RateBudget
from worker.partition import Partition
from worker.watermark import Watermark


@contextmanager
def _replaced(owner: object, name: str, value: object) -> Iterator[None]:
    before = owner.__dict__[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def _outcomes_without_offsets() -> AbstractContextManager[None]:
    """Outcomes are published, and their offset goes with the next transaction."""
    commit = ExactlyOnceLedger.commit

    async def in_two(self: ExactlyOnceLedger, publications: Sequence[Publication], offset: int, metadata: str) -> None:
        if publications and self._producer is not None:
            await self._producer.begin_transaction()
            for topic, record in publications:
                sent = await self._producer.send(topic, value=record.value, key=record.key, headers=[*record.headers])
                await sent
            await self._producer.commit_transaction()
        await commit(self, [], offset, metadata)

    return _replaced(ExactlyOnceLedger, "commit", in_two)


def _lane_freed_before_commit() -> AbstractContextManager[None]:
    """A customer's next change is sent while the outcome of the one before is not committed."""
    settle = Partition.settle

    def settle_and_free(self: Partition, fold: Fold, fates: Sequence[Fate]) -> None:
        committed = Lanes.committed
        settle(self, fold, fates)
        committed(self.lanes, fold.customer_id)

    @contextmanager
    def both() -> Iterator[None]:
        with (
            _replaced(Partition, "settle", settle_and_free),
            _replaced(Partition, "_committed", lambda self, _customer, commands, _reports: _only_bytes(self, commands)),
        ):
            yield

    return both()


def _only_bytes(partition: Partition, commands: Sequence[Command]) -> None:
    partition.held_bytes -= sum(held_bytes(command) for command in commands)
    partition._headroom.end(len(commands))


def _no_horizon() -> AbstractContextManager[None]:
    """A successor acts at once, and folds as its own settings say."""
    encode = progress.encode
    return _replaced(progress, "encode", lambda found: encode(progress.Progress(found.completed_beyond, 0)))


def _no_lease() -> AbstractContextManager[None]:
    """A worker that the group has not heard of for long sends on."""
    return _replaced(Lease, "is_valid", lambda _self, _now: True)


def _watermark_passes_unfinished() -> AbstractContextManager[None]:
    """Completing an offset settles those before it."""

    def complete(self: Watermark, offset: int) -> int:
        self._unfinished -= 1
        self._last_completed = max(self._last_completed, offset)
        self._bits |= (1 << (offset - self._committable + 1)) - 1
        self._advance()
        return self._committable

    return _replaced(Watermark, "complete", complete)


def _completions_forgotten() -> AbstractContextManager[None]:
    """What was settled beyond the committed offset is done again after a restart."""
    encode = progress.encode
    return _replaced(progress, "encode", lambda found: encode(progress.Progress(0, found.horizon)))


def _window_forgotten_at_restart() -> AbstractContextManager[None]:
    """The window of recent ids begins empty after each assignment."""
    return _replaced(worker.assignment, "identity_in", lambda _record: None)


def _copies_not_seen() -> AbstractContextManager[None]:
    """A copy is a command of its own."""
    return _replaced(DeduplicationWindow, "judge", lambda *_: Verdict.NEW)


def _retry_reorders() -> AbstractContextManager[None]:
    """What is left of a fold goes to the end of its lane, behind what came later."""
    settle = Lanes.settle

    def to_the_end(self: Lanes, fold: Fold, settled: int) -> None:
        settle(self, fold, settled)
        self._lanes[fold.customer_id].waiting.rotate(-len(fold.commands[settled:]))

    return _replaced(Lanes, "settle", to_the_end)


def _fencing_ignored() -> AbstractContextManager[None]:
    """The broker takes what a fenced producer sends: as if each start had a transactional id of its own."""

    def whoever(self: Broker, transactional_id: str, _epoch: int) -> Producer:
        return self._producers[transactional_id]

    return _replaced(Broker, "_current", whoever)


def _blind_repetition() -> AbstractContextManager[None]:
    """After a commit of unknown fate, the same again, whatever Kafka says of the first."""

    async def write(self: Committer, publications: Sequence[Publication], offset: int, metadata: str) -> None:
        if self._has_failed:
            await self._ledger.start()
            self._has_failed = False
        try:
            await self._ledger.commit(publications, offset, metadata)
        except (CommitFailed, CommitUncertain, OutcomeTooLarge):
            self._has_failed = True
            raise

    return _replaced(Committer, "_write_once", write)


def _over_a_successor() -> AbstractContextManager[None]:
    """After a commit of unknown fate, the same again, also where somebody else has gone on meanwhile."""
    write = Committer._write_once

    async def write_anyway(self: Committer, publications: Sequence[Publication], offset: int, metadata: str) -> None:
        read = self._read_progress

        async def as_expected() -> tuple[int, str]:
            found = await read()
            return found if found == (offset, metadata) else self._committed

        self._read_progress = as_expected
        try:
            await write(self, publications, offset, metadata)
        finally:
            self._read_progress = read

    return _replaced(Committer, "_write_once", write_anyway)


def _budget_not_shared() -> AbstractContextManager[None]:
    """Each replica spends the whole budget."""
    share = RateBudget.set_share

    return _replaced(RateBudget, "set_share", lambda self, _share, _replicas: share(self, 1.0, 1))


BUGS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "outcomes without offsets": _outcomes_without_offsets,
    "lane freed before the commit": _lane_freed_before_commit,
    "no horizon": _no_horizon,
    "no lease": _no_lease,
    "watermark passes unfinished": _watermark_passes_unfinished,
    "completions forgotten": _completions_forgotten,
    "window forgotten at restart": _window_forgotten_at_restart,
    "copies not seen": _copies_not_seen,
    "retry reorders its lane": _retry_reorders,
    "fencing ignored": _fencing_ignored,
    "blind repetition of a commit": _blind_repetition,
    "commit over a successor's": _over_a_successor,
    "budget not shared": _budget_not_shared,
}
