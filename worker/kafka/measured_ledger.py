"""A ledger whose commits are counted and timed."""

from collections.abc import Callable, Sequence

from aiokafka import TopicPartition

from worker.kafka.errors import CommitFailed, CommitUncertain, KafkaRefused, OutcomeTooLarge, PartitionLost
from worker.kafka.ledger import Ledger, Publication
from worker.telemetry.metrics import Metrics

_FAILURES = {
    CommitFailed: "failed",
    CommitUncertain: "uncertain",
    OutcomeTooLarge: "too_large",
    PartitionLost: "fenced",
    KafkaRefused: "refused",
}


class MeasuredLedger:
    """Passes everything on; *now* is monotonic seconds."""

    def __init__(self, ledger: Ledger, metrics: Metrics, now: Callable[[], float]) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._now = now

    async def start(self) -> None:
        """See `Ledger.start`."""
        await self._ledger.start()

    async def commit(self, publications: Sequence[Publication], offset: int, metadata: str) -> None:
        """See `Ledger.commit`."""
        began = self._now()
        try:
            await self._ledger.commit(publications, offset, metadata)
        except tuple(_FAILURES) as failure:
            self._metrics.commit_failures.labels(_FAILURES[type(failure)]).inc()
            raise
        self._metrics.commit_seconds.observe(self._now() - began)

    async def close(self) -> None:
        """See `Ledger.close`."""
        await self._ledger.close()


def measured(
    make_ledger: Callable[[TopicPartition], Ledger], metrics: Metrics, now: Callable[[], float]
) -> Callable[[TopicPartition], Ledger]:
    """Makes the same ledgers, measured."""
    return lambda partition: MeasuredLedger(make_ledger(partition), metrics, now)
