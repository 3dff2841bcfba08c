"""Commits are counted and timed, and otherwise left alone."""

import pytest

from harness.memory_ledger import Fault, MemoryLedger
from harness.virtual_time import run_virtually
from worker.kafka.errors import KafkaFault
from worker.kafka.measured_ledger import MeasuredLedger
from worker.telemetry.metrics import Metrics


def test_commit_is_timed() -> None:
    """One that succeeded: its publications and its offset are those of the ledger."""

    async def scenario() -> None:
        times = iter([10.0, 10.25])
        ledger, metrics = MemoryLedger(), Metrics()
        measured = MeasuredLedger(ledger, metrics, lambda: next(times))
        await measured.start()
        await measured.commit([], 7, "m")
        await measured.close()

        assert (ledger.starts, ledger.committed) == (1, (7, "m"))
        assert (metrics.commit_seconds.of().count, metrics.commit_seconds.of().total) == (1, 0.25)

    run_virtually(scenario())


@pytest.mark.parametrize(
    ("fault", "failure"),
    [
        (Fault.FAILED, "failed"),
        (Fault.UNCERTAIN_AND_WRITTEN, "uncertain"),
        (Fault.LOST, "fenced"),
    ],
)
def test_failure_is_counted_and_passed_on(fault: Fault, failure: str) -> None:
    """By what became of it; it has no duration."""

    async def scenario() -> None:
        metrics = Metrics()
        measured = MeasuredLedger(MemoryLedger([fault]), metrics, lambda: 0.0)
        with pytest.raises(KafkaFault):
            await measured.commit([], 7, "m")

        assert metrics.commit_failures.labels(failure)._value.get() == 1
        assert metrics.commit_seconds.of().count == 0

    run_virtually(scenario())
